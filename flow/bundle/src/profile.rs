//! The four sets of defaults behind `--profile`.

use std::fmt;
use std::str::FromStr;

use dockerapi::HostConfig;

use crate::BundleError;

/// Defaults of isolation. DESIGN: section 7; the reasons for each: SECURITY, sections 2.2 and 2.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Docker's meaning wherever an image or a script can notice, hardened wherever it cannot.
    #[default]
    Standard,
    /// Exactly Docker's defaults.
    Docker,
    /// Seven capabilities, no new privileges, nosuid, ids of its own.
    Strict,
    /// Standard, and file capabilities can be set: for the steps of an image build.
    Build,
}

impl Profile {
    /// The profile that a container asks for; `standard` if it names none.
    pub fn of(host: &HostConfig) -> Result<Self, BundleError> {
        if host.profile.is_empty() { Ok(Self::Standard) } else { host.profile.parse() }
    }

    /// The name that `--profile` takes and `inspect` shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Docker => "docker",
            Self::Strict => "strict",
            Self::Build => "build",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = BundleError;

    /// An unknown or blank name is an error, never a default.
    fn from_str(text: &str) -> Result<Self, BundleError> {
        match text {
            "standard" => Ok(Self::Standard),
            "docker" => Ok(Self::Docker),
            "strict" => Ok(Self::Strict),
            "build" => Ok(Self::Build),
            _ => Err(BundleError::invalid(format!(
                "unknown profile {text:?}: it is one of standard, docker, strict, build"
            ))),
        }
    }
}
