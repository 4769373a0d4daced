//! Start, output, input, exit codes, failures.

use rustix::process::Signal;
use shim::client;
use shim::frame::Frame;
use testkit::needs;

use crate::support::{
    Container, collect, converse, failure_of, is_alive, kill, parent_of, read_until, shim_program,
    wait_until,
};

#[test]
fn output_and_errors_come_apart_and_whole() {
    needs!(Root, Busybox);
    let container = Container::shell("printf 'out\\0\\377'; echo err >&2; exit 42");
    let outcome = container.run();
    assert_eq!(outcome.stdout, b"out\0\xff");
    assert_eq!((outcome.stderr, outcome.code), (b"err\n".to_vec(), Some(42)));
    let events = container.events();
    assert!(events[0].starts_with("claim ") && events[1].starts_with("running "), "{events:?}");
    assert_eq!(events[2..], ["exited 42 None false", "finished"]);
    wait_until("the cgroup is gone", || container.cgroups().is_empty());
}

#[test]
fn a_killed_process_is_128_and_its_signal() {
    needs!(Root, Busybox);
    for signal in [Signal::KILL, Signal::TERM] {
        let container =
            Container::shell("trap 'exit 9' USR1; echo ready; while :; do sleep 1; done");
        // Process 1 of a namespace ignores what it has no handler for, unless it is SIGKILL.
        let (mut session, _) = container.started();
        read_until(&mut session, "ready");
        session.signal(u8::try_from(Signal::TERM.as_raw()).unwrap()).unwrap();
        let number = if signal == Signal::KILL { signal } else { Signal::USR1 };
        session.signal(u8::try_from(number.as_raw()).unwrap()).unwrap();
        let wanted = if signal == Signal::KILL { 137 } else { 9 };
        assert_eq!(collect(&mut session).code, Some(wanted));
    }
}

#[test]
fn input_goes_through_and_its_end_too() {
    needs!(Root, Busybox);
    let container = Container::shell("cat; echo ended").with_stdin();
    let input: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let (mut session, _) = container.started();
    let outcome = converse(&mut session, &input);
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stdout.strip_suffix(b"ended\n") == Some(&input[..]));
}

#[test]
fn a_signal_does_not_wait_behind_input() {
    needs!(Root, Busybox);
    let container = Container::shell("trap 'exit 7' USR1; echo ready; while :; do sleep 0.1; done");
    let container = container.with_stdin();
    let (mut session, _) = container.started();
    read_until(&mut session, "ready");
    let mut sent = 0;
    while session.window() > 0 {
        sent += session.send_stdin(&[0; 100_000]).unwrap();
    }
    assert_eq!(sent, 65_536, "a window's worth, and the pipe takes some of it later");
    session.signal(u8::try_from(Signal::USR1.as_raw()).unwrap()).unwrap();
    assert_eq!(collect(&mut session).code, Some(7));
}

#[test]
fn input_to_a_process_that_does_not_want_it_is_no_obstacle() {
    needs!(Root, Busybox);
    let container = Container::shell("exec <&-; sleep 0.2; echo done").with_stdin();
    let (mut session, _) = container.started();
    let outcome = converse(&mut session, &vec![1; 1_000_000]);
    assert_eq!((outcome.stdout, outcome.code), (b"done\n".to_vec(), Some(0)));
}

#[test]
fn without_stdin_it_is_empty() {
    needs!(Root, Busybox);
    let outcome = Container::shell("cat; readlink /proc/self/fd/0").run();
    assert_eq!(outcome.stdout, b"/dev/null\n");
}

