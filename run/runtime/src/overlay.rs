//! New instances of file systems, overlay among them, attached nowhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, open_tree,
};
use sys::fsid::FsIds;
use sys::mount::{IdMapFd, MountAttr, set_attr};

use crate::error::Step;
use crate::idmap::IdMap;
use crate::plan::MountPlan;
use crate::{RuntimeError, procfs, staged};

/// The longest value that fsconfig(2) takes.
const LONGEST: usize = 255;

/// Makes an instance of a file system, with the mount's own attributes.
///
/// `map` is a user namespace by which the ids of an overlay's layers are mapped; `pids` the pid
/// namespace of a procfs, if it is not the caller's.
pub(crate) fn new_instance(
    kind: &str,
    source: Option<&str>,
    plan: &MountPlan<'_>,
    map: Option<&IdMap>,
    pids: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, RuntimeError> {
    let action = || format!("make a file system of type {kind} for {}", plan.destination);
    // An overlay works with the ids of whoever makes it, and host's root is nobody on its layers.
    let _ids = match map {
        None => None,
        Some(map) => Some(FsIds::set(map.root.0, map.root.1).inside(action)?),
    };
    if let Some(map) = map.filter(|_| kind == "overlay" && needs_attached_layers()) {
        return staged::new_overlay(plan, map);
    }
    let attempt = |layers| instance(kind, source, plan, (map, pids), layers);
    let context = match attempt(Layering::OneByOne)? {
        // Before Linux 6.5 any key is taken down, and only refused now. What else is refused so
        // is refused twice.
        Err((Errno::INVAL, _)) if kind == "overlay" && map.is_none() => {
            attempt(Layering::AllAtOnce)?
        }
        other => other,
    };
    let context = context.or_else(|(errno, said)| {
        if errno == Errno::INVAL && kind == "overlay" {
            check_volatile(plan)?;
        }
        Err(errno).inside(|| format!("{}{said}", action()))
    })?;
    let attributes = MountAttrFlags::from_bits_retain(plan.first_attributes() as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).inside(action)
}

/// How an overlay is told its lower layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layering {
    /// Linux 6.8.
    OneByOne,
    AllAtOnce,
}

/// An instance that is not mounted yet; or why the kernel did not make one of the options that it
/// took, and what it said.
fn instance(
    kind: &str,
    source: Option<&str>,
    plan: &MountPlan<'_>,
    (map, pids): (Option<&IdMap>, Option<BorrowedFd<'_>>),
    layering: Layering,
) -> Result<Result<OwnedFd, (Errno, String)>, RuntimeError> {
    let action = || format!("make a file system of type {kind} for {}", plan.destination);
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).inside(action)?;
    if let Some(source) = source.filter(|source| source.len() <= LONGEST) {
        fsconfig_set_string(&context, "source", source).inside(action)?;
    }
    if let Some(pids) = pids.filter(|_| kind == "proc") {
        fsconfig_set_fd(&context, procfs::PIDNS, pids).inside(action)?;
    }
    if let Some(label) = plan.label {
        fsconfig_set_string(&context, "context", label)
            .inside(|| format!("{}: linux.mountLabel{}", action(), said(context.as_fd())))?;
    }
    let mut options = Options::default();
    if kind == "overlay" {
        options = overlay_options(context.as_fd(), plan, map, layering)?;
    } else {
        for (key, value) in &plan.options.data {
            set(context.as_fd(), key, value.as_deref())
                .inside(|| format!("{}: option {key}{}", action(), said(context.as_fd())))?;
        }
    }
    let created = options.created.unwrap_or_else(|| fsconfig_create(&context));
    Ok(match created {
        Ok(()) => Ok(context),
        Err(errno) => {
            let said = said(context.as_fd());
            Err((errno, said))
        }
    })
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
pub(crate) fn said(context: BorrowedFd<'_>) -> String {
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

/// What has become of an overlay's options.
#[derive(Default)]
struct Options {
    /// Must stay open until the file system is there: a mount that is attached nowhere ends with
    /// its descriptor.
    _held: Vec<OwnedFd>,
    /// What came of making the file system, if that was tried already.
    created: Option<Result<(), Errno>>,
}

/// The path by which the kernel finds a layer: the layer's own, or where that is too long for
/// fsconfig(2), or where its ids are mapped, one by a descriptor that is held.
struct Layers<'a> {
    held: Vec<OwnedFd>,
    /// The directory that holds upper and work, cloned once, since both must be on one mount.
    parent: Option<(String, String)>,
    map: Option<&'a IdMap>,
}

impl Layers<'_> {
    fn lower(&mut self, path: &str) -> io::Result<String> {
        if self.map.is_some() {
            return self.mapped(path);
        }
        if path.len() <= LONGEST {
            return Ok(path.to_owned());
        }
        Ok(self.hold(open_layer(path)?))
    }

    fn upper(&mut self, path: &str) -> io::Result<String> {
        let Some((parent, name)) = path.rsplit_once('/').filter(|_| self.map.is_some()) else {
            return self.lower(path);
        };
        let short = match &self.parent {
            Some((known, short)) if known == parent => short.clone(),
            _ => self.mapped(parent)?,
        };
        self.parent = Some((parent.to_owned(), short.clone()));
        Ok(format!("{short}/{name}"))
    }

    fn mapped(&mut self, path: &str) -> io::Result<String> {
        let tree = match self.map {
            Some(map) => mapped_layer(path, map)?,
            None => open_layer(path)?,
        };
        Ok(self.hold(tree))
    }

    fn hold(&mut self, directory: OwnedFd) -> String {
        let name = sys::fs::fd_path(directory.as_fd());
        self.held.push(directory);
        name
    }
}

