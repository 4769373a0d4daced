//! Compiled filters against libseccomp's, where a C compiler and libseccomp are installed.
//!
//! Both programs are run by the interpreter. Known differences: we end the process for a foreign
//! interface, libseccomp the thread; calls that are newer than the rules are runc's business
//! there; a rule for `socket` with conditions says nothing about `socketcall` here, while libseccomp
//! lets the multiplexer through without the conditions; and here the first rule that fits decides,
//! so that filters with contradictions are not compared.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use oci::runtime::Seccomp;

use super::{Call, Dice, filter, interpreter, rule};
use crate::profile::{Capabilities, Profile};
use crate::{Arch, compile::policy, syscalls, tree};

/// Builds the oracle once; `None` if that cannot be done here.
fn oracle() -> Option<&'static Path> {
    static ORACLE: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let built = ORACLE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let (source, program) = (dir.path().join("oracle.c"), dir.path().join("oracle"));
        std::fs::write(&source, include_str!("oracle.c")).unwrap();
        let status = Command::new("gcc")
            .args([source.as_os_str(), "-o".as_ref(), program.as_os_str(), "-lseccomp".as_ref()])
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success()).then_some((dir, program))
    });
    let promised = std::env::var("TEST_PROMISED").unwrap_or_default();
    assert!(built.is_some() || !promised.contains("libseccomp"), "libseccomp is promised");
    built.as_ref().map(|(_, program)| program.as_path())
}

/// libseccomp's program for a filter, and the calls that it does not know, as `arch name`.
fn foreign(oracle: &Path, filter: &Seccomp) -> (Vec<[u8; 8]>, HashSet<String>) {
    let policy = policy(filter, Arch::X86_64).unwrap();
    let mut script = format!("default {}\n", policy.default.0);
    for arch in &policy.arches {
        script += &format!("arch {}\n", lower_name(*arch));
    }
    // As runc does: a rule that says what the default says is left out.
    for rule in policy.rules.iter().filter(|rule| rule.action != policy.default) {
        for &call in rule.calls.iter() {
            let name = syscalls::SYSCALLS[usize::from(call)].name;
            script += &format!("rule {} {name} {}", rule.action.0, rule.conditions.len());
            for condition in rule.conditions.iter() {
                script += &format!(
                    " {} {} {} {}",
                    condition.argument,
                    condition.operator as u32 + 1, // in the order of `enum scmp_compare`
                    condition.value,
                    condition.value_two,
                );
            }
            script.push('\n');
        }
    }
    let mut child = Command::new(oracle)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(!notes.contains("refused"), "{notes}");
    let unknown = notes.lines().filter_map(|line| line.strip_prefix("unknown "));
    let instructions = output.stdout.chunks_exact(8).map(|chunk| chunk.try_into().unwrap());
    (instructions.collect(), unknown.map(str::to_owned).collect())
}

fn lower_name(arch: Arch) -> String {
    arch.oci_name().trim_start_matches("SCMP_ARCH_").to_lowercase()
}

/// Compares the two programs for a filter, on each call that libseccomp knows.
fn agree(filter: &Seccomp, tries: usize) {
    let Some(oracle) = oracle() else {
        println!("skipped: gcc or libseccomp is not installed");
        return;
    };
    let (theirs, unknown) = foreign(oracle, filter);
    let mut policy = policy(filter, Arch::X86_64).unwrap();
    policy.newer = None;
    let ours = tree::program(&policy).unwrap();
    let killed = |value: u32| if value == 0 { 0x8000_0000 } else { value };
    let mut dice = Dice(0xfeed_beef_dead_cafe);
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        let base = if arch == Arch::X32 { 0x4000_0000 } else { 0 };
        let unknown: HashSet<u32> = syscalls::SYSCALLS
            .iter()
            .filter(|call| unknown.contains(&format!("{} {}", lower_name(arch), call.name)))
            .filter_map(|call| call.number(arch))
            .collect();
        let named = |name| filter.syscalls.iter().any(|rule| rule.names.contains(&name));
        let multiplexed =
            arch == Arch::X86 && named("socket".to_owned()) && !named("socketcall".to_owned());
        for number in (0..560).chain([0x3fff_ffff]).filter(|number| !unknown.contains(number)) {
            if multiplexed && number == 102 {
                continue;
            }
            for _ in 0..tries {
                let args = std::array::from_fn(|_| dice.value());
                let call = Call { audit: arch.audit(), number: base + number, args };
                let got = interpreter::run(ours.instructions(), &call).unwrap();
                let want = interpreter::run(&theirs, &call).unwrap();
                assert_eq!(killed(got), killed(want), "{arch:?} {number} {args:x?}");
            }
        }
    }
    for (audit, number) in [(0xc000_003e, u32::MAX), (0xc000_00b7, 0), (0x4000_0028, 3)] {
        let call = Call { audit, number, args: [0; 6] };
        let got = interpreter::run(ours.instructions(), &call).unwrap();
        let want = interpreter::run(&theirs, &call).unwrap();
        assert_eq!(killed(got), killed(want), "{audit:x} {number:x}");
    }
    println!("{} instructions, libseccomp {}", ours.instructions().len(), theirs.len());
}

#[test]
fn the_docker_profile_is_the_same() {
    for capabilities in [Capabilities::NONE, Capabilities::ALL] {
        agree(&Profile::Docker.filter(capabilities, Arch::X86_64), 40);
    }
}

/// Our stricter profiles are understood by runtimes with libseccomp, as they are meant.
#[test]
fn portable_profiles_are_the_same() {
    for profile in Profile::ALL {
        for capabilities in [Capabilities::NONE, Capabilities::ALL] {
            agree(&profile.portable_filter(capabilities, Arch::X86_64), 20);
        }
    }
}

#[test]
fn each_operator_is_the_same() {
    for op in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] {
        for value in [0, 8, 38, 0xffff_ffff, 0x1_0000_0000, 0x7e02_0000_0000] {
            let rules = vec![
                rule(&["ioctl", "mount"], "ALLOW", &[(1, op, value, value & 0x8)]),
                rule(&["getpid", "read"], "ALLOW", &[]),
            ];
            for arches in [&["X86_64", "X86", "X32"][..], &["X86"], &[]] {
                agree(&filter("ERRNO", arches, rules.clone()), 4);
            }
        }
    }
}

#[test]
fn conditions_on_several_arguments_are_the_same() {
    let rules = vec![
        rule(&["socket"], "ALLOW", &[(0, "NE", 16, 0)]),
        rule(&["socket"], "ALLOW", &[(0, "EQ", 16, 0), (2, "NE", 9, 0)]),
        rule(&["semget", "bind", "shmat"], "ALLOW", &[]),
        rule(&["openat"], "ALLOW", &[(2, "MASKED_EQ", 3, 0), (3, "LT", 8, 0), (0, "GE", 1, 0)]),
        rule(&["personality"], "ALLOW", &[(0, "EQ", 0, 0), (0, "EQ", 8, 0)]),
    ];
    agree(&filter("KILL_PROCESS", &["X86", "X32"], rules), 60);
}
