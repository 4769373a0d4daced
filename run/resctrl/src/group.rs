//! A group that is there.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use oci::runtime::IntelRdt;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::plan::lock;
use crate::{ResctrlError, schemata};

/// Where a container's group is, and what of it is to be removed with the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The directory of the class of service.
    pub class: PathBuf,
    /// That of the container's monitoring group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<PathBuf>,
    /// Whether the class was made for this container.
    pub made: bool,
    /// Whether the class was named, and so is there for others too: it stays when the container
    /// that it was made for goes.
    pub named: bool,
}

/// A class of service, perhaps with a monitoring group in it.
#[derive(Debug)]
pub struct Group {
    place: Place,
}

impl Place {
    /// The group, to add processes to it; `None` if somebody has removed it: what was in it is in
    /// the root's then, and what comes may stay there, too.
    pub fn open(&self) -> Option<Group> {
        self.class.is_dir().then(|| Group::new(self.clone()))
    }

    /// Removes what was made for the container; none there is no error. Processes that are inside
    /// are in the class's parent then.
    ///
    /// `failed` says that the container never came to be: then a class that was named goes too, if
    /// it was made for the container and nobody else has come to use it.
    pub fn remove(&self, failed: bool) -> Result<(), ResctrlError> {
        if let Some(monitor) = &self.monitor {
            remove_directory(monitor)?;
        }
        let is_own = self.made && (!self.named || (failed && is_empty(&self.class)));
        if is_own { remove_directory(&self.class) } else { Ok(()) }
    }
}

impl Group {
    pub(crate) fn new(place: Place) -> Self {
        Self { place }
    }

    /// Moves a process, of one thread, into it; its children will be born there.
    pub fn add(&self, pid: Pid) -> Result<(), ResctrlError> {
        let number = pid.as_raw_nonzero().to_string();
        for directory in [Some(&self.place.class), self.place.monitor.as_ref()] {
            let Some(directory) = directory else { continue };
            write(&directory.join("tasks"), &number)
                .map_err(|error| error.explained(self.root()))?;
        }
        Ok(())
    }

    /// Changes the class, for all that are in it. Only `l3CacheSchema`, `memBwSchema` and
    /// `schemata` are looked at.
    pub fn update(&self, wanted: &IntelRdt) -> Result<(), ResctrlError> {
        let _lock = lock(self.root())?;
        let lines = schemata::lines(wanted);
        write(&self.place.class.join("schemata"), &format!("{}\n", lines.join("\n")))
            .map_err(|error| error.explained(self.root()))
    }

    /// The directory in which this group is counted.
    pub(crate) fn counted(&self) -> &Path {
        self.place.monitor.as_ref().unwrap_or(&self.place.class)
    }

    pub(crate) fn class(&self) -> &Path {
        &self.place.class
    }

    /// The mount point: the class itself, or what is above it.
    pub(crate) fn root(&self) -> &Path {
        let class = &self.place.class;
        match class.join("info").is_dir() {
            true => class,
            false => class.parent().unwrap_or(class),
        }
    }
}

/// Writes all at once, as the kernel wants it. The file must be there.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), ResctrlError> {
    let file = fs::OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| ResctrlError::io("write", path, source))
}

fn remove_directory(path: &Path) -> Result<(), ResctrlError> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ResctrlError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Whether no process is in a class, and no monitoring group.
fn is_empty(class: &Path) -> bool {
    let tasks = fs::read_to_string(class.join("tasks")).unwrap_or_default();
    let groups = fs::read_dir(class.join("mon_groups"));
    tasks.trim().is_empty() && groups.map_or(true, |mut groups| groups.next().is_none())
}
