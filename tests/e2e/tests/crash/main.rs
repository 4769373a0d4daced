//! Kista's processes are killed with -9, and nothing may be left or broken.
//!
//! `random` kills at arbitrary times while lifecycles run, `exhaustive` at each call that
//! changes something. In both the promise is the same: one `system check --repair` later the
//! only things there are those that a command was told to make, what was running before is
//! running still, and the image has the content that it had.
//!
//! These tests keep the machine busy, and so run alone (.config/nextest.toml).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic here is a test's failure, and what was tried is said"
)]

mod exhaustive;
mod network;
mod random;
mod rootless;

use std::fs;

use testkit::{Image, Kista, audit};

/// A data directory with an image and a container that nobody may disturb.
struct House {
    kista: Kista,
    /// Process ids of the undisturbed container's init and shim.
    witness: [i32; 2],
    /// What the image holds, as a container sees it.
    content: String,
}

/// Prints the digest, owner and mode of each file of the image.
const CONTENT: &str = "find / -xdev -type f ! -path '/etc/host*' ! -path /etc/resolv.conf \
    ! -path /.dockerenv | sort | xargs sha256sum; find / -xdev | sort | xargs stat -c '%n %a %u'";

impl House {
    fn new() -> Self {
        let kista = Kista::with_busybox();
        let content = kista.ok(&["run", "--rm", "busybox", "sh", "-c", CONTENT]);
        kista.ok(&["run", "-d", "--name", "witness", "busybox", "sleep", "100000"]);
        let init: i32 = kista.format("{{.State.Pid}}", "witness").parse().unwrap();
        let status = fs::read_to_string(format!("/proc/{init}/status")).unwrap();
        let shim = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
        Self { kista, witness: [init, shim.parse().unwrap()], content }
    }

    /// A second image, which lifecycles load and remove.
    fn other() -> Image {
        Image::busybox("other").config("Labels", serde_json::json!({"other": "yes"}))
    }

    /// Repairs once, and then nothing may be left but what is known.
    fn settle(&self) {
        let repair = self.kista.run(&["system", "check", "--repair"]);
        assert_eq!(repair.code, 0, "repair: {}{}", repair.stdout, repair.stderr);
        let witness = self.kista.format("{{.State.Running}} {{.State.Pid}}", "witness");
        assert_eq!(witness, format!("true {}", self.witness[0]), "the witness was disturbed");
        let rest = self.kista.ok(&["ps", "-a", "--format", "{{.Names}}"]);
        for name in rest.lines().filter(|name| *name != "witness") {
            self.kista.ok(&["rm", "-f", "-v", name]);
        }
        let again = self.kista.run(&["system", "check"]);
        assert_eq!(again.code, 0, "after the repair: {}{}", again.stdout, again.stderr);
    }

    /// The end: the image is whole, and without the witness nothing is left.
    fn finish(self) {
        let content = self.kista.ok(&["run", "--rm", "busybox", "sh", "-c", CONTENT]);
        assert!(content == self.content, "the image is not what it was:\n{content}");
        self.kista.ok(&["rm", "-f", "witness"]);
        let left = audit::wait_for_nothing(&self.kista.owner());
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }
}
