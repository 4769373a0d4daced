//! `seccomp`. runtime-spec 1.3.0, config-linux.md, "Seccomp".

use serde_json::{Value, json};
use testkit::Output;
use testkit::oci::{Bundle, Runtime};

/// Runs a script under a filter.
fn under(seccomp: &Value, script: &str) -> Output {
    Runtime::under_test().run(&Bundle::script(script).set("linux.seccomp", seccomp.clone()))
}

/// A filter that allows all but what `rule` is about.
fn rule(rule: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
}

#[test]
fn errno_is_eperm_unless_configured() {
    needs!(Root);
    let out =
        under(&rule(json!({"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"})), "hostname x");
    assert!(out.stderr.contains("Operation not permitted"), "{out:?}");
}

#[test]
fn errno_is_as_configured() {
    needs!(Root);
    for (number, text) in
        [(38, "Function not implemented"), (28, "No space left"), (1, "not permitted")]
    {
        let rule = rule(
            json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": number}),
        );
        let out = under(&rule, "mkdir /tmp/x");
        assert!(out.stderr.contains(text), "{number}: {out:?}");
    }
}

#[test]
fn an_errno_of_zero_is_success() {
    needs!(Root);
    let rule =
        rule(json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0}));
    let out = under(&rule, "mkdir /tmp/x && ls /tmp");
    assert_eq!((out.code, out.stdout.as_str()), (0, ""), "{out:?}");
}

#[test]
fn the_default_action_and_its_errno() {
    needs!(Root);
    // All that busybox needs here but mkdir.
    let bundle = |errno: Option<u32>| {
        let mut seccomp = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": BUSYBOX, "action": "SCMP_ACT_ALLOW"}],
        });
        if let Some(errno) = errno {
            seccomp["defaultErrnoRet"] = errno.into();
        }
        under(&seccomp, "mkdir /tmp/x; echo went on")
    };
    let out = bundle(None);
    assert!(out.stderr.contains("not permitted") && out.stdout == "went on\n", "{out:?}");
    let out = bundle(Some(38));
    assert!(out.stderr.contains("not implemented") && out.stdout == "went on\n", "{out:?}");
}

/// What the shell, and the runtimes between the filter and the program, call.
const BUSYBOX: &[&str] = &[
    "access",
    "arch_prctl",
    "brk",
    "capget",
    "capset",
    "chdir",
    "chroot",
    "clock_gettime",
    "clock_nanosleep",
    "clone",
    "clone3",
    "close",
    "close_range",
    "connect",
    "dup",
    "dup2",
    "dup3",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "eventfd2",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fchdir",
    "fchown",
    "fcntl",
    "fork",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getpgrp",
    "getpid",
    "getppid",
    "getrandom",
    "gettid",
    "getuid",
    "ioctl",
    "kill",
    "lseek",
    "lstat",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pause",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "prctl",
    "prlimit64",
    "pwrite64",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigsuspend",
    "sched_getaffinity",
    "sched_yield",
    "seccomp",
    "select",
    "sendmsg",
    "sendto",
    "set_robust_list",
    "set_tid_address",
    "setgid",
    "setgroups",
    "setpgid",
    "setresgid",
    "setresuid",
    "setsid",
    "setuid",
    "sigaltstack",
    "socket",
    "stat",
    "statfs",
    "statx",
    "sysinfo",
    "tgkill",
    "time",
    "uname",
    "umask",
    "unlink",
    "vfork",
    "wait4",
    "waitid",
    "write",
    "writev",
];

#[test]
fn kill_ends_the_program() {
    needs!(Root);
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"] {
        let rule = rule(json!({"names": ["sethostname"], "action": action}));
        let out = under(&rule, "hostname x; echo $?");
        assert_eq!(out.stdout.trim(), "159", "{action}: {out:?}"); // 128 + SIGSYS
    }
}

#[test]
fn trap_sends_sigsys() {
    needs!(Root);
    let rule = rule(json!({"names": ["sethostname"], "action": "SCMP_ACT_TRAP"}));
    let out = under(&rule, "hostname x; echo $?");
    assert_eq!(out.stdout.trim(), "159", "{out:?}");
}

#[test]
fn trace_without_a_tracer_is_enosys() {
    needs!(Root);
    let rule = rule(json!({"names": ["sethostname"], "action": "SCMP_ACT_TRACE", "errnoRet": 7}));
    let out = under(&rule, "hostname x");
    assert!(out.stderr.contains("Function not implemented"), "{out:?}");
}

