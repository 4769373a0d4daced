//! Compiled filters against the direct reading of their rules.

use proptest::prelude::*;

use super::{Call, Dice, errno_rule, filter, interpreter, model, rule};
use crate::syscalls::SYSCALLS;
use crate::{Arch, SeccompError, compile};
use oci::runtime::Seccomp;

/// The interfaces by which a program can enter, and the numbers worth trying there.
fn numbers() -> impl Iterator<Item = (u32, u32)> {
    let audits = [0xc000_003e, 0x4000_0003, 0xc000_00b7, 0x4000_0028, 0x1234_5678];
    let borders = [0x3fff_ffff, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX - 1, u32::MAX];
    audits.into_iter().flat_map(move |audit| {
        (0..620)
            .chain(0x4000_0000..0x4000_0000 + 620)
            .chain(0xf_0000 - 2..0xf_0000 + 10)
            .chain(borders)
            .map(move |number| (audit, number))
    })
}

/// Compares a compiled filter with its rules on every number, each with some arguments.
fn agrees(filter: &Seccomp, native: Arch, tries: usize) {
    let program = compile(filter, native).unwrap();
    interpreter::check(program.instructions());
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for (audit, number) in numbers() {
        for _ in 0..tries {
            let args = std::array::from_fn(|_| dice.value());
            let call = Call { audit, number, args };
            assert_eq!(
                interpreter::run(program.instructions(), &call),
                Ok(model::verdict(filter, native, &call)),
                "{call:x?}",
            );
        }
    }
}

#[test]
fn every_operator_is_exact_on_64_bits() {
    for op in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        for value in [0, 5, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0005, u64::MAX] {
            let rules = vec![rule(&["ioctl"], "ALLOW", &[(1, op, value, value & 0xff)])];
            let filter = filter("ERRNO", &["X86", "X32"], rules);
            let program = compile(&filter, Arch::X86_64).unwrap();
            for near in [value.wrapping_sub(1), value, value.wrapping_add(1), value ^ 1 << 32] {
                for (audit, number) in [(0xc000_003e, 16), (0x4000_0003, 54)] {
                    let call = Call { audit, number, args: [0, near, 0, 0, 0, 0] };
                    let want = model::verdict(&filter, Arch::X86_64, &call);
                    let got = interpreter::run(program.instructions(), &call);
                    assert_eq!(got, Ok(want), "{op} {value:#x} {near:#x}");
                }
            }
        }
    }
}

#[test]
fn all_actions_are_the_kernels() {
    for (action, value) in [
        ("KILL", 0),
        ("KILL_THREAD", 0),
        ("KILL_PROCESS", 0x8000_0000),
        ("TRAP", 0x3_0000),
        ("ERRNO", 0x5_0001),
        ("TRACE", 0x7ff0_0001),
        ("LOG", 0x7ffc_0000),
        ("ALLOW", 0x7fff_0000),
        ("NOTIFY", 0x7fc0_0000),
    ] {
        let filter = filter("ALLOW", &[], vec![rule(&["getpid"], action, &[])]);
        let program = compile(&filter, Arch::X86_64).unwrap();
        let call = Call { audit: 0xc000_003e, number: 39, args: [0; 6] };
        assert_eq!(interpreter::run(program.instructions(), &call), Ok(value), "{action}");
        assert_eq!(program.has_listener(), action == "NOTIFY");
        assert_eq!(program.flags() & 8 != 0, action == "NOTIFY");
    }
}

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = vec![
        rule(&["personality"], "ALLOW", &[(0, "EQ", 0, 0)]),
        errno_rule(&["personality"], 22, &[(0, "EQ", 8, 0)]),
        rule(&["personality"], "LOG", &[]),
        rule(&["personality"], "KILL", &[]),
    ];
    agrees(&filter("ERRNO", &["X86"], rules), Arch::X86_64, 4);
}

#[test]
fn conditions_on_one_argument_are_alternatives_and_on_several_all_count() {
    let rules = vec![
        rule(&["socket"], "ALLOW", &[(0, "EQ", 1, 0), (0, "EQ", 2, 0)]),
        rule(&["read"], "ALLOW", &[(0, "GE", 1, 0), (1, "LE", 8, 0), (5, "NE", 2, 0)]),
    ];
    agrees(&filter("ERRNO", &["X86", "X32"], rules), Arch::X86_64, 40);
}

#[test]
fn filters_without_rules_know_no_newer_calls() {
    for default in ["ALLOW", "KILL", "LOG"] {
        agrees(&filter(default, &["X86", "X32"], Vec::new()), Arch::X86_64, 1);
        agrees(&filter(default, &["ARM"], Vec::new()), Arch::Aarch64, 1);
    }
}

#[test]
fn unknown_names_and_foreign_architectures_are_passed_over() {
    let rules = vec![rule(&["no_such_call", "riscv_flush_icache", "read"], "ALLOW", &[])];
    let filter = filter("ERRNO", &["X86_64", "S390X", "ARM", "AARCH64"], rules);
    agrees(&filter, Arch::X86_64, 1);
    agrees(&filter, Arch::Aarch64, 1);
}

