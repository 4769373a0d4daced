//! `devices.allow` and `devices.deny`.
//!
//! The kernel keeps a default and a list of exceptions, and takes a rule away only if it is one of
//! them, number for number. So the rules are brought to such a form first, and refused if they
//! have none. kernel documentation, cgroup-v1/devices.rst.

use std::path::Path;

use super::{Access, Kind, Rule};
use crate::{CgroupError, file};

/// A default and its exceptions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lists {
    /// What happens to devices that no exception names.
    pub(super) allow: bool,
    pub(super) exceptions: Vec<Rule>,
}

pub(super) fn apply(dir: &Path, rules: &[Rule]) -> Result<(), CgroupError> {
    let lists = normalize(rules)?;
    let (reset, name) = match lists.allow {
        true => ("devices.allow", "devices.deny"),
        false => ("devices.deny", "devices.allow"),
    };
    // `a` changes the default and forgets the exceptions.
    file::set(dir, reset, "devices", "a")?;
    if lists.exceptions.is_empty() {
        return Ok(());
    }
    let path = dir.join(name);
    let refused = |value: String, source| CgroupError::Refused {
        setting: "devices".to_owned(),
        value,
        path: path.clone(),
        source,
    };
    let open = file::open_for_write(&path).map_err(|source| refused(String::new(), source))?;
    for rule in &lists.exceptions {
        let line = line(rule);
        rustix::io::write(&open, line.as_bytes())
            .map_err(|errno| refused(line.clone(), errno.into()))?;
    }
    Ok(())
}

/// `c 1:3 rwm`
fn line(rule: &Rule) -> String {
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let kind = if rule.kind == Kind::Block { 'b' } else { 'c' };
    format!("{kind} {}:{} {}", number(rule.major), number(rule.minor), rule.access.letters())
}

pub(super) fn normalize(rules: &[Rule]) -> Result<Lists, CgroupError> {
    let mut lists = Lists { allow: false, exceptions: Vec::new() };
    for rule in rules {
        let whole = rule.kind == Kind::All
            && rule.major.is_none()
            && rule.minor.is_none()
            && rule.access == Access::ALL;
        if whole {
            lists = Lists { allow: rule.allow, exceptions: Vec::new() };
            continue;
        }
        let kinds: &[Kind] = match rule.kind {
            Kind::All => &[Kind::Block, Kind::Char],
            Kind::Block => &[Kind::Block],
            Kind::Char => &[Kind::Char],
        };
        for &kind in kinds {
            let rule = Rule { kind, ..*rule };
            match rule.allow == lists.allow {
                true => lists.take_back(&rule)?,
                false => lists.except(rule),
            }
        }
    }
    Ok(lists)
}

impl Lists {
    /// Adds an exception, joined to one for the same devices.
    fn except(&mut self, rule: Rule) {
        let same = self
            .exceptions
            .iter_mut()
            .find(|one| (one.kind, one.major, one.minor) == (rule.kind, rule.major, rule.minor));
        match same {
            Some(one) => one.access.0 |= rule.access.0,
            None => self.exceptions.push(rule),
        }
    }

    /// Takes from the exceptions what `rule` gives back to the default.
    fn take_back(&mut self, rule: &Rule) -> Result<(), CgroupError> {
        let covers = |wide: Option<u32>, narrow: Option<u32>| wide.is_none() || wide == narrow;
        for one in &mut self.exceptions {
            if one.kind != rule.kind || one.access.0 & rule.access.0 == 0 {
                continue;
            }
            if covers(rule.major, one.major) && covers(rule.minor, one.minor) {
                one.access.0 &= !rule.access.0;
            } else if (covers(one.major, rule.major) || covers(rule.major, one.major))
                && (covers(one.minor, rule.minor) || covers(rule.minor, one.minor))
            {
                // A hole in a wider exception.
                return Err(CgroupError::Unsupported {
                    setting: "devices".to_owned(),
                    reason: "cgroup version 1 cannot take single devices back from a wider rule \
                             before",
                });
            }
        }
        self.exceptions.retain(|one| one.access.0 != 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::allows;

    fn rule(allow: bool, kind: Kind, major: Option<u32>, minor: Option<u32>, access: u8) -> Rule {
        Rule { allow, kind, major, minor, access: Access(access) }
    }

    #[test]
    fn later_rules_take_back_what_earlier_ones_gave() {
        let rules = [
            rule(false, Kind::All, None, None, 7),
            rule(true, Kind::Char, Some(1), Some(3), 7),
            rule(true, Kind::Char, Some(1), Some(5), 6),
            rule(false, Kind::Char, Some(1), None, Access::WRITE),
        ];
        let lists = normalize(&rules).unwrap();
        let lines: Vec<_> = lists.exceptions.iter().map(line).collect();
        assert_eq!(lines, ["c 1:3 rm", "c 1:5 r"]);
        assert!(!lists.allow);
    }

    #[test]
    fn all_may_be_allowed_but_some() {
        let rules =
            [rule(true, Kind::All, None, None, 7), rule(false, Kind::All, Some(8), None, 6)];
        let lists = normalize(&rules).unwrap();
        assert!(lists.allow);
        let lines: Vec<_> = lists.exceptions.iter().map(line).collect();
        assert_eq!(lines, ["b 8:* rw", "c 8:* rw"]);
    }

    #[test]
    fn a_hole_in_a_wider_rule_is_refused() {
        let rules = [
            rule(true, Kind::Char, Some(1), None, 7),
            rule(false, Kind::Char, Some(1), Some(3), 7),
        ];
        assert!(matches!(normalize(&rules), Err(CgroupError::Unsupported { .. })));
    }

    /// Whatever has a normal form means the same in it.
    #[test]
    fn normal_forms_mean_the_same() {
        let numbers = [None, Some(1), Some(2)];
        let mut seed = 7_u32;
        let mut roll = |limit: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % limit
        };
        for _ in 0..3000 {
            let rules: Vec<_> = (0..4)
                .map(|_| {
                    let kind = [Kind::All, Kind::Block, Kind::Char][roll(3) as usize];
                    let (major, minor) = (numbers[roll(3) as usize], numbers[roll(3) as usize]);
                    rule(roll(2) == 0, kind, major, minor, roll(7) as u8 + 1)
                })
                .collect();
            let Ok(lists) = normalize(&rules) else { continue };
            let first = rule(lists.allow, Kind::All, None, None, 7);
            let again: Vec<_> = std::iter::once(first).chain(lists.exceptions).collect();
            for kind in [Kind::Block, Kind::Char] {
                for (major, minor) in [(1, 1), (1, 2), (2, 1), (3, 3)] {
                    for access in 1..8 {
                        let ask = |rules| allows(rules, kind, major, minor, Access(access));
                        assert_eq!(ask(&rules), ask(&again), "{rules:?} {again:?}");
                    }
                }
            }
        }
    }
}
