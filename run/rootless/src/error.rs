//! Why an ordinary user gets no containers.

use std::io;
use std::path::PathBuf;

/// What went wrong on the way into the user's namespace.
#[derive(Debug, thiserror::Error)]
pub enum RootlessError {
    /// There is nowhere to keep anything.
    #[error(
        "user {uid} has no home directory of its own: give a data directory with --root, or set \
         XDG_DATA_HOME"
    )]
    NoHome {
        /// The user.
        uid: u32,
    },
    /// Others could put things there for us to trust.
    #[error("{} belongs to user {owner}, not to user {uid}: {hint}", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        uid: u32,
        /// What to do.
        hint: &'static str,
    },
    /// Others may write there.
    #[error("{} can be written to by other users (mode {mode:o}): chmod go-w it", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The lists of subordinate ids do not say the same.
    #[error(
        "{given} gives user {user} subordinate ids and {missing} gives none: add a line to both \
         (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user})"
    )]
    HalfIds {
        /// The file with a line.
        given: &'static str,
        /// The one without.
        missing: &'static str,
        /// The user's name or number.
        user: String,
    },
    /// The kernel makes none.
    #[error("cannot make a user namespace{hint}")]
    Namespace {
        /// What would help, with a colon before it; or nothing.
        hint: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// No ids.
    #[error("cannot map ids into the user namespace")]
    Map(#[source] runtime::RuntimeError),
    /// Everything else.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}
