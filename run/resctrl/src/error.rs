//! What can go wrong with resctrl.

use std::io;
use std::path::{Path, PathBuf};

/// Why a group could not be made, entered, changed or read.
#[derive(Debug, thiserror::Error)]
pub enum ResctrlError {
    /// Nothing of the kind is mounted.
    #[error(
        "linux.intelRdt needs a resctrl file system, and none is mounted: {}",
        if *supported { "mount -t resctrl resctrl /sys/fs/resctrl" }
        else { "this kernel knows of no processor here that has Intel RDT or the like" }
    )]
    NotMounted {
        /// Whether the kernel could mount one.
        supported: bool,
    },
    /// A value that cannot be meant.
    #[error("linux.intelRdt.{field}: {problem}")]
    Value {
        /// The member of `linux.intelRdt`.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A class without a schema must have been made by somebody.
    #[error(
        "there is no class of service {group}: make it, or say what it shall be in \
         linux.intelRdt.schemata",
        group = group.display()
    )]
    NoClass {
        /// Its directory.
        group: PathBuf,
    },
    /// A class is there and is another one than what is asked for.
    #[error(
        "the class of service {group} is there already and has {found}, not {asked}: ask for \
         that, or for another closID",
        group = group.display()
    )]
    Differs {
        /// Its directory.
        group: PathBuf,
        /// The line of `schemata` that was asked for.
        asked: String,
        /// What is there.
        found: String,
    },
    /// A container's monitoring group is its own.
    #[error("the monitoring group {group} is there already: remove it", group = group.display())]
    Exists {
        /// Its directory.
        group: PathBuf,
    },
    /// The kernel refused something.
    #[error("cannot {action} {path}{reason}", path = path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The kernel's words about it (`info/last_cmd_status`) after a colon and a blank, if
        /// there are any.
        reason: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl ResctrlError {
    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_owned(), source.into());
        Self::Io { action, path, reason: String::new(), source }
    }

    /// With what the kernel says about the last change below `root`.
    pub(crate) fn explained(self, root: &Path) -> Self {
        match self {
            Self::Io { action, path, source, .. } => {
                let words = std::fs::read_to_string(root.join("info/last_cmd_status"));
                let words = words.unwrap_or_default();
                let reason = match words.trim() {
                    "" | "ok" => String::new(),
                    words => format!(": {words}"),
                };
                Self::Io { action, path, reason, source }
            }
            other => other,
        }
    }
}
