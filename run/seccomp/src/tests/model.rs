//! What the rules of a filter say, read directly and slowly.

use oci::runtime::{Seccomp, SeccompArg};

use super::Call;
use crate::Arch;
use crate::syscalls::{SYSCALLS, find};

/// What a filter must do with a call, on a kernel of architecture `native`.
pub(super) fn verdict(filter: &Seccomp, native: Arch, call: &Call) -> u32 {
    let default = action(&filter.default_action, filter.default_errno_ret);
    let enosys = 0x0005_0000 | 38;
    let listed = |arch: Arch| {
        arch == native || filter.architectures.iter().any(|name| name == arch.oci_name())
    };
    let newer = match default & 0xffff_0000 {
        0x7fff_0000 | 0x7ffc_0000 | 0x7ff0_0000 => default,
        _ => enosys,
    };
    let (arch, number) = match call.audit {
        0xc000_003e if native != Arch::X86_64 => return 0x8000_0000,
        0xc000_003e if call.number == u32::MAX && !listed(Arch::X32) => return newer,
        0xc000_003e if call.number >= 0x4000_0000 => (Arch::X32, call.number - 0x4000_0000),
        0xc000_003e => (Arch::X86_64, call.number),
        0x4000_0003 => (Arch::X86, call.number),
        0xc000_00b7 => (Arch::Aarch64, call.number),
        0x4000_0028 => (Arch::Arm, call.number),
        _ => return 0x8000_0000,
    };
    if !listed(arch) || !arch.runs_on(native) {
        return 0x8000_0000;
    }
    // Arm has calls of its own far above the others, with an end of their own.
    let private = |number: u32| number >= 0xf_0000;
    let mut newest = None;
    let mut newest_private = None;
    for rule in &filter.syscalls {
        let counts = |index| rule.args.iter().filter(|arg| arg.index == index).count();
        let separate = rule.args.iter().any(|arg| counts(arg.index) > 1);
        for name in &rule.names {
            let Some(known) = find(name) else { continue };
            let known = &SYSCALLS[usize::from(known)];
            if let Some(number_here) = known.number(arch) {
                match private(number_here) {
                    true => newest_private = newest_private.max(Some(number_here)),
                    false => newest = newest.max(Some(number_here)),
                }
                let fits = match separate {
                    true => rule.args.iter().any(|arg| holds(arg, arch, call)),
                    false => rule.args.iter().all(|arg| holds(arg, arch, call)),
                };
                if number_here == number && fits {
                    return action(&rule.action, rule.errno_ret);
                }
            }
            if arch == Arch::X86
                && rule.args.is_empty()
                && let Some((multiplexer, selector)) = multiplexed(name)
            {
                newest = newest.max(Some(multiplexer));
                if number == multiplexer && call.args[0] as u32 == selector {
                    return action(&rule.action, rule.errno_ret);
                }
            }
        }
    }
    match if private(number) { newest_private.or(newest) } else { newest } {
        None => default,
        Some(newest) if number > newest => newer,
        Some(_) => default,
    }
}

fn holds(condition: &SeccompArg, arch: Arch, call: &Call) -> bool {
    let narrow = |value: u64| if arch.is_32_bit() { value & 0xffff_ffff } else { value };
    let argument = narrow(call.args[condition.index as usize]);
    let (value, two) = (narrow(condition.value), narrow(condition.value_two));
    match condition.op.strip_prefix("SCMP_CMP_").unwrap() {
        "NE" => argument != value,
        "LT" => argument < value,
        "LE" => argument <= value,
        "EQ" => argument == value,
        "GE" => argument >= value,
        "GT" => argument > value,
        "MASKED_EQ" => argument & value == two & value,
        other => panic!("{other}"),
    }
}

fn action(text: &str, errno: Option<u32>) -> u32 {
    match text.strip_prefix("SCMP_ACT_").unwrap() {
        "KILL" | "KILL_THREAD" => 0,
        "KILL_PROCESS" => 0x8000_0000,
        "TRAP" => 0x0003_0000,
        "ERRNO" => 0x0005_0000 | errno.unwrap_or(1),
        "NOTIFY" => 0x7fc0_0000,
        "TRACE" => 0x7ff0_0000 | errno.unwrap_or(1),
        "LOG" => 0x7ffc_0000,
        "ALLOW" => 0x7fff_0000,
        other => panic!("{other}"),
    }
}

/// socketcall(2) and ipc(2).
fn multiplexed(name: &str) -> Option<(u32, u32)> {
    let socket = "- socket bind connect listen accept getsockname getpeername socketpair send recv \
                  sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg \
                  sendmmsg";
    let ipc = "- semop semget semctl semtimedop - - - - - - msgsnd msgrcv msgget msgctl - - - - - - \
               shmat shmdt shmget shmctl";
    let find = |list: &str| list.split(' ').position(|known| known == name && name != "-");
    find(socket)
        .map(|selector| (102, selector as u32))
        .or_else(|| find(ipc).map(|selector| (117, selector as u32)))
}
