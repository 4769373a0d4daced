//! The kernel's filter machine: enough to run what the compiler writes. linux/filter.h.

/// What a filter sees of a call: `struct seccomp_data` without the instruction pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) audit: u32,
    pub(crate) number: u32,
    pub(crate) args: [u64; 6],
}

/// What the machine refuses.
#[derive(Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "what a failing test prints")]
pub(crate) enum Fault {
    Instruction { at: usize, code: u16 },
    OutOfProgram { at: usize },
    Load { offset: u32 },
}

/// Runs a program on a call, and gives the value that it returns.
pub(crate) fn run(program: &[[u8; 8]], call: &Call) -> Result<u32, Fault> {
    steps(program, call).map(|(value, _)| value)
}

/// Runs a program, and gives the number of instructions executed too.
pub(crate) fn steps(program: &[[u8; 8]], call: &Call) -> Result<(u32, usize), Fault> {
    let (mut accumulator, mut index, mut at, mut count) = (0_u32, 0_u32, 0_usize, 0);
    let mut memory = [0_u32; 16];
    let cell = |k: u32| (k as usize) & 15;
    loop {
        let Some([c0, c1, jt, jf, k0, k1, k2, k3]) = program.get(at) else {
            return Err(Fault::OutOfProgram { at });
        };
        count += 1;
        let code = u16::from_ne_bytes([*c0, *c1]);
        let k = u32::from_ne_bytes([*k0, *k1, *k2, *k3]);
        let mut next = at + 1;
        let mut branch = |taken: bool| next += usize::from(if taken { *jt } else { *jf });
        match code {
            0x20 => accumulator = load(call, k)?,
            0x00 => accumulator = k,
            0x01 => index = k,
            0x60 => accumulator = memory[cell(k)],
            0x61 => index = memory[cell(k)],
            0x02 => memory[cell(k)] = accumulator,
            0x03 => memory[cell(k)] = index,
            0x07 => index = accumulator,
            0x87 => accumulator = index,
            0x54 => accumulator &= k,
            0x44 => accumulator |= k,
            0x05 => next += k as usize,
            0x15 => branch(accumulator == k),
            0x25 => branch(accumulator > k),
            0x35 => branch(accumulator >= k),
            0x45 => branch(accumulator & k != 0),
            0x06 => return Ok((k, count)),
            _ => return Err(Fault::Instruction { at, code }),
        }
        at = next;
    }
}

/// One aligned word of `struct seccomp_data`.
fn load(call: &Call, offset: u32) -> Result<u32, Fault> {
    match offset {
        0 => Ok(call.number),
        4 => Ok(call.audit),
        8 | 12 => Ok(0),
        16..64 if offset.is_multiple_of(4) => {
            let argument = call.args[(offset as usize - 16) / 8];
            Ok(if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 })
        }
        _ => Err(Fault::Load { offset }),
    }
}

/// Whether the kernel would take a program, or a panic: every path ends in a return, no jump leads out, and
/// no instruction is out of reach of its length.
#[cfg(test)]
pub(crate) fn check(program: &[[u8; 8]]) {
    assert!(!program.is_empty() && program.len() <= 4096, "{} instructions", program.len());
    for (at, instruction) in program.iter().enumerate() {
        let code = u16::from_ne_bytes([instruction[0], instruction[1]]);
        let k = u32::from_ne_bytes(instruction[4..].try_into().unwrap()) as usize;
        match code {
            0x06 => continue,
            0x05 => assert!(at + 1 + k < program.len(), "jump out at {at}"),
            0x15 | 0x25 | 0x35 | 0x45 => {
                let far = usize::from(instruction[2].max(instruction[3]));
                assert!(at + 1 + far < program.len(), "branch out at {at}");
            }
            _ => assert!(at + 1 < program.len(), "falls out at {at}"),
        }
    }
}
