use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::test_support;

fn check(profile: Profile, host: serde_json::Value) -> Result<Devices, String> {
    let host: HostConfig = serde_json::from_value(host).unwrap();
    super::check(&host).map_err(|err| err.to_string())?;
    devices(&host, profile, &test_support::devices, &mut Vec::new()).map_err(|err| err.to_string())
}

/// Whether a rule list lets a character device be used so; the last rule that matches wins.
fn allows(rules: &[DeviceRule], kind: &str, major: i64, minor: i64, access: char) -> bool {
    let is = |rule: Option<i64>, number: i64| rule.is_none_or(|own| own == -1 || own == number);
    rules
        .iter()
        .rev()
        .find(|rule| {
            rule.kind.as_deref().is_none_or(|own| own == "a" || own == kind)
                && is(rule.major, major)
                && is(rule.minor, minor)
                && rule.access.as_deref().is_none_or(|own| own.contains(access))
        })
        .is_some_and(|rule| rule.allow)
}

#[test]
fn the_flag() {
    let rows = [
        ("/dev/x", "/dev/x", "/dev/x", "rwm"),
        ("/dev/x:r", "/dev/x", "/dev/x", "r"),
        ("/dev/x:/dev/y", "/dev/x", "/dev/y", "rwm"),
        ("/dev/x:/dev/../y:mr", "/dev/x", "/y", "mr"),
    ];
    for (text, host, container, access) in rows {
        let mapping = parse_device(text).unwrap();
        assert_eq!(mapping.path_on_host, host, "{text}");
        assert_eq!(mapping.path_in_container, container, "{text}");
        assert_eq!(mapping.cgroup_permissions, access, "{text}");
    }
    let rows = [
        ("", "bad format for path: "),
        (":/dev/x", "bad format for path: :/dev/x"),
        ("/a:/b:r:w", "bad format for path: /a:/b:r:w"),
        ("/a:/b:rr", "bad mode specified: rr"),
        ("/a:/b:", "bad mode specified: "),
        ("/a:b", "b is not an absolute path"),
        ("a:/b", "a is not an absolute path"),
        ("vendor.com/gpu=0", "device \"vendor.com/gpu=0\" by CDI name is not supported yet"),
    ];
    for (text, expected) in rows {
        assert_eq!(parse_device(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn rules_of_the_user() {
    let rule = parse_device_rule("c 42:* rmw").unwrap();
    assert_eq!((rule.major, rule.minor, rule.access.as_deref()), (Some(42), Some(-1), Some("rmw")));
    parse_device_rule("a *:* rwm").unwrap();
    for bad in [
        "",
        "c",
        "c 1:3",
        "d 1:3 r",
        "c 1 r",
        "c 1:3 x",
        "c 1:3 rwmr",
        "c  1:3 r",
        "c -1:3 r",
        "c 1:3 r ",
        "c 4294967296:0 r",
        "c 1:3 ",
        "c +1:3 r",
        "c 1:3\n r",
    ] {
        assert_eq!(
            parse_device_rule(bad).unwrap_err().to_string(),
            format!("invalid device cgroup rule format: '{bad}'")
        );
    }
}

#[test]
fn only_basic_devices_can_be_used_or_made() {
    for profile in [Profile::Standard, Profile::Strict, Profile::Build] {
        let devices = check(profile, json!({})).unwrap();
        assert!(devices.nodes.is_empty());
        for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, 7)] {
            assert!(allows(&devices.rules, "c", major, minor, 'w'), "{major}:{minor}");
            let makes = allows(&devices.rules, "c", major, minor, 'm');
            assert_eq!(makes, !matches!((major, minor), (5, 2) | (136, _)), "{major}:{minor}");
        }
        for (major, minor) in [(1, 1), (1, 2), (1, 11), (10, 200), (10, 229), (7, 0), (254, 0)] {
            for access in ['r', 'w', 'm'] {
                assert!(!allows(&devices.rules, "c", major, minor, access), "{major}:{minor}");
                assert!(!allows(&devices.rules, "b", major, minor, access), "{major}:{minor}");
            }
        }
    }
    let devices = check(Profile::Docker, json!({})).unwrap();
    assert!(allows(&devices.rules, "b", 8, 0, 'm') && !allows(&devices.rules, "b", 8, 0, 'r'));
    assert!(allows(&devices.rules, "c", 1, 3, 'm'));
}

#[test]
fn devices_of_the_user() {
    let devices = check(
        Profile::Standard,
        json!({
            "Devices": [
                {"PathOnHost": "/dev/sda", "PathInContainer": "/dev/xvda", "CgroupPermissions": "r"},
                {"PathOnHost": "/dev/snd"},
            ],
            "DeviceCgroupRules": ["c 81:* rw"],
        }),
    )
    .unwrap();
    let paths: Vec<_> = devices.nodes.iter().map(|node| &*node.path).collect();
    assert_eq!(paths, ["/dev/xvda", "/dev/snd/timer"]);
    assert!(allows(&devices.rules, "b", 8, 0, 'r') && !allows(&devices.rules, "b", 8, 0, 'w'));
    assert!(allows(&devices.rules, "c", 116, 33, 'm'));
    assert!(allows(&devices.rules, "c", 81, 5, 'r') && !allows(&devices.rules, "c", 81, 5, 'm'));
}

#[test]
fn a_device_that_is_not_there() {
    let err = check(Profile::Standard, json!({"Devices": [{"PathOnHost": "/dev/nope"}]}));
    assert_eq!(
        err.err().unwrap(),
        "error gathering device information while adding custom device \"/dev/nope\""
    );
}

#[test]
fn privileged_sees_all_but_what_is_its_own() {
    let devices = check(
        Profile::Standard,
        json!({"Privileged": true, "Devices": [{"PathOnHost": "/dev/sda", "PathInContainer": "/x"}]}),
    )
    .unwrap();
    let paths: Vec<_> = devices.nodes.iter().map(|node| &*node.path).collect();
    assert_eq!(paths, ["/dev/null", "/dev/sda", "/dev/snd/timer", "/x"]);
    assert!(allows(&devices.rules, "b", 8, 0, 'm'));
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "[/a:rwm=. cb*0-9]{0,16}") {
        if let Ok(mapping) = parse_device(&text) {
            prop_assert!(mapping.path_in_container.starts_with('/'));
        }
        let _ = parse_device_rule(&text);
    }
}
