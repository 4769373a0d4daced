//! Why a command failed, in texts that engines match.
//!
//! containerd-shim-runc-v2 looks for "container not running", "process already finished", "no such
//! process" and "does not exist"; Podman for "does not exist", "permission denied", "executable
//! file not found" and "no such file or directory"; dockerd for the latter two kinds.

use std::error::Error;
use std::io;

use cgroups::CgroupError;
use resctrl::ResctrlError;
use runtime::RuntimeError;
use seccomp::SeccompError;

/// Why a command failed. Nothing has changed then, unless the text says so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OciError {
    /// There is no such container.
    #[error("container does not exist")]
    NoContainer,
    /// The id is in use.
    #[error("container with given ID already exists")]
    Exists,
    /// An id that could not be the name of a directory.
    #[error("invalid container ID format")]
    Id,
    /// There is nobody to send a signal to.
    #[error("container not running")]
    NotRunning,
    /// Only what is paused can be resumed.
    #[error("container not paused")]
    NotPaused,
    /// The container's state does not allow it.
    #[error("{0}")]
    State(String),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The bundle's configuration is invalid: where, as a JSON path, and what is wrong.
    #[error("invalid config.json: {field}: {problem}")]
    Config {
        /// `mounts[3].destination` and the like.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// The container could not be made.
    #[error("unable to start container process")]
    Runtime(#[source] RuntimeError),
    /// A limit that this machine cannot have.
    #[error("invalid configuration")]
    Limit(#[source] CgroupError),
    /// Something else about its cgroup.
    #[error("unable to apply cgroup configuration")]
    Cgroup(#[source] CgroupError),
    /// Something about its group of caches and memory bandwidth.
    #[error("unable to apply Intel RDT configuration")]
    Resctrl(#[source] ResctrlError),
    /// Its system call filter is not one.
    #[error("unable to init seccomp")]
    Seccomp(#[from] SeccompError),
    /// A hook failed.
    #[error(transparent)]
    Hook(RuntimeError),
    /// Something about a file or a descriptor.
    #[error("cannot {action}")]
    Io {
        /// What was being done, with the names of the things.
        action: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What we do not do, and why.
    #[error("{0}")]
    Unsupported(String),
}

impl OciError {
    /// What was being done when a call failed.
    pub(crate) fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { action: action.into(), source: source.into() }
    }
}

impl From<CgroupError> for OciError {
    fn from(error: CgroupError) -> Self {
        match error {
            CgroupError::NoController { .. }
            | CgroupError::Unsupported { .. }
            | CgroupError::Value { .. }
            | CgroupError::Path { .. }
            | CgroupError::Property { .. } => Self::Limit(error),
            error => Self::Cgroup(error),
        }
    }
}

impl From<ResctrlError> for OciError {
    fn from(error: ResctrlError) -> Self {
        match error {
            ResctrlError::Value { field, problem } => {
                Self::Config { field: format!("linux.intelRdt.{field}"), problem }
            }
            error => Self::Resctrl(error),
        }
    }
}

impl From<RuntimeError> for OciError {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Spec { field, problem } => Self::Config { field, problem },
            RuntimeError::Hook { .. } => Self::Hook(error),
            error => Self::Runtime(error),
        }
    }
}

/// Says what was being done when a call failed.
pub(crate) trait Step<T> {
    /// `action` completes "cannot ...".
    fn to(self, action: impl FnOnce() -> String) -> Result<T, OciError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn to(self, action: impl FnOnce() -> String) -> Result<T, OciError> {
        self.map_err(|error| OciError::io(action(), error))
    }
}

/// An error with its causes, each after a colon; a cause that the text before ends with already is
/// not repeated. Numbers of system errors are left out and their texts are in Go's letters, since
/// that is what is matched.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = match cause.downcast_ref::<io::Error>() {
            Some(error) => words(error),
            None => cause.to_string(),
        };
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// A system's error as C and Go print it: "no such file or directory".
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_read_as_engines_expect() {
        let missing = || io::Error::from_raw_os_error(2);
        for (error, text) in [
            (
                OciError::io("open config.json", missing()),
                "cannot open config.json: no such file or directory",
            ),
            (
                RuntimeError::Inside { action: "mount x".into(), source: missing() }.into(),
                "unable to start container process: error during container init: cannot mount x: \
                 no such file or directory",
            ),
            (
                RuntimeError::Spec { field: "a.b".into(), problem: "is missing".into() }.into(),
                "invalid config.json: a.b: is missing",
            ),
        ] {
            assert_eq!(chain(&error), text);
        }
    }
}
