use std::net::IpAddr;

use super::*;

fn networks() -> (tempfile::TempDir, Networks) {
    let temp = tempfile::tempdir().unwrap();
    let networks = Networks::open(temp.path()).unwrap();
    (temp, networks)
}

fn new(name: &str) -> NewNetwork {
    NewNetwork { name: name.into(), driver: "bridge".into(), ipv4: true, ..NewNetwork::default() }
}

fn with_pool(name: &str, subnet: &str) -> NewNetwork {
    let pool = WantedPool { subnet: Some(subnet.parse().unwrap()), ..WantedPool::default() };
    NewNetwork { pools: vec![pool], ..new(name) }
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn networks_are_found_by_name_and_id_and_go() {
    let (_temp, networks) = networks();
    let made = networks.create(new("web"), &[]).unwrap();
    assert_eq!(made.pools[0].subnet.to_string(), "172.17.0.0/16");
    assert_eq!(made.gateway(true).unwrap().to_string(), "172.17.0.1/16");
    for text in ["web", &made.id, &made.id[..12]] {
        assert_eq!(networks.find(text).unwrap(), made);
    }
    for text in ["we", "", "zz", "..", "web/..", ".lock"] {
        assert!(matches!(networks.find(text), Err(NetworksError::NotFound { .. })), "{text}");
    }
    assert!(matches!(networks.create(new("web"), &[]), Err(NetworksError::NameTaken { .. })));
    for name in ["", "-x", "a/b", "a b", ".x", "é"] {
        assert!(matches!(networks.create(new(name), &[]), Err(NetworksError::BadName { .. })));
    }
    let guard = networks.lock().unwrap();
    networks.remove("web", &guard).unwrap();
    assert!(matches!(networks.remove("web", &guard), Err(NetworksError::NotFound { .. })));
    assert_eq!(networks.list().unwrap(), []);
}

#[test]
fn a_subnet_is_free_of_networks_and_of_the_hosts_routes() {
    let (_temp, networks) = networks();
    let occupied = ["172.17.0.0/24".parse().unwrap(), "172.18.5.0/30".parse().unwrap()];
    let first = networks.create(new("a"), &occupied).unwrap();
    assert_eq!(first.pools[0].subnet.to_string(), "172.19.0.0/16");
    let second = networks.create(new("b"), &occupied).unwrap();
    assert_eq!(second.pools[0].subnet.to_string(), "172.20.0.0/16");
    let error = networks.create(with_pool("c", "172.20.128.0/24"), &[]).unwrap_err().to_string();
    assert!(error.contains("Pool overlaps with other one"), "{error}");
    // 31 in all: 15 of 172 and 16 of 192.168, of which two are the host's and two in use.
    let rest = (0..).map(|n| networks.create(new(&format!("n{n}")), &occupied));
    let rest: Vec<_> = rest.take_while(Result::is_ok).collect();
    assert_eq!(rest.len(), 27);
    let error = networks.create(new("z"), &occupied).unwrap_err();
    assert!(matches!(error, NetworksError::NoPool { .. }), "{error}");
    assert_eq!(networks.find_by_name("z").unwrap(), None);
    let six = NewNetwork { ipv4: false, ipv6: true, ..new("six") };
    let six = networks.create(six, &[]).unwrap();
    assert!(six.pools[0].subnet.to_string().starts_with("fd") && six.pools[0].subnet.length == 64);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (_temp, networks) = networks();
    let check = |pool: WantedPool, want: &str| {
        let new = NewNetwork { pools: vec![pool], ..new("x") };
        let error = networks.create(new, &[]).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    };
    let pool = |subnet: &str| WantedPool {
        subnet: Some(subnet.parse().unwrap()),
        ..WantedPool::default()
    };
    check(pool("10.0.0.1/24"), "it should be 10.0.0.0/24");
    check(pool("0.0.0.0/0"), "everything");
    check(pool("fd00::/64"), "no IPv6");
    let range = |text: &str| Some(text.parse().unwrap());
    check(WantedPool { range: range("10.1.0.0/25"), ..pool("10.0.0.0/24") }, "not in the subnet");
    check(WantedPool { range: range("10.0.0.0/16"), ..pool("10.0.0.0/24") }, "larger");
    check(WantedPool { gateway: Some(address("10.1.0.1")), ..pool("10.0.0.0/24") }, "gateway");
    assert_eq!(networks.list().unwrap(), []);
}

#[test]
fn an_address_is_one_owners() {
    let (_temp, networks) = networks();
    let wanted = WantedPool {
        subnet: Some("10.0.0.0/29".parse().unwrap()),
        reserved: [("router".to_owned(), address("10.0.0.2"))].into(),
        ..WantedPool::default()
    };
    let network = networks.create(NewNetwork { pools: vec![wanted], ..new("n") }, &[]).unwrap();
    let guard = networks.lock().unwrap();
    let take = |owner: &str, wanted: Option<&str>| {
        networks.take(&network, owner, true, wanted.map(address), &guard)
    };
    assert_eq!(take("a", None).unwrap(), address("10.0.0.3"));
    assert_eq!(take("b", None).unwrap(), address("10.0.0.4"));
    assert_eq!(take("c", Some("10.0.0.6")).unwrap(), address("10.0.0.6"));
    assert_eq!(take("c", Some("10.0.0.6")).unwrap(), address("10.0.0.6"));
    assert_eq!(take("d", None).unwrap(), address("10.0.0.5"));
    assert!(matches!(take("e", None), Err(NetworksError::Exhausted { .. })));
    for taken in ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.7"] {
        let error = take("e", Some(taken)).unwrap_err();
        assert!(matches!(error, NetworksError::AddressTaken { .. }), "{taken}: {error}");
    }
    assert!(matches!(take("e", Some("10.0.1.1")), Err(NetworksError::Foreign { .. })));
    // Not by others.
    networks.give_back("n", "x", address("10.0.0.4")).unwrap();
    assert!(take("e", Some("10.0.0.4")).is_err());
    networks.give_back("n", "b", address("10.0.0.4")).unwrap();
    networks.give_back("n", "b", address("10.0.0.4")).unwrap();
    networks.give_back("gone", "b", address("10.0.0.4")).unwrap();
    assert_eq!(take("e", None).unwrap(), address("10.0.0.4"));
    let taken = networks.reclaim(
        "n",
        &mut |owner, give| {
            if owner == "a" {
                give()
            }
        },
        &guard,
    );
    assert_eq!(taken.unwrap().len(), 1);
    let owners: Vec<_> = networks.leases("n").unwrap().into_iter().map(|it| it.owner).collect();
    assert_eq!(owners, ["e", "d", "c"]);
}

