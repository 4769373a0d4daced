//! The profiles, by what they do with calls that matter.

use super::{Call, interpreter, model};
use crate::profile::{Capabilities, Profile};
use crate::syscalls::{self, SYSCALLS};
use crate::{Arch, compile};

const ALLOWED: u32 = 0x7fff_0000;
const EPERM: u32 = 0x5_0001;
const EIO: u32 = 0x5_0005;
const ENOSYS: u32 = 0x5_0026;
const EPROTONOSUPPORT: u32 = 0x5_005d;
const EAFNOSUPPORT: u32 = 0x5_0061;
const KILLED: u32 = 0x8000_0000;

/// What a profile does with a call by name.
fn verdict(profile: Profile, capabilities: &[&str], arch: Arch, name: &str, args: &[u64]) -> u32 {
    let native = match arch {
        Arch::Aarch64 | Arch::Arm => Arch::Aarch64,
        _ => Arch::X86_64,
    };
    let program = profile.program(Capabilities::from_names(capabilities), native);
    let call = &SYSCALLS[usize::from(syscalls::find(name).unwrap())];
    let number = call.number(arch).unwrap() | if arch == Arch::X32 { 0x4000_0000 } else { 0 };
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let call = Call { audit: arch.audit(), number, args: all };
    interpreter::run(program.instructions(), &call).unwrap()
}

fn native(profile: Profile, name: &str, args: &[u64]) -> u32 {
    verdict(profile, &[], Arch::X86_64, name, args)
}

#[test]
fn straight_from_tables_is_the_same_as_over_text() {
    for profile in Profile::ALL {
        for capabilities in [Capabilities::NONE, Capabilities::ALL] {
            for native in [Arch::X86_64, Arch::Aarch64] {
                let filter = profile.filter(capabilities, native);
                let program = compile(&filter, native).unwrap();
                assert_eq!(program, profile.program(capabilities, native), "{profile:?}");
                interpreter::check(program.instructions());
                for number in 0..700 {
                    let audit = native.audit();
                    let call = Call { audit, number, args: [0; 6] };
                    let want = model::verdict(&filter, native, &call);
                    assert_eq!(interpreter::run(program.instructions(), &call), Ok(want));
                }
            }
        }
    }
}

#[test]
fn escapes_of_the_past_are_refused_by_all() {
    let refused = [
        "unshare",
        "setns",
        "mount",
        "umount2",
        "open_tree",
        "move_mount",
        "fsopen",
        "fsconfig",
        "fsmount",
        "pivot_root",
        "add_key",
        "request_key",
        "keyctl",
        "bpf",
        "perf_event_open",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "userfaultfd",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "delete_module",
        "open_by_handle_at",
        "swapon",
        "swapoff",
        "reboot",
        "settimeofday",
        "clock_settime",
        "iopl",
        "ioperm",
        "acct",
        "quotactl",
        "syslog",
        "vhangup",
        "chroot",
        "move_pages",
        "migrate_pages",
        "kcmp",
        "fanotify_init",
        "nfsservctl",
        "uselib",
        "_sysctl",
        "ustat",
        "sysfs",
        "pidfd_getfd",
        "mbind",
        "set_mempolicy",
        "get_mempolicy",
        "lookup_dcookie",
        "sethostname",
    ];
    for profile in Profile::ALL {
        for name in refused {
            assert_eq!(native(profile, name, &[]), EPERM, "{profile:?} {name}");
        }
        assert_eq!(native(profile, "clone3", &[]), ENOSYS);
        for flag in
            [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000]
        {
            assert_eq!(native(profile, "clone", &[flag | 17]), EPERM, "{profile:?} {flag:x}");
        }
        assert_eq!(native(profile, "clone", &[0x0100_0011]), ALLOWED);
        assert_eq!(native(profile, "socket", &[38, 5, 0]) & 0xffff_0000, 0x5_0000, "AF_ALG");
        assert_eq!(native(profile, "socket", &[40, 1, 0]) & 0xffff_0000, 0x5_0000, "AF_VSOCK");
    }
}

