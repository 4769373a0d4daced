//! Paths of control groups, below the mount point of a hierarchy.

use std::fmt;

use crate::CgroupError;

/// The place of a control group below the mount point, such as `kista/4f1e...`.
///
/// No leading slash, no empty, `.` or `..` component, so that joining it to a mount point stays
/// below that: control group file systems have no links. A leading slash in the text given, as
/// runtime-spec 1.3.0, config-linux.md, "Cgroups Path" has it, changes nothing: a relative path
/// is taken from the top as well, which the specification leaves to the runtime.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CgroupPath(Box<str>);

impl CgroupPath {
    /// Checks a path.
    pub fn new(text: &str) -> Result<Self, CgroupError> {
        let refuse = |reason| CgroupError::Path { path: text.to_owned(), reason };
        let trimmed = text.trim_matches('/');
        if trimmed.is_empty() {
            return Err(refuse("it names the top of the hierarchy"));
        }
        for component in trimmed.split('/') {
            match component {
                "" => return Err(refuse("it has an empty component")),
                "." | ".." => return Err(refuse("it has a component that points elsewhere")),
                // cgroup.procs and the like: a group of that name cannot be told from a file.
                _ if component.starts_with("cgroup.") => {
                    return Err(refuse("names that begin with cgroup. are the kernel's"));
                }
                _ if component.len() > 255 => return Err(refuse("a component is too long")),
                _ if component.bytes().any(|byte| byte == b'\n' || byte == 0) => {
                    return Err(refuse("it has a line end or a NUL"));
                }
                _ => {}
            }
        }
        Ok(Self(trimmed.into()))
    }

    /// The text, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The group above, unless that is the top.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once('/')?;
        Some(Self(parent.into()))
    }

    /// A group below.
    pub fn join(&self, name: &str) -> Result<Self, CgroupError> {
        Self::new(&format!("{}/{name}", self.0))
    }
}

impl fmt::Debug for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for CgroupPath {
    type Err = CgroupError;

    fn from_str(text: &str) -> Result<Self, CgroupError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_hierarchy_are_refused() {
        for bad in ["", "/", "a/../b", "..", "a//b", "a/./b", "a/cgroup.procs", "a\nb", "a\0"] {
            assert!(CgroupPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn slashes_at_the_ends_do_not_matter() {
        for text in ["/kista/x", "kista/x", "kista/x/"] {
            let path = CgroupPath::new(text).unwrap();
            assert_eq!(path.as_str(), "kista/x");
            assert_eq!(path.parent().unwrap().as_str(), "kista");
            assert_eq!(path.parent().unwrap().parent(), None);
        }
    }
}
