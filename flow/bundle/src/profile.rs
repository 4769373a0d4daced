//! The four sets of defaults behind `--profile`.

use std::fmt;
use std::str::FromStr;

use dockerapi::HostConfig;
use seccomp::profile::Profile as Seccomp;

use crate::caps::CapSet;
use crate::{BundleError, HostFacts};

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
    /// For the steps of an image build: standard, which keeps the right to set file capabilities,
    /// so that packages keep theirs.
    Build,
}

/// The eleven that Podman found enough.
const STANDARD: CapSet = CapSet::of(&[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
]);

/// Docker's fourteen.
const DOCKER: CapSet = CapSet::of(&[
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
]);

/// What servers need to start as root and then become somebody else.
const STRICT: CapSet = CapSet::of(&[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
]);

/// What Docker hides: what shows or changes the host's hardware, or leaks through power,
/// temperature and interrupts (CVE-2017-16539, CVE-2018-10892, GHSA-jq35-85cj-fj4p,
/// GHSA-6fw5-f8r9-fgfm).
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What no image was seen to read, and helps an attacker to know the kernel and the machine.
const MASKED_MORE: [&str; 28] = [
    "/proc/config.gz",
    "/proc/driver",
    "/proc/dynamic_debug",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/kallsyms",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/modules",
    "/proc/pagetypeinfo",
    "/proc/slabinfo",
    "/proc/vmallocinfo",
    "/proc/zoneinfo",
    "/sys/class/dmi",
    "/sys/devices/virtual/dmi",
    "/sys/fs/bpf",
    "/sys/fs/pstore",
    "/sys/fs/selinux",
    "/sys/hypervisor",
    "/sys/kernel/btf",
    "/sys/kernel/debug",
    "/sys/kernel/notes",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/sys/kernel/vmcoreinfo",
    "/sys/power",
];

/// Only the strict profile hides these: tools for hardware look there.
const MASKED_STRICT: [&str; 1] = ["/sys/module"];

const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

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

    /// What root has inside; users other than root have nothing.
    pub(crate) fn capabilities(self) -> CapSet {
        match self {
            Self::Standard | Self::Build => STANDARD,
            Self::Docker => DOCKER,
            Self::Strict => STRICT,
        }
    }

    /// The system call filter.
    pub(crate) fn seccomp(self) -> Seccomp {
        match self {
            Self::Standard => Seccomp::Standard,
            Self::Docker => Seccomp::Docker,
            Self::Strict => Seccomp::Strict,
            Self::Build => Seccomp::Build,
        }
    }

    /// Whether set-user-id bits and file capabilities are without effect.
    pub(crate) fn no_new_privileges(self) -> bool {
        self == Self::Strict
    }

    /// What every mount has that is not the kernel's own, the root included.
    pub(crate) fn mount_options(self) -> &'static [&'static str] {
        match self {
            Self::Strict => &["nosuid", "nodev"],
            _ => &[],
        }
    }

    /// Paths made unreadable. Those that a kernel does not have are passed over by the runtime.
    pub fn masked_paths(self, facts: &HostFacts) -> Vec<String> {
        let more: &[&str] = if self == Self::Docker { &[] } else { &MASKED_MORE };
        let strict: &[&str] = if self == Self::Strict { &MASKED_STRICT } else { &[] };
        let fixed = MASKED.iter().chain(more).chain(strict).map(|path| (*path).to_owned());
        let thermal = facts
            .thermal_cpus
            .iter()
            .map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
        fixed.chain(thermal).collect()
    }

    /// Paths made read-only.
    pub fn readonly_paths(self) -> Vec<String> {
        READ_ONLY.iter().map(|path| (*path).to_owned()).collect()
    }

    /// How many tasks there may be.
    pub(crate) fn pids_limit(self) -> Option<i64> {
        if self == Self::Docker { None } else { Some(2048) }
    }

    /// Name, soft and hard limit of what is not inherited.
    pub(crate) fn rlimits(self) -> &'static [(&'static str, u64, u64)] {
        match self {
            Self::Strict => &[("core", 0, 0), ("nofile", 1024, 524_288)],
            _ => &[],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::facts;

    const ALL: [Profile; 4] = [Profile::Standard, Profile::Docker, Profile::Strict, Profile::Build];

    #[test]
    fn names_go_both_ways_and_blanks_are_refused() {
        for profile in ALL {
            assert_eq!(profile.name().parse::<Profile>().unwrap(), profile);
        }
        for bad in ["", " ", "Standard", "std", "none", "unconfined", "strict "] {
            assert!(bad.parse::<Profile>().is_err(), "{bad:?}");
        }
        assert_eq!(Profile::of(&HostConfig::default()).unwrap(), Profile::Standard);
    }

    #[test]
    fn each_profile_has_so_many_capabilities() {
        let count = |profile: Profile| profile.capabilities().names().len();
        assert_eq!(ALL.map(count), [11, 14, 7, 11]);
        assert!(Profile::Build.capabilities().contains("CAP_SETFCAP"));
    }

    /// None of the others may be looser than Docker's in any dimension.
    #[test]
    fn none_is_looser_than_dockers() {
        let docker = Profile::Docker;
        for profile in ALL {
            for name in profile.capabilities().names() {
                assert!(docker.capabilities().contains(&name), "{profile} {name}");
            }
            let masked = profile.masked_paths(&facts());
            for path in docker.masked_paths(&facts()) {
                assert!(masked.contains(&path), "{profile} {path}");
            }
            assert_eq!(profile.readonly_paths(), docker.readonly_paths());
        }
        for name in Profile::Strict.capabilities().names() {
            assert!(Profile::Standard.capabilities().contains(&name));
        }
    }
}
