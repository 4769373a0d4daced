//! Bad days: what is named, and that the store stays as it was.

use std::process::{Command, Output};

use testkit::{Image, Kista, needs};

/// Runs a shell script with the program as `$KISTA`, in a mount namespace of its own.
fn apart(kista: &Kista, script: &str) -> Output {
    let template = kista.command(&[]).into_command();
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script]);
    for (key, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
    command.env("KISTA", kista.program()).env("ROOT", kista.root());
    kista.host().enter(|| command.output().unwrap())
}

#[test]
fn an_unknown_image_says_how_to_get_one() {
    needs!(Root);
    let kista = Kista::new();
    let out = kista.run(&["run", "--rm", "nginx"]);
    out.fails(125, "nginx");
    assert!(
        out.stderr.contains("kista load") || out.stderr.contains("kista import"),
        "{}",
        out.stderr
    );
}

#[test]
fn unknown_commands_and_flags() {
    needs!(Root);
    let kista = Kista::new();
    kista.run(&["nonsense"]).fails(1, "unknown command");
    kista.run(&["ps", "--nonsense"]).fails(125, "unknown flag: --nonsense");
    kista.run(&["stop"]).fails(1, "requires at least 1 argument");
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    let archive = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(archive.path(), Image::busybox("busybox").docker_archive()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=1m none $ROOT && ! $KISTA load -i {} && $KISTA images -q && ls -A $ROOT/ingest && mount -o remount,size=64m $ROOT && $KISTA load -i {0} && $KISTA run --rm busybox echo fits",
        archive.path().display()
    );
    let out = apart(&kista, &script);
    let (stdout, stderr) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}{stderr}");
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert_eq!(stdout, "Loaded image: busybox:latest\nfits\n");
}

#[test]
fn a_read_only_store_is_named() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["create", "--name", "box", "busybox"]);
    let script = "mount --bind $ROOT $ROOT && mount -o remount,bind,ro $ROOT && $KISTA ps -a --format '{{.Names}}' && $KISTA images -q && $KISTA run --rm busybox true";
    let out = apart(&kista, script);
    let (stdout, stderr) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(125), "{stdout}{stderr}");
    assert!(stdout.starts_with("box\n"), "reading works: {stdout}{stderr}");
    assert!(stderr.contains("Read-only file system"), "{stderr}");
}

#[test]
fn a_damaged_record_hurts_no_other_container() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox().without_audit();
    let bad = kista.ok(&["create", "--name", "bad", "busybox"]);
    kista.ok(&["create", "--name", "good", "busybox", "echo", "fine"]);
    std::fs::write(kista.root().join("containers").join(&bad).join("record.json"), "{\"Id\":")
        .unwrap();
    assert_eq!(kista.ok(&["start", "-a", "good"]), "fine");
    let out = kista.run(&["ps", "-a", "--format", "{{.Names}}"]);
    assert!(out.stdout.contains("good"), "{} {}", out.stdout, out.stderr);
    let out = kista.run(&["start", "bad"]);
    assert!(out.code != 0 && out.stderr.contains(&bad[..12]), "{}", out.stderr);
}
