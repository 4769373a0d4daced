//! What comes back when somebody takes our table away, by which command, and what stays as it is.

use testkit::{Host, Kista, needs};

use super::{fetch, outside, serve, try_fetch};

/// Our tables of nftables, by family and name.
fn tables(kista: &Kista) -> Vec<String> {
    let all = kista.host().output(&["nft", "list", "tables"]);
    let own = all.lines().filter(|line| line.contains(" kista_"));
    own.map(|line| line.trim_start_matches("table ").to_owned()).collect()
}

/// Whether the kernel sends what comes for the published ports to their containers.
fn is_whole(kista: &Kista) -> bool {
    let all = kista.host().output(&["nft", "list", "ruleset"]);
    ["8080", "8081", "masquerade"].iter().all(|part| all.contains(part))
}

fn check(kista: &Kista, outside: &Host, words: &[&str], damage: &str) {
    for table in tables(kista) {
        kista.host().output(&["nft", &format!("{damage} table {table}")]);
    }
    assert!(!is_whole(kista), "{damage}");
    // Meanwhile by the sockets that keep the ports.
    assert_eq!(fetch(outside, "192.0.2.1:8081"), "hello", "{damage}");
    kista.ok(words);
    assert!(is_whole(kista), "{words:?} after {damage}");
    for address in ["192.0.2.1:8080", "[2001:db8::1]:8080", "192.0.2.1:8081"] {
        assert_eq!(fetch(outside, address), "hello", "{words:?} after {damage}: {address}");
    }
}

#[test]
fn what_is_flushed_comes_back_with_the_next_command() {
    needs!(Root, Busybox, Nftables);
    let kista = Kista::with_busybox();
    let outside = outside(&kista);
    kista.ok(&["network", "create", "--ipv6", "--subnet", "fd00:5::/64", "six"]);
    serve(
        &kista,
        "web",
        &["--network", "six", "-p", "192.0.2.1:8080:80", "-p", "[2001:db8::1]:8080:80"],
    );
    serve(&kista, "other", &["-p", "8081:80"]);
    kista.ok(&["create", "--name", "idle", "busybox", "sleep", "100000"]);
    kista.ok(&["network", "create", "spare"]);
    // Another's table, with a set that is filled and a rule that counts, stays as it is.
    let theirs = "table inet theirs { set s { type ipv4_addr; elements = { 203.0.113.7 } }; \
        chain c { type filter hook input priority 10; ip saddr @s counter drop; }; }";
    let file = kista.root().join("theirs.nft");
    std::fs::write(&file, theirs).unwrap();
    kista.host().output(&["nft", "-f", file.to_str().unwrap()]);
    let others = || kista.host().output(&["nft", "list", "table", "inet", "theirs"]);
    let before = others();
    let commands: [&[&str]; 12] = [
        &["ps"],
        &["network", "ls"],
        &["network", "inspect", "six"],
        &["network", "connect", "spare", "web"],
        &["network", "disconnect", "spare", "web"],
        &["network", "create", "more"],
        &["network", "rm", "more"],
        &["network", "prune", "-f"],
        &["run", "--rm", "busybox", "true"],
        &["start", "idle"],
        &["restart", "-t", "0", "idle"],
        &["system", "check", "--repair"],
    ];
    for words in commands {
        check(&kista, &outside, words, "delete");
    }
    for words in [commands[0], commands[8]] {
        check(&kista, &outside, words, "flush");
    }
    assert_eq!(others(), before);
    let tables = tables(&kista);
    assert!(tables.iter().any(|table| table.starts_with("inet ")), "{tables:?}");
    // And what was there for one that is gone does not come back.
    kista.ok(&["rm", "-f", "other"]);
    for table in tables {
        kista.host().output(&["nft", &format!("delete table {table}")]);
    }
    kista.ok(&["ps"]);
    assert_eq!(try_fetch(&outside, "192.0.2.1:8081"), None);
    assert_eq!(kista.ok(&["system", "check"]).split(' ').nth(4), Some("0"));
}
