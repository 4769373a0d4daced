//! Shares of caches and of memory bandwidth: groups of the resctrl file system, for
//! `linux.intelRdt`.
//!
//! ```text
//! Plan::new(root, id, wanted) --- settle() ---> Settled --- make() ---> Group --- add(pid)
//!   all that can be checked       lock, look      mkdir, schemata         tasks
//! ```
//!
//! Beside `cgroups`: a second tree of groups, which a task enters by its number and its children
//! inherit. A class of service (CLOS) is a directory below the mount point, and the root is one
//! too; a monitoring group is a directory in `mon_groups` of a class. What was made is named by a
//! [`Place`], which the caller writes down *before* it is made, so that whoever comes after a
//! killed maker can remove it.
//!
//! All who change the tree take flock(2) of its top, as the kernel's documentation asks of them
//! (Documentation/filesystems/resctrl.rst, "Locking"): two containers that want the same class
//! do not meet it half-made.
//!
//! What never happens here: nothing is mounted, and nothing that others made is removed.
//!
//! runtime-spec 1.3.0, config-linux.md, "IntelRdt".

mod error;
mod group;
mod plan;
mod schemata;
mod stats;

use std::fs;
use std::path::{Path, PathBuf};

pub use error::ResctrlError;
pub use group::{Group, Place};
pub use plan::{Plan, Settled};
pub use stats::{BandwidthInfo, CacheInfo, Stats, Traffic};

/// A mounted resctrl file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resctrl {
    root: PathBuf,
}

/// Where the kernel has a directory for it, if it knows of a processor that can.
const USUAL: &str = "/sys/fs/resctrl";
/// linux/magic.h.
const RDTGROUP_SUPER_MAGIC: i64 = 0x0765_5821;

impl Resctrl {
    /// Finds the one that is mounted on this machine; [`ResctrlError::NotMounted`] without one.
    pub fn find() -> Result<Self, ResctrlError> {
        let usual = Path::new(USUAL);
        #[allow(clippy::useless_conversion, reason = "the field's type differs by architecture")]
        let is_there = rustix::fs::statfs(usual)
            .is_ok_and(|found| i64::from(found.f_type) == RDTGROUP_SUPER_MAGIC);
        if is_there {
            return Ok(Self::at(usual));
        }
        let path = "/proc/self/mountinfo";
        let table = fs::read_to_string(path)
            .map_err(|source| ResctrlError::io("read", Path::new(path), source))?;
        match mount_point(&table) {
            Some(root) => Ok(Self { root }),
            None => Err(ResctrlError::NotMounted { supported: usual.is_dir() }),
        }
    }

    /// The one that is mounted at `root`.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// The first mount point of a whole resctrl in a table as proc_pid_mountinfo(5) has it.
fn mount_point(table: &str) -> Option<PathBuf> {
    table.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        let wanted = kind.split(' ').next() == Some("resctrl") && root == "/";
        wanted.then(|| unescape(place).into())
    })
}

/// Blanks and the like are written as `\040`.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                plain.push(code.into());
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_wherever_it_is() {
        let table = "24 1 0:22 / /proc rw - proc proc rw\n\
                     40 24 0:35 /x /part rw,relatime - resctrl resctrl rw\n\
                     41 24 0:35 / /my\\040rdt rw,relatime shared:7 - resctrl resctrl rw\n";
        assert_eq!(mount_point(table), Some("/my rdt".into()));
        assert_eq!(mount_point("24 1 0:22 / /resctrl rw - tmpfs resctrl rw\n"), None);
    }
}
