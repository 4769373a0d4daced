//! Archives that mean harm. Each runs beside a canary which [`Sandbox::apply_with`] compares.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use unpack::{ApplyOptions, Devices, Limits, UnpackError};

use crate::forge::{Forge, Header};
use crate::sandbox::{Sandbox, needs_root, xattr};

fn refused(forge: Forge, entry: &str, why: &str) {
    let sandbox = Sandbox::new();
    let error = sandbox.apply(&forge.finish()).unwrap_err();
    let text =
        format!("{error} / {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(text.contains(entry) && text.contains(why), "{entry}: {text}");
}

#[test]
fn paths_that_leave_the_root_are_refused_by_name() {
    for path in ["../evil", "/../evil", "a/../../evil", "./../evil", "..", "a/b/../../../evil"] {
        refused(Forge::new().file(path, "x"), path, "leaves the root");
        refused(Forge::new().dir(path), path, "leaves the root");
        refused(Forge::new().symlink(path, "x"), path, "leaves the root");
        refused(Forge::new().file("own", "x").hard_link(path, "own"), path, "leaves the root");
        refused(Forge::new().file("own", "x").hard_link("link", path), "link", "outside the root");
    }
}

#[test]
fn absolute_paths_and_dots_mean_the_root() {
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .file("/etc/one", "1")
        .file("./etc/./two", "2")
        .file("etc/sub/../three", "3")
        .file("//etc//four", "4");
    sandbox.apply(&forge.finish()).unwrap();
    assert_eq!(sandbox.list(), ["etc/", "etc/four", "etc/one", "etc/three", "etc/two"]);
}

#[test]
fn links_of_earlier_entries_lead_no_further_than_the_root() {
    for target in ["CANARY", "../canary", "../../../../../../../../../tmp", "/", "..", "."] {
        let sandbox = Sandbox::new();
        let target = target.replace("CANARY", &sandbox.canary());
        let forge = Forge::new()
            .symlink("link", &target)
            .symlink("second", "link")
            .file("link/pwned", "x")
            .file("second/pwned-too", "x")
            .dir("link/dir")
            .symlink("link/sub", "x")
            .fifo("link/fifo")
            .hard_link("link/hard", "link/pwned");
        sandbox.apply(&forge.finish()).unwrap();
        let list = sandbox.list();
        for name in ["pwned", "pwned-too", "dir/", "sub", "fifo", "hard"] {
            let is_there = list.iter().any(|path| path.ends_with(name));
            assert!(is_there, "{name} is inside, through {target}: {list:?}");
        }
    }
}

#[test]
fn var_run_works() {
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .dir("var")
        .symlink("var/run", "/run")
        .file("var/run/early", "made behind a link to nothing yet")
        .mode(0o711)
        .dir("run")
        .mode(0o644)
        .file("var/run/late", "x")
        .symlink("lib", "usr/lib")
        .file("lib/a/b/libc.so", "x");
    sandbox.apply(&forge.finish()).unwrap();
    let want = [
        "lib",
        "run/",
        "run/early",
        "run/late",
        "usr/",
        "usr/lib/",
        "usr/lib/a/",
        "usr/lib/a/b/",
        "usr/lib/a/b/libc.so",
        "var/",
        "var/run",
    ];
    assert_eq!(sandbox.list(), want);
    assert_eq!(fs::metadata(sandbox.path("run")).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn loops_and_files_are_no_parents() {
    let forge = Forge::new().symlink("a", "b").symlink("b", "a");
    refused(forge.clone().file("a/x", "x"), "a/x", "loop of links");
    refused(Forge::new().symlink("self", "self/x").file("self/y", "x"), "self/y", "loop of links");
    refused(Forge::new().file("file", "x").file("file/x", "x"), "file/x", "no directory");
    refused(Forge::new().fifo("pipe").file("pipe/x", "x"), "pipe/x", "no directory");
    // Links to nothing that lead through each other with long missing tails.
    let tail = "x/".repeat(2000);
    let mut forge = Forge::new();
    for index in 0..45 {
        forge = forge.symlink(&format!("l{index}"), &format!("l{}/{tail}", index + 1));
    }
    refused(forge.clone().file("l0/y", "x"), "l0/y", "loop of links");
    let limits = Limits { entries: 3000, ..Limits::default() };
    let options = ApplyOptions { limits, ..ApplyOptions::default() };
    let error = Sandbox::new().apply_with(&forge.file("l15/y", "x").finish(), &options);
    assert!(matches!(error, Err(UnpackError::Limit { .. })), "{error:?}");
}

#[test]
fn hard_links_reach_nothing_outside() {
    let canary = Sandbox::new().canary();
    for target in ["/etc/passwd", &format!("{canary}/file"), "missing", "etc/../missing"] {
        refused(Forge::new().hard_link("hard", target), "hard", "No such file");
    }
    refused(Forge::new().dir("dir").hard_link("hard", "dir"), "hard", "not permitted");
    refused(Forge::new().hard_link("hard", "/"), "hard", "is the root");
    refused(Forge::new().file(".wh.x", "").hard_link("hard", "x"), "hard", "No such file");

    // A hard link to a link is that link; what is written to it replaces it.
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .symlink("link", &format!("{}/file", sandbox.canary()))
        .mode(0o4777)
        .owner(1000, 1000)
        .hard_link("hard", "link")
        .file("hard", "mine")
        .file("link", "mine too");
    sandbox.apply(&forge.finish()).unwrap();
    assert_eq!((sandbox.read("hard"), sandbox.read("link")), ("mine".into(), "mine too".into()));
}

#[test]
fn entries_over_links_replace_the_links() {
    let sandbox = Sandbox::new();
    let canary = sandbox.canary();
    let mut forge = Forge::new().mode(0o777).owner(12, 34);
    for name in ["file", "dir", "fifo", "link", "hard"] {
        forge = forge
            .symlink(name, &format!("{canary}/setuid"))
            .symlink(&format!("to-{name}"), &canary);
    }
    let forge = forge
        .file("file", "mine")
        .dir("dir/")
        .dir("to-dir")
        .file("to-dir/inside", "x")
        .fifo("fifo")
        .symlink("link", "elsewhere")
        .hard_link("hard", "file");
    sandbox.apply(&forge.finish()).unwrap();
    assert!(fs::symlink_metadata(sandbox.path("to-dir")).unwrap().is_dir());
    assert!(fs::symlink_metadata(sandbox.path("fifo")).unwrap().file_type().is_fifo());
    assert_eq!(sandbox.read("hard"), "mine");
}

#[test]
fn a_replaced_directory_or_link_leads_elsewhere_at_once() {
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .dir("a/b")
        .file("a/b/one", "1")
        .symlink("a", &sandbox.canary())
        .file("a/b/two", "2")
        .dir("d1")
        .dir("d2")
        .symlink("l", "d1")
        .file("l/first", "x")
        .symlink("l", "d2")
        .file("l/second", "x");
    sandbox.apply(&forge.finish()).unwrap();
    let list = sandbox.list();
    assert!(list.contains(&"d1/first".into()) && list.contains(&"d2/second".into()), "{list:?}");
    assert!(!list.iter().any(|path| path.ends_with("one")), "{list:?}");
    assert!(list.iter().any(|path| path.ends_with("canary/b/two")), "in the root: {list:?}");
}

#[test]
fn only_a_directory_can_be_the_root() {
    for name in [".", "./", "/", "a/..", ".//."] {
        for flag in [b'0', b'1', b'2', b'3', b'6'] {
            refused(Forge::new().entry(flag, name, "/tmp", b""), name, "root");
        }
    }
    refused(Forge::new().entry(b'2', "", "/tmp", b""), "", "empty");
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.apply(&Forge::new().mode(0o1711).owner(5, 6).mtime(77).dir("./").finish()).unwrap();
    let meta = fs::metadata(sandbox.root()).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.mtime()), (0o1711, 5, 6, 77));
}

#[test]
fn names_that_no_file_system_takes_are_refused() {
    let long = "d/".repeat(2048);
    refused(Forge::new().pax(&[("path", long.as_bytes())]).file("x", ""), "d/d/", "too long");
    refused(Forge::new().gnu_long(b'L', &long).file("x", ""), "d/d/", "too long");
    refused(Forge::new().file(&"n".repeat(256), ""), "nnnn", "component");
    refused(Forge::new().pax(&[("path", b"a\0b")]).file("x", ""), "", "NUL");
    refused(Forge::new().gnu_long(b'L', "a\0b").file("x", ""), "", "NUL");
    refused(Forge::new().symlink("l", ""), "l", "link is empty");
    refused(Forge::new().symlink("l", &"t".repeat(4096)), "l", "link is too long");
    let sandbox = Sandbox::new();
    let name = "n".repeat(255);
    sandbox.apply(&Forge::new().file(&name, "x").finish()).unwrap();
    assert_eq!(sandbox.read(&name), "x");
}

#[test]
fn owners_are_exact_or_refused() {
    for id in ["4294967295", "4294967296", "18446744073709551616", "-1", "+0", "0x0", " 0", "1e3"] {
        refused(Forge::new().pax(&[("uid", id.as_bytes())]).file("x", ""), "", "uid");
        refused(Forge::new().pax(&[("gid", id.as_bytes())]).file("x", ""), "", "gid");
    }
    let mut header = Header::new(b'0', b"x", 0);
    header.put(108, b"\xff\xff\xff\xff\xff\xff\xff\xff");
    refused(Forge::new().raw(&header.block()), "x", "out of range");
}

#[test]
fn devices_are_the_callers_choice_and_never_whiteouts() {
    if !needs_root() {
        return;
    }
    refused(Forge::new().char_device("x", 0, 0), "x", "whiteout");
    let forge = Forge::new().char_device("null", 1, 3).block_device("disk", 7, 200).fifo("pipe");
    let sandbox = Sandbox::new();
    sandbox.apply(&forge.clone().finish()).unwrap();
    let meta = fs::symlink_metadata(sandbox.path("null")).unwrap();
    assert!(meta.file_type().is_char_device());
    assert_eq!(meta.rdev(), rustix::fs::makedev(1, 3));
    assert!(fs::symlink_metadata(sandbox.path("disk")).unwrap().file_type().is_block_device());

    let skip = ApplyOptions { devices: Devices::Skip, ..ApplyOptions::default() };
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.apply_with(&forge.clone().finish(), &skip).unwrap().skipped, 2);
    assert_eq!(sandbox.list(), ["pipe"]);
    refused(Forge::new().char_device("x", 0, 0), "x", "whiteout");

    let refuse = ApplyOptions { devices: Devices::Refuse, ..ApplyOptions::default() };
    let error = Sandbox::new().apply_with(&forge.finish(), &refuse).unwrap_err();
    assert!(matches!(error, UnpackError::Refused { .. }), "{error}");
}

