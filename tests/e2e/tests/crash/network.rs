//! Containers with networks and ports, killed with all that looks after them.

use testkit::{Kista, audit, needs, wait_until};

/// On three networks, so many in all.
const CONTAINERS: usize = 300;

#[test]
fn nothing_of_networks_outlives_the_shims() {
    needs!(Root, Busybox, Nftables);
    let kista = Kista::with_busybox();
    let networks = ["bridge", "one", "two"];
    for network in &networks[1..] {
        kista.ok(&["network", "create", network]);
    }
    for number in 0..CONTAINERS {
        let (name, port) = (format!("c{number:03}"), format!("{}:80", 20_000 + number));
        let network = networks[number % networks.len()];
        kista.ok(&[
            "run",
            "-d",
            "--name",
            &name,
            "--network",
            network,
            "-p",
            &port,
            "busybox",
            "sleep",
            "10000",
        ]);
    }
    let host = kista.host();
    let veths = || host.output(&["ip", "-o", "link", "show", "type", "veth"]).lines().count();
    let ports = || host.output(&["nft", "list", "ruleset"]).matches("tcp . 2").count();
    let leases = || {
        let folder = |name: &&str| kista.root().join("networks").join(name).join("leases");
        networks.iter().map(|name| std::fs::read_dir(folder(name)).unwrap().count()).sum::<usize>()
    };
    assert_eq!((veths(), leases()), (CONTAINERS, CONTAINERS));
    let known = host.output(&["ip", "neighbour", "show", "nud", "permanent"]);
    assert_eq!(known.matches("172.").count(), CONTAINERS);
    assert!(ports() >= CONTAINERS);
    for pid in audit::shims(&kista.owner()) {
        audit::kill(pid);
    }
    wait_until("the shims are gone", || audit::shims(&kista.owner()).is_empty().then_some(()));
    kista.ok(&["ps", "--all"]);
    wait_until("the namespaces are gone", || (veths() == 0).then_some(()));
    assert_eq!((ports(), leases()), (0, 0));
    let known = host.output(&["ip", "neighbour", "show", "nud", "permanent"]);
    assert!(!known.contains("172."), "{known}");
    let check = kista.ok(&["system", "check"]);
    assert!(check.ends_with("0 left"), "{check}");
    // Names are nobody's, and ports and addresses can be had again.
    let words = ["run", "--rm", "--network", "one", "-p", "20001:80", "busybox", "hostname", "-i"];
    assert_eq!(kista.ok(&words), "172.18.0.2");
    kista.remove_all().ok();
    kista.ok(&["network", "rm", "one", "two"]);
    let bridges = host.output(&["ip", "-o", "link", "show", "type", "bridge"]);
    assert_eq!(bridges.lines().count(), 1, "{bridges}");
}

#[test]
fn a_start_that_is_killed_gives_its_addresses_back() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["network", "create", "--subnet", "10.5.0.0/29", "small"]);
    // Five addresses; each start is killed at another moment.
    for round in 0..40 {
        let words = ["run", "--rm", "--network", "small", "-p", "8080:80", "busybox", "true"];
        let mut run = kista.command(&words).spawn();
        std::thread::sleep(std::time::Duration::from_micros(700 * round));
        let _ = run.kill();
        let _ = run.wait();
    }
    wait_until("the shims are gone", || audit::shims(&kista.owner()).is_empty().then_some(()));
    kista.ok(&["run", "--rm", "--network", "small", "-p", "8080:80", "busybox", "true"]);
    kista.ok(&["system", "check", "--repair"]);
    let check = kista.ok(&["system", "check"]);
    assert!(check.ends_with("0 left"), "{check}");
    let leases = kista.root().join("networks/small/leases");
    assert_eq!(std::fs::read_dir(leases).unwrap().count(), 0);
    let known = kista.host().output(&["ip", "neighbour", "show", "nud", "permanent"]);
    assert!(!known.contains("10.5."), "{known}");
}
