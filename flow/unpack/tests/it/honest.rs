//! What an honest archive says is what is there afterwards.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use unpack::ApplyOptions;

use crate::forge::{Forge, Header};
use crate::sandbox::{Sandbox, needs_root, xattr};

#[test]
fn owners_modes_and_times_are_the_archives() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .owner(1000, 2000)
        .mode(0o6755)
        .pax(&[("mtime", b"1600000000.123456789")])
        .file("setid", "x")
        .mode(0o3777)
        .pax(&[("mtime", b"-5.25")])
        .dir("tmp")
        .mode(0o777)
        .file("tmp/wide-open", "x")
        .mode(0o000)
        .file("tmp/closed", "")
        .mtime(1_234_567_890)
        .symlink("tmp/link", "../setid")
        .mode(0o622)
        .fifo("tmp/fifo")
        .owner(0, 0)
        .mode(0o644)
        .file("tmp/roots", "x");
    sandbox.apply(&forge.finish()).unwrap();
    for (name, mode, owner, mtime) in [
        ("setid", 0o6755, (1000, 2000), (1_600_000_000, 123_456_789)),
        ("tmp", 0o3777, (1000, 2000), (-6, 750_000_000)),
        ("tmp/wide-open", 0o777, (1000, 2000), (1_700_000_000, 0)),
        ("tmp/closed", 0, (1000, 2000), (1_700_000_000, 0)),
        ("tmp/link", 0o777, (1000, 2000), (1_234_567_890, 0)),
        ("tmp/fifo", 0o622, (1000, 2000), (1_234_567_890, 0)),
        ("tmp/roots", 0o644, (0, 0), (1_234_567_890, 0)),
    ] {
        let meta = fs::symlink_metadata(sandbox.path(name)).unwrap();
        assert_eq!(meta.mode() & 0o7777, mode, "{name}");
        assert_eq!((meta.uid(), meta.gid()), owner, "{name}");
        assert_eq!((meta.mtime(), meta.mtime_nsec()), mtime, "{name}");
    }
    assert!(fs::symlink_metadata(sandbox.path("tmp/fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn directories_keep_their_times_whatever_comes_later() {
    let sandbox = Sandbox::new();
    let mut forge = Forge::new().mtime(1000);
    for index in 0..200 {
        forge = forge.dir(&format!("d{index}"));
    }
    forge = forge.mtime(2000).dir("d0/sub").mtime(3000);
    for index in 0..200 {
        forge = forge.file(&format!("d{index}/file"), "x");
    }
    let forge = forge
        .file("d0/sub/a/b/unlisted", "x")
        .mtime(4000)
        .dir("d7")
        .symlink("d9", "d8")
        .file("d9/through", "x")
        .file(".wh.nothing", "");
    sandbox.apply(&forge.finish()).unwrap();
    let time = |name: &str| fs::metadata(sandbox.path(name)).unwrap().mtime();
    for (name, want) in [
        ("d0", 1000),
        ("d0/sub", 2000),
        ("d0/sub/a", 3000),
        ("d0/sub/a/b", 3000),
        ("d7", 4000),
        ("d8", 1000),
        ("d199", 1000),
    ] {
        assert_eq!(time(name), want, "{name}");
    }
}

#[test]
fn unlisted_parents_are_ordinary_directories_of_root() {
    let sandbox = Sandbox::new();
    let forge = Forge::new().mode(0o2777).dir("top").mode(0o600).file("top/a/b/file", "x");
    let applied = sandbox.apply(&forge.finish()).unwrap();
    assert_eq!((applied.entries, applied.bytes), (4, 1));
    let meta = fs::metadata(sandbox.path("top/a/b")).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o755);
}

#[test]
fn attributes_are_set_and_survive_the_owner() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::new();
    // Version 2, effective; cap_net_raw permitted and nothing inheritable.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let forge = Forge::new()
        .owner(7, 8)
        .mode(0o755)
        .pax(&[("SCHILY.xattr.security.capability", &capability), ("SCHILY.xattr.user.a", b"b\0c")])
        .file("ping", "x")
        .pax(&[("SCHILY.xattr.user.dir", b"yes")])
        .dir("dir")
        .pax(&[("SCHILY.xattr.user.link", b"no")])
        .symlink("link", "ping");
    let applied = sandbox.apply(&forge.finish()).unwrap();
    assert_eq!(applied.skipped_xattrs, 1);
    let ping = sandbox.path("ping");
    assert_eq!(xattr(&ping, "security.capability").as_deref(), Some(&capability[..]));
    assert_eq!(xattr(&ping, "user.a").as_deref(), Some(&b"b\0c"[..]));
    assert_eq!(xattr(&sandbox.path("dir"), "user.dir").as_deref(), Some(&b"yes"[..]));
    assert_eq!(fs::metadata(&ping).unwrap().uid(), 7);
}