#[test]
fn attributes_that_speak_to_overlayfs_or_the_host_are_left_out() {
    if !needs_root() {
        return;
    }
    let records: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("LIBARCHIVE.xattr.trusted.overlay.metacopy", b"eA=="),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.trusted.other", b"x"),
        ("SCHILY.xattr.security.selinux", b"x"),
        ("SCHILY.xattr.user.kept", b"x"),
    ];
    let sandbox = Sandbox::new();
    let forge = Forge::new().pax(records).dir("dir").pax(records).file("file", "x");
    let applied = sandbox.apply(&forge.finish()).unwrap();
    assert_eq!(applied.skipped_xattrs, 12);
    for name in ["dir", "file"] {
        let path = sandbox.path(name);
        assert_eq!(xattr(&path, "user.kept").as_deref(), Some(&b"x"[..]));
        for (key, _) in records.iter().filter(|(key, _)| !key.ends_with("kept")) {
            let key = key.split_once("xattr.").unwrap().1;
            assert_eq!(xattr(&path, key), None, "{key} of {name}");
        }
    }
}

#[test]
fn sizes_and_counts_are_bounded() {
    let limits = Limits { entries: 10, bytes: 1 << 20, file_bytes: 1 << 24, ..Limits::default() };
    let options = ApplyOptions { limits, ..ApplyOptions::default() };
    let too_much = |forge: Forge, what: &str| {
        let error = Sandbox::new().apply_with(&forge.finish(), &options).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
    };
    let mut many = Forge::new();
    for index in 0..11 {
        many = many.file(&format!("f{index}"), "");
    }
    too_much(many, "entries");
    too_much(Forge::new().file("a/b/c/d/e/f/g/h/i/j/k/l", ""), "parent directories");
    too_much(Forge::new().file("big", &"x".repeat(2 << 20)), "bytes");

    let sparse = |size: &'static str| -> Forge {
        let records: &[(&str, &[u8])] = &[
            ("GNU.sparse.major", b"0"),
            ("GNU.sparse.minor", b"1"),
            ("GNU.sparse.size", size.as_bytes()),
            ("GNU.sparse.map", b"0,1"),
        ];
        Forge::new().pax(records).file("sparse", "x")
    };
    too_much(sparse("9223372036854775807"), "bytes in a file");
    too_much(sparse("1099511627776"), "bytes in a file");
    // One byte every other block: 512 bytes here, a megabyte there.
    let map: Vec<String> = (0..300).map(|index| format!("{},1", index * 8192)).collect();
    let map = map.join(",");
    let records: &[(&str, &[u8])] =
        &[("GNU.sparse.size", b"4000000"), ("GNU.sparse.map", map.as_bytes())];
    too_much(Forge::new().pax(records).file("sparse", &"x".repeat(300)), "bytes");
}

