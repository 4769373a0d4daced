//! What masks a path.

use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

use super::canary::Canary;

/// CVE-2025-31133 (runc), CVE-2025-62161 (youki): /dev/null of the container is something else,
/// which is then bound, writable, over what was to be masked.
///
/// Seen to bite on runc 1.1.5, where /etc/masked becomes the parameter that the link names.
#[test]
fn a_mask_is_not_what_the_container_calls_dev_null() {
    needs!(Root);
    for target in ["/proc/sys/kernel/domainname"] {
        let bundle = Bundle::script("cat /etc/masked; echo escaped >/etc/masked; cat /proc/sys/kernel/domainname /etc/passwd")
            .without_mounts("/dev")
            .set("linux.maskedPaths", json!(["/etc/masked"]))
            .set("linux.readonlyPaths", json!(["/proc/sys"]));
        let canary = Canary::new(&bundle);
        bundle.file("etc/masked", "secret");
        symlink(target, bundle.rootfs().join("dev/null")).unwrap();
        let out = Runtime::under_test().run(&bundle);
        let text = format!("{target}: {out:?}");
        if out.code == 0 {
            let first = out.stdout.lines().next().unwrap_or_default();
            assert!(!out.stdout.contains("escaped") && first == "(none)", "{text}");
            assert_eq!(out.stdout.matches("(none)").count(), 1, "{text}");
        }
        assert_eq!(std::fs::read(bundle.rootfs().join("etc/masked")).unwrap(), b"secret", "{text}");
        canary.assert_untouched(&text);
    }
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
