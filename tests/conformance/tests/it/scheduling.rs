//! `process.scheduler`, `ioPriority`, `oomScoreAdj`; `linux.personality`; `execCPUAffinity`.
//! runtime-spec 1.3.0, config.md, "Linux Process".

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

#[test]
fn the_scheduling_policy_is_as_configured() {
    needs!(Root);
    // proc_pid_stat(5): the 19th field is the nice value, and the 41st the policy. The kernel
    // takes a nice value for the first two alone.
    for (policy, nice, shown) in
        [("SCHED_OTHER", 5, "5 0"), ("SCHED_BATCH", 5, "5 3"), ("SCHED_IDLE", 0, "0 5")]
    {
        let bundle = Bundle::running(&["cut", "-d", " ", "-f", "19,41", "/proc/self/stat"])
            .set("process.scheduler", json!({"policy": policy, "nice": nice}));
        let out = Runtime::under_test().run(&bundle).ok();
        assert!(out == shown || (policy == "SCHED_IDLE" && out.ends_with(" 5")), "{policy}: {out}");
    }
}

#[test]
fn reset_on_fork_is_as_configured() {
    needs!(Root);
    // A child of a process that resets on fork does not inherit its raised priority.
    let script = "cut -d ' ' -f 19 /proc/$$/stat; cut -d ' ' -f 19 /proc/self/stat; true";
    let bundle = Bundle::script(script).set(
        "process.scheduler",
        json!({"policy": "SCHED_OTHER", "nice": -5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}),
    );
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "-5\n0");
}

#[test]
fn schedulers_that_are_none_are_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for scheduler in [
        json!({"policy": "SCHED_NONSENSE"}),
        json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NONSENSE"]}),
    ] {
        let bundle = Bundle::running(&["true"]).set("process.scheduler", scheduler.clone());
        assert!(runtime.try_create(&bundle).is_err(), "{scheduler}");
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn the_io_priority_is_as_configured() {
    needs!(Root);
    for (class, priority, shown) in
        [("IOPRIO_CLASS_BE", 6, "best-effort: prio 6"), ("IOPRIO_CLASS_IDLE", 0, "idle")]
    {
        let bundle = Bundle::script("ionice -p $$")
            .set("process.ioPriority", json!({"class": class, "priority": priority}));
        let out = Runtime::under_test().run(&bundle).ok();
        assert!(out.contains(shown), "{class}: {out}");
    }
}

#[test]
fn io_priorities_that_are_none_are_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for priority in [
        json!({"class": "IOPRIO_CLASS_NONSENSE", "priority": 0}),
        json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
        json!({"class": "IOPRIO_CLASS_BE", "priority": -1}),
    ] {
        let bundle = Bundle::running(&["true"]).set("process.ioPriority", priority.clone());
        assert!(runtime.try_create(&bundle).is_err(), "{priority}");
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn the_oom_score_is_adjusted() {
    needs!(Root);
    for score in [500, 1000, 17] {
        let bundle =
            Bundle::script("cat /proc/self/oom_score_adj").set("process.oomScoreAdj", score);
        assert_eq!(Runtime::under_test().run(&bundle).ok(), score.to_string());
    }
}

#[test]
fn the_oom_score_is_the_callers_when_none_is_configured() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::script("cat /proc/self/oom_score_adj");
    bundle.write();
    let line =
        runtime.command(&["run", "--bundle", bundle.path().to_str().unwrap(), "conformance-oom"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo 123 >/proc/self/oom_score_adj; exec \"$0\" \"$@\""]);
    let output = command.arg(line.get_program()).args(line.get_args()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "123\n");
}

#[test]
fn the_personality_is_as_configured() {
    needs!(Root);
    let bundle =
        Bundle::running(&["uname", "-m"]).set("linux.personality", json!({"domain": "LINUX32"}));
    let out = Runtime::under_test().run(&bundle).ok();
    assert_ne!(out, std::env::consts::ARCH);
    let bundle =
        Bundle::running(&["uname", "-m"]).set("linux.personality", json!({"domain": "LINUX"}));
    assert_eq!(Runtime::under_test().run(&bundle).ok(), std::env::consts::ARCH);
}

#[test]
fn the_affinity_of_an_exec_is_as_configured() {
    needs!(Root);
    let bundle =
        Bundle::idle().set("process.execCPUAffinity", json!({"initial": "0", "final": "1"}));
    let container = Runtime::under_test().create(&bundle);
    container.start();
    let out = container.exec(&["grep", "Cpus_allowed_list", "/proc/self/status"]).ok();
    assert_eq!(out, "Cpus_allowed_list:\t1");
    // It is not for the first process.
    let init = container.exec(&["grep", "Cpus_allowed_list", "/proc/1/status"]).ok();
    assert_ne!(init, "Cpus_allowed_list:\t1");
}
