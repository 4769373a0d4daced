//! `system check`: the audit of the whole house.

use std::fs;

use testkit::{Kista, needs};

#[test]
fn a_house_in_order() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&super::idle(&["run", "-d", "--name", "box", "-v", "data:/d", "busybox"]));
    kista.ok(&["create", "busybox"]);
    let out = kista.run(&["system", "check"]);
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
}

#[test]
fn damage_is_found_named_and_mended() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox().without_audit();
    let root = kista.root();
    fs::create_dir_all(root.join("ingest")).unwrap();
    fs::write(root.join("ingest/forgotten"), "x").unwrap();
    fs::create_dir_all(root.join("layers/.new-forgotten/fs")).unwrap();
    let dead = "ab".repeat(32);
    fs::create_dir_all(root.join("containers").join(&dead)).unwrap();
    fs::create_dir_all(root.join("names")).unwrap();
    std::os::unix::fs::symlink(&dead, root.join("names/ghost")).unwrap();
    let found = kista.run(&["system", "check"]);
    assert_ne!(found.code, 0, "{}", found.stdout);
    assert!(root.join("ingest/forgotten").exists(), "a check alone changes nothing");
    let mended = kista.run(&["system", "check", "--repair"]);
    assert_eq!(mended.code, 0, "{}{}", mended.stdout, mended.stderr);
    assert!(!root.join("ingest/forgotten").exists());
    assert!(!root.join("layers/.new-forgotten").exists());
    assert!(fs::symlink_metadata(root.join("names/ghost")).is_err());
    let again = kista.run(&["system", "check"]);
    assert_eq!(again.code, 0, "{}{}", again.stdout, again.stderr);
    assert_eq!(kista.ok(&["run", "--rm", "busybox", "echo", "x"]), "x");
}

#[test]
fn a_damaged_blob_is_found() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let id = kista.format("{{.Id}}", "busybox");
    let blob = kista.root().join("blobs/sha256").join(&id["sha256:".len()..]);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[10] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let found = kista.run(&["system", "check"]);
    assert_ne!(found.code, 0, "{}", found.stdout);
    assert!((found.stdout + &found.stderr).contains(&id["sha256:".len()..][..12]));
}
