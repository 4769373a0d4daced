//! What masks a path.

use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

use super::canary::Canary;

/// CVE-2025-31133 (runc), CVE-2025-62161 (youki): /dev/null of the container is something else,
/// which is then bound, writable, over what was to be masked.
///
/// Seen to bite on runc 1.1.5.
#[test]
fn a_mask_is_not_what_the_container_calls_dev_null() {
    needs!(Root);
    let script = "cat /etc/masked; echo escaped >/etc/masked; cat /proc/sys/kernel/domainname";
    let bundle = Bundle::script(script)
        .without_mounts("/dev")
        .set("linux.maskedPaths", json!(["/etc/masked"]))
        .set("linux.readonlyPaths", json!(["/proc/sys"]));
    let canary = Canary::new(&bundle);
    bundle.file("etc/masked", "secret");
    symlink("/proc/sys/kernel/domainname", bundle.rootfs().join("dev/null")).unwrap();
    let out = Runtime::under_test().run(&bundle);
    assert!(out.code != 0 || out.stdout == "(none)\n", "{out:?}");
    assert!(!out.stdout.contains("escaped"), "{out:?}");
    assert_eq!(std::fs::read(bundle.rootfs().join("etc/masked")).unwrap(), b"secret", "{out:?}");
    canary.assert_untouched(&format!("{out:?}"));
}

/// The same, where /dev/null is a file, or a link out.
///
/// Seen to bite on runc 1.1.5, which binds the file.
#[test]
fn a_mask_is_a_device_or_there_is_no_container() {
    needs!(Root);
    for kind in ["file", "link"] {
        let bundle = Bundle::script("stat -c %t:%T /etc/masked")
            .without_mounts("/dev")
            .set("linux.maskedPaths", json!(["/etc/masked"]));
        let canary = Canary::new(&bundle);
        bundle.file("etc/masked", "secret");
        match kind {
            "file" => drop(bundle.file("dev/null", "mine")),
            _ => {
                let link = format!("{}/file", canary.relative());
                symlink(link, bundle.rootfs().join("dev/null")).unwrap();
            }
        }
        let out = Runtime::under_test().run(&bundle);
        assert!(out.code != 0 || out.stdout == "1:3\n", "{kind}: {out:?}");
        canary.assert_untouched(&format!("{kind}: {out:?}"));
    }
}