/// The kernel takes an address family and a terminal command for 32 bits: high bits change nothing
/// there, and must change nothing here. Docker's own profile is fooled by them.
#[test]
fn high_bits_do_not_help() {
    for profile in [Profile::Standard, Profile::Build, Profile::Strict] {
        for family in [38, 40, 0x1_0000_0026, 0x1_0000_0028, 0xffff_ffff_0000_0026] {
            assert_ne!(native(profile, "socket", &[family]), ALLOWED, "{family:x}");
        }
        for command in [0x5412, 0x1_0000_5412, 0xffff_ffff_0000_5412] {
            assert_eq!(native(profile, "ioctl", &[0, command]), EIO, "{command:x}");
        }
        assert_eq!(native(profile, "ioctl", &[0, 0x541c]), EPERM);
        assert_eq!(native(profile, "ioctl", &[0, 0x5413]), ALLOWED, "TIOCGWINSZ");
    }
    assert_eq!(native(Profile::Docker, "socket", &[0x1_0000_0026]), ALLOWED);
}

#[test]
fn address_families_are_dockers_in_the_standard_profile() {
    for family in 0..64 {
        let want = if family == 38 || family == 40 { EPERM } else { ALLOWED };
        for profile in [Profile::Standard, Profile::Build, Profile::Docker] {
            assert_eq!(native(profile, "socket", &[family, 1, 0]), want, "{profile:?} {family}");
        }
    }
}

#[test]
fn strict_has_four_families_and_says_why() {
    let socket =
        |caps: &[&str], args: &[u64]| verdict(Profile::Strict, caps, Arch::X86_64, "socket", args);
    for family in [1, 2, 10] {
        assert_eq!(socket(&[], &[family, 1, 0]), ALLOWED);
    }
    for protocol in [0, 4, 15] {
        assert_eq!(socket(&[], &[16, 3, protocol]), ALLOWED);
    }
    for protocol in [9, 12, 16] {
        assert_eq!(socket(&[], &[16, 3, protocol]), EPROTONOSUPPORT);
        assert_eq!(socket(&["NET_ADMIN"], &[16, 3, protocol]), ALLOWED);
    }
    assert_eq!(socket(&["AUDIT_WRITE"], &[16, 3, 9]), ALLOWED);
    assert_eq!(socket(&[], &[17, 3, 0]), EAFNOSUPPORT);
    assert_eq!(socket(&["NET_RAW"], &[17, 3, 0]), ALLOWED);
    assert_eq!(socket(&[], &[38, 5, 0]), EAFNOSUPPORT);
}

#[test]
fn strict_drops_what_has_a_history_and_makes_no_device_nodes() {
    let dropped = [
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "modify_ldt",
        "vmsplice",
        "fanotify_mark",
        "name_to_handle_at",
        "remap_file_pages",
        "adjtimex",
        "clock_adjtime",
        "ioprio_set",
        "mincore",
        "ustat",
    ];
    for name in dropped {
        assert_eq!(native(Profile::Strict, name, &[]), EPERM, "{name}");
    }
    for name in ["statmount", "listmount", "lsm_list_modules"] {
        assert_eq!(native(Profile::Strict, name, &[]), ENOSYS, "{name}");
    }
    for (kind, want) in [
        (0, ALLOWED),
        (0x8000, ALLOWED),
        (0x1000, ALLOWED),
        (0xc000, ALLOWED),
        (0x2000, EPERM),
        (0x6000, EPERM),
        (0x1_0000_2000, EPERM),
    ] {
        assert_eq!(native(Profile::Strict, "mknod", &[0, kind | 0o644]), want);
        assert_eq!(native(Profile::Strict, "mknodat", &[0, 0, kind | 0o644]), want);
    }
    assert_eq!(verdict(Profile::Strict, &["MKNOD"], Arch::X86_64, "mknod", &[0, 0x2000]), ALLOWED);
}

#[test]
fn personalities_are_the_harmless_ones() {
    for profile in Profile::ALL {
        for (value, want) in [
            (0, ALLOWED),
            (8, ALLOWED),
            (0x2_0000, ALLOWED),
            (0x2_0008, ALLOWED),
            (0xffff_ffff, ALLOWED),
            (0x4_0000, EPERM),
            (1, EPERM),
        ] {
            assert_eq!(native(profile, "personality", &[value]), want, "{profile:?} {value:x}");
        }
    }
}

