//! Processes added to a running container.

use oci::runtime::Process;

use crate::bundle;
use crate::driver::Run;

fn exec(script: &str, edit: impl FnOnce(&mut Process)) -> crate::driver::Report {
    let mut process = bundle::spec(&["sh", "-c", script]).process.unwrap();
    edit(&mut process);
    Run::new(&["sleep", "60"]).request(|request| request.exec = Some(process)).run()
}

#[test]
fn an_added_process_is_in_all_namespaces_of_the_first() {
    let script = "for ns in pid net mnt ipc uts user cgroup time; do \
        [ $(readlink /proc/1/ns/$ns) = $(readlink /proc/self/ns/$ns) ] || echo differs: $ns; done; hostname; pwd";
    assert_eq!(exec(script, |_| {}).ok(), "testbox\n/");
}

#[test]
fn it_is_as_confined_as_the_first() {
    let script = "for pid in 1 self; do \
        grep -E '^(Cap|NoNewPrivs|Groups|Uid|Gid|Seccomp)' /proc/$pid/status > /tmp/$pid; \
        cat /proc/$pid/oom_score_adj >> /tmp/$pid; grep -v processes /proc/$pid/limits >> /tmp/$pid; done; \
        cmp /tmp/1 /tmp/self 2>/dev/null || { grep -vxFf /tmp/1 /tmp/self; true; }";
    assert_eq!(exec(script, |_| {}).ok(), "");
}

#[test]
fn its_code_descriptors_directory_and_user_are_its_own() {
    let out = exec("id -u; pwd; ls /proc/self/fd; exit 7", |process| {
        process.user.uid = 1000;
        process.cwd = "/tmp".into();
    });
    assert_eq!(out.code, Some(7));
    // 3 is the directory that ls reads.
    assert_eq!(out.stdout, "1000\n/tmp\n0\n1\n2\n3\n");
}

#[test]
fn its_errors_are_those_of_a_first_process() {
    let out = exec("", |process| process.args = vec!["nope".into()]);
    assert_eq!(out.refused(), "exec: \"nope\": executable file not found in $PATH");
    assert_eq!(out.exec_error, Some(127));
    let out = exec("", |process| process.cwd = "/proc/self/fd/3".into());
    assert!(out.refused().contains("chdir to cwd"), "{out:?}");
}

#[test]
fn its_terminal_is_another_one_of_the_container() {
    let out = exec("tty; test -t 2 && echo > /dev/tty && echo mine", |process| {
        process.terminal = true;
    });
    assert_eq!(
        out.ok().replace('\r', "").split_whitespace().collect::<Vec<_>>(),
        ["/dev/pts/0", "mine"]
    );
}

/// What is needed after the filter is in force is looked for in it before.
#[test]
fn a_filter_too_strict_to_be_born_with_comes_last_or_is_refused() {
    let mut process =
        bundle::spec(&["sh", "-c", "grep ^Seccomp: /proc/self/status"]).process.unwrap();
    let exec = |process: &Process| {
        let process = process.clone();
        Run::new(&["sleep", "60"])
            .linux(|linux| linux.seccomp = Some(crate::confined::deny(&["setsid"])))
            .request(|request| request.exec = Some(process))
            .run()
    };
    assert_eq!(exec(&process).ok(), "Seccomp:\t2");
    process.no_new_privileges = false;
    let out = exec(&process);
    assert!(out.refused().contains("the seccomp filter forbids setsid"), "{out:?}");
}

#[test]
fn how_it_is_scheduled_is_as_asked_even_if_children_do_not_inherit_it() {
    let out = exec("cut -d' ' -f40,41 /proc/self/stat", |process| {
        process.args = ["sh", "-c", "cat /proc/self/stat /proc/$$/stat | cut -d' ' -f40,41"]
            .map(str::to_owned)
            .to_vec();
        process.scheduler = Some(oci::runtime::Scheduler {
            policy: "SCHED_FIFO".into(),
            priority: 5,
            flags: vec!["SCHED_FLAG_RESET_ON_FORK".into()],
            ..oci::runtime::Scheduler::default()
        });
    });
    // A child of the program has the default again.
    assert_eq!(out.ok(), "0 0\n5 1");
}

#[test]
fn its_memory_comes_from_the_nodes_of_the_containers_policy() {
    let script = "head -n 1 /proc/self/numa_maps | cut -d' ' -f2";
    let process = bundle::spec(&["sh", "-c", script]).process;
    let out = Run::new(&["sleep", "60"])
        .linux(|linux| {
            linux.memory_policy = Some(oci::runtime::MemoryPolicy {
                mode: "MPOL_PREFERRED".into(),
                nodes: "0".into(),
                flags: vec!["MPOL_F_RELATIVE_NODES".into()],
            });
        })
        .request(|request| request.exec = process)
        .run();
    assert_eq!(out.ok(), "prefer=relative:0");
}
