//! What is made of files, and made anew when they change.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::RegistryError;

/// A value that was made of files.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    paths: Vec<PathBuf>,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    /// What the files were when they were read last, well or badly.
    seen: Vec<Option<Stamp>>,
}

/// Tells a file from what stands in its place later: device, inode, size, and the time of its last
/// change in nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl<T: Clone> Watched<T> {
    /// What `make` makes of the files as they are.
    pub(crate) fn new(
        paths: Vec<PathBuf>,
        make: impl FnOnce() -> Result<T, RegistryError>,
    ) -> Result<Self, RegistryError> {
        // Looked at first: what changes while it is read is read again.
        let seen = stamps(&paths);
        let value = make()?;
        Ok(Self { paths, state: Mutex::new(State { value, seen }) })
    }

    /// The value.
    pub(crate) fn get(&self) -> T {
        self.lock().value.clone()
    }

    /// Makes it anew if one of the files is another now; whether it was. After an error the old
    /// value stays, until the files change once more.
    pub(crate) fn refresh(
        &self,
        make: impl FnOnce() -> Result<T, RegistryError>,
    ) -> Result<bool, RegistryError> {
        let seen = stamps(&self.paths);
        if self.lock().seen == seen {
            return Ok(false);
        }
        let made = make();
        let mut state = self.lock();
        state.seen = seen;
        state.value = made?;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let of = |found: Metadata| {
        (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec())
    };
    paths.iter().map(|path| path.metadata().ok().map(of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_bad_for_a_while_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let read = || match std::fs::read_to_string(&path) {
            Ok(text) if text != "bad" => Ok(text),
            _ => Err(RegistryError::Config { why: "bad".into() }),
        };
        let write = |text: &str| {
            let new = folder.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, &path).unwrap();
        };
        write("one");
        let watched = Watched::new(vec![path.clone()], read).unwrap();
        assert!(!watched.refresh(|| panic!("nothing has changed")).unwrap());
        write("bad");
        watched.refresh(read).unwrap_err();
        assert_eq!(watched.get(), "one");
        assert!(!watched.refresh(|| panic!("it was told once")).unwrap());
        write("two");
        assert!(watched.refresh(read).unwrap());
        assert_eq!(watched.get(), "two");
    }
}