#[test]
fn addresses_come_from_the_range() {
    let (_temp, networks) = networks();
    let wanted = WantedPool {
        subnet: Some("10.0.0.0/16".parse().unwrap()),
        range: Some("10.0.5.0/30".parse().unwrap()),
        gateway: Some(address("10.0.5.1")),
        ..WantedPool::default()
    };
    let network = networks.create(NewNetwork { pools: vec![wanted], ..new("n") }, &[]).unwrap();
    let guard = networks.lock().unwrap();
    let take = || networks.take(&network, "a", true, None, &guard);
    assert_eq!(take().unwrap(), address("10.0.5.0"));
    assert_eq!(take().unwrap(), address("10.0.5.2"));
    assert_eq!(take().unwrap(), address("10.0.5.3"));
    assert!(take().is_err());
}

#[test]
fn names_lead_to_those_who_answer_to_them() {
    let (_temp, networks) = networks();
    networks.create(with_pool("n", "10.0.0.0/24"), &[]).unwrap();
    let names = ["web".to_owned(), "Alias".to_owned(), "/".repeat(300)];
    networks.announce("n", "a", &names, &[address("10.0.0.2"), address("fd00::2")]).unwrap();
    networks.announce("n", "b", &names, &[address("10.0.0.3")]).unwrap();
    networks.announce("n", "b", &names, &[address("10.0.0.4")]).unwrap();
    let found = networks.resolve("n", "ALIAS.").unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].addresses, [address("10.0.0.2"), address("fd00::2")]);
    assert_eq!(found[1].addresses, [address("10.0.0.4")]);
    networks.withdraw("n", "a", &names).unwrap();
    networks.withdraw("n", "a", &names).unwrap();
    assert_eq!(networks.resolve("n", "web").unwrap().len(), 1);
    networks.withdraw("n", "b", &names).unwrap();
    assert_eq!(networks.resolve("n", "web").unwrap(), []);
    assert_eq!(networks.all_names("n").unwrap(), []);
    assert!(networks.announce("gone", "a", &names, &[]).is_err());
    networks.withdraw("gone", "a", &names).unwrap();
}
