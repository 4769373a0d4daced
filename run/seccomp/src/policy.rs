//! A filter as the compiler wants it: numbers in place of names, checked, in the order of rules.

use std::borrow::Cow;

use crate::Arch;

/// What the kernel does with a call: the value that a BPF program returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Action(pub(crate) u32);

/// linux/seccomp.h, `SECCOMP_RET_*`.
impl Action {
    pub(crate) const KILL_PROCESS: Self = Self(0x8000_0000);
    pub(crate) const KILL_THREAD: Self = Self(0);
    pub(crate) const TRAP: Self = Self(0x0003_0000);
    pub(crate) const NOTIFY: Self = Self(0x7fc0_0000);
    pub(crate) const LOG: Self = Self(0x7ffc_0000);
    pub(crate) const ALLOW: Self = Self(0x7fff_0000);

    /// The call fails with that number, at most 4,095.
    pub(crate) const fn errno(number: u16) -> Self {
        Self(0x0005_0000 | number as u32)
    }

    /// A tracer gets that number.
    pub(crate) const fn trace(data: u16) -> Self {
        Self(0x7ff0_0000 | data as u32)
    }

    /// Whether calls that nobody knew when the filter was written should go on.
    pub(crate) const fn lets_unknown_calls_pass(self) -> bool {
        matches!(self.0 & 0xffff_0000, 0x7fff_0000 | 0x7ffc_0000 | 0x7ff0_0000)
    }
}

pub(crate) const EPERM: u16 = 1;
pub(crate) const ENOSYS: u16 = 38;

/// How an argument is compared, without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Ne,
    Lt,
    Le,
    Eq,
    Ge,
    Gt,
    /// `argument & value == value_two & value`
    MaskedEq,
}

/// One comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    /// 0 to 5.
    pub(crate) argument: u8,
    pub(crate) operator: Operator,
    /// The mask of [`Operator::MaskedEq`].
    pub(crate) value: u64,
    /// What the masked argument must be.
    pub(crate) value_two: u64,
}

impl Condition {
    pub(crate) const fn new(argument: u8, operator: Operator, value: u64) -> Self {
        Self { argument, operator, value, value_two: 0 }
    }

    pub(crate) const fn masked(argument: u8, mask: u64, value: u64) -> Self {
        Self { argument, operator: Operator::MaskedEq, value: mask, value_two: value }
    }
}

/// One rule: these calls, if all conditions hold.
#[derive(Debug, Clone)]
pub(crate) struct Rule<'a> {
    /// Places in [`crate::syscalls::SYSCALLS`].
    pub(crate) calls: Cow<'a, [u16]>,
    pub(crate) action: Action,
    pub(crate) conditions: Cow<'a, [Condition]>,
}

/// A whole filter. The first rule that fits a call decides.
#[derive(Debug, Clone)]
pub(crate) struct Policy<'a> {
    /// For calls that no rule fits.
    pub(crate) default: Action,
    /// For calls that are newer than all that the rules name; `None` is as `default`.
    pub(crate) newer: Option<Action>,
    /// All of one family, the native one first.
    pub(crate) arches: Vec<Arch>,
    pub(crate) flags: u32,
    pub(crate) rules: Vec<Rule<'a>>,
}

/// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h.
pub(crate) mod flag {
    pub(crate) const TSYNC: u32 = 1 << 0;
    pub(crate) const LOG: u32 = 1 << 1;
    /// Leaves the speculative store bypass mitigation as it is: only for speed.
    pub(crate) const SPEC_ALLOW: u32 = 1 << 2;
    pub(crate) const NEW_LISTENER: u32 = 1 << 3;
    pub(crate) const WAIT_KILLABLE_RECV: u32 = 1 << 5;
}
