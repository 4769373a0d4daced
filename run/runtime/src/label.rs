//! Labels of Linux security modules: applied where the module is there, an error where it is not.

use std::os::fd::BorrowedFd;

use oci::runtime::Process;
use rustix::fs::OFlags;

use crate::RuntimeError;
use crate::error::{Step, spec_error};

/// Refuses labels for modules that this kernel does not run: silence would be a lie about
/// isolation.
pub(crate) fn check(process: &Process) -> Result<(), RuntimeError> {
    if wanted(&process.selinux_label).is_some() {
        need_selinux("process.selinuxLabel")?;
    }
    if wanted(&process.apparmor_profile).is_some_and(|profile| profile != "unconfined")
        && !is_apparmor_enabled()
    {
        return Err(spec_error("process.apparmorProfile", "AppArmor is not enabled on this host"));
    }
    Ok(())
}

pub(crate) fn need_selinux(field: &str) -> Result<(), RuntimeError> {
    match rustix::fs::access("/sys/fs/selinux/enforce", rustix::fs::Access::EXISTS) {
        Ok(()) => Ok(()),
        Err(_) => Err(spec_error(field, "SELinux is not enabled on this host")),
    }
}

fn is_apparmor_enabled() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|answer| answer.first() == Some(&b'Y'))
}

/// Whether [`apply`] would do anything, and so needs a procfs.
pub(crate) fn is_wanted(process: &Process) -> bool {
    wanted(&process.selinux_label).is_some()
        || (wanted(&process.apparmor_profile).is_some() && is_apparmor_enabled())
}

/// Asks for the labels at the next execve(2), through a procfs of our own.
pub(crate) fn apply(proc: BorrowedFd<'_>, process: &Process) -> Result<(), RuntimeError> {
    if let Some(label) = wanted(&process.selinux_label) {
        write(proc, "self/attr/exec", label, || format!("set the SELinux label {label}"))?;
    }
    if let Some(profile) = wanted(&process.apparmor_profile)
        && is_apparmor_enabled()
    {
        let action = || format!("set the AppArmor profile {profile}");
        let text = format!("exec {profile}");
        // The directory of its own came with Linux 5.8's stacking; the old file serves one module.
        if write(proc, "self/attr/apparmor/exec", &text, action).is_err() {
            write(proc, "self/attr/exec", &text, action)?;
        }
    }
    Ok(())
}

fn write(
    proc: BorrowedFd<'_>,
    path: &str,
    text: &str,
    action: impl Fn() -> String,
) -> Result<(), RuntimeError> {
    let file = crate::procfs::open_self(proc, path, OFlags::WRONLY).inside(&action)?;
    rustix::io::write(&file, text.as_bytes()).inside(action)?;
    Ok(())
}

fn wanted(label: &Option<String>) -> Option<&str> {
    label.as_deref().filter(|label| !label.is_empty())
}
