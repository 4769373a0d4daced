//! A bundle: the directory that holds a config.json and, usually, a root file system.
//! runtime-spec 1.3.0, bundle.md, config.md.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use oci::runtime::{Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{OciError, Step};
use crate::store::MAX_BYTES;

/// A bundle whose configuration could be read and makes sense as far as it stands for itself.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Its directory, absolute.
    pub(crate) dir: PathBuf,
    /// config.json as it is.
    pub(crate) bytes: Vec<u8>,
    /// What it says.
    pub(crate) spec: Spec,
    /// The root file system's directory, absolute.
    pub(crate) rootfs: PathBuf,
}

impl Bundle {
    /// Enters and reads the bundle in `dir`, or in the working directory.
    pub(crate) fn load(dir: Option<&str>) -> Result<Self, OciError> {
        if let Some(dir) = dir {
            // As runc does: relative names in hooks' arguments and of sockets are the bundle's.
            rustix::process::chdir(dir).to(|| format!("enter the bundle {dir}"))?;
        }
        let dir = std::env::current_dir().to(|| "find the bundle".to_owned())?;
        let bytes = match read(Path::new("config.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = "JSON specification file config.json not found";
                return Err(OciError::State(text.into()));
            }
            other => other.to(|| format!("read {}", dir.join("config.json").display()))?,
        };
        let spec: Spec = parse(&bytes)?;
        check_version(&spec.oci_version)?;
        let rootfs = find_rootfs(&dir, &spec)?;
        Ok(Self { dir, bytes, spec, rootfs })
    }
}

/// Reads a process as `exec --process` takes it.
pub(crate) fn load_process(path: &str) -> Result<Process, OciError> {
    let bytes = read(Path::new(path)).to(|| format!("read {path}"))?;
    parse(&bytes).map_err(|error| match error {
        OciError::Config { field, problem } => {
            OciError::State(format!("{path}: {field}: {problem}"))
        }
        other => other,
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(16 * 1024);
    if File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)? as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than 64 MiB"));
    }
    Ok(bytes)
}

/// Understands a document; what it has too much is passed over, as the specification wants.
///
/// [`OciError::Config`] names what cannot be understood by its JSON path. A `null` is taken for an
/// absent member, as Go does.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, OciError> {
    if let Ok(document) = serde_json::from_slice(bytes) {
        return Ok(document);
    }
    // Once more and slowly, to find out what is wrong and where.
    let wrong = |field: String, problem: String| OciError::Config { field, problem };
    let mut value: Value = serde_json::from_slice(bytes)
        .map_err(|error| wrong("the document".into(), error.to_string()))?;
    remove_nulls(&mut value);
    serde_path_to_error::deserialize(value)
        .map_err(|error| wrong(error.path().to_string(), error.inner().to_string()))
}

fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(remove_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// Leaves of each variable the last assignment, in the place of the first, and drops an empty `HOME`,
/// which is then looked up. As runc does.
pub(crate) fn tidy_environment(process: &mut Process) {
    let name = |entry: &str| entry.split_once('=').map(|(name, _)| name.to_owned());
    let mut tidy: Vec<String> = Vec::with_capacity(process.env.len());
    for entry in std::mem::take(&mut process.env) {
        let same = |other: &String| name(other).is_some() && name(other) == name(&entry);
        match tidy.iter().position(same) {
            Some(place) => tidy[place] = entry,
            None => tidy.push(entry),
        }
    }
    tidy.retain(|entry| entry != "HOME=");
    process.env = tidy;
}

/// Any version 1: later ones only add what older runtimes may pass over.
/// runtime-spec 1.3.0, config.md, "Specification version".
fn check_version(version: &str) -> Result<(), OciError> {
    let refuse = |problem: String| Err(OciError::Config { field: "ociVersion".into(), problem });
    let core = version.split(['-', '+']).next().unwrap_or("");
    let numbers: Vec<_> = core.split('.').map(str::parse::<u32>).collect();
    match numbers.as_slice() {
        _ if version.is_empty() => refuse("is missing".into()),
        [Ok(1), Ok(_), Ok(_)] => Ok(()),
        [Ok(_), Ok(_), Ok(_)] => refuse(format!("{version} is not supported; 1.x.y is")),
        _ => refuse(format!("\"{version}\" is no version in SemVer form")),
    }
}

fn find_rootfs(dir: &Path, spec: &Spec) -> Result<PathBuf, OciError> {
    let wrong = |problem: String| OciError::Config { field: "root.path".into(), problem };
    let path = match &spec.root {
        None => {
            return Err(OciError::Config { field: "root".into(), problem: "is missing".into() });
        }
        Some(root) if root.path.is_empty() => return Err(wrong("is empty".into())),
        Some(root) => dir.join(&root.path),
    };
    let found = path.canonicalize().map_err(|error| {
        let words = crate::error::chain(&OciError::io("find it", error));
        wrong(format!("{}: {words}", path.display()))
    })?;
    match found.is_dir() {
        true => Ok(found),
        false => Err(wrong(format!("{} is not a directory", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        parse::<Spec>(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_understood_is_named_by_its_path() {
        let text = error(r#"{"ociVersion":"1.0.0","process":{"cwd":"/","args":["a",1]}}"#);
        assert!(text.starts_with("invalid config.json: process.args[1]: invalid type"), "{text}");
        let text = error(r#"{"ociVersion":"1.0.0","mounts":[{"destination":"/a"},{"type":"x"}]}"#);
        assert!(text.contains("mounts[1]: missing field `destination`"), "{text}");
        let text = error("{\"ociVersion\":\"1.0.0\",");
        assert!(text.contains("the document: EOF"), "{text}");
    }

    #[test]
    fn nulls_and_unknown_members_are_passed_over() {
        let json = r#"{"ociVersion":"1.0.0","mounts":null,"new":{"a":null},
            "process":{"cwd":"/","args":["a"],"env":null,"rlimits":null}}"#;
        let spec: Spec = parse(json.as_bytes()).unwrap();
        assert_eq!(spec.process.unwrap().args, ["a"]);
    }

    #[test]
    fn the_last_assignment_counts() {
        let env = ["A=1", "HOME=", "B=2", "A=3", "odd", "odd"].map(str::to_owned).to_vec();
        let mut process = Process { env, ..Process::default() };
        tidy_environment(&mut process);
        assert_eq!(process.env, ["A=3", "B=2", "odd", "odd"]);
    }

    #[test]
    fn versions_are_those_of_the_first_major() {
        for good in ["1.0.0", "1.0.2-dev", "1.3.0+dev", "1.99.1", "1.0.0-rc5"] {
            assert!(check_version(good).is_ok(), "{good}");
        }
        for bad in ["", "1", "1.0", "2.0.0", "0.9.0", "v1.0.0", "x"] {
            assert!(check_version(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), "").unwrap();
        std::fs::create_dir(temp.path().join("rootfs")).unwrap();
        let find = |path: &str| {
            let root = oci::runtime::Root { path: path.into(), readonly: false };
            let spec = Spec { root: Some(root), ..Spec::default() };
            find_rootfs(temp.path(), &spec).map_err(|error| error.to_string())
        };
        assert!(find("rootfs").unwrap().is_absolute());
        for (path, text) in [
            ("", "root.path: is empty"),
            ("gone", "no such file or directory"),
            ("file", "is not a directory"),
        ] {
            assert!(find(path).unwrap_err().contains(text), "{path}");
        }
        assert!(find_rootfs(temp.path(), &Spec::default()).is_err());
    }
}
