//! What lies in a folder and all below it, found by several threads where there is much.
//!
//! ```text
//! jobs: a stack of folders to list, and of parts of large folders to inspect
//!   worker: takes the last one; what it finds is one slot: entries, and the slots of what lies below
//! the slots, one put into the other: entries as a walk by one thread would have them
//! ```
//!
//! The last job is taken first, so that few folders are open at once: those above the ones that
//! are being looked at.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::BuildError;
use crate::tree::{DEEPEST, Entry, Filter, Found, list, open_folder, reopen};

/// So many names of one folder are inspected by one thread.
const PART: usize = 256;
/// From so many jobs on that nobody does, another thread is worth what it costs.
const WORTHWHILE: usize = 8;

/// Lists a folder and all below it, each folder before what is in it, names in byte order.
pub(crate) fn survey<F: Filter + Send + Sync>(
    folder: &Found,
    filter: F,
) -> Result<Vec<Entry>, BuildError> {
    let shown = || String::from_utf8_lossy(&folder.real).into_owned();
    let opened = reopen(folder.file.as_fd()).map_err(BuildError::io("open", shown()))?;
    let place =
        Place { folder: Arc::new(opened), path: Vec::new(), depth: 0, filter: Arc::new(filter) };
    let shared = Shared {
        state: Mutex::new(State {
            jobs: vec![Job { place, what: What::List(c".".to_owned()), slot: 0 }],
            left: 1,
            slots: vec![Vec::new()],
            failed: None,
            idle: workers() - 1,
        }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| work(scope, &shared));
    let state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failed {
        Some(error) => Err(error),
        None => Ok(in_order(state.slots)),
    }
}

/// How many threads read at once.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(16)
}

/// A folder, or one that is about to be opened in it.
struct Place<F> {
    folder: Arc<OwnedFd>,
    /// From where the survey began.
    path: Vec<u8>,
    depth: usize,
    /// For what lies in it.
    filter: Arc<F>,
}

enum What {
    /// The folder of that name in the place's.
    List(CString),
    /// These of the place's folder.
    Inspect(Vec<CString>),
}

struct Job<F> {
    place: Place<F>,
    what: What,
    slot: usize,
}

#[allow(clippy::large_enum_variant, reason = "nearly all are entries")]
enum Part {
    Entry(Entry),
    Slot(usize),
}

struct State<F> {
    jobs: Vec<Job<F>>,
    /// Jobs that are waiting or being done.
    left: usize,
    slots: Vec<Vec<Part>>,
    failed: Option<BuildError>,
    /// Threads that could still begin.
    idle: usize,
}

struct Shared<F> {
    state: Mutex<State<F>>,
    changed: Condvar,
}

impl<F> Shared<F> {
    fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does jobs until none is left, and calls for help where there are many.
fn work<'scope, 'env, F: Filter + Send + Sync>(
    scope: &'scope Scope<'scope, 'env>,
    shared: &'env Shared<F>,
) {
    let mut state = shared.lock();
    loop {
        if state.failed.is_some() || state.left == 0 {
            shared.changed.notify_all();
            return;
        }
        let Some(job) = state.jobs.pop() else {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        if state.jobs.len() >= WORTHWHILE && state.idle > 0 {
            state.idle -= 1;
            scope.spawn(move || work(scope, shared));
        }
        drop(state);
        let slot = job.slot;
        let done = job.run();
        state = shared.lock();
        match done {
            Ok(found) => {
                let parts = found.into_iter().map(|found| match found {
                    Step::Entry(entry) => Part::Entry(entry),
                    Step::Below(place, what) => {
                        let slot = state.slots.len();
                        state.slots.push(Vec::new());
                        state.jobs.push(Job { place, what, slot });
                        state.left += 1;
                        Part::Slot(slot)
                    }
                });
                let parts = parts.collect();
                state.slots[slot] = parts;
                state.left -= 1;
            }
            Err(error) => drop(state.failed.get_or_insert(error)),
        }
        shared.changed.notify_all();
    }
}

enum Step<F> {
    Entry(Entry),
    Below(Place<F>, What),
}

impl<F: Filter> Job<F> {
    fn run(self) -> Result<Vec<Step<F>>, BuildError> {
        let place = self.place;
        let shown = || String::from_utf8_lossy(&place.path).into_owned();
        let name = match self.what {
            What::Inspect(names) => return place.inspect(names),
            What::List(name) => name,
        };
        if place.depth == DEEPEST {
            let path = shown();
            return Err(BuildError::Invalid(format!("{path}: too many folders in each other")));
        }
        let opened = match open_folder(place.folder.as_fd(), &name) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                return Err(BuildError::Changed { path: shown() });
            }
            Err(errno) => return Err(BuildError::io("open", shown())(errno)),
        };
        let mut names = list(opened.as_fd()).map_err(BuildError::io("list", shown()))?;
        let place = Place { folder: Arc::new(opened), ..place };
        if names.len() <= 2 * PART {
            return place.inspect(names);
        }
        let mut parts = Vec::new();
        while !names.is_empty() {
            let rest = names.split_off(names.len().min(PART));
            parts.push(Step::Below(place.clone(), What::Inspect(names)));
            names = rest;
        }
        Ok(parts)
    }
}

