//! Which devices a group may use: files in version 1, a program in version 2.

mod program;
mod v1;

use oci::runtime::DeviceRule;

use crate::hierarchy::Version;
use crate::{Cgroup, CgroupError, Controller};

/// A rule of the runtime-spec, understood. Later ones win, for each kind of access by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    pub(crate) kind: Kind,
    /// Any if `None`.
    pub(crate) major: Option<u32>,
    /// Any if `None`.
    pub(crate) minor: Option<u32>,
    pub(crate) access: Access,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Both; `a` in rules.
    All,
    Block,
    Char,
}

/// A set of `r`, `w` and `m` (mknod), with the kernel's bits. linux/bpf.h, `BPF_DEVCG_ACC_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access(pub(crate) u8);

impl Access {
    pub(crate) const MKNOD: u8 = 1;
    pub(crate) const READ: u8 = 2;
    pub(crate) const WRITE: u8 = 4;
    pub(crate) const ALL: Self = Self(7);

    pub(crate) fn letters(self) -> String {
        [('r', Self::READ), ('w', Self::WRITE), ('m', Self::MKNOD)]
            .into_iter()
            .filter(|(_, bit)| self.0 & bit != 0)
            .map(|(letter, _)| letter)
            .collect()
    }
}

impl Cgroup {
    /// Replaces the rules about devices. Nothing is allowed but what `rules` say.
    ///
    /// In version 2 a program is attached in place of the one that was; needs CAP_BPF (or
    /// CAP_SYS_ADMIN) and CAP_NET_ADMIN there.
    pub(crate) fn apply_devices(&self, rules: &[DeviceRule]) -> Result<(), CgroupError> {
        let rules = rules.iter().map(understand).collect::<Result<Vec<_>, _>>()?;
        if let Some(group) = self.group_of(Controller::Devices) {
            return v1::apply(&group.dir, &rules);
        }
        match self.groups().iter().find(|group| group.version == Version::V2) {
            Some(group) => program::attach(&group.dir, &rules),
            None => Err(CgroupError::NoController {
                controller: Controller::Devices.name(),
                setting: "devices".to_owned(),
            }),
        }
    }
}

/// Rules as a list of what is allowed, as far as they are one.
pub(crate) enum AllowList {
    /// No device is forbidden.
    Everything,
    /// These, each of one kind, and no other.
    Only(Vec<Rule>),
    /// Everything but some.
    NotOne,
}

/// The list that rules come to. [`CgroupError::Unsupported`] for a hole in a wider rule.
pub(crate) fn allow_list(rules: &[DeviceRule]) -> Result<AllowList, CgroupError> {
    let rules = rules.iter().map(understand).collect::<Result<Vec<_>, _>>()?;
    let lists = v1::normalize(&rules)?;
    Ok(match (lists.allow, lists.exceptions) {
        (false, only) => AllowList::Only(only),
        (true, none) if none.is_empty() => AllowList::Everything,
        (true, _) => AllowList::NotOne,
    })
}

/// The devices that every container of the runtime-spec has, and terminals: what a runtime adds
/// to a list of rules that begins by denying everything.
/// runtime-spec 1.3.0, config-linux.md, "Default Devices".
pub fn default_rules() -> Vec<DeviceRule> {
    let rule = |kind: &str, major, minor, access: &str| DeviceRule {
        allow: true,
        kind: Some(kind.to_owned()),
        major,
        minor,
        access: Some(access.to_owned()),
    };
    let mut rules = vec![
        DeviceRule { allow: false, kind: None, major: None, minor: None, access: None },
        // Nodes of any kind may be made; to use one is another matter.
        rule("c", None, None, "m"),
        rule("b", None, None, "m"),
    ];
    // null, zero, full, random, urandom, tty, console, ptmx, and ptys
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(rule("c", Some(major), Some(minor), "rwm"));
    }
    rules.push(rule("c", Some(136), None, "rwm"));
    rules
}

fn understand(rule: &DeviceRule) -> Result<Rule, CgroupError> {
    let refuse = |value: &str, reason| CgroupError::Value {
        setting: "devices".to_owned(),
        value: value.to_owned(),
        reason,
    };
    let kind = match rule.kind.as_deref() {
        None | Some("" | "a") => Kind::All,
        Some("b") => Kind::Block,
        Some("c" | "u") => Kind::Char,
        Some(other) => return Err(refuse(other, "kinds of devices are a, b and c")),
    };
    let number = |number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number)
            .map(Some)
            .map_err(|_| refuse(&number.to_string(), "it is no number of a device")),
    };
    let mut access = 0;
    match rule.access.as_deref() {
        None | Some("") => access = Access::ALL.0,
        Some(letters) => {
            for letter in letters.bytes() {
                access |= match letter {
                    b'r' => Access::READ,
                    b'w' => Access::WRITE,
                    b'm' => Access::MKNOD,
                    _ => return Err(refuse(letters, "access is made of the letters r, w and m")),
                };
            }
        }
    }
    let (major, minor) = (number(rule.major)?, number(rule.minor)?);
    Ok(Rule { allow: rule.allow, kind, major, minor, access: Access(access) })
}

/// What rules say, read directly: for tests of both versions.
#[cfg(test)]
pub(crate) fn allows(rules: &[Rule], kind: Kind, major: u32, minor: u32, access: Access) -> bool {
    [Access::MKNOD, Access::READ, Access::WRITE].into_iter().filter(|bit| access.0 & bit != 0).all(
        |bit| {
            let fits = |rule: &&Rule| {
                (rule.kind == Kind::All || rule.kind == kind)
                    && rule.major.is_none_or(|one| one == major)
                    && rule.minor.is_none_or(|one| one == minor)
                    && rule.access.0 & bit != 0
            };
            rules.iter().rev().find(fits).is_some_and(|rule| rule.allow)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_rules_deny_first() {
        let rules: Vec<_> = default_rules().iter().map(|rule| understand(rule).unwrap()).collect();
        assert!(allows(&rules, Kind::Char, 1, 3, Access::ALL));
        assert!(allows(&rules, Kind::Char, 136, 7, Access(Access::READ)));
        assert!(allows(&rules, Kind::Block, 8, 0, Access(Access::MKNOD)));
        assert!(!allows(&rules, Kind::Block, 8, 0, Access(Access::READ)));
        for (major, minor) in [(1, 1), (1, 2), (1, 11), (10, 200)] {
            assert!(!allows(&rules, Kind::Char, major, minor, Access(Access::READ)));
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        let rule = |kind: &str, major, access: &str| DeviceRule {
            allow: true,
            kind: Some(kind.to_owned()),
            major: Some(major),
            minor: None,
            access: Some(access.to_owned()),
        };
        for bad in
            [rule("x", 1, "r"), rule("c", -2, "r"), rule("c", 1 << 33, "r"), rule("c", 1, "rx")]
        {
            assert!(understand(&bad).is_err(), "{bad:?}");
        }
        assert_eq!(understand(&rule("c", -1, "")).unwrap().access, Access::ALL);
    }
}
