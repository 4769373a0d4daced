//! Ends of all kinds: of the process, of what it left behind, of the shim.

use std::time::{Duration, Instant};

use oci::runtime::{Memory, NamespaceKind};
use rustix::process::Signal;
use testkit::needs;

use crate::support::{Container, collect, is_alive, kill, parent_of, read_until, wait_until};

#[test]
fn the_process_dies_with_its_shim() {
    needs!(Root, Busybox);
    let container = Container::shell("sleep 1000 & echo ready; sleep 1000");
    let (mut session, pid) = container.started();
    read_until(&mut session, "ready");
    kill(parent_of(pid), Signal::KILL);
    wait_until("it has died", || !is_alive(pid));
    assert_eq!(collect(&mut session).code, None, "nobody is left to tell");

    // What that leaves is no obstacle to the next one of the same name.
    assert!(!container.cgroups().is_empty() && container.dir().join("attach.sock").exists());
    let (mut session, _) = container.started();
    read_until(&mut session, "ready");
    session.signal(9).unwrap();
    assert_eq!(collect(&mut session).code, Some(137));
    wait_until("the cgroup is gone", || container.cgroups().is_empty());
}

#[test]
fn what_a_process_leaves_behind_does_not_delay_its_end() {
    needs!(Root, Busybox);
    let mut container = Container::shell("sleep 1000 & echo $!; exit 2");
    // In the host's process ids nothing ends with the first process by itself.
    let namespaces = &mut container.spec().linux.as_mut().unwrap().namespaces;
    namespaces.retain(|namespace| namespace.kind != NamespaceKind::Pid);
    let started = Instant::now();
    let outcome = container.run();
    assert_eq!(outcome.code, Some(2));
    assert!(started.elapsed() < Duration::from_secs(10));
    let left: u32 = String::from_utf8(outcome.stdout).unwrap().trim().parse().unwrap();
    wait_until("the rest is dead", || !is_alive(left));
    wait_until("the cgroup is gone", || container.cgroups().is_empty());
}

#[test]
fn output_of_a_process_that_ended_long_ago_is_not_lost() {
    needs!(Root, Busybox);
    for _ in 0..20 {
        let outcome = Container::shell("echo out; echo err >&2").run();
        assert_eq!((&outcome.stdout[..], &outcome.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    }
}

#[test]
fn a_kill_for_want_of_memory_is_noticed() {
    needs!(Root, Busybox);
    let mut container = Container::shell("tail /dev/zero; echo \"child: $?\"; exit 0");
    let limit = 16 * 1024 * 1024;
    let resources = container.launch.cgroup.as_mut().unwrap().resources.as_mut().unwrap();
    resources.memory = Some(Memory { limit: Some(limit), swap: Some(limit), ..Memory::default() });
    let outcome = container.run();
    assert_eq!(outcome.stdout, b"child: 137\n", "{outcome:?}");
    assert!(container.events().contains(&"exited 0 None true".to_owned()));
}

#[test]
fn the_cgroup_holds_the_process_and_not_the_shim() {
    needs!(Root, Busybox);
    let container = Container::shell("echo ready; cat").with_stdin();
    let (mut session, pid) = container.started();
    read_until(&mut session, "ready");
    let shim = parent_of(pid);
    for dir in container.cgroups() {
        let procs = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap();
        let holds = |pid: u32| procs.lines().any(|line| line == pid.to_string());
        assert!(holds(pid) && !holds(shim), "{}: {procs}", dir.display());
    }
    session.signal(9).unwrap();
    collect(&mut session);
}
