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
    /// There is no pasta.
    #[error(
        "there is no pasta, which connects the containers of ordinary users: install the package \
         passt, or choose --network none or host"
    )]
    NoPasta,
    /// pasta cannot make an interface.
    #[error(
        "this user may not open /dev/net/tun, by which pasta connects containers: chmod 666 it, as \
         it is on most systems, or choose --network none or host"
    )]
    NoTun {
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel's module is not there.
    #[error(
        "there is no /dev/net/tun, by which pasta connects containers: load the kernel's module \
         tun (modprobe tun), or choose --network none or host"
    )]
    AbsentTun,
    /// It ended.
    #[error("pasta could not connect the container: {said}")]
    Pasta {
        /// In its own words.
        said: String,
    },
    /// It could not be started.
    #[error("cannot start pasta")]
    Uplink {
        /// Why not.
        source: io::Error,
    },
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
