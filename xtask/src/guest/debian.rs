//! A small Debian with systemd and D-Bus, for the guest that shows them.

use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::disk;
use crate::process;
use crate::workspace::root;

const PACKAGES: &str = "systemd-sysv,dbus,dbus-user-session,libpam-systemd,busybox-static";

/// Unpacks it at `place`, from a tar that is made once and kept at `kept`.
pub(super) fn unpack(place: &Path, kept: &Path) -> Result<(), Box<dyn Error>> {
    if !kept.exists() {
        let new = kept.with_extension("new.tar");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=minbase", "--include", PACKAGES, "bookworm"]);
        process::run(command.arg(&new))?;
        fs::rename(&new, kept)?;
    }
    disk::clear(place)?;
    process::run(Command::new("tar").arg("-xf").arg(kept).arg("-C").arg(place))?;
    let units = place.join("etc/systemd/system");
    let name = "guest.service";
    fs::copy(root().join("tests/guest/inside").join(name), units.join(name))?;
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    symlink(format!("../{name}"), wants.join(name))?;
    Ok(())
}