impl<F: Filter> Place<F> {
    fn inspect(&self, names: Vec<CString>) -> Result<Vec<Step<F>>, BuildError> {
        let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let mut path = Vec::with_capacity(self.path.len() + 1 + name.as_bytes().len());
            path.extend_from_slice(&self.path);
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
            let stat = match rustix::fs::statat(&self.folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(BuildError::io("inspect", shown(&path))(errno)),
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            let (taken, below) = self.filter.below(&path, kind == FileType::Directory);
            let below = below.filter(|_| kind == FileType::Directory);
            if !taken && below.is_none() {
                continue;
            }
            let link = match kind {
                FileType::Symlink => rustix::fs::readlinkat(&self.folder, &name, Vec::new())
                    .map_err(BuildError::io("read", shown(&path)))?
                    .into_bytes(),
                _ => Vec::new(),
            };
            let next = below.map(|filter| Place {
                folder: self.folder.clone(),
                path: path.clone(),
                depth: self.depth + 1,
                filter: Arc::new(filter),
            });
            let entry = Entry { path, stat, link, digest: None, only_entered: !taken };
            found.push(Step::Entry(entry));
            found.extend(next.map(|place| Step::Below(place, What::List(name))));
        }
        Ok(found)
    }
}

impl<F> Clone for Place<F> {
    fn clone(&self) -> Self {
        Self {
            folder: self.folder.clone(),
            path: self.path.clone(),
            depth: self.depth,
            filter: self.filter.clone(),
        }
    }
}

/// Puts each slot where it belongs.
fn in_order(mut slots: Vec<Vec<Part>>) -> Vec<Entry> {
    let mut take = |slot: usize| std::mem::take(&mut slots[slot]).into_iter();
    let mut open = vec![take(0)];
    let mut entries = Vec::new();
    while let Some(parts) = open.last_mut() {
        match parts.next() {
            Some(Part::Entry(entry)) => entries.push(entry),
            Some(Part::Slot(slot)) => open.push(take(slot)),
            None => drop(open.pop()),
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tree::{Everything, Tree, walk};

    #[test]
    fn what_several_find_is_what_one_finds() {
        let temp = tempfile::tempdir().unwrap();
        for folder in 0..40 {
            let path = temp.path().join(format!("d{folder}/deep/er"));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
            std::os::unix::fs::symlink("file", path.join("link")).unwrap();
        }
        // More than one thread inspects at once, and folders stand between files.
        for file in 0..3 * PART {
            fs::write(temp.path().join(format!("d1/f{file:04}")), "").unwrap();
        }
        let root = fs::File::open(temp.path()).unwrap();
        let tree = Tree { root: root.as_fd(), ignore: None, owners: true };
        let found = tree.find("/").unwrap().unwrap();
        let mut expected = Vec::new();
        walk(&found, &Everything, &mut |_, _, entry| {
            expected.push((entry.path, entry.link));
            Ok(())
        })
        .unwrap();
        let entries = survey(&found, Everything).unwrap();
        let entries: Vec<_> = entries.into_iter().map(|entry| (entry.path, entry.link)).collect();
        assert_eq!(entries, expected);
        assert_eq!(entries.len(), 40 * 5 + 3 * PART);
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let mut path = temp.path().to_owned();
        for _ in 0..=DEEPEST {
            path.push("d");
            if fs::create_dir(&path).is_err() {
                break;
            }
        }
        let root = fs::File::open(temp.path()).unwrap();
        let tree = Tree { root: root.as_fd(), ignore: None, owners: true };
        let found = tree.find("/").unwrap().unwrap();
        let error = survey(&found, Everything).unwrap_err().to_string();
        assert!(error.contains("too many folders"), "{error}");
    }
}
