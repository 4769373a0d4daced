//! Why a container's wishes could not be turned into a runtime spec.

use std::io;

/// What was wrong, in Docker's words wherever Docker has some: scripts match them.
///
/// All of these are the caller's or the image's fault (Docker's "invalid parameter"), but for
/// [`BundleError::Device`], whose source says what the host answered.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Neither the image nor the user named a program.
    #[error("no command specified")]
    NoCommand,
    /// A value that no rule allows; `reason` is the whole text.
    #[error("{reason}")]
    Invalid {
        /// The whole text.
        reason: String,
    },
    /// Two wishes that exclude each other; `reason` is the whole text.
    #[error("{reason}")]
    Conflict {
        /// The whole text.
        reason: String,
    },
    /// A profile asks for something that cannot be given here.
    #[error("profile {profile} needs {what}: {reason}; {relax} does without")]
    Profile {
        /// The profile.
        profile: crate::Profile,
        /// What it needs.
        what: &'static str,
        /// Why it cannot be had.
        reason: String,
        /// The flag that relaxes it.
        relax: &'static str,
    },
    /// Something of Docker's that comes in a later piece of work.
    #[error("{what} is not supported yet{hint}")]
    Later {
        /// The flag or value.
        what: String,
        /// What to do instead, with its leading punctuation; may be empty.
        hint: &'static str,
    },
    /// No such user in the image.
    #[error("unable to find user {name}: no matching entries in passwd file")]
    NoUser {
        /// The name as it was given.
        name: String,
    },
    /// No such group in the image.
    #[error("unable to find group {name}: no matching entries in group file")]
    NoGroup {
        /// The name as it was given.
        name: String,
    },
    /// A number outside of what a user or group id can be; never wrapped.
    #[error("uids and gids must be in range 0-2147483647: {text:?}")]
    IdRange {
        /// The number as it was given.
        text: String,
    },
    /// A file of the image is larger than what is read of such a file.
    #[error("{path} of the image is too large: more than {limit}")]
    TooLarge {
        /// The path inside.
        path: &'static str,
        /// The limit with its unit.
        limit: &'static str,
    },
    /// The host could not say what a device is.
    #[error("error gathering device information while adding custom device {path:?}")]
    Device {
        /// The path on the host.
        path: String,
        /// What the host answered.
        source: io::Error,
    },
}

impl BundleError {
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }

    pub(crate) fn conflict(reason: impl Into<String>) -> Self {
        Self::Conflict { reason: reason.into() }
    }
}
