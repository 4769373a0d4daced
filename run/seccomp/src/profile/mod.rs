//! The filters that come with Kista, as tables of calls, conditions and the capabilities that
//! open them.
//!
//! | profile | meaning |
//! |---|---|
//! | `standard` | Docker's wherever an image can notice. Beyond Docker: address families are compared as the kernel sees them (an `int`), so that high bits do not help; no x32 entry; no pushing of input into terminals; newest calls known, and those left out fail with `ENOSYS` |
//! | `docker` | what Docker 29 does with runc, call by call |
//! | `strict` | native programs only; no tracing, none of the rarely used calls with a history, device nodes not at all, four address families |
//! | `build` | `standard`; file capabilities are set by calls that it allows, given `SETFCAP` |
//!
//! All refuse with `EPERM` what exists and is not listed, and with `ENOSYS` what is newer than
//! every listed call. Refused everywhere without a capability that opens it: new namespaces,
//! mounts, kernel keyrings, io_uring, userfaultfd, kexec, swap, modules, clocks, raw ports.
//!
//! On 32-bit x86 sockets are also made by `socketcall`, whose arguments no filter sees. As images
//! with 32-bit programs need it, `standard` leaves it open, as Docker does; `strict` runs no such
//! programs.

mod capability;
mod groups;

pub use capability::Capabilities;

use std::borrow::Cow;

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};

use crate::policy::{Action, Condition, ENOSYS, EPERM, Operator, Policy, Rule, flag};
use crate::syscalls::SYSCALLS;
use crate::{Arch, Program, tree};

/// A filter that comes with Kista.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

impl Profile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Docker, Self::Strict, Self::Build];

    /// The name in flags and in `inspect`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Docker => "docker",
            Self::Strict => "strict",
            Self::Build => "build",
        }
    }

    /// The profile of that name; `None` for any other, the empty one too.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The filter in OCI form, as our own runtime and `inspect` have it.
    ///
    /// `capabilities` is the bounding set of the container.
    pub fn filter(self, capabilities: Capabilities, native: Arch) -> Seccomp {
        to_oci(&self.policy(capabilities, native))
    }

    /// The filter in OCI form, for runtimes that use libseccomp, as runc and crun do.
    ///
    /// There the order of rules does not count, a rule without conditions wins over those with
    /// some, and contradictions are errors. So a refusal is left out for calls that some other
    /// rule allows: no call is allowed that [`Profile::filter`] refuses but the pushing of input
    /// into terminals, and sockets of refused families fail with `EPERM` instead of saying why.
    pub fn portable_filter(self, capabilities: Capabilities, native: Arch) -> Seccomp {
        let mut policy = self.policy(capabilities, native);
        let allowed: Vec<u16> = policy
            .rules
            .iter()
            .filter(|rule| rule.action == Action::ALLOW)
            .flat_map(|rule| rule.calls.iter().copied())
            .collect();
        for rule in policy.rules.iter_mut().filter(|rule| rule.action != Action::ALLOW) {
            rule.calls.to_mut().retain(|call| !allowed.contains(call));
        }
        policy.rules.retain(|rule| !rule.calls.is_empty());
        to_oci(&policy)
    }

    /// The filter, compiled straight from its tables: what [`crate::compile`] makes of
    /// [`Profile::filter`], without the detour over text. Takes microseconds: no cache is needed.
    pub fn program(self, capabilities: Capabilities, native: Arch) -> Program {
        tree::program(&self.policy(capabilities, native))
            .expect("every profile has been compiled by the tests, far below the kernel's limit")
    }

    pub(crate) fn policy(self, capabilities: Capabilities, native: Arch) -> Policy<'static> {
        let parts: &[&[Part]] = match self {
            Self::Standard | Self::Build => &[STANDARD, COMMON, BY_CAPABILITY],
            Self::Docker => &[DOCKER, COMMON, BY_CAPABILITY],
            Self::Strict => &[STRICT, COMMON, BY_CAPABILITY],
        };
        let rules = parts
            .iter()
            .flat_map(|parts| parts.iter())
            .filter(|part| part.when.holds(capabilities))
            .map(|part| Rule {
                calls: Cow::Borrowed(part.calls),
                action: part.action,
                conditions: Cow::Borrowed(part.conditions),
            })
            .collect();
        let arches: &[Arch] = match (native, self) {
            (_, Self::Strict) => &[],
            (Arch::X86_64, Self::Docker) => &[Arch::X86, Arch::X32],
            (Arch::X86_64, _) => &[Arch::X86],
            (Arch::Aarch64, _) => &[Arch::Arm],
            _ => &[],
        };
        Policy {
            default: Action::errno(EPERM),
            newer: Some(Action::errno(ENOSYS)),
            arches: [&[native], arches].concat(),
            flags: flag::SPEC_ALLOW,
            rules,
        }
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

/// Some calls of a profile, and when they are part of it.
struct Part {
    when: When,
    action: Action,
    calls: &'static [u16],
    conditions: &'static [Condition],
}

#[derive(Clone, Copy)]
enum When {
    Always,
    /// With any of these.
    With(Capabilities),
    /// With none of these.
    Without(Capabilities),
}

impl When {
    fn holds(self, capabilities: Capabilities) -> bool {
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
static COMMON: &[Part] = &[
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
static BY_CAPABILITY: &[Part] = &[
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
static DOCKER: &[Part] = &[
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
static STANDARD: &[Part] = &[
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
static STRICT: &[Part] = &[
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

/// Writes a policy in OCI form.
fn to_oci(policy: &Policy<'_>) -> Seccomp {
    let (default_action, default_errno_ret) = action_text(policy.default);
    Seccomp {
        default_action,
        default_errno_ret,
        architectures: policy.arches.iter().map(|arch| arch.oci_name().to_owned()).collect(),
        syscalls: policy.rules.iter().map(rule_to_oci).collect(),
        ..Seccomp::default()
    }
}

fn rule_to_oci(rule: &Rule<'_>) -> SeccompRule {
    let (action, errno_ret) = action_text(rule.action);
    let name = |call: &u16| SYSCALLS[usize::from(*call)].name.to_owned();
    let argument = |condition: &Condition| SeccompArg {
        index: condition.argument.into(),
        value: condition.value,
        value_two: condition.value_two,
        op: match condition.operator {
            Operator::Ne => "SCMP_CMP_NE",
            Operator::Lt => "SCMP_CMP_LT",
            Operator::Le => "SCMP_CMP_LE",
            Operator::Eq => "SCMP_CMP_EQ",
            Operator::Ge => "SCMP_CMP_GE",
            Operator::Gt => "SCMP_CMP_GT",
            Operator::MaskedEq => "SCMP_CMP_MASKED_EQ",
        }
        .to_owned(),
    };
    SeccompRule {
        names: rule.calls.iter().map(name).collect(),
        action,
        errno_ret,
        args: rule.conditions.iter().map(argument).collect(),
    }
}

/// The profiles only allow, or refuse with a number.
fn action_text(action: Action) -> (String, Option<u32>) {
    match action {
        Action::ALLOW => ("SCMP_ACT_ALLOW".to_owned(), None),
        Action(value) => ("SCMP_ACT_ERRNO".to_owned(), Some(value & 0xffff)),
    }
}
