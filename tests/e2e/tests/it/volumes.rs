//! Bind mounts, volumes and tmpfs.

use std::fs;

use serde_json::json;
use testkit::tar::Writer;
use testkit::{Image, Kista, needs};

#[test]
fn directories_of_the_host() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let host = tempfile::tempdir().unwrap();
    let path = host.path().to_str().unwrap();
    fs::write(host.path().join("in"), "from host\n").unwrap();
    let bind = format!("{path}:/data");
    let out = kista.ok(&[
        "run",
        "--rm",
        "-v",
        &bind,
        "busybox",
        "sh",
        "-c",
        "cat /data/in; echo x > /data/out",
    ]);
    assert_eq!(out, "from host");
    assert_eq!(fs::read_to_string(host.path().join("out")).unwrap(), "x\n");
    let out =
        kista.run(&["run", "--rm", "-v", &format!("{bind}:ro"), "busybox", "touch", "/data/no"]);
    assert!(out.code != 0 && out.stderr.contains("Read-only file system"), "{}", out.stderr);
    let mount = format!("type=bind,source={path},target=/data,readonly");
    let out = kista.run(&["run", "--rm", "--mount", &mount, "busybox", "touch", "/data/no"]);
    assert!(out.stderr.contains("Read-only file system"), "{}", out.stderr);
    assert!(!host.path().join("no").exists());
}

#[test]
fn a_source_that_is_missing() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let host = tempfile::tempdir().unwrap();
    let path = format!("{}/new", host.path().display());
    // -v makes it, --mount does not.
    let mount = format!("type=bind,source={path},target=/data");
    kista
        .run(&["run", "--rm", "--mount", &mount, "busybox", "true"])
        .fails(125, "bind source path does not exist");
    kista.ok(&["run", "--rm", "-v", &format!("{path}:/data"), "busybox", "true"]);
    assert!(fs::metadata(path).unwrap().is_dir());
}

#[test]
fn a_single_file() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let host = tempfile::tempdir().unwrap();
    let file = host.path().join("f");
    fs::write(&file, "one file\n").unwrap();
    let bind = format!("{}:/etc/mine.conf:ro", file.display());
    assert_eq!(
        kista.ok(&["run", "--rm", "-v", &bind, "busybox", "cat", "/etc/mine.conf"]),
        "one file"
    );
}

#[test]
fn named_volumes_outlive_containers() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "--rm", "-v", "data:/data", "busybox", "sh", "-c", "echo kept > /data/x"]);
    assert_eq!(kista.ok(&["run", "--rm", "-v", "data:/d", "busybox", "cat", "/d/x"]), "kept");
    let mount = "type=volume,source=data,target=/d";
    assert_eq!(kista.ok(&["run", "--rm", "--mount", mount, "busybox", "cat", "/d/x"]), "kept");
    assert_eq!(kista.ok(&["volume", "ls", "-q"]), "data");
    let point = kista.ok(&["volume", "inspect", "-f", "{{.Mountpoint}}", "data"]);
    assert_eq!(fs::read_to_string(format!("{point}/x")).unwrap(), "kept\n");
    let id = kista.ok(&["create", "-v", "data:/d", "busybox"]);
    kista.run(&["volume", "rm", "data"]).fails(1, "volume is in use");
    kista.ok(&["rm", "-v", &id]);
    assert_eq!(kista.ok(&["volume", "rm", "data"]), "data");
    assert_eq!(kista.ok(&["volume", "ls", "-q"]), "");
}

#[test]
fn a_new_volume_starts_with_what_the_image_has_there() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    let mut layer = Writer::new();
    layer.directory("srv/", 0o750).file("srv/page", 0o640, b"content\n").symlink("srv/l", "page");
    kista.load(&Image::busybox("app").layer(layer.finish()).config("Volumes", json!({"/srv": {}})));
    let script = "cat /srv/l; stat -c %a /srv; echo more > /srv/new";
    assert_eq!(kista.ok(&["run", "--name", "box", "app", "sh", "-c", script]), "content\n750");
    let volumes = kista.ok(&["volume", "ls", "-q"]);
    assert!(volumes.len() == 64, "the image's volume is an anonymous one: {volumes}");
    kista.ok(&["rm", "-v", "box"]);
    assert_eq!(kista.ok(&["volume", "ls", "-q"]), "");
    kista.ok(&["run", "--rm", "-v", "vol:/srv", "app", "sh", "-c", "echo changed > /srv/page"]);
    assert_eq!(kista.ok(&["run", "--rm", "-v", "vol:/srv", "app", "cat", "/srv/page"]), "changed");
    let nocopy = ["run", "--rm", "-v", "other:/srv:nocopy", "app", "ls", "/srv"];
    assert_eq!(kista.ok(&nocopy), "");
}