#[test]
fn the_extended_size_is_the_one_that_counts() {
    // The header says 0, the PAX record 1024: the data is a header for a file that must not be.
    let hidden = Forge::new().file("smuggled", "x").unfinished();
    let data = [hidden.as_slice(), &[0; 512]].concat();
    let size = data.len().to_string();
    let forge = Forge::new()
        .pax(&[("size", size.as_bytes())])
        .raw(&Header::new(b'0', b"honest", 0).block())
        .raw(&data)
        .file("after", "x");
    let sandbox = Sandbox::new();
    sandbox.apply(&forge.finish()).unwrap();
    assert_eq!(sandbox.list(), ["after", "honest"]);
    assert_eq!(fs::metadata(sandbox.path("honest")).unwrap().len(), data.len() as u64);

    // And the other way round: the record says less.
    let forge = Forge::new()
        .pax(&[("size", b"1")])
        .raw(&Header::new(b'0', b"honest", 512).block())
        .data(b"y")
        .file("after", "x");
    let sandbox = Sandbox::new();
    sandbox.apply(&forge.finish()).unwrap();
    assert_eq!(sandbox.list(), ["after", "honest"]);
    assert_eq!(sandbox.read("honest"), "y");
}

#[test]
fn headers_with_two_meanings_are_refused() {
    let local: &[(&str, &[u8])] = &[("path", b"pax")];
    for (forge, why) in [
        (Forge::new().gnu_long(b'L', "gnu").pax(local).file("x", ""), "twice"),
        (Forge::new().pax(local).pax(local).file("x", ""), "two extended headers"),
        (Forge::new().gnu_long(b'L', "a").gnu_long(b'L', "b").file("x", ""), "two extended"),
        (Forge::new().extended(b'g', local).file("x", ""), "global"),
        (Forge::new().extended(b'g', &[("size", b"0")]).file("x", "1"), "global"),
        (Forge::new().file("x", "").raw(&[0; 512]).file("y", ""), "stands alone"),
        (Forge::new().entry(b'M', "x", "", b""), "another volume"),
        (Forge::new().entry(b'Z', "x", "", b""), "type is unknown"),
        (Forge::new().raw(&[1; 512]), "checksum"),
    ] {
        refused(forge, "", why);
    }
}

#[test]
fn a_cut_archive_is_an_error_wherever_it_is_cut() {
    let forge = Forge::new().pax(&[("path", b"name")]).file("x", "content").file("y", "more");
    let whole = forge.unfinished();
    let near_blocks = |length: &usize| matches!(length % 512, 0 | 1 | 7 | 100 | 511);
    for length in (0..whole.len()).filter(near_blocks) {
        let result = Sandbox::new().apply(&whole[..length]);
        // The end of the second entry is as good an end as the end of the archive.
        assert_eq!(result.is_ok(), matches!(length, 0 | 2048), "cut to {length}: {result:?}");
    }
}
