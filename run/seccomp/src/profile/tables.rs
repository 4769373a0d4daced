//! The profiles as tables: calls, conditions, and the capabilities that open or close them.

use super::{Capabilities, groups};
use crate::policy::{Action, Condition, ENOSYS, EPERM, Operator};

/// Some calls of a profile, and when they are part of it.
pub(super) struct Part {
    pub(super) when: When,
    pub(super) action: Action,
    pub(super) calls: &'static [u16],
    pub(super) conditions: &'static [Condition],
}

#[derive(Clone, Copy)]
pub(super) enum When {
    Always,
    /// With any of these.
    With(Capabilities),
    /// With none of these.
    Without(Capabilities),
}

impl When {
    pub(super) fn holds(self, capabilities: Capabilities) -> bool {
        match self {
            Self::Always => true,
            Self::With(any) => capabilities.has_any_of(any),
            Self::Without(any) => !capabilities.has_any_of(any),
        }
    }
}

const fn allow(calls: &'static [u16]) -> Part {
    allow_if(calls, &[])
}

const fn allow_if(calls: &'static [u16], conditions: &'static [Condition]) -> Part {
    Part { when: When::Always, action: Action::ALLOW, calls, conditions }
}

const fn refuse_if(errno: u16, calls: &'static [u16], conditions: &'static [Condition]) -> Part {
    Part { when: When::Always, action: Action::errno(errno), calls, conditions }
}

impl Part {
    const fn with(mut self, capabilities: Capabilities) -> Self {
        self.when = When::With(capabilities);
        self
    }

    const fn without(mut self, capabilities: Capabilities) -> Self {
        self.when = When::Without(capabilities);
        self
    }
}

/// An argument that the kernel takes for an `int`: its high half does not count.
const fn int(argument: u8, value: u32) -> Condition {
    Condition::masked(argument, 0xffff_ffff, value as u64)
}

/// An `int` whose bits outside of `free` are those of `value`.
const fn int_block(argument: u8, free: u32, value: u32) -> Condition {
    Condition::masked(argument, !free as u64 & 0xffff_ffff, value as u64)
}

/// A whole argument.
const fn long(argument: u8, operator: Operator, value: u64) -> Condition {
    Condition::new(argument, operator, value)
}

