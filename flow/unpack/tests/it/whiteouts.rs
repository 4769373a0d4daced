//! Whiteouts and opaque directories, in overlayfs's form and carried out.
//!
//! image-spec 1.1.1, layer.md, "Whiteouts".

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use unpack::{ApplyOptions, UnpackError, Whiteouts};

use crate::forge::Forge;
use crate::sandbox::{Sandbox, is_opaque, is_whiteout, needs_root};

fn delete() -> ApplyOptions {
    ApplyOptions { whiteouts: Whiteouts::Delete, ..ApplyOptions::default() }
}

#[test]
fn whiteouts_become_devices_and_opaque_attributes() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .file("dir/.wh.gone", "")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/new", "x")
        .file("unlisted/sub/.wh.deep", "");
    let applied = sandbox.apply(&forge.finish()).unwrap();
    assert_eq!(applied.whiteouts, 3);
    assert!(is_whiteout(&sandbox.path("dir/gone")));
    assert!(is_whiteout(&sandbox.path("unlisted/sub/deep")));
    assert!(is_opaque(&sandbox.path("opaque")) && !is_opaque(&sandbox.path("dir")));
    assert_eq!(sandbox.read("opaque/new"), "x");
}

#[test]
fn a_whiteout_says_nothing_about_its_own_layer() {
    if !needs_root() {
        return;
    }
    for first in [true, false] {
        let whiteouts = |forge: Forge| {
            ["file", "dir", "link"]
                .iter()
                .fold(forge, |forge, name| forge.file(&format!(".wh.{name}"), ""))
        };
        let forge = Forge::new();
        let forge = if first { whiteouts(forge) } else { forge };
        let forge = forge.file("file", "x").dir("dir").file("dir/in", "x").symlink("link", "dir");
        let forge = if first { forge } else { whiteouts(forge) };
        let sandbox = Sandbox::new();
        sandbox.apply(&forge.clone().finish()).unwrap();
        assert_eq!(sandbox.list(), ["dir/", "dir/in", "file", "link"], "first: {first}");
        assert_eq!(sandbox.read("file"), "x");
        // The lower layer's directory is gone, and must not shine through.
        assert!(is_opaque(&sandbox.path("dir")), "first: {first}");

        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("dir")).unwrap();
        fs::write(sandbox.path("dir/lower"), "x").unwrap();
        fs::write(sandbox.path("file"), "lower").unwrap();
        sandbox.apply_with(&forge.finish(), &delete()).unwrap();
        assert_eq!(sandbox.list(), ["dir/", "dir/in", "file", "link"], "first: {first}");
        assert_eq!(sandbox.read("file"), "x");
    }
}

#[test]
fn a_directory_over_another_entry_hides_the_lower_one() {
    if !needs_root() {
        return;
    }
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .file("a", "was a file")
        .dir("a")
        .symlink("b", "x")
        .dir("b")
        .dir("c")
        .dir("c")
        .file(".wh.d", "")
        .file("d/in", "x");
    let applied = sandbox.apply(&forge.finish()).unwrap();
    assert_eq!(applied.entries, 5);
    let opaque = ["a", "b", "c", "d"].map(|name| is_opaque(&sandbox.path(name)));
    assert_eq!(opaque, [true, true, false, true]);
}

#[test]
fn reserved_names_are_skipped_or_refused() {
    for name in [".wh.", ".wh..", ".wh...", "dir/.wh.", ".wh.a/b", "dir/.wh.x/.wh.y"] {
        for options in [ApplyOptions::default(), delete()] {
            let error = Sandbox::new().apply_with(&Forge::new().file(name, "").finish(), &options);
            assert!(matches!(error, Err(UnpackError::Refused { .. })), "{name}: {error:?}");
        }
    }
    let sandbox = Sandbox::new();
    let forge = Forge::new()
        .dir(".wh..wh.plnk")
        .file(".wh..wh.plnk/1.2", "x")
        .file(".wh..wh.aufs", "")
        .file("dir/.wh..wh.orph", "");
    let applied = sandbox.apply(&forge.finish()).unwrap();
    assert_eq!((applied.skipped, applied.entries), (4, 0));
    assert!(sandbox.list().is_empty());
}

#[test]
fn a_whiteout_reaches_nothing_outside() {
    if !needs_root() {
        return;
    }
    for options in [ApplyOptions::default(), delete()] {
        let sandbox = Sandbox::new();
        symlink(sandbox.canary(), sandbox.path("absolute")).unwrap();
        symlink("../canary", sandbox.path("relative")).unwrap();
        let forge = Forge::new()
            .file("absolute/.wh.file", "")
            .file("relative/.wh.dir", "")
            .file("absolute/.wh..wh..opq", "")
            .file("relative/dir/.wh..wh..opq", "")
            .symlink("own", &sandbox.canary())
            .file("own/.wh.setuid", "")
            .file(".wh.relative", "");
        sandbox.apply_with(&forge.finish(), &options).unwrap();
    }
}

#[test]
fn carried_out_they_delete_what_is_not_the_layers_own() {
    let sandbox = Sandbox::new();
    for dir in ["opaque/sub/deep", "opaque/other", "kept"] {
        fs::create_dir_all(sandbox.path(dir)).unwrap();
        fs::write(sandbox.path(dir).join("lower"), "x").unwrap();
    }
    symlink(sandbox.canary(), sandbox.path("opaque/link")).unwrap();
    let forge = Forge::new()
        .dir("opaque")
        .file("opaque/sub/own", "x")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/late", "x")
        .file("opaque/.wh..wh..opq", "")
        .file(".wh.missing", "")
        .file("kept/.wh.lower", "");
    sandbox.apply_with(&forge.finish(), &delete()).unwrap();
    assert_eq!(
        sandbox.list(),
        ["kept/", "opaque/", "opaque/late", "opaque/sub/", "opaque/sub/own"]
    );
}

#[test]
fn a_hundred_thousand_markers_cost_no_more_than_so_many_entries() {
    if !needs_root() {
        return;
    }
    for options in [ApplyOptions::default(), delete()] {
        let sandbox = Sandbox::new();
        let deep = "d/".repeat(200);
        fs::create_dir_all(sandbox.path(&deep)).unwrap();
        for index in 0..1000 {
            fs::write(sandbox.path(&format!("d/d/{index}")), "").unwrap();
        }
        let mut forge = Forge::new();
        for index in 0..1000 {
            forge = forge.file(&format!("d/d/own-{index}"), "");
        }
        let marker = Forge::new().file("d/.wh..wh..opq", "").unfinished();
        let nested = Forge::new().file(&format!("{deep}.wh..wh..opq"), "").unfinished();
        let forge = forge.raw(&marker.repeat(90_000)).raw(&nested.repeat(10_000));
        let begin = processor_time();
        let applied = sandbox.apply_with(&forge.finish(), &options).unwrap();
        assert_eq!(applied.whiteouts, 100_000);
        // A walk for each marker would be 10^8 steps. Time of the processor, since other tests run
        // beside this one; without optimization two seconds are usual.
        let spent = processor_time() - begin;
        assert!(spent < Duration::from_secs(10), "{spent:?}");
    }
}

/// What this thread has used.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}