/// A clone of the mount that a directory is on, with ids mapped. As a layer, Linux 5.19.
pub(crate) fn mapped_layer(path: &str, map: &IdMap) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags)?;
    let id_map = Some(IdMapFd(map.namespace.as_fd()));
    set_attr(tree.as_fd(), false, &MountAttr { id_map, ..MountAttr::default() })?;
    Ok(tree)
}

/// Whether an overlay takes no layer that is attached nowhere: Linux before 6.15.
fn needs_attached_layers() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
    (next(), next()) < (6, 15)
}

/// Layers one by one where the kernel takes them so, all in one value otherwise.
fn overlay_options(
    context: BorrowedFd<'_>,
    plan: &MountPlan<'_>,
    map: Option<&IdMap>,
    layering: Layering,
) -> Result<Options, RuntimeError> {
    let action = |key: &str, value: &str| format!("set overlay option {key} to {value}");
    let mut layers = Layers { held: Vec::new(), parent: None, map };
    let mut one_by_one = layering == Layering::OneByOne;
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
                    let name = layers.lower(value).inside(|| action(key, value))?;
                    match fsconfig_set_string(context, "lowerdir+", name) {
                        // The first one decides: Linux 6.5 to 6.7 has no such key.
                        Err(Errno::INVAL) if lower.len() == 1 => one_by_one = false,
                        other => other.inside(|| action(key, value) + &said(context))?,
                    }
                }
            }
            "upperdir" | "workdir" => {
                let name = layers.upper(value).inside(|| action(key, value))?;
                fsconfig_set_string(context, key.as_str(), name)
                    .inside(|| action(key, value) + &said(context))?;
            }
            key => fsconfig_set_string(context, key, value)
                .inside(|| action(key, value) + &said(context))?,
        }
    }
    let mut options = Options { _held: layers.held, created: None };
    if !one_by_one {
        let made = all_at_once(context, &lower);
        options.created = Some(made.inside(|| action("lowerdir", &lower.join(":")))?);
    }
    Ok(options)
}

fn open_layer(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// All layers in one value of at most 255 bytes: as descriptors, by their bare numbers, which
/// mean something while /proc/self/fd is the working directory. Some sixty layers fit.
///
/// Gives what came of making the instance.
fn all_at_once(context: BorrowedFd<'_>, lower: &[&str]) -> io::Result<Result<(), Errno>> {
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
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn many_layers_fit_into_one_value() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        // It changes the working directory, which belongs to all tests.
        let child = sys::process::fork(|| {
            mount_many();
            0
        })
        .unwrap();
        let id = rustix::process::WaitId::PidFd(child.pidfd.as_fd());
        let status = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
        assert_eq!(status.unwrap().unwrap().exit_status(), Some(0));
    }

    fn mount_many() {
        let temp = tempfile::tempdir().unwrap();
        let paths: Vec<String> = (0..30)
            .map(|number| {
                let path = temp.path().join(format!("{}-{number}", "layer".repeat(40)));
                fs::create_dir(&path).unwrap();
                fs::write(path.join(format!("file-{number}")), "").unwrap();
                path.to_str().unwrap().to_owned()
            })
            .collect();
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        let before = std::env::current_dir().unwrap();
        let lower: Vec<_> = paths.iter().map(String::as_str).collect();
        all_at_once(context.as_fd(), &lower).unwrap().unwrap();
        assert_eq!(std::env::current_dir().unwrap(), before);
        let flags = MountAttrFlags::empty();
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).unwrap();
        let files = fs::read_dir(sys::fs::fd_path(mount.as_fd())).unwrap();
        assert_eq!(files.count(), 30);
    }
}
