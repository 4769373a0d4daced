//! New instances of file systems, overlay among them, attached nowhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::RuntimeError;
use crate::error::Step;
use crate::plan::MountPlan;

/// The longest value that fsconfig(2) takes.
const LONGEST: usize = 255;

/// Makes an instance of a file system, with the mount's own attributes.
///
/// `extra` goes before the options of the plan.
pub(crate) fn new_instance(
    kind: &str,
    source: Option<&str>,
    plan: &MountPlan<'_>,
) -> Result<OwnedFd, RuntimeError> {
    let action = || format!("make a file system of type {kind} for {}", plan.destination);
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC);
    let context = context.inside(action)?;
    if let Some(source) = source.filter(|source| source.len() <= LONGEST) {
        fsconfig_set_string(&context, "source", source).inside(action)?;
    }
    if kind == "overlay" {
        overlay_options(context.as_fd(), plan)?;
    } else {
        for (key, value) in &plan.options.data {
            set(context.as_fd(), key, value.as_deref())
                .inside(|| format!("{}: option {key}{}", action(), said(context.as_fd())))?;
        }
    }
    match fsconfig_create(&context) {
        Err(Errno::INVAL) if kind == "overlay" => {
            check_volatile(plan)?;
            return Err(Errno::INVAL).inside(|| format!("{}{}", action(), said(context.as_fd())));
        }
        other => other.inside(|| format!("{}{}", action(), said(context.as_fd())))?,
    }
    let attributes = MountAttrFlags::from_bits_retain(plan.options.own.set as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).inside(action)
}

/// The kernel does not take an upper layer twice if it was volatile once, since a crash may have
/// cost it anything, and says so in its log only.
fn check_volatile(plan: &MountPlan<'_>) -> Result<(), RuntimeError> {
    let mut work = plan.options.data.iter().filter(|(key, _)| key == "workdir");
    let Some((_, Some(work))) = work.next() else { return Ok(()) };
    let mark = format!("{work}/work/incompat/volatile");
    match rustix::fs::access(&*mark, rustix::fs::Access::EXISTS) {
        Ok(()) => Err(RuntimeError::Refused(format!(
            "the layer above {work} was mounted as volatile before and may lack what was written; \
             removing {mark} takes it as it is"
        ))),
        Err(_) => Ok(()),
    }
}

fn set(context: BorrowedFd<'_>, key: &str, value: Option<&str>) -> Result<(), Errno> {
    match value {
        Some(value) => fsconfig_set_string(context, key, value),
        None => fsconfig_set_flag(context, key),
    }
}

/// What the kernel has to say about a failure, if anything: ` (overlay: ...)`.
fn said(context: BorrowedFd<'_>) -> String {
    let mut text = [0; 512];
    // A message each, "e " for errors before it; an error when there is none left.
    let mut last = String::new();
    while let Ok(length) = rustix::io::read(context, &mut text) {
        let line = String::from_utf8_lossy(&text[..length]);
        last = format!(" ({})", line.trim_start_matches(['e', 'w', 'i', ' ']).trim_end());
        if length == 0 {
            break;
        }
    }
    last
}

/// Layers one by one where the kernel takes them so (Linux 6.5), all in one value otherwise.
fn overlay_options(context: BorrowedFd<'_>, plan: &MountPlan<'_>) -> Result<(), RuntimeError> {
    let action = |key: &str, value: &str| format!("set overlay option {key} to {value}");
    let mut held = Vec::new();
    let mut one_by_one = true;
    let mut lower = Vec::new();
    for (key, value) in &plan.options.data {
        let Some(value) = value.as_deref() else {
            fsconfig_set_flag(context, key.as_str()).inside(|| action(key, "on"))?;
            continue;
        };
        match key.as_str() {
            "lowerdir+" => {
                lower.push(value);
                if one_by_one {
                    let name = short(value, &mut held).inside(|| action(key, value))?;
                    match fsconfig_set_string(context, "lowerdir+", name) {
                        // The first one decides: an older kernel has no such key.
                        Err(Errno::INVAL) if lower.len() == 1 => one_by_one = false,
                        other => other.inside(|| action(key, value) + &said(context))?,
                    }
                }
            }
            "upperdir" | "workdir" => {
                let name = short(value, &mut held).inside(|| action(key, value))?;
                fsconfig_set_string(context, key.as_str(), name)
                    .inside(|| action(key, value) + &said(context))?;
            }
            key => fsconfig_set_string(context, key, value)
                .inside(|| action(key, value) + &said(context))?,
        }
    }
    if !one_by_one {
        all_at_once(context, &lower).inside(|| action("lowerdir", &lower.join(":")))?;
    }
    Ok(())
}

/// A path, or where it is too long for fsconfig(2) a short one by a descriptor that is held.
fn short(path: &str, held: &mut Vec<OwnedFd>) -> io::Result<String> {
    if path.len() <= LONGEST {
        return Ok(path.to_owned());
    }
    let directory = open_layer(path)?;
    let name = sys::fs::fd_path(directory.as_fd());
    held.push(directory);
    Ok(name)
}

fn open_layer(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// All layers in one value of at most 255 bytes: as descriptors, by their bare numbers, which
/// mean something while /proc/self/fd is the working directory. Some sixty layers fit.
fn all_at_once(context: BorrowedFd<'_>, lower: &[&str]) -> io::Result<()> {
    let layers = lower.iter().map(|path| open_layer(path)).collect::<io::Result<Vec<_>>>()?;
    let names: Vec<String> =
        layers.iter().map(|layer| std::os::fd::AsRawFd::as_raw_fd(layer).to_string()).collect();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let before = rustix::fs::openat(CWD, ".", flags, Mode::empty())?;
    rustix::process::chdir("/proc/self/fd")?;
    // The kernel resolves the names at once or when the instance is created, depending on its
    // age; held open they are found both times, but only from here.
    let outcome = fsconfig_set_string(context, "lowerdir", names.join(":"))
        .and_then(|()| fsconfig_create(context));
    rustix::process::fchdir(before)?;
    Ok(outcome?)
}
