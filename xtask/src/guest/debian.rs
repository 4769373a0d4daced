//! A small Debian with systemd and D-Bus, for the guest that shows them.

use std::error::Error;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::process::Command;

use super::disk;
use crate::process;
use crate::workspace::root;

const PACKAGES: &str = "systemd-sysv,dbus,dbus-user-session,libpam-systemd,uidmap,busybox-static,\
    iproute2,nftables";

/// Unpacks it at `place`, from a tar that is made once and kept beside `kept`.
///
/// It has a user `user` (1000) with subordinate ids, whose systemd `user@1000.service` is.
pub(super) fn unpack(place: &Path, kept: &Path) -> Result<(), Box<dyn Error>> {
    // Another list of packages is another tar.
    let kept = &kept.with_extension(format!("{}-1.tar", PACKAGES.len()));
    if !kept.exists() {
        let new = kept.with_extension("new.tar");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=essential", "--include", PACKAGES]);
        // Nobody reads there, and copying takes time.
        for unread in ["doc", "info", "locale", "man", "zoneinfo"] {
            command.arg(format!("--dpkgopt=path-exclude=/usr/share/{unread}/*"));
        }
        command.arg("bookworm");
        process::run(command.arg(&new))?;
        fs::rename(&new, kept)?;
    }
    disk::clear(place)?;
    process::run(Command::new("tar").arg("-xf").arg(kept).arg("-C").arg(place))?;
    for (file, line) in [
        ("passwd", "user:x:1000:1000:user:/home/user:/bin/sh\n"),
        ("shadow", "user:*:20000:0:99999:7:::\n"),
        ("group", "user:x:1000:\n"),
        ("subuid", "user:100000:65536\n"),
        ("subgid", "user:100000:65536\n"),
    ] {
        let path = place.join("etc").join(file);
        let old = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, old + line)?;
    }
    let home = place.join("home/user");
    fs::create_dir_all(&home)?;
    chown(home, Some(1000), Some(1000))?;
    let units = place.join("etc/systemd/system");
    let name = "guest.service";
    fs::copy(root().join("tests/guest/inside").join(name), units.join(name))?;
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    symlink(format!("../{name}"), wants.join(name))?;
    Ok(())
}
