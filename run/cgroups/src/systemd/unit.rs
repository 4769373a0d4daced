//! The unit of a container: its name, the slice that it is in, and the path of its group.

use std::collections::BTreeMap;

use super::annotation;
use super::value::Value;
use crate::{CgroupError, CgroupPath};

/// A scope (or a slice) that systemd makes for one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// The slice as given; empty for the default.
    pub(super) slice: String,
    pub(super) name: String,
    /// Properties that the user asked for, in systemd's own words.
    pub(super) properties: Vec<(String, Value)>,
}

impl Unit {
    /// The unit that `linux.cgroupsPath` names.
    ///
    /// `SLICE:PREFIX:NAME` is the scope `PREFIX-NAME.scope` in a slice; a name that ends in
    /// `.slice` is a slice itself. Without a path it is `kista-ID.scope` in `system.slice`, or in
    /// `user.slice` of a user's own systemd. [`CgroupError::Path`] for any other form, and for a
    /// slice whose name systemd has no place for.
    pub fn new(path: Option<&str>, id: &str) -> Result<Self, CgroupError> {
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Self::checked("", &format!("kista-{id}.scope"), id);
        };
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            return Err(refuse(path, "with systemd it is of the form slice:prefix:name"));
        };
        if name.is_empty() {
            return Err(refuse(path, "the name is missing"));
        }
        let unit = match name.ends_with(".slice") {
            true => name.to_owned(),
            false => format!("{prefix}-{name}.scope"),
        };
        Self::checked(slice, &unit, path)
    }

    fn checked(slice: &str, name: &str, given: &str) -> Result<Self, CgroupError> {
        if !slice.is_empty() {
            expand(slice)?;
        }
        // systemd.unit(5)
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        if name.len() > 255 || !name.bytes().all(fits) {
            return Err(refuse(given, "it makes no name of a unit"));
        }
        Ok(Self { slice: slice.to_owned(), name: name.to_owned(), properties: Vec::new() })
    }

    /// The unit with the properties that annotations named `org.systemd.property.NAME` ask for.
    ///
    /// [`CgroupError::Property`] for one that cannot be understood.
    pub fn with_annotations(
        mut self,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, CgroupError> {
        self.properties = annotation::properties(annotations)?;
        Ok(self)
    }

    /// `kista-ID.scope`
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_slice(&self) -> bool {
        self.name.ends_with(".slice")
    }

    /// The slice, or `default`.
    pub(super) fn slice_or<'a>(&'a self, default: &'a str) -> &'a str {
        if self.slice.is_empty() { default } else { &self.slice }
    }

    /// Where its group is below `manager`, the group of a user's own systemd, or empty.
    pub(super) fn path(&self, manager: &str, default: &str) -> Result<CgroupPath, CgroupError> {
        let slice = expand(self.slice_or(default))?;
        CgroupPath::new(&format!("{manager}/{slice}/{}", self.name).replace("//", "/"))
    }
}

fn refuse(path: &str, reason: &'static str) -> CgroupError {
    CgroupError::Path { path: path.to_owned(), reason }
}

/// `a.slice/a-b.slice` for `a-b.slice`, as slices are nested by the dashes in their names; nothing
/// for `-.slice`, which is the top. systemd.slice(5).
fn expand(slice: &str) -> Result<String, CgroupError> {
    let bad = || refuse(slice, "it is no name of a slice");
    let name = slice.strip_suffix(".slice").filter(|name| !name.is_empty()).ok_or_else(bad)?;
    if name == "-" {
        return Ok(String::new());
    }
    if name.contains('/') || name.split('-').any(str::is_empty) {
        return Err(bad());
    }
    let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
    let parts: Vec<String> = ends.map(|end| format!("{}.slice", &name[..end])).collect();
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_nested_by_their_dashes() {
        assert_eq!(expand("system.slice").unwrap(), "system.slice");
        assert_eq!(expand("test-a-b.slice").unwrap(), "test.slice/test-a.slice/test-a-b.slice");
        assert_eq!(expand("-.slice").unwrap(), "");
        for bad in ["", ".slice", "system", "a--b.slice", "-a.slice", "a-.slice", "a/b.slice"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_name_a_unit_in_a_slice() {
        let check = |path: Option<&str>, name: &str, group: &str| {
            let unit = Unit::new(path, "id").unwrap();
            assert_eq!(unit.name(), name);
            assert_eq!(unit.path("", "system.slice").unwrap().as_str(), group);
        };
        check(None, "kista-id.scope", "system.slice/kista-id.scope");
        check(Some(""), "kista-id.scope", "system.slice/kista-id.scope");
        check(Some(":docker:1"), "docker-1.scope", "system.slice/docker-1.scope");
        check(
            Some("machine-a.slice:libpod:x"),
            "libpod-x.scope",
            "machine.slice/machine-a.slice/libpod-x.scope",
        );
        check(Some("-.slice:p:x"), "p-x.scope", "p-x.scope");
        check(Some("kube.slice::kube-pod.slice"), "kube-pod.slice", "kube.slice/kube-pod.slice");
        let unit = Unit::new(Some(":p:x"), "id").unwrap();
        assert_eq!(
            unit.path("/user.slice/user@0.service", "user.slice").unwrap().as_str(),
            "user.slice/user@0.service/user.slice/p-x.scope"
        );
        for bad in ["/kista/x", "a:b", "a:b:c", "a.slice:b:", "a.slice:b:c/d", ":b:c d", "::a:b"] {
            assert!(Unit::new(Some(bad), "id").is_err(), "{bad}");
        }
    }
}
