//! Contexts and Dockerfiles: opened once, by descriptor, and below their root.
//!
//! A context is somebody else's as a rule. Its Dockerfile and its ignore file are looked up inside
//! it as a container would look them up, so that a link to `/etc/shadow` is a link into the
//! context (CVE-2022-4122).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use builder::remote::Fetched;
use builder::{BuildError, Context};
use dockerfile::ignore::Patterns;
use rustix::fs::{CWD, Mode, OFlags};

/// The largest Dockerfile or ignore file.
const LIMIT_BYTES: u64 = 16 << 20;

/// Where a Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileSource {
    /// `Dockerfile` in the context.
    Default,
    /// A file of the host that the user named.
    Path(PathBuf),
    /// A file of the context.
    Inside(String),
    /// These bytes, as from standard input.
    Bytes(Vec<u8>),
}

/// A Dockerfile that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDockerfile {
    /// What it is called in messages.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Opens a directory as a context, with the ignore file that goes with the Dockerfile.
pub fn open_context(
    path: &Path,
    source: DockerfileSource,
) -> Result<(Context, FoundDockerfile), BuildError> {
    let root = open_directory(path)?;
    context(root, Some(context_name(path)), None, source)
}

/// As [`open_context`], of a directory that is open.
pub(super) fn context(
    root: OwnedFd,
    name: Option<String>,
    held: Option<Fetched>,
    source: DockerfileSource,
) -> Result<(Context, FoundDockerfile), BuildError> {
    let (found, beside) = find_dockerfile(&root, source)?;
    let ignore = match beside {
        Some(bytes) => patterns(Some(bytes))?,
        None => patterns(read_inside(&root, ".dockerignore")?)?,
    };
    Ok((Context { root, name, ignore, held, source: None }, found))
}

/// As [`open_named_context`], of a directory that is open.
pub(super) fn named_context(
    root: OwnedFd,
    name: Option<String>,
    held: Option<Fetched>,
) -> Result<Context, BuildError> {
    let ignore = patterns(read_inside(&root, ".dockerignore")?)?;
    Ok(Context { root, name, ignore, held, source: None })
}

fn patterns(file: Option<Vec<u8>>) -> Result<Patterns, BuildError> {
    match file {
        Some(bytes) => Patterns::read(&bytes).map_err(|error| {
            BuildError::Invalid(format!("error reading the ignore file: {error}"))
        }),
        None => Ok(Patterns::default()),
    }
}

/// Opens a directory as a named context, with the ignore file in its root.
pub fn open_named_context(path: &Path) -> Result<Context, BuildError> {
    named_context(open_directory(path)?, Some(context_name(path)), None)
}

/// Reads a Dockerfile that stands alone, without a context.
pub fn read_dockerfile(source: DockerfileSource) -> Result<FoundDockerfile, BuildError> {
    match source {
        DockerfileSource::Bytes(content) => {
            Ok(FoundDockerfile { name: "Dockerfile".into(), content })
        }
        DockerfileSource::Path(path) => {
            let content = read_bounded(open_file(&path)?, &path.to_string_lossy())?;
            Ok(FoundDockerfile { name: shown(&path), content })
        }
        DockerfileSource::Default => Err(not_there("Dockerfile")),
        DockerfileSource::Inside(name) => Err(not_there(&name)),
    }
}

