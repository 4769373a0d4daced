//! As whom a container's command runs.

use serde_json::json;
use testkit::{Image, Kista, needs};

#[test]
fn users_by_name_and_number() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    for (user, expected) in [
        ("root", "0 0 0"),
        ("app", "1000 1000 1000 2000"),
        ("1000", "1000 1000 1000 2000"),
        ("app:extra", "1000 2000 2000"),
        ("1234", "1234 0 0"),
        ("1234:77", "1234 77 77"),
        (":extra", "0 2000 2000"),
    ] {
        let out = kista.ok(&[
            "run",
            "--rm",
            "-u",
            user,
            "busybox",
            "sh",
            "-c",
            "echo $(id -u) $(id -g) $(id -G)",
        ]);
        assert_eq!(out, expected, "{user}");
    }
    let missing = kista.run(&["run", "--rm", "-u", "nobody-here", "busybox", "id"]);
    missing.fails(125, "unable to find user nobody-here: no matching entries in passwd file");
    let missing = kista.run(&["run", "--rm", "-u", "app:no-group", "busybox", "id"]);
    missing.fails(125, "unable to find group no-group: no matching entries in group file");
}

#[test]
fn groups_are_added() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.ok(&[
        "run",
        "--rm",
        "-u",
        "1234",
        "--group-add",
        "extra",
        "--group-add",
        "99",
        "busybox",
        "id",
        "-G",
    ]);
    let mut groups: Vec<&str> = out.split(' ').collect();
    groups.sort_unstable();
    assert_eq!(groups, ["0", "2000", "99"]);
}

#[test]
fn the_images_user_and_home() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    kista.load(&Image::busybox("app").config("User", json!("app")));
    assert_eq!(
        kista.ok(&["run", "--rm", "app", "sh", "-c", "echo $(id -un) $HOME"]),
        "app /home/app"
    );
    // A new root file can be made by root alone.
    assert_ne!(kista.run(&["run", "--rm", "app", "touch", "/x"]).code, 0);
    assert_eq!(
        kista.ok(&["run", "--rm", "-u", "0", "app", "sh", "-c", "touch /x; echo $HOME"]),
        "/root"
    );
}
