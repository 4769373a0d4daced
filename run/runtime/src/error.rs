//! Why there is no container, or no process in it.

use std::io;

use crate::plan::MountPlan;

/// Why a container or a process could not be created or started.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The spec cannot be carried out. Nothing has happened.
    #[error("{field}: {problem}")]
    Spec {
        /// The JSON path, such as `mounts[3].destination`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A step on the host's side failed.
    #[error("cannot {action}")]
    Host {
        /// What, with the names of the things.
        action: String,
        /// Why.
        source: io::Error,
    },
    /// A step inside the new namespaces failed.
    #[error("error during container init: cannot {action}")]
    Inside {
        /// What, with the names of the things.
        action: String,
        /// Why.
        source: io::Error,
    },
    /// A mount could not be made. The words before the cause are runc's, which its users' scripts
    /// look for.
    #[error("error during container init: error mounting {mount}: cannot {action}")]
    Mount {
        /// `"SOURCE" to rootfs at "DESTINATION"`.
        mount: String,
        /// What, with the names of the things.
        action: String,
        /// Why.
        source: io::Error,
    },
    /// The process could not enter its group of caches and memory bandwidth.
    #[error("unable to apply Intel RDT configuration")]
    Resctrl {
        /// Why.
        source: resctrl::ResctrlError,
    },
    /// Something in the root file system is not what it must be.
    #[error("{0}")]
    Refused(String),
    /// The program cannot be executed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// A hook failed.
    #[error("error running {kind} hook #{index}: {path}: {problem}")]
    Hook {
        /// `createRuntime` and so on.
        kind: &'static str,
        /// Which of those, from 0.
        index: usize,
        /// The hook's program.
        path: String,
        /// Its status, or why there is none, and what it said.
        problem: String,
    },
    /// The process ended before it was ready, without a word.
    #[error("init ended before it was ready ({how})")]
    Died {
        /// Its status, as far as it is known.
        how: String,
    },
}

/// Why a program cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ExecError {
    /// What that means to a shell.
    pub kind: ExecErrorKind,
    /// In the words that runc and Docker use.
    pub text: String,
}

/// What a failed execution means to a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecErrorKind {
    /// There is no such program: exit code 127.
    NotFound,
    /// There is one, but it cannot be executed: exit code 126.
    NotExecutable,
    /// Something else is wrong: exit code 128, as runc has it.
    Other,
}

impl ExecErrorKind {
    /// What a shell gives as exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NotFound => 127,
            Self::NotExecutable => 126,
            Self::Other => 128,
        }
    }
}

/// Says what was being done when a call failed.
pub(crate) trait Step<T> {
    /// On the host's side.
    fn host(self, action: impl FnOnce() -> String) -> Result<T, RuntimeError>;

    /// In the new namespaces.
    fn inside(self, action: impl FnOnce() -> String) -> Result<T, RuntimeError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn host(self, action: impl FnOnce() -> String) -> Result<T, RuntimeError> {
        self.map_err(|error| RuntimeError::Host { action: action(), source: error.into() })
    }

    fn inside(self, action: impl FnOnce() -> String) -> Result<T, RuntimeError> {
        self.map_err(|error| RuntimeError::Inside { action: action(), source: error.into() })
    }
}

impl RuntimeError {
    /// Says for which mount something was being done when a call failed.
    pub(crate) fn mounting(self, mount: &MountPlan<'_>) -> Self {
        match self {
            Self::Host { action, source } | Self::Inside { action, source } => {
                Self::Mount { mount: mount.name(), action, source }
            }
            other => other,
        }
    }
}

/// An error in the spec.
pub(crate) fn spec_error(field: impl Into<String>, problem: impl Into<String>) -> RuntimeError {
    RuntimeError::Spec { field: field.into(), problem: problem.into() }
}
