//! Tests of whole filters: programs are run by an interpreter and compared with a direct reading
//! of the rules, with libseccomp, and with what is known of the profiles.

mod kernel;
mod libseccomp;
mod model;
mod profiles;
mod programs;

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};

use crate::interpreter::{self, Call};

fn rule(names: &[&str], action: &str, args: &[(u32, &str, u64, u64)]) -> SeccompRule {
    SeccompRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: format!("SCMP_ACT_{action}"),
        errno_ret: None,
        args: args
            .iter()
            .map(|&(index, op, value, value_two)| SeccompArg {
                index,
                value,
                value_two,
                op: format!("SCMP_CMP_{op}"),
            })
            .collect(),
    }
}

fn errno_rule(names: &[&str], errno: u32, args: &[(u32, &str, u64, u64)]) -> SeccompRule {
    SeccompRule { errno_ret: Some(errno), ..rule(names, "ERRNO", args) }
}

fn filter(default: &str, architectures: &[&str], rules: Vec<SeccompRule>) -> Seccomp {
    Seccomp {
        default_action: format!("SCMP_ACT_{default}"),
        architectures: architectures.iter().map(|arch| format!("SCMP_ARCH_{arch}")).collect(),
        syscalls: rules,
        ..Seccomp::default()
    }
}

/// Random numbers that are the same in each run. (xorshift64*; not for anything but tests.)
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// A value near something that filters compare with, in one half or the other.
    fn value(&mut self) -> u64 {
        const SEEDS: [u64; 16] = [
            0,
            1,
            2,
            8,
            16,
            38,
            39,
            40,
            0x5412,
            0x2_0000,
            0x2_0008,
            0x7e02_0000,
            0xffff_ffff,
            0x1_0000_0000,
            0xffff_ffff_0000_0000,
            u64::MAX,
        ];
        let seed = SEEDS[self.below(16) as usize];
        match self.below(6) {
            0 => seed.wrapping_add(1),
            1 => seed.wrapping_sub(1),
            2 => seed | self.below(16) << 32,
            3 => self.roll(),
            _ => seed,
        }
    }
}
