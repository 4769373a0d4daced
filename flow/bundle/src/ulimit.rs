//! `--ulimit`: limits of a process, within what we ourselves may set.

use dockerapi::{HostConfig, Ulimit};
use oci::runtime::Rlimit;

use crate::{BundleError, HostFacts, Profile};

/// The names without `RLIMIT_`, as getrlimit(2) has them.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads `NAME=SOFT[:HARD]`; -1 is no limit.
pub fn parse_ulimit(text: &str) -> Result<Ulimit, BundleError> {
    let invalid = || BundleError::invalid(format!("invalid ulimit argument: {text}"));
    let (name, values) = text.split_once('=').ok_or_else(invalid)?;
    if !NAMES.contains(&name) {
        return Err(BundleError::invalid(format!("invalid ulimit type: {name}")));
    }
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| -> Result<i64, BundleError> {
        let plain = text == "-1" || text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| plain).ok_or_else(invalid)
    };
    let ulimit = Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? };
    check(&ulimit)?;
    Ok(ulimit)
}

/// Refuses unknown names and soft limits above the hard one.
pub(crate) fn check(ulimit: &Ulimit) -> Result<(), BundleError> {
    if !NAMES.contains(&ulimit.name.as_str()) {
        return Err(BundleError::invalid(format!("invalid ulimit type: {}", ulimit.name)));
    }
    if ulimit.soft < -1 || ulimit.hard < -1 {
        return Err(BundleError::invalid(format!(
            "invalid ulimit for {}: {}:{}",
            ulimit.name, ulimit.soft, ulimit.hard
        )));
    }
    let (soft, hard) = (ulimit.soft, ulimit.hard);
    if hard != -1 && soft == -1 {
        return Err(BundleError::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), \
             hard: {hard}"
        )));
    }
    if hard != -1 && soft > hard {
        return Err(BundleError::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(())
}

/// All limits of a container, by name. Where a limit is above what we may set, it becomes what we
/// may set, with a warning: the container would not start otherwise.
pub(crate) fn rlimits(
    host: &HostConfig,
    profile: Profile,
    facts: &HostFacts,
    warnings: &mut Vec<String>,
) -> Result<Vec<Rlimit>, BundleError> {
    let mut limits: Vec<Rlimit> = profile
        .rlimits()
        .iter()
        .map(|(name, soft, hard)| clamp(name, *soft, *hard, facts, &mut Vec::new()))
        .collect();
    for ulimit in &host.ulimits {
        check(ulimit)?;
        let [soft, hard] =
            [ulimit.soft, ulimit.hard].map(|value| u64::try_from(value).unwrap_or(u64::MAX));
        let limit = clamp(&ulimit.name, soft, hard, facts, warnings);
        limits.retain(|other| other.kind != limit.kind);
        limits.push(limit);
    }
    limits.sort_by(|one, other| one.kind.cmp(&other.kind));
    Ok(limits)
}

fn clamp(
    name: &str,
    soft: u64,
    hard: u64,
    facts: &HostFacts,
    warnings: &mut Vec<String>,
) -> Rlimit {
    let kind = format!("RLIMIT_{}", name.to_ascii_uppercase());
    let own =
        facts.rlimits.iter().find(|(own, _)| *own == kind).map_or(u64::MAX, |(_, hard)| *hard);
    if facts.may_raise_rlimits || hard <= own {
        return Rlimit { kind, hard, soft };
    }
    warnings.push(format!(
        "The hard limit of ulimit {name} is {own} on this host and cannot be raised. Limited to that."
    ));
    Rlimit { kind, hard: own, soft: soft.min(own) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::facts;
    use proptest::prelude::*;

    #[test]
    fn names_and_numbers() {
        let ulimit = parse_ulimit("nofile=1024:2048").unwrap();
        assert_eq!((&*ulimit.name, ulimit.soft, ulimit.hard), ("nofile", 1024, 2048));
        let ulimit = parse_ulimit("core=-1").unwrap();
        assert_eq!((ulimit.soft, ulimit.hard), (-1, -1));
        let rows = [
            ("nofile", "invalid ulimit argument: nofile"),
            ("nofile=", "invalid ulimit argument: nofile="),
            ("nofile=1:2:3", "invalid ulimit argument: nofile=1:2:3"),
            ("nofile=+1", "invalid ulimit argument: nofile=+1"),
            ("nofile=-2", "invalid ulimit argument: nofile=-2"),
            ("nofile=99999999999999999999", "invalid ulimit argument: nofile=99999999999999999999"),
            ("as=1", "invalid ulimit type: as"),
            ("NOFILE=1", "invalid ulimit type: NOFILE"),
            ("nofile=2:1", "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
            (
                "nofile=-1:1",
                "ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), \
                 hard: 1",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_ulimit(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_limit_above_the_hosts_is_lowered_and_said() {
        let facts = HostFacts {
            rlimits: vec![("RLIMIT_NOFILE".into(), 20_000)],
            may_raise_rlimits: false,
            ..facts()
        };
        let host = HostConfig {
            ulimits: vec![
                Ulimit { name: "nofile".into(), soft: 30_000, hard: 1_048_576 },
                Ulimit { name: "nproc".into(), soft: -1, hard: -1 },
            ],
            ..Default::default()
        };
        let mut warnings = Vec::new();
        let limits = rlimits(&host, Profile::Docker, &facts, &mut warnings).unwrap();
        assert_eq!(limits[0], Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 20_000, soft: 20_000 });
        assert_eq!(limits[1].hard, u64::MAX);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        let may = HostFacts { may_raise_rlimits: true, ..facts };
        let limits = rlimits(&host, Profile::Docker, &may, &mut Vec::new()).unwrap();
        assert_eq!(limits[0].hard, 1_048_576);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(nofile|core|=|:|-|[0-9]{1,20}){0,6}") {
            if let Ok(ulimit) = parse_ulimit(&text) {
                prop_assert!(ulimit.hard == -1 || (0..=ulimit.hard).contains(&ulimit.soft));
            }
        }
    }
}