#[test]
fn a_missing_program_is_127_and_one_that_is_none_126() {
    needs!(Root, Busybox);
    for (program, code) in [("/bin/absent", 127), ("absent", 127), ("/etc/text", 126)] {
        let container = Container::new(&[program]);
        let mut session = container.start();
        let (exit_code, message) = failure_of(&mut session);
        assert_eq!(exit_code, code, "{message}");
        assert!(message.contains(program), "{message}");
        assert!(session.recv().unwrap().is_none(), "the shim closes");
        let events = container.events();
        assert_eq!(events[1..], [format!("failed {code}"), "finished".to_owned()]);
        assert_eq!(container.cgroups(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_spec_that_cannot_be_is_125_and_leaves_nothing() {
    needs!(Root, Busybox);
    let mut container = Container::shell("true");
    container.spec().root.as_mut().unwrap().path = "/nonexistent/root".to_owned();
    let (exit_code, message) = failure_of(&mut container.start());
    assert_eq!(exit_code, 125);
    assert!(message.contains("nonexistent"), "{message}");
    assert!(container.cgroups().is_empty());
}

#[test]
fn a_process_that_cannot_be_attached_to_is_not_left_running() {
    needs!(Root, Busybox);
    let container = Container::shell("sleep 1000");
    // Something that the shim does not remove is in the socket's place.
    std::fs::create_dir_all(container.dir().join("attach.sock/x")).unwrap();
    let (exit_code, message) = failure_of(&mut container.start());
    assert_eq!(exit_code, 125);
    assert!(message.contains("attach socket"), "{message}");
    assert_eq!(container.events()[1..], ["failed 125", "finished"]);
    wait_until("the cgroup is gone", || container.cgroups().is_empty());
}

#[test]
fn what_is_claimed_by_another_is_left_alone() {
    needs!(Root, Busybox);
    let container = Container::shell("echo ready; cat").with_stdin();
    let (mut first, pid) = container.started();
    read_until(&mut first, "ready");
    let (exit_code, message) = failure_of(&mut container.start());
    assert_eq!((exit_code, message.ends_with("is running already")), (125, true));
    assert!(is_alive(pid));
    assert_eq!(converse(&mut first, b"still here").stdout, b"still here");
    assert_eq!(container.events().len(), 4, "the second shim's hooks were told nothing");
}

#[test]
fn a_shim_that_is_told_nothing_goes_away() {
    needs!(Root, Busybox);
    let before = shims();
    let pending = client::spawn_early_as(&shim_program(), &shim::Early::default()).unwrap();
    let new: Vec<_> = shims().into_iter().filter(|pid| !before.contains(pid)).collect();
    drop(pending);
    assert!(!new.is_empty());
    // Other tests start some at the same time; ours is among them.
    wait_until("it has ended", || new.iter().any(|pid| !is_alive(*pid)));
}

/// Children of this process that are shims.
fn shims() -> Vec<u32> {
    let children = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("children")).unwrap_or_default()
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let all: String = tasks.map(|task| children(task.unwrap()) + " ").collect();
    all.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn an_execd_process_is_like_any_other() {
    needs!(Root, Busybox);
    let container = Container::shell("echo ready; cat").with_stdin();
    let (mut session, pid) = container.started();
    read_until(&mut session, "ready");

    let start = |launch| {
        client::spawn_early_as(&shim_program(), &shim::Early::default())
            .unwrap()
            .launch(launch)
            .unwrap()
    };
    let mut launch = container.exec(pid, "hostname; ls -d /proc/1; cat; exit 3");
    launch.plan.open_stdin = true;
    launch.plan.stdin_once = true;
    let mut exec = start(&launch);
    let execd = exec.started().unwrap();
    let its_shim = parent_of(execd);
    wait_until("nothing is left of what made it", || children_of(its_shim) == [execd]);
    let outcome = converse(&mut exec, b"typed");
    assert_eq!(outcome.stdout, b"inside\n/proc/1\ntyped");
    assert_eq!(outcome.code, Some(3));
    assert!(!container.cgroups().is_empty(), "the container's cgroup stays");

    let mut missing = container.exec(pid, "");
    if let shim::Kind::Exec { process, .. } = &mut missing.kind {
        process.args = vec!["/bin/absent".to_owned()];
    }
    assert_eq!(failure_of(&mut start(&missing)).0, 127);

    // One that would go on for ever ends with the container.
    let mut endless = start(&container.exec(pid, "echo up; sleep 1000"));
    read_until(&mut endless, "up");
    assert_eq!(converse(&mut session, b"").code, Some(0));
    assert_eq!(collect(&mut endless).code, Some(137));
    wait_until("the cgroup is gone", || container.cgroups().is_empty());
}

fn children_of(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn an_exec_into_another_process_than_was_meant_is_refused() {
    needs!(Root, Busybox);
    let container = Container::shell("cat").with_stdin();
    let (mut session, pid) = container.started();
    let mut launch = container.exec(pid, "true");
    if let shim::Kind::Exec { target, .. } = &mut launch.kind {
        target.start_time = Some(1);
    }
    let mut exec = client::spawn_early_as(&shim_program(), &shim::Early::default())
        .unwrap()
        .launch(&launch)
        .unwrap();
    assert_eq!(failure_of(&mut exec), (125, "the container is not running".to_owned()));
    assert_eq!(converse(&mut session, b"").code, Some(0));
}

#[test]
fn the_shim_is_out_of_the_callers_reach() {
    needs!(Root, Busybox);
    let container =
        Container::shell("trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.1; done");
    let (mut session, pid) = container.started();
    read_until(&mut session, "ready");
    let shim = parent_of(pid);
    assert_eq!(parent_of(shim), std::process::id());
    let stat = std::fs::read_to_string(format!("/proc/{shim}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(fields[3], shim.to_string(), "a session of its own");
    assert_eq!(fields[4], "0", "no terminal");
    for fd in 0..3 {
        let link = std::fs::read_link(format!("/proc/{shim}/fd/{fd}")).unwrap();
        assert_eq!(link.to_str(), Some("/dev/null"));
    }
    assert_eq!(std::fs::read(format!("/proc/{shim}/environ")).unwrap(), b"");
    for stray in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::PIPE, Signal::ALARM] {
        kill(shim, stray);
    }
    kill(shim, Signal::TERM); // is for the process
    let outcome = collect(&mut session);
    assert_eq!((outcome.stdout, outcome.code), (b"told\n".to_vec(), Some(5)));
}

#[test]
fn the_first_frame_is_started() {
    needs!(Root, Busybox);
    let container = Container::shell("true");
    let mut session = container.start();
    match session.recv().unwrap() {
        Some(Frame::Started { tty: false, stdin: false, pid }) => assert!(pid > 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(collect(&mut session).code, Some(0));
}
