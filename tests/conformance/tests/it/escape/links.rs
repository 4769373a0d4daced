//! Links in the image, in the places where a runtime makes something.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use testkit::oci::{Bundle, Runtime};

use super::canary::Canary;

const KINDS: &[&str] = &["absolute", "relative", "chain", "dangling"];

/// Puts a link of a kind in the place of a directory of the root file system.
fn put(bundle: &Bundle, canary: &Canary, place: &str, kind: &str) {
    let path = bundle.rootfs().join(place);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if path.is_dir() {
        fs::remove_dir_all(&path).unwrap();
    }
    match kind {
        "absolute" => symlink(canary.path(), &path).unwrap(),
        "relative" => symlink(canary.relative(), &path).unwrap(),
        "chain" => {
            symlink(canary.relative(), bundle.rootfs().join("hop")).unwrap();
            symlink("/hop", &path).unwrap();
        }
        _ => symlink("/nowhere/at/all", &path).unwrap(),
    }
}

/// CVE-2023-27561, CVE-2023-28642, CVE-2025-54867 (youki): /proc or /sys of the image is a link,
/// so that what is mounted there, masked and written to is somewhere else.
///
/// Seen to bite on runc 1.1.4, which mounts them where the link leads.
#[test]
fn proc_and_sys_are_mounted_in_their_places_or_not_at_all() {
    needs!(Root);
    for place in ["proc", "sys"] {
        for kind in KINDS {
            let bundle = Bundle::running(&["/bin/busybox", "cat", "/elsewhere/self/mountinfo"])
                .mount("/elsewhere", "proc", "proc", &[]);
            let canary = Canary::new(&bundle);
            put(&bundle, &canary, place, kind);
            let out = Runtime::under_test().run(&bundle);
            let attempt = format!("{place} {kind}: {out:?}");
            if out.code == 0 {
                let at = format!(" /{place} ");
                assert!(out.stdout.lines().any(|line| line.contains(&at)), "{attempt}");
            }
            canary.assert_untouched(&attempt);
        }
    }
}

/// CVE-2019-18837 (crun), and CVE-2026-87766 (bubblewrap): the places of other mounts, and what
/// is above them.
///
/// Seen to bite with a runtime of the tests that joins paths to the root
/// (`the_attempts_bite_where_paths_are_joined`).
#[test]
fn mounts_stay_inside_whatever_their_places_are() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for place in ["dev", "dev/pts", "dev/shm", "dev/mqueue", "srv", "srv/deep"] {
        for kind in KINDS {
            let bundle = Bundle::running(&["true"]);
            let canary = Canary::new(&bundle);
            let above = format!("/{}", place.split('/').next().unwrap());
            let bundle = bundle
                .without_mounts(&above)
                .mount(&format!("/{place}"), "tmpfs", "tmpfs", &["mode=755"])
                .bind("/etc/hostname".as_ref(), &format!("/{place}/file"), &[])
                .bind("/etc/hostname".as_ref(), &format!("/{place}/new/deep/file"), &[]);
            put(&bundle, &canary, place, kind);
            let out = runtime.run(&bundle);
            canary.assert_untouched(&format!("{place} {kind}: {out:?}"));

            // Without the tmpfs, what is made for the binds would be the host's at once.
            let bundle = Bundle::running(&["true"]);
            let canary = Canary::new(&bundle);
            let bundle = bundle
                .without_mounts(&above)
                .bind("/etc/hostname".as_ref(), &format!("/{place}/file"), &[])
                .bind("/etc/hostname".as_ref(), &format!("/{place}/new/deep/file"), &[]);
            put(&bundle, &canary, place, kind);
            let out = runtime.run(&bundle);
            canary.assert_untouched(&format!("{place} {kind}: {out:?}"));
        }
    }
}

/// CVE-2026-41579 (runc), CVE-2026-47766 (crun): there is no mount over /dev, and /dev of the
/// image is a link. Devices and links would be made where it leads, over what is there.
///
/// Seen to bite on runc 1.1.5 and crun 1.8.1.
#[test]
fn devices_are_not_made_where_a_link_leads() {
    needs!(Root);
    for kind in ["absolute", "relative", "chain"] {
        let bundle = Bundle::running(&["true"]).without_mounts("/dev");
        let canary = Canary::new(&bundle);
        put(&bundle, &canary, "dev", kind);
        let out = Runtime::under_test().run(&bundle);
        canary.assert_untouched(&format!("{kind}: {out:?}"));
    }
}

/// CVE-2015-3627, CVE-2025-24965: what a runtime makes is in the image already, as a link.
///
/// Seen to bite with a runtime of the tests, as above.
#[test]
fn what_is_made_in_dev_is_not_made_through_links() {
    needs!(Root);
    for name in ["null", "ptmx", "console", "stdin", "fd", "pts", "shm"] {
        for target in ["file", "new"] {
            let bundle = Bundle::running(&["true"]).without_mounts("/dev");
            let canary = Canary::new(&bundle);
            let link = bundle.rootfs().join("dev").join(name);
            symlink(format!("{}/{target}", canary.relative()), link).unwrap();
            let out = Runtime::under_test().run(&bundle);
            canary.assert_untouched(&format!("{name} {target}: {out:?}"));
        }
    }
}

/// CVE-2024-21626's second way: the working directory of the image is a link out.
///
/// Seen to bite with a runtime of the tests, as above.
#[test]
fn a_working_directory_is_not_made_where_a_link_leads() {
    needs!(Root);
    for target in ["new", "folder/new"] {
        let bundle = Bundle::running(&["true"]).set("process.cwd", "/link/deep");
        let canary = Canary::new(&bundle);
        let link = bundle.rootfs().join("link");
        symlink(format!("{}/{target}", canary.relative()), link).unwrap();
        let out = Runtime::under_test().run(&bundle);
        canary.assert_untouched(&format!("{target}: {out:?}"));
    }
}

/// A device of the configuration, and the paths that are masked, lie behind links.
///
/// Seen to bite with a runtime of the tests, as above.
#[test]
fn devices_and_masks_stay_inside() {
    needs!(Root);
    let bundle = Bundle::running(&["true"])
        .set(
            "linux.devices",
            serde_json::json!([{"path": "/link/node", "type": "c", "major": 1, "minor": 3}]),
        )
        .set("linux.maskedPaths", serde_json::json!(["/link/file", "/link/folder"]))
        .set("linux.readonlyPaths", serde_json::json!(["/link/ptmx"]));
    let canary = Canary::new(&bundle);
    symlink(canary.relative(), bundle.rootfs().join("link")).unwrap();
    let out = Runtime::under_test().run(&bundle);
    canary.assert_untouched(&format!("{out:?}"));
}

/// That the attempts above would be seen: a runtime that does what they ask by joining paths.
#[test]
fn the_attempts_bite_where_paths_are_joined() {
    needs!(Root);
    let naive = |bundle: &Bundle, path: &str| {
        let path = bundle.rootfs().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "made").unwrap();
    };
    for (place, made) in
        [("dev", "dev/ptmx"), ("srv/deep", "srv/deep/file"), ("link", "link/new/x")]
    {
        for kind in ["absolute", "relative"] {
            let bundle = Bundle::running(&["true"]);
            let canary = Canary::new(&bundle);
            put(&bundle, &canary, place, kind);
            naive(&bundle, made);
            let touched = std::panic::catch_unwind(|| canary.assert_untouched("")).is_err();
            assert!(touched, "{place} {kind}");
            assert!(Path::new(canary.path()).exists());
        }
    }
}