/// The Dockerfile, and the ignore file that has its name.
fn find_dockerfile(
    root: &OwnedFd,
    source: DockerfileSource,
) -> Result<(FoundDockerfile, Option<Vec<u8>>), BuildError> {
    match source {
        DockerfileSource::Default => {
            for name in ["Dockerfile", "dockerfile"] {
                if let Some(content) = read_inside(root, name)? {
                    let beside = read_inside(root, &format!("{name}.dockerignore"))?;
                    return Ok((FoundDockerfile { name: name.into(), content }, beside));
                }
            }
            Err(not_there("Dockerfile"))
        }
        DockerfileSource::Path(path) => {
            let mut beside = path.clone().into_os_string();
            beside.push(".dockerignore");
            let beside = match open_file(Path::new(&beside)) {
                Ok(file) => Some(read_bounded(file, "the ignore file")?),
                Err(_) => None,
            };
            Ok((read_dockerfile(DockerfileSource::Path(path))?, beside))
        }
        DockerfileSource::Inside(name) => match read_inside(root, &name)? {
            Some(content) => {
                let beside = read_inside(root, &format!("{name}.dockerignore"))?;
                Ok((FoundDockerfile { name, content }, beside))
            }
            None => Err(not_there(&name)),
        },
        bytes => Ok((read_dockerfile(bytes)?, None)),
    }
}

fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn not_there(name: &str) -> BuildError {
    BuildError::Invalid(format!(
        "failed to read dockerfile: open {name}: no such file or directory"
    ))
}

/// What tells the files of one context from those of another.
fn context_name(path: &Path) -> String {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

fn open_directory(path: &Path) -> Result<OwnedFd, BuildError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| match errno {
        rustix::io::Errno::NOENT => {
            BuildError::Invalid(format!("unable to prepare context: path {path:?} not found"))
        }
        errno => BuildError::Io { action: "open", path: path.to_owned(), source: errno.into() },
    })
}

fn open_file(path: &Path) -> Result<File, BuildError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(file) => Ok(File::from(file)),
        Err(rustix::io::Errno::NOENT) => Err(not_there(&shown(path))),
        Err(errno) => {
            Err(BuildError::Io { action: "open", path: path.to_owned(), source: errno.into() })
        }
    }
}

/// A file of the context, as the context has it; `None` if there is none.
fn read_inside(root: &OwnedFd, name: &str) -> Result<Option<Vec<u8>>, BuildError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    match sys::fs::open_in_root(root.as_fd(), name, flags, Mode::empty()) {
        Ok(file) => read_bounded(File::from(file), name).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BuildError::Io { action: "open", path: name.into(), source }),
    }
}

fn read_bounded(file: File, name: &str) -> Result<Vec<u8>, BuildError> {
    let failed = |source| BuildError::Io { action: "read", path: name.into(), source };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(BuildError::Invalid(format!("{name} is not a regular file")));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(BuildError::Invalid(format!("{name} has more than {LIMIT_BYTES} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_context_stay_in_it() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("canary"), "FROM canary").unwrap();
        let context = temp.path().join("context");
        std::fs::create_dir(&context).unwrap();
        let link = |name: &str, to: &str| {
            std::os::unix::fs::symlink(to, context.join(name)).unwrap();
        };
        link("Dockerfile", "../canary");
        link(".dockerignore", "../../../../../../etc/passwd");
        let error = open_context(&context, DockerfileSource::Default).unwrap_err().to_string();
        assert!(error.contains("failed to read dockerfile"), "{error}");
        // Inside the context the same link is a good one.
        std::fs::write(context.join("canary"), "FROM inside").unwrap();
        let (opened, found) = open_context(&context, DockerfileSource::Default).unwrap();
        assert_eq!(found.content, b"FROM inside");
        assert!(opened.ignore.is_empty());
    }

    #[test]
    fn an_ignore_file_of_the_dockerfiles_name_comes_first() {
        let temp = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("Dockerfile", "FROM a"),
            (".dockerignore", "one"),
            ("other", "FROM b"),
            ("other.dockerignore", "two"),
        ] {
            std::fs::write(temp.path().join(name), text).unwrap();
        }
        let (context, _) = open_context(temp.path(), DockerfileSource::Default).unwrap();
        assert!(context.ignore.matches("one") && !context.ignore.matches("two"));
        let source = DockerfileSource::Path(temp.path().join("other"));
        let (context, found) = open_context(temp.path(), source).unwrap();
        assert!(!context.ignore.matches("one") && context.ignore.matches("two"));
        assert_eq!((found.name.as_str(), &*found.content), ("other", &b"FROM b"[..]));
    }
}
