//! Files that a command line names: variables, labels, and the file for the id.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// `open /x: no such file or directory`: a failed system call in Go's words.
pub(crate) fn failed(call: &str, path: &str, error: &io::Error) -> String {
    let text = error.to_string();
    // Rust: "No such file or directory (os error 2)".
    let text = text.split(" (os error").next().unwrap_or(&text);
    format!("{call} {path}: {}", text.to_ascii_lowercase())
}

/// A line is not longer; Docker gives up there too.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Reads `KEY=value` lines. Blank lines and those that begin with `#` are left out; so is a key
/// without `=`, unless `look_up` knows a value for it.
pub(crate) fn pairs(
    path: &str,
    look_up: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let bytes = std::fs::read(path).map_err(|error| failed("open", path, &error))?;
    let fail = |why: String| format!("invalid env file ({path}): {why}");
    let mut pairs = Vec::new();
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.len() >= MAX_LINE_BYTES {
            return Err(fail("bufio.Scanner: token too long".to_owned()));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| {
            let bytes = line.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
            fail(format!("invalid utf8 bytes at line {}: [{bytes}]", number + 1))
        })?;
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, has_value) = match line.split_once('=') {
            Some((key, _)) => (key, true),
            None => (line, false),
        };
        if key.is_empty() {
            return Err(fail(format!("no variable name on line '{line}'")));
        } else if key.contains([' ', '\t']) {
            return Err(fail(format!("variable '{key}' contains whitespaces")));
        }
        if has_value {
            pairs.push(line.to_owned());
        } else if let Some(value) = look_up(key) {
            pairs.push(format!("{key}={value}"));
        }
    }
    Ok(pairs)
}

/// A variable of this process, for lines that only name one.
pub(crate) fn own_variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The file of `--cidfile`: made before the container, and removed if there comes none.
#[derive(Debug)]
pub(crate) struct CidFile {
    path: PathBuf,
    file: File,
    written: bool,
}

impl CidFile {
    /// Makes the file, which must not be there.
    pub(crate) fn create(path: &str) -> Result<Self, String> {
        let path = Path::new(path);
        let shown = path.display();
        match File::create_new(path) {
            Ok(file) => Ok(Self { path: path.to_owned(), file, written: false }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(format!(
                "container ID file found, make sure the other container isn't running or delete {shown}"
            )),
            Err(error) => Err(format!(
                "failed to create the container ID file: {}",
                failed("open", &shown.to_string(), &error)
            )),
        }
    }

    /// Writes the id.
    pub(crate) fn write(&mut self, id: &str) -> io::Result<()> {
        self.file.write_all(id.as_bytes())?;
        self.written = true;
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.written {
            // Somebody else may have removed it: nothing is lost then.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let path = file.path().to_str().unwrap();
        let look_up = |name: &str| (name == "KNOWN").then(|| "here".to_owned());
        pairs(path, &look_up).map_err(|error| error.replace(path, "FILE"))
    }

    #[test]
    fn lines_are_pairs() {
        let text = b"\xef\xbb\xbf# comment\n\n  A=1 \nB=x=y\r\nKNOWN\nUNKNOWN\n\tC=\n#D=1\nE='q'";
        assert_eq!(read(text).unwrap(), ["A=1 ", "B=x=y", "KNOWN=here", "C=", "E='q'"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, want) in [
            (&b"=x"[..], "invalid env file (FILE): no variable name on line '=x'"),
            (b"a b=c", "invalid env file (FILE): variable 'a b' contains whitespaces"),
            (b"a\t=c", "invalid env file (FILE): variable 'a\t' contains whitespaces"),
            (b"ok=1\n\xff=", "invalid env file (FILE): invalid utf8 bytes at line 2: [255 61]"),
        ] {
            assert_eq!(read(text).unwrap_err(), want);
        }
        let long = [b"A=".to_vec(), vec![b'x'; MAX_LINE_BYTES]].concat();
        assert!(read(&long).unwrap_err().ends_with("bufio.Scanner: token too long"));
        assert_eq!(
            pairs("/nonexistent", &|_| None).unwrap_err(),
            "open /nonexistent: no such file or directory"
        );
    }

    #[test]
    fn the_id_file_stays_only_with_an_id() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cid");
        let name = path.to_str().unwrap();
        drop(CidFile::create(name).unwrap());
        assert!(!path.exists());
        let mut file = CidFile::create(name).unwrap();
        file.write("abc").unwrap();
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "abc");
        assert!(CidFile::create(name).unwrap_err().starts_with("container ID file found"));
    }
}
