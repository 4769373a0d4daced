//! `ps`: the list of containers.

use testkit::{Kista, needs, wait_until};

fn three() -> Kista {
    let kista = Kista::with_busybox();
    kista.ok(&super::idle(&["run", "-d", "--name", "up", "--label", "tier=web", "busybox"]));
    kista.run(&["run", "--name", "down", "--label", "tier=db", "busybox", "sh", "-c", "exit 3"]);
    kista.ok(&["create", "--name", "new", "busybox", "echo", "a very long command line indeed"]);
    kista
}

#[test]
fn the_table() {
    needs!(Root, Busybox);
    let kista = three();
    let table = kista.ok(&["ps", "-a"]);
    let lines: Vec<&str> = table.lines().collect();
    let titles = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
    let mut at = 0;
    for title in titles {
        at += lines[0][at..].find(title).unwrap_or_else(|| panic!("{title} in {}", lines[0]));
    }
    assert_eq!(lines.len(), 4);
    assert!(lines[1].ends_with("new") && lines[1].contains("Created"), "newest first: {table}");
    assert!(lines[1].contains("\"echo 'a very long c…\""), "{table}");
    assert!(lines[2].contains("Exited (3) "), "{table}");
    assert!(lines[3].contains("Up ") && lines[3].ends_with("up"), "{table}");
    let running = kista.ok(&["ps"]);
    assert_eq!(running.lines().count(), 2, "{running}");
}

#[test]
fn formats() {
    needs!(Root, Busybox);
    let kista = three();
    let format = "{{.Names}} {{.Image}} {{.State}} {{.Label \"tier\"}}";
    let out = kista.ok(&["ps", "-a", "--format", format]);
    assert_eq!(out, "new busybox created \ndown busybox exited db\nup busybox running web");
    let table = kista.ok(&["ps", "--format", "table {{.Names}}\t{{.Status}}"]);
    assert!(table.starts_with("NAMES     STATUS\nup        Up "), "{table}");
    let json = kista.ok(&["ps", "-a", "--format", "json", "--filter", "name=down"]);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row["Names"], "down");
    assert_eq!(row["State"], "exited");
    assert_eq!(row["Command"], "\"sh -c 'exit 3'\"");
    let bad = kista.run(&["ps", "--format", "{{.Foo}}"]);
    bad.fails(1, "can't evaluate field Foo in type");
    kista.run(&["ps", "--format", "{{.Names"]).fails(1, "template");
}

#[test]
fn filters() {
    needs!(Root, Busybox);
    let kista = three();
    let names = |flags: &[&str]| {
        let all = [&["ps", "--format", "{{.Names}}"], flags].concat();
        kista.ok(&all).replace('\n', " ")
    };
    assert_eq!(names(&[]), "up");
    assert_eq!(names(&["-f", "status=exited"]), "down");
    assert_eq!(names(&["-f", "status=exited", "-f", "status=created"]), "new down");
    assert_eq!(names(&["-a", "-f", "exited=3"]), "down");
    assert_eq!(names(&["-a", "-f", "name=^/up$"]), "up");
    assert_eq!(names(&["-a", "-f", "name=w"]), "new down");
    assert_eq!(names(&["-a", "-f", "label=tier"]), "down up");
    assert_eq!(names(&["-a", "-f", "label=tier=db"]), "down");
    assert_eq!(names(&["-a", "-f", "ancestor=busybox"]), "new down up");
    assert_eq!(names(&["-a", "-f", "before=new"]), "down up");
    assert_eq!(names(&["-a", "-f", "since=down"]), "new");
    assert_eq!(names(&["-l"]), "new");
    assert_eq!(names(&["-n", "2"]), "new down");
    kista.run(&["ps", "-f", "nonsense=1"]).fails(1, "nonsense");
}

#[test]
fn quiet_prints_ids() {
    needs!(Root, Busybox);
    let kista = three();
    let short = kista.ok(&["ps", "-aq"]);
    assert!(short.lines().all(|id| id.len() == 12), "{short}");
    let long = kista.ok(&["ps", "-aq", "--no-trunc"]);
    for (short, long) in short.lines().zip(long.lines()) {
        assert!(long.len() == 64 && long.starts_with(short));
    }
}

#[test]
fn what_ends_by_itself_is_seen_as_ended() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", "sleep 0.2; exit 9"]);
    wait_until("the end", || {
        kista.ok(&["ps", "-a", "--format", "{{.Status}}"]).starts_with("Exited (9)").then_some(())
    });
}