#[test]
fn what_cannot_be_understood_is_named() {
    let error = |filter: &Seccomp| compile(filter, Arch::X86_64).unwrap_err();
    let wrong = |change: fn(&mut Seccomp)| {
        let mut filter =
            filter("ERRNO", &["X86_64"], vec![rule(&["read"], "ALLOW", &[(0, "EQ", 1, 0)])]);
        change(&mut filter);
        error(&filter)
    };
    assert!(matches!(wrong(|f| f.default_action.clear()), SeccompError::Action { .. }));
    assert!(matches!(
        wrong(|f| f.default_action = "SCMP_ACT_NOTIFY".into()),
        SeccompError::Notify { .. }
    ));
    assert!(matches!(
        wrong(|f| f.architectures.push("X86".into())),
        SeccompError::Architecture { .. }
    ));
    assert!(matches!(wrong(|f| f.flags = Some(vec!["TSYNC".into()])), SeccompError::Flag { .. }));
    assert!(matches!(
        wrong(|f| f.syscalls[0].action = "ALLOW".into()),
        SeccompError::Action { .. }
    ));
    assert!(matches!(wrong(|f| f.syscalls[0].errno_ret = Some(1)), SeccompError::NoErrno { .. }));
    assert!(matches!(wrong(|f| f.default_errno_ret = Some(4096)), SeccompError::Errno { .. }));
    assert!(matches!(wrong(|f| f.syscalls[0].names.push(String::new())), SeccompError::Unnamed));
    assert!(matches!(wrong(|f| f.syscalls[0].args[0].index = 6), SeccompError::Argument { .. }));
    assert!(matches!(
        wrong(|f| f.syscalls[0].args[0].op = "EQ".into()),
        SeccompError::Operator { .. }
    ));
    let write = |f: &mut Seccomp| {
        f.syscalls[0].action = "SCMP_ACT_NOTIFY".into();
        f.syscalls[0].names.push("write".into());
    };
    assert!(matches!(wrong(write), SeccompError::Notify { .. }));
}

#[test]
fn flags_that_exclude_each_other_never_meet() {
    let with = |action: &str, flags: Option<&[&str]>| {
        let mut filter = filter("ALLOW", &[], vec![rule(&["getpid"], action, &[])]);
        let name = |flag: &&str| format!("SECCOMP_FILTER_FLAG_{flag}");
        filter.flags = flags.map(|flags| flags.iter().map(name).collect());
        compile(&filter, Arch::X86_64).unwrap().flags()
    };
    assert_eq!(with("LOG", None), 4, "for speed, as runc does");
    assert_eq!(with("LOG", Some(&[])), 0, "none is wanted");
    assert_eq!(with("LOG", Some(&["LOG", "TSYNC", "WAIT_KILLABLE_RECV"])), 2);
    assert_eq!(with("NOTIFY", Some(&["TSYNC", "WAIT_KILLABLE_RECV"])), 8 | 32);
}

/// Long chains push the returns out of the reach of a branch, and code before them too.
#[test]
fn jumps_reach_over_any_distance() {
    let alternatives: Vec<_> = (0..120).map(|value| (0, "EQ", value * 3, 0)).collect();
    let rules = vec![
        errno_rule(&["ioctl"], 5, &alternatives),
        rule(&["prctl", "fcntl"], "LOG", &alternatives),
        rule(&["read", "openat", "lseek"], "ALLOW", &[]),
    ];
    agrees(&filter("ERRNO", &["X86", "X32"], rules), Arch::X86_64, 3);
}

#[test]
fn a_filter_longer_than_the_kernel_takes_is_refused() {
    let alternatives: Vec<_> = (0..1100).map(|value| (0, "EQ", value, 0)).collect();
    let filter = filter("ERRNO", &[], vec![rule(&["ioctl"], "ALLOW", &alternatives)]);
    assert!(matches!(compile(&filter, Arch::X86_64), Err(SeccompError::TooLong { .. })));
}

fn a_rule() -> impl Strategy<Value = oci::runtime::SeccompRule> {
    let name = prop_oneof![
        8 => (0..SYSCALLS.len()).prop_map(|at| SYSCALLS[at].name),
        2 => prop::sample::select(vec!["socket", "clone", "semget", "personality", "ioctl"]),
    ];
    let op = prop::sample::select(vec!["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]);
    let value = prop_oneof![
        Just(0),
        Just(1),
        Just(38),
        Just(0x5412),
        Just(0x7e02_0000),
        Just(0xffff_ffff),
        Just(0x1_0000_0000),
        Just(u64::MAX),
        any::<u64>(),
    ];
    let arg = (0_u32..6, op, value.clone(), value);
    let action = prop::sample::select(vec![
        "ALLOW",
        "ERRNO",
        "KILL",
        "KILL_PROCESS",
        "TRAP",
        "TRACE",
        "LOG",
    ]);
    (prop::collection::vec(name, 1..12), action, prop::collection::vec(arg, 0..4))
        .prop_map(|(names, action, args)| rule(&names, action, &args))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_filter_does_what_its_rules_say(
        rules in prop::collection::vec(a_rule(), 0..20),
        default in prop::sample::select(vec!["ALLOW", "ERRNO", "KILL_PROCESS", "TRACE", "LOG"]),
        arches in prop::sample::subsequence(vec!["X86_64", "X86", "X32", "AARCH64", "ARM"], 0..5),
        arm in any::<bool>(),
    ) {
        let native = if arm { Arch::Aarch64 } else { Arch::X86_64 };
        agrees(&filter(default, &arches, rules), native, 2);
    }
}
