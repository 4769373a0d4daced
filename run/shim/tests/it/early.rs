//! What a shim makes before it knows what it is for.

use shim::Early;
use shim::client::{self, Pending};
use testkit::needs;

use crate::support::{
    Container, collect, converse, failure_of, read_until, shim_program, wait_until,
};

fn pending(network: bool) -> Pending {
    client::spawn_early_as(&shim_program(), &Early { network }).unwrap()
}

#[test]
fn an_early_network_is_the_containers_own_with_loopback_up() {
    needs!(Root, Busybox);
    let container = Container::shell("readlink /proc/self/ns/net; ip addr show up");
    let outcome = collect(&mut pending(true).launch(&container.launch).unwrap());
    let text = String::from_utf8(outcome.stdout).unwrap();
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_ne!(text.lines().next(), own.to_str(), "{text}");
    assert!(text.contains("inet 127.0.0.1/8"), "{text}");
}

#[test]
fn an_early_network_that_is_not_wanted_is_thrown_away() {
    needs!(Root, Busybox);
    use oci::runtime::NamespaceKind::Network;
    let mut container = Container::shell("readlink /proc/self/ns/net");
    let linux = container.spec().linux.as_mut().unwrap();
    linux.namespaces.retain(|namespace| namespace.kind != Network);
    let outcome = collect(&mut pending(true).launch(&container.launch).unwrap());
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(String::from_utf8(outcome.stdout).unwrap().trim(), own.to_str().unwrap());
}

#[test]
fn an_early_cgroup_is_limited_used_and_removed() {
    needs!(Root, Busybox);
    let mut container = Container::shell("cat /proc/self/cgroup");
    let plan = container.launch.cgroup.as_mut().unwrap();
    let pids = oci::runtime::Pids { limit: Some(12_345) };
    plan.resources.as_mut().unwrap().pids = Some(pids);
    let path = plan.path.clone();
    let pending = pending(false);
    pending.make_cgroup(&path).unwrap();
    wait_until("the cgroup is there", || !container.cgroups().is_empty());
    let mut container = container.with_stdin();
    if let shim::Kind::Init { spec, .. } = &mut container.launch.kind {
        spec.process.as_mut().unwrap().args[3].push_str("; cat");
    }
    let mut session = pending.launch(&container.launch).unwrap();
    session.started().unwrap();
    let limits: Vec<String> = container
        .cgroups()
        .iter()
        .filter_map(|dir| std::fs::read_to_string(dir.join("pids.max")).ok())
        .collect();
    assert_eq!(limits, ["12345\n"]);
    let outcome = converse(&mut session, b"");
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains(&format!(":/{path}")), "{text}");
    wait_until("the cgroup is gone", || container.cgroups().is_empty());
}

#[test]
fn an_early_cgroup_goes_with_a_client_that_changes_its_mind() {
    needs!(Root, Busybox);
    let container = Container::shell("true");
    let path = container.launch.cgroup.as_ref().unwrap().path.clone();
    let pending = pending(true);
    pending.make_cgroup(&path).unwrap();
    wait_until("the cgroup is there", || !container.cgroups().is_empty());
    drop(pending);
    wait_until("the cgroup is gone", || container.cgroups().is_empty());
}

#[test]
fn an_early_cgroup_takes_nothing_from_one_that_is_there() {
    needs!(Root, Busybox);
    let container = Container::shell("echo ready; cat").with_stdin();
    let (mut session, _) = container.started();
    read_until(&mut session, "ready");
    let pending = pending(false);
    pending.make_cgroup(&container.launch.cgroup.as_ref().unwrap().path).unwrap();
    let mut second = pending.launch(&container.launch).unwrap();
    assert_eq!(failure_of(&mut second).0, 125, "it runs already");
    assert!(!container.cgroups().is_empty());
    assert_eq!(converse(&mut session, b"still here").stdout, b"still here");
}
