//! Sets of capabilities, which conditional parts of a profile depend on.

/// A set of capabilities, by the kernel's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u64);

/// The kernel's names in the order of its numbers. linux/capability.h.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl Capabilities {
    /// No capability.
    pub const NONE: Self = Self(0);
    /// Every capability.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);

    pub(super) const DAC_READ_SEARCH: Self = Self(1 << 2);
    pub(super) const NET_ADMIN: Self = Self(1 << 12);
    pub(super) const NET_RAW: Self = Self(1 << 13);
    pub(super) const SYS_MODULE: Self = Self(1 << 16);
    pub(super) const SYS_RAWIO: Self = Self(1 << 17);
    pub(super) const SYS_CHROOT: Self = Self(1 << 18);
    pub(super) const SYS_PTRACE: Self = Self(1 << 19);
    pub(super) const SYS_PACCT: Self = Self(1 << 20);
    pub(super) const SYS_ADMIN: Self = Self(1 << 21);
    pub(super) const SYS_BOOT: Self = Self(1 << 22);
    pub(super) const SYS_NICE: Self = Self(1 << 23);
    pub(super) const SYS_TIME: Self = Self(1 << 25);
    pub(super) const SYS_TTY_CONFIG: Self = Self(1 << 26);
    pub(super) const MKNOD: Self = Self(1 << 27);
    /// `AUDIT_WRITE`, `AUDIT_CONTROL`, `AUDIT_READ`.
    pub(super) const AUDIT: Self = Self(1 << 29 | 1 << 30 | 1 << 37);
    pub(super) const SYSLOG: Self = Self(1 << 34);
    pub(super) const PERFMON: Self = Self(1 << 38);
    pub(super) const BPF: Self = Self(1 << 39);

    /// The set of these names, such as `CAP_SYS_ADMIN` or `SYS_ADMIN`; unknown ones are passed
    /// over, as they open nothing here.
    pub fn from_names<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        names.into_iter().fold(Self::NONE, |set, name| {
            let name = name.as_ref();
            let short = name.strip_prefix("CAP_").unwrap_or(name);
            match NAMES.iter().position(|known| *known == short) {
                Some(number) => Self(set.0 | 1 << number),
                None => set,
            }
        })
    }

    /// The set of these numbers, bit by bit as in `/proc/PID/status`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whether the capability of this name is in the set; one that does not exist is not.
    pub fn has(self, name: &str) -> bool {
        let one = Self::from_names([name]);
        one.0 != 0 && self.0 & one.0 != 0
    }

    /// Whether some capability is in both sets.
    pub(super) const fn has_any_of(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_prefix_are_the_same() {
        let set = Capabilities::from_names(["CAP_SYS_ADMIN", "BPF", "CAP_OF_TEA"]);
        assert_eq!(set, Capabilities::from_bits(1 << 21 | 1 << 39));
        assert_eq!(Capabilities::from_names(NAMES), Capabilities::ALL);
    }

    #[test]
    fn the_constants_are_the_kernels_numbers() {
        for (name, constant) in [
            ("DAC_READ_SEARCH", Capabilities::DAC_READ_SEARCH),
            ("NET_ADMIN", Capabilities::NET_ADMIN),
            ("NET_RAW", Capabilities::NET_RAW),
            ("SYS_MODULE", Capabilities::SYS_MODULE),
            ("SYS_RAWIO", Capabilities::SYS_RAWIO),
            ("SYS_CHROOT", Capabilities::SYS_CHROOT),
            ("SYS_PTRACE", Capabilities::SYS_PTRACE),
            ("SYS_PACCT", Capabilities::SYS_PACCT),
            ("SYS_ADMIN", Capabilities::SYS_ADMIN),
            ("SYS_BOOT", Capabilities::SYS_BOOT),
            ("SYS_NICE", Capabilities::SYS_NICE),
            ("SYS_TIME", Capabilities::SYS_TIME),
            ("SYS_TTY_CONFIG", Capabilities::SYS_TTY_CONFIG),
            ("MKNOD", Capabilities::MKNOD),
            ("SYSLOG", Capabilities::SYSLOG),
            ("PERFMON", Capabilities::PERFMON),
            ("BPF", Capabilities::BPF),
        ] {
            assert_eq!(Capabilities::from_names([name]), constant, "{name}");
        }
        let audit = ["AUDIT_WRITE", "AUDIT_CONTROL", "AUDIT_READ"];
        assert_eq!(Capabilities::from_names(audit), Capabilities::AUDIT);
    }
}
