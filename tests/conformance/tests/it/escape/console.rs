//! The terminal's other end in the container.

use std::os::unix::fs::symlink;
use std::time::Instant;

use serde_json::json;
use testkit::oci::{Bundle, Console, Racer, Runtime, Status};

use super::canary::Canary;

/// CVE-2025-52565: /dev/pts/N is the terminal when it is opened, and a link when it is bound
/// over /dev/console: a way to write what is read-only.
///
/// The container's devpts is elsewhere, and /dev/pts is a volume that someone changes. Seen to
/// bite on runc 1.1.5 and crun 1.8.1, where /dev/console is the parameter that the link names.
#[test]
fn the_console_is_the_terminal() {
    needs!(Root);
    let script = "echo escaped >/dev/console; stat -c %t /dev/console >/result
        cat /proc/sys/kernel/domainname >>/result";
    let bundle = Bundle::script(script)
        .set("process.terminal", true)
        .set("linux.readonlyPaths", json!(["/proc/sys"]))
        .without_mounts("/dev/pts")
        .mount("/terminals", "devpts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]);
    let volume = bundle.directory("volume");
    let (terminal, other) = (volume.join("0"), volume.join("other"));
    symlink("/terminals/0", &terminal).unwrap();
    symlink("/proc/sys/kernel/domainname", &other).unwrap();
    symlink("/terminals/ptmx", volume.join("ptmx")).unwrap();
    let bundle = bundle.bind(&volume, "/dev/pts", &[]);
    let _racer = Racer::start(&terminal, &other);
    let start = Instant::now();
    while start.elapsed() < super::race_time() {
        let console = Console::new();
        let flags = ["--console-socket", &console.path().display().to_string()];
        let created = Runtime::under_test().create_with(&bundle, "conformance-console", &flags);
        let Ok(container) = created else { continue };
        let _screen = console.screen();
        container.start();
        container.wait_until(Status::Stopped);
        let result = std::fs::read_to_string(bundle.rootfs().join("result")).unwrap_or_default();
        assert!(!result.contains("escaped"), "{result}");
        assert!(result.is_empty() || result.starts_with("88\n"), "{result}");
    }
}

/// CVE-2015-3627: /dev/console of the image is a link.
///
/// Seen to bite on crun 1.8.1.
#[test]
fn the_console_is_not_made_through_a_link() {
    needs!(Root);
    for target in ["console", "new"] {
        let bundle = Bundle::running(&["true"])
            .set("process.terminal", true)
            .without_mounts("/dev")
            .mount("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]);
        let canary = Canary::new(&bundle);
        let link = bundle.rootfs().join("dev/console");
        symlink(format!("{}/{target}", canary.relative()), link).unwrap();
        let console = Console::new();
        let flags = ["--console-socket", &console.path().display().to_string()];
        let created = Runtime::under_test().create_with(&bundle, "conformance-link", &flags);
        let text = match created {
            Err(out) => format!("{out:?}"),
            Ok(container) => {
                let _screen = console.screen();
                container.start();
                container.wait_until(Status::Stopped);
                container.stderr()
            }
        };
        canary.assert_untouched(&format!("{target}: {text}"));
    }
}
