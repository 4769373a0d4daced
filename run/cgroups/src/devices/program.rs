//! Version 2: a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! ```text
//! r1 -> struct bpf_cgroup_dev_ctx { u32 access_type (access << 16 | kind); u32 major; u32 minor; }
//! r2 kind   r3 access still to be decided   r4 major   r5 minor
//! for each rule, the last one first: not for this device? go on
//!   allow: decided = its accesses; nothing left? return 1
//!   deny:  one of its accesses is left? return 0
//! return 0
//! ```
//!
//! So for each kind of access the last rule that speaks of it decides, also where wider and
//! narrower rules alternate. linux/bpf.h; kernel documentation, cgroup-v2.rst, "Device controller".

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{Kind, Rule};
use crate::CgroupError;

/// A `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
}

const LDX_W: u8 = 0x61;
const AND_K: u8 = 0x54; // 32 bits wide, like all arithmetic here
const RSH_K: u8 = 0x74;
const MOV_X: u8 = 0xbc;
const MOV_K: u8 = 0xb4;
const JA: u8 = 0x05;
const JNE_K: u8 = 0x56;
const JSET_K: u8 = 0x46;
const EXIT: u8 = 0x95;

/// Puts the rules in force for the group at `dir`, in place of earlier ones of ours.
///
/// Programs attached by others stay: the kernel asks all, and each may refuse.
pub(super) fn attach(dir: &Path, rules: &[Rule]) -> Result<(), CgroupError> {
    let failed = |action, source| CgroupError::Io { action, path: dir.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let group = rustix::fs::open(dir, flags, Mode::empty())
        .map_err(|errno| failed("open", errno.into()))?;
    let bytes = bytes(&generate(rules));
    let program = sys::bpf::load_device_filter(&bytes, NAME)
        .map_err(|source| failed("load a device filter for", source))?;
    // First the new one, then away with the old: in between both must agree, and at no moment
    // everything is allowed.
    let old = sys::bpf::device_filters(group.as_fd())
        .map_err(|source| failed("list the device filters of", source))?;
    sys::bpf::attach_device_filter(group.as_fd(), program.as_fd())
        .map_err(|source| failed("attach a device filter to", source))?;
    for id in old {
        sys::bpf::detach_device_filter(group.as_fd(), id, NAME)
            .map_err(|source| failed("detach a device filter from", source))?;
    }
    Ok(())
}

/// By this name our programs are known from others'.
const NAME: &[u8] = b"kista_devices";

fn generate(rules: &[Rule]) -> Vec<Instruction> {
    let one = |code, destination, source, offset, immediate| Instruction {
        code,
        destination,
        source,
        offset,
        immediate,
    };
    let mut program = vec![
        one(LDX_W, 3, 1, 0, 0),
        one(MOV_X, 2, 3, 0, 0),
        one(AND_K, 2, 0, 0, 0xffff),
        one(RSH_K, 3, 0, 0, 16),
        one(LDX_W, 4, 1, 4, 0),
        one(LDX_W, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let access = i32::from(rule.access.0);
        // The tests that lead past this rule, then what it does.
        let mut tests = Vec::with_capacity(3);
        match rule.kind {
            Kind::All => {}
            Kind::Block => tests.push((2, 1)),
            Kind::Char => tests.push((2, 2)),
        }
        tests.extend(rule.major.map(|major| (4, major)));
        tests.extend(rule.minor.map(|minor| (5, minor)));
        let body = match rule.allow {
            true => [
                one(AND_K, 3, 0, 0, !access),
                one(JNE_K, 3, 0, 2, 0),
                one(MOV_K, 0, 0, 0, 1),
                one(EXIT, 0, 0, 0, 0),
            ],
            false => [
                one(JSET_K, 3, 0, 1, access),
                one(JA, 0, 0, 2, 0),
                one(MOV_K, 0, 0, 0, 0),
                one(EXIT, 0, 0, 0, 0),
            ],
        };
        for (place, (register, value)) in tests.iter().enumerate() {
            let past = tests.len() - place - 1 + body.len();
            program.push(one(JNE_K, *register, 0, past as i16, *value as i32));
        }
        program.extend(body);
    }
    program.extend([one(MOV_K, 0, 0, 0, 0), one(EXIT, 0, 0, 0, 0)]);
    program
}

/// In the machine's byte order, as the kernel takes them.
fn bytes(program: &[Instruction]) -> Vec<[u8; 8]> {
    program
        .iter()
        .map(|one| {
            let [o0, o1] = one.offset.to_ne_bytes();
            let [i0, i1, i2, i3] = one.immediate.to_ne_bytes();
            // Two fields of four bits, the first one in the low bits of a little-endian machine.
            let registers = match cfg!(target_endian = "little") {
                true => one.source << 4 | one.destination,
                false => one.destination << 4 | one.source,
            };
            [one.code, registers, o0, o1, i0, i1, i2, i3]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::{Access, allows};

    /// Runs a program on a request: kind, major, minor, accesses.
    fn run(program: &[Instruction], kind: u32, major: u32, minor: u32, access: u32) -> u32 {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_u32; 11];
        let mut at = 0_usize;
        loop {
            let one = program[at];
            at += 1;
            let (to, from) = (usize::from(one.destination), usize::from(one.source));
            let immediate = one.immediate as u32;
            let mut jump = |taken: bool| {
                if taken {
                    at = at.checked_add_signed(one.offset.into()).unwrap();
                }
            };
            match one.code {
                LDX_W => registers[to] = context[one.offset as usize / 4],
                AND_K => registers[to] &= immediate,
                RSH_K => registers[to] >>= immediate,
                MOV_X => registers[to] = registers[from],
                MOV_K => registers[to] = immediate,
                JA => jump(true),
                JNE_K => jump(registers[to] != immediate),
                JSET_K => jump(registers[to] & immediate != 0),
                EXIT => return registers[0],
                other => panic!("{other:x}"),
            }
        }
    }

    #[test]
    fn programs_mean_what_their_rules_say() {
        let numbers = [None, Some(1), Some(2), Some(0xffff_ffff)];
        let mut seed = 3_u32;
        let mut roll = |limit: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % limit
        };
        for round in 0..2000 {
            let rules: Vec<_> = (0..round % 7)
                .map(|_| Rule {
                    allow: roll(2) == 0,
                    kind: [Kind::All, Kind::Block, Kind::Char][roll(3) as usize],
                    major: numbers[roll(4) as usize],
                    minor: numbers[roll(4) as usize],
                    access: Access(roll(7) as u8 + 1),
                })
                .collect();
            let program = generate(&rules);
            for (kind, number) in [(Kind::Block, 1), (Kind::Char, 2)] {
                for (major, minor) in [(1, 1), (1, 2), (2, 1), (3, 3), (0xffff_ffff, 1)] {
                    for access in 1..8 {
                        let want = allows(&rules, kind, major, minor, Access(access));
                        let got = run(&program, number, major, minor, access.into());
                        assert_eq!(got, u32::from(want), "{rules:?} {kind:?} {major}:{minor}");
                    }
                }
            }
        }
    }
}
