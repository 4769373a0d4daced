//! Rules with conditions: chains of comparisons, exact on the width that the kernel looks at.

use crate::Arch;
use crate::bpf::{Assembler, Compare, Target, word};
use crate::policy::{Condition, Operator, Rule};
use crate::syscalls::{self, SYSCALLS};

/// A condition that comes from the call itself: the first argument of `socketcall` and `ipc`.
pub(crate) type Mux = Option<u32>;

/// Writes the comparisons of one rule; `otherwise` is where the next rule is.
pub(crate) fn write_rule(
    assembler: &mut Assembler,
    rule: &Rule<'_>,
    mux: Mux,
    arch: Arch,
    otherwise: Target,
) -> Target {
    let mut yes = Target::Return(rule.action);
    if let Some(selector) = mux {
        let condition = Condition::new(0, Operator::Eq, u64::from(selector));
        return write_condition(assembler, condition, arch, yes, otherwise);
    }
    for &condition in rule.conditions.iter().rev() {
        yes = write_condition(assembler, condition, arch, yes, otherwise);
    }
    yes
}

/// Writes one comparison, exact on 64 bits where arguments have them.
fn write_condition(
    assembler: &mut Assembler,
    condition: Condition,
    arch: Arch,
    yes: Target,
    no: Target,
) -> Target {
    let Condition { argument, operator, value, value_two } = condition;
    let (high, low) = ((value >> 32) as u32, value as u32);
    let wide = !arch.is_32_bit();
    // What holds when it does not hold: three of the operators are three others upside down.
    let (yes, no) = match operator {
        Operator::Ne | Operator::Lt | Operator::Le => (no, yes),
        _ => (yes, no),
    };
    match operator {
        Operator::Eq | Operator::Ne => {
            assembler.branch(Compare::Eq, low, yes, no);
            let low_half = assembler.load(word::low(argument));
            if !wide {
                return low_half;
            }
            assembler.branch(Compare::Eq, high, low_half, no);
            assembler.load(word::high(argument))
        }
        Operator::Gt | Operator::Le | Operator::Ge | Operator::Lt => {
            let compare = match operator {
                Operator::Gt | Operator::Le => Compare::Gt,
                _ => Compare::Ge,
            };
            assembler.branch(compare, low, yes, no);
            let low_half = assembler.load(word::low(argument));
            if !wide {
                return low_half;
            }
            let equal = assembler.branch(Compare::Eq, high, low_half, no);
            assembler.branch(Compare::Gt, high, yes, equal);
            assembler.load(word::high(argument))
        }
        Operator::MaskedEq => {
            // Bits outside of the mask do not count on either side, as in libseccomp.
            let want = value_two & value;
            let (want_high, want_low) = ((want >> 32) as u32, want as u32);
            let half = |assembler: &mut Assembler, word, mask, want, yes, no| {
                let branch = assembler.branch(Compare::Eq, want, yes, no);
                match mask {
                    u32::MAX => branch,
                    mask => assembler.and(mask),
                };
                assembler.load(word)
            };
            if wide && high == 0 {
                return half(assembler, word::low(argument), low, want_low, yes, no);
            }
            let low_half = half(assembler, word::low(argument), low, want_low, yes, no);
            if !wide {
                return low_half;
            }
            half(assembler, word::high(argument), high, want_high, low_half, no)
        }
    }
}

/// The multiplexer that reaches a call on 32-bit x86, and the selector there: number << 8 |
/// selector, or 0, by the call's place in the table. linux/net.h, `SYS_*`; linux/ipc.h.
pub(crate) static MULTIPLEXED: [u16; SYSCALLS.len()] = {
    const SOCKETCALL: u16 = 102 << 8;
    const SOCKET: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const IPC: u16 = 117 << 8;
    const SYSTEM_V: [(&str, u16); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    let mut table = [0; SYSCALLS.len()];
    let mut at = 0;
    while at < SOCKET.len() {
        table[syscalls::place(SOCKET[at]) as usize] = SOCKETCALL | (at as u16 + 1);
        at += 1;
    }
    at = 0;
    while at < SYSTEM_V.len() {
        table[syscalls::place(SYSTEM_V[at].0) as usize] = IPC | SYSTEM_V[at].1;
        at += 1;
    }
    table
};