#[test]
fn log_lets_it_pass() {
    needs!(Root);
    let rule = rule(json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_LOG"}));
    assert_eq!(under(&rule, "mkdir /tmp/x && ls /tmp").ok(), "x");
}

#[test]
fn allow_is_an_exception_from_a_refusal() {
    needs!(Root);
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["sethostname", "setdomainname"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        ],
    });
    let out = under(&seccomp, "hostname x; mkdir /tmp/x");
    assert!(out.stderr.contains("not permitted") && out.stderr.contains("No space"), "{out:?}");
}

/// ftruncate(fd, length) is refused where `length`, the second argument, compares so.
#[track_caller]
fn compare(op: &str, value: u64, two: Option<u64>, refused: &[u64], allowed: &[u64]) {
    let mut argument = json!({"index": 1, "value": value, "op": op});
    if let Some(two) = two {
        argument["valueTwo"] = two.into();
    }
    let rule =
        rule(json!({"names": ["ftruncate"], "action": "SCMP_ACT_ERRNO", "args": [argument]}));
    let list = |values: &[u64]| values.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    let script = format!(
        "for n in {} {}; do truncate -s $n /tmp/x 2>/dev/null && echo $n; done; true",
        list(refused),
        list(allowed)
    );
    let out = under(&rule, &script).ok();
    let passed: Vec<u64> = out.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(passed, allowed, "{op} {value} {two:?}");
}

/// More than 32 bits, and its lower half is small.
const BIG: u64 = (1 << 32) + 5;

macro_rules! operators {
    ($($test:ident: $($argument:expr),+;)+) => {
        $(
            #[test]
            fn $test() {
                needs!(Root);
                compare($($argument),+);
            }
        )+
    };
}

operators! {
    equal: "SCMP_CMP_EQ", BIG, None, &[BIG], &[0, 5, 1 << 32, BIG - 1, BIG + 1, 2 * BIG];
    not_equal: "SCMP_CMP_NE", BIG, None, &[0, 5, 1 << 32, BIG + 1], &[BIG];
    less: "SCMP_CMP_LT", BIG, None, &[0, 5, 1 << 32, BIG - 1], &[BIG, BIG + 1, 1 << 33];
    less_or_equal: "SCMP_CMP_LE", BIG, None, &[0, 5, BIG], &[BIG + 1, 1 << 33];
    greater: "SCMP_CMP_GT", BIG, None, &[BIG + 1, 1 << 33], &[0, 100, 1 << 32, BIG];
    greater_or_equal: "SCMP_CMP_GE", BIG, None, &[BIG, 1 << 33], &[0, 100, 1 << 32, BIG - 1];
    masked_equal: "SCMP_CMP_MASKED_EQ", (1 << 32) + 0xf0, Some((1 << 32) + 0x30),
        &[(1 << 32) + 0x30, (1 << 32) + 0x3f], &[0x30, 1 << 32, (1 << 32) + 0x70];
}

#[test]
fn conditions_of_one_rule_hold_together() {
    needs!(Root);
    let rule = rule(json!({
        "names": ["ftruncate"], "action": "SCMP_ACT_ERRNO",
        "args": [
            {"index": 1, "value": 10, "op": "SCMP_CMP_GE"},
            {"index": 0, "value": 1000, "op": "SCMP_CMP_LT"},
        ],
    }));
    let out = under(
        &rule,
        "for n in 5 10 20; do truncate -s $n /tmp/x 2>/dev/null && echo $n; done; true",
    );
    assert_eq!(out.ok(), "5");
}

#[test]
fn rules_of_one_call_are_alternatives() {
    needs!(Root);
    let one = |value: u64, errno: u32| {
        json!({
            "names": ["ftruncate"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno,
            "args": [{"index": 1, "value": value, "op": "SCMP_CMP_EQ"}],
        })
    };
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [one(1, 1), one(2, 28)]});
    let out = under(&seccomp, "for n in 1 2 3; do truncate -s $n /tmp/x && echo $n; done; true");
    assert_eq!(out.stdout, "3\n", "{out:?}");
    assert!(out.stderr.contains("not permitted") && out.stderr.contains("No space"), "{out:?}");
}