#[test]
fn memory_file_systems() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.ok(&[
        "run",
        "--rm",
        "--tmpfs",
        "/scratch:size=1m,mode=700",
        "busybox",
        "sh",
        "-c",
        "grep ' /scratch ' /proc/mounts; stat -c %a /scratch; touch /scratch/x",
    ]);
    assert!(out.contains("tmpfs /scratch tmpfs rw,nosuid,nodev,noexec"), "{out}");
    assert!(out.contains("size=1024k") && out.ends_with("\n700"), "{out}");
    let mount = "type=tmpfs,target=/t,tmpfs-size=65536";
    let out = kista.run(&[
        "run",
        "--rm",
        "--mount",
        mount,
        "busybox",
        "dd",
        "if=/dev/zero",
        "of=/t/x",
        "bs=1k",
        "count=100",
    ]);
    assert!(out.stderr.contains("No space left"), "{}", out.stderr);
}

#[test]
fn a_read_only_root() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out = kista.run(&["run", "--rm", "--read-only", "busybox", "touch", "/x"]);
    assert!(out.stderr.contains("Read-only file system"), "{}", out.stderr);
    let script = "echo ok > /dev/shm/x && echo ok > /run/x && cat /run/x";
    kista.ok(&[
        "run",
        "--rm",
        "--read-only",
        "--tmpfs",
        "/run",
        "-v",
        "/vol",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
}

#[test]
fn read_only_reaches_mounts_below() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let host = tempfile::tempdir().unwrap();
    fs::create_dir_all(host.path().join("sub")).unwrap();
    // The mount below is made in a namespace of its own, for the host's table to stay as it is.
    let script = format!(
        "mount -t tmpfs none {0}/sub && exec {1} run --rm -v {0}:/d:ro busybox touch /d/sub/x",
        host.path().display(),
        kista.program().display(),
    );
    let mut command = kista.command(&[]).into_command();
    let mut inside = std::process::Command::new("unshare");
    inside.args(["-m", "sh", "-c", &script]);
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            inside.env(key, value);
        }
    }
    let out = kista.host().enter(|| inside.output().unwrap());
    assert!(String::from_utf8_lossy(&out.stderr).contains("Read-only file system"), "{out:?}");
    command.args(["ps"]);
}

#[test]
fn prune_removes_what_nothing_uses() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["volume", "create", "unused"]);
    kista.ok(&["create", "--name", "box", "-v", "/anon", "-v", "used:/u", "busybox"]);
    let anonymous: Vec<String> = kista
        .ok(&["volume", "ls", "-q"])
        .lines()
        .filter(|name| name.len() == 64)
        .map(str::to_owned)
        .collect();
    assert_eq!(anonymous.len(), 1);
    kista.ok(&["volume", "prune", "-f"]);
    assert_eq!(kista.ok(&["volume", "ls", "-q"]).lines().count(), 3, "only anonymous ones go");
    kista.ok(&["volume", "prune", "-f", "-a"]);
    assert_eq!(kista.ok(&["volume", "ls", "-q"]).lines().count(), 2);
    kista.run(&["volume", "inspect", "unused"]).fails(1, "no such volume");
}

#[test]
fn targets_inside_the_image_that_are_links_stay_inside() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    let canary = tempfile::tempdir().unwrap();
    let mut layer = Writer::new();
    layer.symlink("escape", canary.path().to_str().unwrap());
    kista.load(&Image::busybox("evil").layer(layer.finish()));
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("f"), "x").unwrap();
    let bind = format!("{}:/escape/deep", host.path().display());
    kista.ok(&["run", "--rm", "-v", &bind, "evil", "true"]);
    assert_eq!(fs::read_dir(canary.path()).unwrap().count(), 0, "nothing was made outside");
}

#[test]
fn a_missing_source_leaves_no_other_made() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let host = tempfile::tempdir().unwrap();
    let made = host.path().join("made");
    let bind = format!("{}:/made", made.display());
    let missing = format!("type=bind,src={},dst=/x", host.path().join("missing").display());
    kista
        .run(&["run", "--rm", "-v", &bind, "--mount", &missing, "busybox", "true"])
        .fails(125, "bind source path does not exist");
    assert!(!made.exists(), "nothing was made for a container that cannot start");
    kista.ok(&["run", "--rm", "-v", &bind, "busybox", "true"]);
    assert!(made.is_dir());
}