#[test]
fn hard_links_are_one_file() {
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .file("dir/one", "content")
        .hard_link("two", "dir/one")
        .hard_link("./dir/three", "/two")
        .hard_link("two", "dir/one")
        .symlink("link", "nowhere")
        .hard_link("link-too", "link");
    let applied = sandbox.apply(&forge.finish()).unwrap();
    assert_eq!((applied.bytes, applied.entries), (7, 6));
    let meta = fs::metadata(sandbox.path("dir/three")).unwrap();
    assert_eq!(meta.nlink(), 3);
    assert_eq!(fs::read_link(sandbox.path("link-too")).unwrap().to_str(), Some("nowhere"));
}

#[test]
fn later_entries_win() {
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .file("a", "old and longer")
        .file("b", "b")
        .hard_link("c", "b")
        .file("b", "new")
        .file("a", "new")
        .dir("d")
        .file("d/in", "x")
        .file("d", "a file now")
        .file("e", "x")
        .dir("e")
        .file("e/in", "x");
    let applied = sandbox.apply(&forge.finish()).unwrap();
    assert_eq!(sandbox.list(), ["a", "b", "c", "d", "e/", "e/in"]);
    assert_eq!(
        ["a", "b", "c", "d"].map(|name| sandbox.read(name)),
        ["new", "new", "b", "a file now"]
    );
    assert_eq!(applied.entries, 6);
    assert_eq!(applied.bytes, 3 + 1 + 3 + 10 + 1 + 1, "the file in d went with d");
}

#[test]
fn sparse_files_stay_sparse() {
    let sandbox = Sandbox::new();
    let data = "x".repeat(4096) + "end";
    let old_gnu = {
        let mut header = Header::new(b'S', b"old", 4099);
        header.put(257, b"ustar  \0");
        header.octal(386, 12, 65536).octal(398, 12, 4096);
        header.octal(410, 12, 10_000_000).octal(422, 12, 3);
        header.octal(483, 12, 10_000_003);
        header.block()
    };
    let map_1_0 = "2\n65536\n4096\n10000000\n3\n";
    let data_1_0 = [map_1_0.as_bytes(), &vec![0; 512 - map_1_0.len()], data.as_bytes()].concat();
    let forge = Forge::new()
        .raw(&old_gnu)
        .data(data.as_bytes())
        .pax(&[
            ("GNU.sparse.size", b"10000003"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.offset", b"65536"),
            ("GNU.sparse.numbytes", b"4096"),
            ("GNU.sparse.offset", b"10000000"),
            ("GNU.sparse.numbytes", b"3"),
        ])
        .file("v00", &data)
        .pax(&[
            ("GNU.sparse.major", b"0"),
            ("GNU.sparse.minor", b"1"),
            ("GNU.sparse.name", b"v01"),
            ("GNU.sparse.size", b"10000003"),
            ("GNU.sparse.numblocks", b"2"),
            ("GNU.sparse.map", b"65536,4096,10000000,3"),
        ])
        .file("GNUSparseFile.1/x", &data)
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"v10"),
            ("GNU.sparse.realsize", b"10000003"),
        ])
        .entry(b'0', "GNUSparseFile.1/x", "", &data_1_0)
        .pax(&[("GNU.sparse.size", b"50000000"), ("GNU.sparse.numblocks", b"0")])
        .file("hole", "")
        .file("dense", "x");
    let applied = sandbox.apply(&forge.finish()).unwrap();
    assert_eq!(sandbox.list(), ["dense", "hole", "old", "v00", "v01", "v10"]);
    assert_eq!(applied.bytes, 4 * 10_000_003 + 50_000_000 + 1);
    let mut want = vec![0; 10_000_003];
    want[65536..65536 + 4096].fill(b'x');
    want[10_000_000..].copy_from_slice(b"end");
    for name in ["old", "v00", "v01", "v10"] {
        assert!(fs::read(sandbox.path(name)).unwrap() == want, "{name}");
        let on_disk = fs::metadata(sandbox.path(name)).unwrap().blocks() * 512;
        assert!(on_disk < 100_000, "{name} takes {on_disk} bytes");
    }
    assert_eq!(fs::metadata(sandbox.path("hole")).unwrap().len(), 50_000_000);
}