/// libseccomp takes two conditions on one argument for one rule each: runc and crun split them.
#[test]
fn two_conditions_on_one_argument() {
    needs!(Root);
    let rule = rule(json!({
        "names": ["ftruncate"], "action": "SCMP_ACT_ERRNO",
        "args": [
            {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"},
            {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"},
        ],
    }));
    let out =
        under(&rule, "for n in 1 2 3; do truncate -s $n /tmp/x 2>/dev/null && echo $n; done; true");
    assert_eq!(out.ok(), "3");
}

#[test]
fn unknown_system_calls_are_ignored() {
    needs!(Root);
    let seccomp =
        rule(json!({"names": ["nonsense_call", "sethostname"], "action": "SCMP_ACT_ERRNO"}));
    let out = under(&seccomp, "hostname x");
    assert!(out.stderr.contains("not permitted"), "{out:?}");
}

#[test]
fn architectures_that_are_not_the_machines_are_taken() {
    needs!(Root);
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}],
    });
    let out = under(&seccomp, "hostname x");
    assert!(out.stderr.contains("not permitted"), "{out:?}");
}

#[test]
fn the_filter_holds_for_exec_and_for_children() {
    needs!(Root);
    let seccomp = rule(json!({"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}));
    let container = Runtime::under_test().create(&Bundle::idle().set("linux.seccomp", seccomp));
    container.start();
    let out =
        container.exec(&["sh", "-c", "grep -E '^Seccomp' /proc/self/status; sh -c 'hostname x'"]);
    assert!(out.stdout.contains("Seccomp:\t2"), "{out:?}");
    assert!(out.stderr.contains("not permitted"), "{out:?}");
}

/// Filters that are older than clone3(2) forbid it, as they do what they do not know.
#[test]
fn a_filter_that_does_not_know_clone3_lets_processes_be_added() {
    needs!(Root);
    let mut names: Vec<_> = BUSYBOX.iter().filter(|name| **name != "clone3").collect();
    names.extend(&["accept4", "recvmsg"]);
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    });
    for flag in [true, false] {
        let bundle = Bundle::idle()
            .set("linux.seccomp", seccomp.clone())
            .set("process.noNewPrivileges", flag);
        let container = Runtime::under_test().create(&bundle);
        container.start();
        assert_eq!(container.exec(&["echo", "added"]).ok(), "added", "{flag}");
    }
}

#[test]
fn the_filter_works_without_new_privileges_for_a_user() {
    needs!(Root);
    for flag in [true, false] {
        let seccomp = rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}));
        let bundle = Bundle::script("mkdir /tmp/x")
            .set("linux.seccomp", seccomp)
            .set("process.user.uid", 1000)
            .set("process.noNewPrivileges", flag)
            .capabilities(&[]);
        let out = Runtime::under_test().run(&bundle);
        assert!(out.stderr.contains("No space"), "{flag}: {out:?}");
    }
}

#[test]
fn flags_are_taken() {
    needs!(Root);
    for flag in
        ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"]
    {
        let mut seccomp = rule(json!({"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}));
        seccomp["flags"] = json!([flag]);
        let out = under(&seccomp, "hostname x");
        assert!(out.stderr.contains("not permitted"), "{flag}: {out:?}");
    }
}

#[test]
fn filters_that_are_not_valid_are_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for seccomp in [
        rule(json!({"names": ["mkdir"], "action": "SCMP_ACT_NONSENSE"})),
        rule(
            json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "value": 1, "op": "NONSENSE"}]}),
        ),
        rule(
            json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}),
        ),
        json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NONSENSE"]}),
    ] {
        let bundle = Bundle::running(&["true"]).set("linux.seccomp", seccomp.clone());
        assert!(runtime.try_create(&bundle).is_err(), "{seccomp}");
        runtime.assert_nothing_left(&bundle);
    }
}

/// "When the action doesn't support an errno, the runtime MUST print and error and fail."
#[test]
fn an_errno_for_an_action_without_one_is_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for action in ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"] {
        let seccomp = rule(json!({"names": ["mkdir"], "action": action, "errnoRet": 1}));
        let bundle = Bundle::running(&["true"]).set("linux.seccomp", seccomp);
        assert!(runtime.try_create(&bundle).is_err(), "{action}");
        runtime.assert_nothing_left(&bundle);
    }
}

/// "`names` MUST contain at least one entry."
#[test]
fn a_rule_without_names_is_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let seccomp = rule(json!({"names": [], "action": "SCMP_ACT_ERRNO"}));
    let bundle = Bundle::running(&["true"]).set("linux.seccomp", seccomp);
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}
