//! Another container, which has the same volume, changes it while mounts are put there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Instant;

use testkit::oci::{Bundle, Racer, Runtime};

use super::canary::Canary;

/// A volume in which `place` is now a directory, now a link to the canary.
fn volume(bundle: &Bundle, canary: &Canary) -> (PathBuf, Racer) {
    let volume = bundle.directory("volume");
    let (place, link) = (volume.join("place"), volume.join("link"));
    fs::create_dir(&place).unwrap();
    symlink(canary.relative(), &link).unwrap();
    let racer = Racer::start(&place, &link);
    (volume, racer)
}

/// Runs the bundle again and again while the race goes on; looks after each.
fn race(bundle: &Bundle, racer: Racer, mut look: impl FnMut(&testkit::Output)) {
    let runtime = Runtime::under_test();
    let (start, before) = (Instant::now(), racer.swaps());
    let mut rounds = 0;
    while start.elapsed() < super::race_time() || rounds < 10 {
        look(&runtime.run(bundle));
        rounds += 1;
    }
    assert!(racer.swaps() - before > 10 * rounds, "not exercised");
}

/// CVE-2021-30465, CVE-2019-19921: a mount lands where the link leads, on the host's side of the
/// container's mount namespace, and is then bound into the container as if it were the host's.
///
/// Seen to bite on runc 1.0.0-rc94.
#[test]
fn a_mount_does_not_land_outside() {
    needs!(Root);
    let bundle = Bundle::running(&["cat", "/seen/file"]);
    let canary = Canary::new(&bundle);
    let (volume, racer) = volume(&bundle, &canary);
    let bundle = bundle
        .bind(&volume, "/volume", &[])
        .mount("/volume/place", "tmpfs", "tmpfs", &[])
        .bind(canary.path(), "/seen", &[]);
    race(&bundle, racer, |out| {
        // Had the tmpfs landed on the canary, the canary would be empty here.
        assert!(
            out.code != 0 && !out.stderr.contains("/seen/file") || out.stdout == "alive",
            "{out:?}"
        );
        canary.assert_untouched(&format!("{out:?}"));
    });
}

/// CVE-2024-45310: what is missing of a mount's place is made where the link leads.
///
/// Seen to bite on runc 1.1.5, within twenty seconds (`ESCAPE_SECONDS=30`).
#[test]
fn nothing_is_made_outside() {
    needs!(Root);
    let bundle = Bundle::running(&["true"]);
    let canary = Canary::new(&bundle);
    let (volume, racer) = volume(&bundle, &canary);
    let mut bundle = bundle.bind(&volume, "/volume", &[]);
    for number in 0..30 {
        bundle = bundle.mount(&format!("/volume/place/{number}/deep"), "tmpfs", "tmpfs", &[]).bind(
            "/etc/hostname".as_ref(),
            &format!("/volume/place/file{number}"),
            &[],
        );
    }
    race(&bundle, racer, |out| canary.assert_untouched(&format!("{out:?}")));
}