/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`. linux/sched.h.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// What every profile has.
pub(super) static COMMON: &[Part] = &[
    allow(groups::DESCRIPTORS),
    allow(groups::PATHS),
    allow(groups::ATTRIBUTES),
    allow(groups::WATCHES),
    allow(groups::MEMORY),
    allow(groups::PROCESSES),
    allow(groups::SCHEDULING),
    allow(groups::IDENTITY),
    allow(groups::SIGNALS),
    allow(groups::TIME),
    allow(groups::SOCKETS),
    allow(groups::IPC),
    allow_if(groups::CLONE, &[Condition::masked(0, NEW_NAMESPACES, 0)])
        .without(Capabilities::SYS_ADMIN),
    // Its flags are in memory, where no filter sees them; libraries fall back to clone.
    refuse_if(ENOSYS, groups::CLONE3, &[]).without(Capabilities::SYS_ADMIN),
];

/// What capabilities open, in every profile.
pub(super) static BY_CAPABILITY: &[Part] = &[
    allow(groups::ADMINISTRATION).with(Capabilities::SYS_ADMIN),
    allow(groups::OPEN_BY_HANDLE).with(Capabilities::DAC_READ_SEARCH),
    allow(groups::REBOOT).with(Capabilities::SYS_BOOT),
    allow(groups::CHROOT).with(Capabilities::SYS_CHROOT),
    allow(groups::MODULES).with(Capabilities::SYS_MODULE),
    allow(groups::ACCOUNTING).with(Capabilities::SYS_PACCT),
    allow(groups::TRACING).with(Capabilities::SYS_PTRACE),
    allow(groups::TRACING_ANY).with(Capabilities::SYS_PTRACE),
    allow(groups::PORTS).with(Capabilities::SYS_RAWIO),
    allow(groups::CLOCKS).with(Capabilities::SYS_TIME),
    allow(groups::HANGUP).with(Capabilities::SYS_TTY_CONFIG),
    allow(groups::NUMA).with(Capabilities::SYS_NICE),
    allow(groups::KERNEL_LOG).with(Capabilities::SYSLOG),
    allow(groups::BPF).with(Capabilities::BPF),
    allow(groups::PERF).with(Capabilities::PERFMON),
];

const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;

/// The rest of Docker 29's profile.
pub(super) static DOCKER: &[Part] = &[
    allow(groups::RARE),
    allow(groups::NODES),
    allow(groups::FANOTIFY_MARK),
    allow(groups::TRACING),
    allow_if(groups::SOCKET, &[long(0, Operator::Lt, AF_ALG)]),
    allow_if(groups::SOCKET, &[long(0, Operator::Eq, AF_ALG + 1)]),
    allow_if(groups::SOCKET, &[long(0, Operator::Gt, AF_VSOCK)]),
    allow_if(groups::PERSONALITY, &[long(0, Operator::Eq, 0)]),
    allow_if(groups::PERSONALITY, &[long(0, Operator::Eq, 0x0008)]),
    allow_if(groups::PERSONALITY, &[long(0, Operator::Eq, 0x2_0000)]),
    allow_if(groups::PERSONALITY, &[long(0, Operator::Eq, 0x2_0008)]),
    allow_if(groups::PERSONALITY, &[long(0, Operator::Eq, 0xffff_ffff)]),
];

/// Puts a character into a terminal's input. asm-generic/ioctls.h.
const TIOCSTI: u32 = 0x5412;
/// Pastes the selection, and more, on virtual consoles.
const TIOCLINUX: u32 = 0x541c;

/// What the kernel answers to `TIOCSTI` when it is switched off (Linux 6.2): `EIO`.
const EIO: u16 = 5;

/// The rest of the standard profile.
pub(super) static STANDARD: &[Part] = &[
    allow(groups::RARE),
    allow(groups::NODES),
    allow(groups::NEW),
    allow(groups::TRACING),
    allow(groups::FANOTIFY_MARK).with(Capabilities::SYS_ADMIN),
    allow(groups::ADMINISTRATION_NEW).with(Capabilities::SYS_ADMIN),
    refuse_if(ENOSYS, groups::WITH_FALLBACK, &[]).without(Capabilities::SYS_ADMIN),
    // Every family but 38 (ALG) and 40 (VSOCK), in blocks of powers of two.
    allow_if(groups::SOCKET, &[int_block(0, 31, 0)]),
    allow_if(groups::SOCKET, &[int_block(0, 3, 32)]),
    allow_if(groups::SOCKET, &[int_block(0, 1, 36)]),
    allow_if(groups::SOCKET, &[int(0, 39)]),
    allow_if(groups::SOCKET, &[int(0, 41)]),
    allow_if(groups::SOCKET, &[int_block(0, 1, 42)]),
    allow_if(groups::SOCKET, &[int_block(0, 3, 44)]),
    allow_if(groups::SOCKET, &[int_block(0, 15, 48)]),
    // 0, 8 (LINUX32), 0x20000 (UNAME26) and both, and 0xffffffff, which only asks.
    allow_if(groups::PERSONALITY, &[int_block(0, 0x2_0008, 0)]),
    allow_if(groups::PERSONALITY, &[int(0, 0xffff_ffff)]),
    refuse_if(EIO, groups::IOCTL, &[int(1, TIOCSTI)]).without(Capabilities::SYS_ADMIN),
    refuse_if(EPERM, groups::IOCTL, &[int(1, TIOCLINUX)]).without(Capabilities::SYS_ADMIN),
];

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;
const AF_PACKET: u32 = 17;
const NETLINK_ROUTE: u32 = 0;
const NETLINK_SOCK_DIAG: u32 = 4;
const NETLINK_AUDIT: u32 = 9;
const NETLINK_KOBJECT_UEVENT: u32 = 15;
const EPROTONOSUPPORT: u16 = 93;
const EAFNOSUPPORT: u16 = 97;

/// The bits of a mode that do not say what kind of file it is. stat(2).
const NOT_KIND: u32 = !0xf000;
const S_IFIFO: u32 = 0x1000;
const S_IFREG: u32 = 0x8000;
const S_IFSOCK: u32 = 0xc000;

/// The rest of the strict profile; comes first, as it takes from what the others allow.
pub(super) static STRICT: &[Part] = &[
    allow(groups::NEW),
    allow(groups::CLOCK_ADJUSTMENT).with(Capabilities::SYS_TIME),
    refuse_if(ENOSYS, groups::MOUNT_LISTS, &[]),
    allow(groups::FANOTIFY_MARK).with(Capabilities::SYS_ADMIN),
    allow(groups::ADMINISTRATION_NEW).with(Capabilities::SYS_ADMIN),
    refuse_if(ENOSYS, groups::WITH_FALLBACK, &[]).without(Capabilities::SYS_ADMIN),
    // Without the capability the kernel refuses device nodes too, but not the one with numbers
    // 0:0, which means something to overlays.
    allow(groups::NODES).with(Capabilities::MKNOD),
    allow_if(groups::MKNOD, &[int_block(1, NOT_KIND, 0)]),
    allow_if(groups::MKNOD, &[int_block(1, NOT_KIND, S_IFREG)]),
    allow_if(groups::MKNOD, &[int_block(1, NOT_KIND, S_IFIFO)]),
    allow_if(groups::MKNOD, &[int_block(1, NOT_KIND, S_IFSOCK)]),
    allow_if(groups::MKNODAT, &[int_block(2, NOT_KIND, 0)]),
    allow_if(groups::MKNODAT, &[int_block(2, NOT_KIND, S_IFREG)]),
    allow_if(groups::MKNODAT, &[int_block(2, NOT_KIND, S_IFIFO)]),
    allow_if(groups::MKNODAT, &[int_block(2, NOT_KIND, S_IFSOCK)]),
    allow_if(groups::SOCKET, &[int(0, AF_UNIX)]),
    allow_if(groups::SOCKET, &[int(0, AF_INET)]),
    allow_if(groups::SOCKET, &[int(0, AF_INET6)]),
    allow_if(groups::SOCKET, &[int(0, AF_PACKET)]).with(Capabilities::NET_RAW),
    allow_if(groups::SOCKET, &[int(0, AF_NETLINK), int(2, NETLINK_ROUTE)]),
    allow_if(groups::SOCKET, &[int(0, AF_NETLINK), int(2, NETLINK_SOCK_DIAG)]),
    allow_if(groups::SOCKET, &[int(0, AF_NETLINK), int(2, NETLINK_KOBJECT_UEVENT)]),
    allow_if(groups::SOCKET, &[int(0, AF_NETLINK), int(2, NETLINK_AUDIT)])
        .with(Capabilities::AUDIT),
    allow_if(groups::SOCKET, &[int(0, AF_NETLINK)]).with(Capabilities::NET_ADMIN),
    // Programs that would like to write an audit record take this for "no audit here".
    refuse_if(EPROTONOSUPPORT, groups::SOCKET, &[int(0, AF_NETLINK)]),
    refuse_if(EAFNOSUPPORT, groups::SOCKET, &[]),
    allow_if(groups::PERSONALITY, &[int_block(0, 0x2_0008, 0)]),
    allow_if(groups::PERSONALITY, &[int(0, 0xffff_ffff)]),
    refuse_if(EIO, groups::IOCTL, &[int(1, TIOCSTI)]),
    refuse_if(EPERM, groups::IOCTL, &[int(1, TIOCLINUX)]),
];
