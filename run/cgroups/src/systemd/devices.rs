//! Rules about devices in systemd's words: `DevicePolicy` and `DeviceAllow`.
//!
//! systemd knows lists of what is allowed, and those only by number, or by a major number, or all
//! of a kind. The group has our own rules besides. In version 2 both must agree, so that rules
//! for which systemd has no words have to be left to ours alone, and systemd told to allow all:
//! in its list, since it leaves the program of an earlier one attached when there is none any
//! more. In version 1 ours take the place of systemd's, which then only matter if it writes them
//! again, and should rather refuse.

use oci::runtime::DeviceRule;

use super::value::Value;
use crate::CgroupError;
use crate::devices::{AllowList, Kind, Rule, allow_list};

/// The two properties for `rules`.
pub(super) fn properties(
    rules: &[DeviceRule],
    unified: bool,
    version: u32,
) -> Result<[(&'static str, Value); 2], CgroupError> {
    let with = |entries: Vec<Value>, policy: &str| {
        let entries = Value::Array("(ss)".into(), entries);
        [("DeviceAllow", entries), ("DevicePolicy", Value::text(policy))]
    };
    let all = || with(vec![pair("char-*", "rwm"), pair("block-*", "rwm")], "strict");
    let list = match allow_list(rules) {
        Ok(list) => list,
        Err(_) if unified => AllowList::NotOne,
        Err(error) => return Err(error),
    };
    Ok(match list {
        AllowList::Everything | AllowList::NotOne if unified => all(),
        AllowList::Everything => with(Vec::new(), "auto"),
        AllowList::NotOne => with(Vec::new(), "strict"),
        AllowList::Only(rules) => {
            let entries: Option<Vec<Value>> =
                rules.iter().map(|rule| entry(rule, version)).collect();
            match entries {
                Some(entries) => with(entries, "strict"),
                None if unified => all(),
                None => {
                    with(rules.iter().filter_map(|rule| entry(rule, version)).collect(), "strict")
                }
            }
        }
    })
}

/// `("/dev/char/1:3", "rwm")`, `("char-136", "rw")`, `("block-*", "m")`; `None` where systemd has
/// no such form.
fn entry(rule: &Rule, version: u32) -> Option<Value> {
    let kind = if rule.kind == Kind::Block { "block" } else { "char" };
    let name = match (rule.major, rule.minor) {
        (None, None) => format!("{kind}-*"),
        // Groups of devices by number are known from version 240 on.
        (Some(major), None) if version >= 240 => format!("{kind}-{major}"),
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        _ => return None,
    };
    Some(pair(&name, &rule.access.letters()))
}

fn pair(name: &str, access: &str) -> Value {
    Value::Struct(vec![Value::text(name), Value::text(access)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, major: Option<i64>, minor: Option<i64>) -> DeviceRule {
        let (kind, access) = (Some("c".into()), Some("rw".into()));
        DeviceRule { allow, kind, major, minor, access }
    }

    const ALL: DeviceRule =
        DeviceRule { allow: true, kind: None, major: None, minor: None, access: None };

    fn check(rules: &[DeviceRule], unified: bool, policy: &str, allowed: &[(&str, &str)]) {
        let [(_, entries), (_, got)] = properties(rules, unified, 252).unwrap();
        assert_eq!(got, Value::text(policy), "{rules:?}");
        let want = allowed.iter().map(|(name, access)| pair(name, access)).collect();
        assert_eq!(entries, Value::Array("(ss)".into(), want), "{rules:?}");
    }

    const EVERY: &[(&str, &str)] = &[("char-*", "rwm"), ("block-*", "rwm")];

    #[test]
    fn lists_of_what_is_allowed_have_words() {
        for unified in [true, false] {
            let rules = [rule(true, Some(1), Some(3)), rule(true, Some(136), None)];
            check(&rules, unified, "strict", &[("/dev/char/1:3", "rw"), ("char-136", "rw")]);
            check(&[rule(true, None, None)], unified, "strict", &[("char-*", "rw")]);
        }
        check(&[ALL], true, "strict", EVERY);
        check(&[ALL], false, "auto", &[]);
    }

    #[test]
    fn what_has_no_words_is_left_to_the_program_or_refused() {
        let odd = [rule(true, Some(1), Some(3)), rule(true, None, Some(7))];
        check(&odd, true, "strict", EVERY);
        check(&odd, false, "strict", &[("/dev/char/1:3", "rw")]);
        let but_one = [ALL, rule(false, Some(1), Some(3))];
        check(&but_one, true, "strict", EVERY);
        check(&but_one, false, "strict", &[]);
        let hole = [rule(true, Some(1), None), rule(false, Some(1), Some(3))];
        check(&hole, true, "strict", EVERY);
        assert!(properties(&hole, false, 252).is_err());
    }
}