#[test]
fn global_headers_hold_until_overridden() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .extended(b'g', &[("comment", b"a commit"), ("uid", b"11"), ("mtime", b"50")])
        .file("global", "x")
        .pax(&[("uid", b"12")])
        .file("local", "x")
        .extended(b'g', &[("uid", b"13")])
        .file("second", "x");
    sandbox.apply(&forge.finish()).unwrap();
    let facts = ["global", "local", "second"].map(|name| {
        let meta = fs::metadata(sandbox.path(name)).unwrap();
        (meta.uid(), meta.mtime())
    });
    assert_eq!(facts, [(11, 50), (12, 50), (13, 50)]);
}

#[test]
fn old_archives_are_read_too() {
    let sandbox = Sandbox::new();
    let mut v7 = Header::new(0, b"v7-dir/", 0);
    v7.put(257, &[0; 8]);
    let mut star = Header::new(b'0', b"star-file", 0);
    star.put(345, b"star-dir").put(508, b"tar\0");
    let mut old_go = Header::new(b'0', b"go-file", 0);
    old_go.put(257, b"ustar  \0").put(345, b"prefix/of/go");
    let mut gnu = Header::new(b'0', b"gnu-file", 0);
    gnu.put(257, b"ustar  \0").octal(345, 12, 1_500_000_000).octal(357, 12, 1_500_000_000);
    let forge = Forge::new()
        .raw(&v7.block())
        .raw(&star.block())
        .raw(&old_go.block())
        .raw(&gnu.block())
        .gnu_long(b'L', &format!("long/{}", "n".repeat(150)))
        .gnu_long(b'K', &"t".repeat(150))
        .symlink("x", "y");
    sandbox.apply(&forge.finish()).unwrap();
    let list = sandbox.list();
    for name in ["v7-dir/", "star-dir/star-file", "prefix/of/go/go-file", "gnu-file"] {
        assert!(list.contains(&name.to_owned()), "{name} of {list:?}");
    }
    let link = fs::read_link(sandbox.path(&format!("long/{}", "n".repeat(150)))).unwrap();
    assert_eq!(link.as_os_str().len(), 150);
}

#[test]
fn without_owners_everything_is_the_callers() {
    let sandbox = Sandbox::new();
    let options = ApplyOptions { owners: false, ..ApplyOptions::default() };
    let forge = Forge::new().owner(1234, 1234).mode(0o4711).file("file", "x");
    sandbox.apply_with(&forge.finish(), &options).unwrap();
    let meta = fs::metadata(sandbox.path("file")).unwrap();
    assert_eq!(meta.uid(), rustix::process::geteuid().as_raw());
    assert_eq!(meta.permissions().mode() & 0o7777, 0o4711);
}