#[test]
fn capabilities_open_their_calls() {
    for (capability, names) in [
        ("SYS_ADMIN", &["mount", "setns", "unshare", "clone3", "fanotify_init", "bpf"][..]),
        ("DAC_READ_SEARCH", &["open_by_handle_at"]),
        ("SYS_CHROOT", &["chroot"]),
        ("SYS_PTRACE", &["ptrace", "kcmp", "pidfd_getfd", "process_madvise"]),
        ("SYS_MODULE", &["finit_module"]),
        ("SYS_TIME", &["clock_settime", "settimeofday", "adjtimex"]),
        ("SYS_NICE", &["mbind", "set_mempolicy"]),
        ("SYS_BOOT", &["reboot"]),
        ("SYS_PACCT", &["acct"]),
        ("SYS_RAWIO", &["iopl", "ioperm"]),
        ("SYS_TTY_CONFIG", &["vhangup"]),
        ("SYSLOG", &["syslog"]),
        ("BPF", &["bpf"]),
        ("PERFMON", &["perf_event_open"]),
    ] {
        for profile in Profile::ALL {
            for name in names {
                let got = verdict(profile, &[capability], Arch::X86_64, name, &[]);
                assert_eq!(got, ALLOWED, "{profile:?} {capability} {name}");
            }
        }
    }
    let clone = verdict(Profile::Strict, &["CAP_SYS_ADMIN"], Arch::X86_64, "clone", &[0x1000_0000]);
    assert_eq!(clone, ALLOWED);
}

#[test]
fn newer_calls_do_not_exist() {
    for profile in Profile::ALL {
        let program = profile.program(Capabilities::NONE, Arch::X86_64);
        for number in [472, 500, 1000, 0x3fff_ffff] {
            let call = Call { audit: 0xc000_003e, number, args: [0; 6] };
            assert_eq!(interpreter::run(program.instructions(), &call), Ok(ENOSYS), "{number}");
        }
    }
    assert_eq!(native(Profile::Docker, "file_getattr", &[]), ENOSYS, "newer than Docker's list");
    assert_eq!(native(Profile::Standard, "file_getattr", &[]), ALLOWED);
    assert_eq!(native(Profile::Standard, "listns", &[]), ENOSYS);
}

#[test]
fn other_interfaces_are_as_the_profile_says() {
    let entry = |profile, arch| verdict(profile, &[], arch, "getpid", &[]);
    for profile in [Profile::Standard, Profile::Build, Profile::Docker] {
        assert_eq!(entry(profile, Arch::X86), ALLOWED);
        assert_eq!(entry(profile, Arch::Arm), ALLOWED);
        assert_eq!(verdict(profile, &[], Arch::X86, "mount", &[]), EPERM);
    }
    assert_eq!(entry(Profile::Docker, Arch::X32), ALLOWED);
    assert_eq!(entry(Profile::Standard, Arch::X32), KILLED);
    for arch in [Arch::X86, Arch::X32, Arch::Arm] {
        assert_eq!(entry(Profile::Strict, arch), KILLED, "{arch:?}");
    }
    assert_eq!(verdict(Profile::Docker, &[], Arch::Arm, "set_tls", &[]), ALLOWED);
    assert_eq!(verdict(Profile::Docker, &[], Arch::Aarch64, "openat", &[]), ALLOWED);
}

#[test]
fn standard_is_docker_but_for_what_is_written_down() {
    let program = |profile: Profile| profile.program(Capabilities::NONE, Arch::X86_64);
    let (standard, docker) = (program(Profile::Standard), program(Profile::Docker));
    let mut different = Vec::new();
    for call in &SYSCALLS {
        let Some(number) = call.number(Arch::X86_64) else { continue };
        let data = Call { audit: 0xc000_003e, number, args: [0; 6] };
        let run = |program: &crate::Program| interpreter::run(program.instructions(), &data);
        if run(&standard) != run(&docker) {
            different.push(call.name);
        }
    }
    let written_down = [
        "fanotify_mark",
        "file_getattr",
        "file_setattr",
        "lsm_get_self_attr",
        "lsm_list_modules",
        "lsm_set_self_attr",
        "rseq_slice_yield",
    ];
    assert_eq!(different, written_down);
}

#[test]
fn programs_stay_small() {
    for (profile, limit) in [
        (Profile::Standard, 400),
        (Profile::Build, 400),
        (Profile::Docker, 600),
        (Profile::Strict, 300),
    ] {
        let length = profile.program(Capabilities::NONE, Arch::X86_64).instructions().len();
        println!("{} {length}", profile.name());
        assert!(length <= limit, "{} has {length}", profile.name());
    }
}
