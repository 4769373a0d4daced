//! The table.

use network::{NetworkRules, Protocol, Published, Table, TableState};
use testkit::needs;

use crate::host::{on_a_host, output};

fn network(bridge: &str) -> NetworkRules {
    NetworkRules {
        bridge: bridge.into(),
        host: vec!["172.17.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        masquerade: [true, false],
        internal: false,
        apart: true,
        open: [false, false],
        routed: [true, false],
        trusted: vec!["eth7".into(), "eth8".into()],
    }
}

fn port(host: &str, target: &str) -> Published {
    Published {
        protocol: Protocol::Tcp,
        host: host.parse().unwrap(),
        target: target.parse().unwrap(),
        trusted_only: false,
        owner: "0123456789ab".into(),
    }
}

#[test]
fn the_table_is_whole_after_it_was_built_and_damage_is_seen() {
    needs!(Root, Nftables);
    on_a_host(|| {
        let mut table = Table::open("kista").unwrap();
        assert_eq!(table.state().unwrap(), TableState::Missing);
        let ports = [
            port("0.0.0.0:0", "172.17.0.2:8080"),
            Published { trusted_only: true, ..port("0.0.0.0:0", "172.17.0.2:80") },
            port("0.0.0.0:80", "172.17.0.2:8080"),
            port("[::1]:80", "[fd00::2]:80"),
        ];
        table.rebuild(&[network("br0")], &ports).unwrap();
        assert_eq!(table.state().unwrap(), TableState::Whole);
        assert_eq!(table.published().unwrap(), ports);
        assert_eq!(table.networks().unwrap(), ["br0"]);
        // As others see it: it can be listed, and loaded again.
        let listed = output("nft", &["list", "table", "inet", "kista"]);
        for part in ["tcp . 80", "elements = { \"br0\" }", "\"eth7\" . \"br0\""] {
            assert!(listed.contains(part), "{part}: {listed}");
        }
        for damage in
            ["flush chain inet kista forward", "flush table inet kista", "delete table inet kista"]
        {
            output("nft", &[damage]);
            assert_ne!(table.state().unwrap(), TableState::Whole, "{damage}");
            table.rebuild(&[], &[]).unwrap();
            assert_eq!(table.state().unwrap(), TableState::Whole, "{damage}");
            assert_eq!(table.published().unwrap(), []);
        }
        table.delete().unwrap();
        table.delete().unwrap();
        assert_eq!(output("nft", &["list", "ruleset"]), "");
    });
}

#[test]
fn a_port_is_published_over_a_dead_ones_and_withdrawn_by_its_owner_only() {
    needs!(Root);
    on_a_host(|| {
        let mut table = Table::open("kista").unwrap();
        let (old, new) = (port("0.0.0.0:80", "172.17.0.2:80"), port("0.0.0.0:80", "172.17.0.3:80"));
        // Nothing to take out of nothing.
        table.withdraw(std::slice::from_ref(&old)).unwrap();
        table.rebuild(&[], std::slice::from_ref(&old)).unwrap();
        let both = [new.clone(), port("192.0.2.1:80", "172.17.0.3:80")];
        table.publish(&both).unwrap();
        table.publish(&both).unwrap();
        table.withdraw(&[old]).unwrap();
        assert_eq!(table.published().unwrap(), both);
        table.withdraw(&both).unwrap();
        table.withdraw(&both).unwrap();
        assert_eq!(table.published().unwrap(), []);
    });
}

#[test]
fn networks_come_and_go() {
    needs!(Root, Nftables);
    on_a_host(|| {
        let mut table = Table::open("kista").unwrap();
        table.rebuild(&[], &[]).unwrap();
        table.add_network(&network("br0")).unwrap();
        table.add_network(&network("br0")).unwrap();
        table.add_network(&network("br1")).unwrap();
        table.remove_network("br0").unwrap();
        table.remove_network("br0").unwrap();
        assert_eq!(table.networks().unwrap(), ["br1"]);
        let listed = output("nft", &["list", "set", "inet", "kista", "trusted"]);
        assert!(!listed.contains("br0") && listed.matches("br1").count() == 2, "{listed}");
        let many: Vec<Published> =
            (1..2000).map(|n| port(&format!("0.0.0.0:{n}"), "172.17.0.2:80")).collect();
        table.publish(&many).unwrap();
        assert_eq!(table.published().unwrap().len(), many.len());
    });
}

#[test]
fn bridges_have_a_table_of_their_own_where_the_kernel_can() {
    needs!(Root, BridgeFilter);
    on_a_host(|| {
        let mut table = Table::open("kista").unwrap();
        table.rebuild(&[network("br0")], &[]).unwrap();
        table.add_network(&network("br1")).unwrap();
        let list = || output("nft", &["list", "table", "bridge", "kista"]);
        for part in ["arp saddr ip", "\"br0\" . 172.17.0.1", "\"br1\" . fd00::1"] {
            assert!(list().contains(part), "{part}: {}", list());
        }
        table.remove_network("br0").unwrap();
        assert!(!list().contains("br0") && list().contains("br1"), "{}", list());
        table.delete().unwrap();
        assert_eq!(output("nft", &["list", "ruleset"]), "");
    });
}
