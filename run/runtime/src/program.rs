//! Which file a command's name means, and what is said when it cannot be executed.
//!
//! Tests and users of Docker match these texts, which are those of runc (that is, of Go).

use std::ffi::{CStr, CString};
use std::io;

use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;

use crate::{ExecError, ExecErrorKind};

/// A file to execute.
#[derive(Debug)]
pub(crate) struct Program {
    path: CString,
}

impl Program {
    /// Looks `name` up in `PATH` of `env`, unless it has a slash in it.
    pub(crate) fn look_up(name: &CStr, env: &[CString]) -> Result<Self, ExecError> {
        let shown = name.to_string_lossy();
        if name.to_bytes().contains(&b'/') {
            return match executable(name) {
                Ok(()) => Ok(Self { path: name.to_owned() }),
                Err(errno) => {
                    let reason = match errno {
                        Errno::ACCESS | Errno::PERM => "permission denied".to_owned(),
                        Errno::ISDIR => "is a directory".to_owned(),
                        errno => format!("stat {shown}: {}", words(errno.into())),
                    };
                    Err(ExecError {
                        kind: kind(errno),
                        text: format!("exec: \"{shown}\": {reason}"),
                    })
                }
            };
        }
        // The last assignment counts, as it does for the programs that will read it.
        let path = env.iter().rev().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
        for directory in path.into_iter().flat_map(|path| path.split(|&byte| byte == b':')) {
            let mut candidate = if directory.is_empty() { b"." } else { directory }.to_vec();
            candidate.push(b'/');
            candidate.extend_from_slice(name.to_bytes());
            let candidate = CString::new(candidate).expect("both parts come from C strings");
            if executable(&candidate).is_ok() {
                return Ok(Self { path: candidate });
            }
        }
        Err(ExecError {
            kind: ExecErrorKind::NotFound,
            text: format!("exec: \"{shown}\": executable file not found in $PATH"),
        })
    }

    pub(crate) fn path(&self) -> &CStr {
        &self.path
    }

    /// What execve(2) had against it: a missing interpreter, a foreign format.
    pub(crate) fn failure(&self, error: &io::Error) -> ExecError {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        let text = format!("exec {}: {}", self.path.to_string_lossy(), words(errno.into()));
        ExecError { kind: kind(errno), text }
    }
}

fn executable(path: &CStr) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    // Root may do everything but execute a file that nobody may.
    if stat.st_mode & 0o111 == 0 {
        return Err(Errno::ACCESS);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

fn kind(errno: Errno) -> ExecErrorKind {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG => ExecErrorKind::NotFound,
        Errno::ACCESS
        | Errno::PERM
        | Errno::ISDIR
        | Errno::NOEXEC
        | Errno::TXTBSY
        | Errno::LIBBAD
        | Errno::INVAL => ExecErrorKind::NotExecutable,
        _ => ExecErrorKind::Other,
    }
}

/// An error in lower case and without its number, as C and Go print it.
pub(crate) fn words(error: io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn look_up(name: &str, path: Option<&str>) -> Result<String, ExecError> {
        let env: Vec<_> =
            path.iter().map(|path| CString::new(format!("PATH={path}")).unwrap()).collect();
        let name = CString::new(name).unwrap();
        Program::look_up(&name, &env).map(|program| program.path().to_str().unwrap().to_owned())
    }

    #[test]
    fn texts_are_those_that_scripts_match() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let file = file.to_str().unwrap();
        for (name, kind, text) in [
            ("foo", 127, "exec: \"foo\": executable file not found in $PATH".to_owned()),
            ("/x", 127, "exec: \"/x\": stat /x: no such file or directory".to_owned()),
            ("/", 126, "exec: \"/\": is a directory".to_owned()),
            (file, 126, format!("exec: \"{file}\": permission denied")),
        ] {
            let error = look_up(name, Some("/bin:/usr/bin")).unwrap_err();
            assert_eq!((error.kind.exit_code(), error.text), (kind, text), "{name}");
        }
    }

    #[test]
    fn the_first_executable_in_the_path_is_taken() {
        let temp = tempfile::tempdir().unwrap();
        for (dir, mode) in [("a", 0o644), ("b", 0o755), ("c", 0o755)] {
            let file = temp.path().join(dir).join("tool");
            fs::create_dir(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir_all(temp.path().join("d/tool")).unwrap();
        let path = |dirs: &str| {
            dirs.chars()
                .map(|dir| format!("{}/{dir}", temp.path().display()))
                .collect::<Vec<_>>()
                .join(":")
        };
        let found = look_up("tool", Some(&path("dabc"))).unwrap();
        assert_eq!(found, format!("{}/b/tool", temp.path().display()));
        look_up("tool", Some(&path("da"))).unwrap_err();
        look_up("sh", None).unwrap_err();
    }
}
