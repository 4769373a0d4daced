//! An assembler for the kernel's filter machine, which writes programs from their end.
//!
//! Jumps only go forwards, so that with the end written first every target is known when the jump
//! to it is written. What is needed of the machine: an accumulator, loads of words of
//! `struct seccomp_data`, comparisons with constants, and returns.
//! linux/filter.h, linux/bpf_common.h, linux/seccomp.h.

use crate::policy::Action;

/// The most instructions that the kernel takes: `BPF_MAXINSNS`.
pub(crate) const MAX_INSTRUCTIONS: usize = 4096;

/// Comparisons of the accumulator with a constant, without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Eq,
    Gt,
    Ge,
}

/// Where a jump goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// To an instruction, counted from the end.
    Code(usize),
    /// To any instruction that returns this.
    Return(Action),
}

/// Offsets of words in `struct seccomp_data`.
pub(crate) mod word {
    /// The system call number.
    pub(crate) const NUMBER: u32 = 0;
    /// `AUDIT_ARCH_*`.
    pub(crate) const ARCH: u32 = 4;
    /// The low half of an argument. Both architectures here are little-endian.
    pub(crate) const fn low(argument: u8) -> u32 {
        16 + 8 * argument as u32
    }
    /// The high half of an argument.
    pub(crate) const fn high(argument: u8) -> u32 {
        low(argument) + 4
    }
}

pub(crate) const LD_W_ABS: u16 = 0x20;
pub(crate) const ALU_AND_K: u16 = 0x54;
pub(crate) const JMP_JA: u16 = 0x05;
pub(crate) const JMP_JEQ_K: u16 = 0x15;
pub(crate) const JMP_JGT_K: u16 = 0x25;
pub(crate) const JMP_JGE_K: u16 = 0x35;
pub(crate) const RET_K: u16 = 0x06;

/// A program in the making; the last instruction is the first one here.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    reversed: Vec<[u8; 8]>,
    /// Where each value was last returned.
    returns: Vec<(Action, usize)>,
}

impl Assembler {
    pub(crate) fn new() -> Self {
        Self { reversed: Vec::with_capacity(512), returns: Vec::with_capacity(8) }
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Target {
        let [c0, c1] = code.to_ne_bytes();
        let [k0, k1, k2, k3] = k.to_ne_bytes();
        self.reversed.push([c0, c1, jt, jf, k0, k1, k2, k3]);
        Target::Code(self.reversed.len() - 1)
    }

    /// Loads a word of the call's description; then goes on with what was written last.
    pub(crate) fn load(&mut self, offset: u32) -> Target {
        self.push(LD_W_ABS, 0, 0, offset)
    }

    /// Masks the accumulator; then goes on with what was written last.
    pub(crate) fn and(&mut self, mask: u32) -> Target {
        self.push(ALU_AND_K, 0, 0, mask)
    }

    /// Goes to one of two places.
    pub(crate) fn branch(
        &mut self,
        compare: Compare,
        constant: u32,
        yes: Target,
        no: Target,
    ) -> Target {
        let code = match compare {
            Compare::Eq => JMP_JEQ_K,
            Compare::Gt => JMP_JGT_K,
            Compare::Ge => JMP_JGE_K,
        };
        // What the second one needs may push the first one's target away by one instruction.
        let yes = self.within_reach(yes, 254);
        let no = self.within_reach(no, 255);
        let here = self.reversed.len();
        let (jt, jf) = (here - 1 - yes, here - 1 - no);
        self.push(code, jt as u8, jf as u8, constant)
    }

    /// Goes to `target`, whatever was written last.
    pub(crate) fn jump(&mut self, target: Target) -> Target {
        match target {
            Target::Code(to) if to + 1 == self.reversed.len() => target,
            Target::Code(to) => {
                let distance = self.reversed.len() - 1 - to;
                self.push(JMP_JA, 0, 0, distance as u32)
            }
            Target::Return(_) => Target::Code(self.within_reach(target, 0)),
        }
    }

    /// A place that does what `target` does, at most `reach` instructions after the next one
    /// written.
    fn within_reach(&mut self, target: Target, reach: usize) -> usize {
        let here = self.reversed.len();
        match target {
            Target::Code(to) if here - 1 - to <= reach => to,
            Target::Code(to) => {
                self.push(JMP_JA, 0, 0, (here - 1 - to) as u32);
                here
            }
            Target::Return(action) => {
                let known = self.returns.iter_mut().find(|(value, _)| *value == action);
                match known {
                    Some((_, at)) if here - 1 - *at <= reach => return *at,
                    Some((_, at)) => *at = here,
                    None => self.returns.push((action, here)),
                }
                self.push(RET_K, 0, 0, action.0);
                here
            }
        }
    }

    /// The program, in the order of execution, which begins with what was written last.
    pub(crate) fn finish(mut self) -> Vec<[u8; 8]> {
        self.reversed.reverse();
        self.reversed
    }
}
