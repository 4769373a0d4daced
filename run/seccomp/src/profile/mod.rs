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
mod tables;

pub use capability::Capabilities;

use std::borrow::Cow;

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};

use self::tables::{BY_CAPABILITY, COMMON, DOCKER, Part, STANDARD, STRICT};
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
