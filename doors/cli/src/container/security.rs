//! `--security-opt` and `--device`.

use std::collections::BTreeSet;

use dockerapi::DeviceMapping;

use crate::text::quote;

/// What `--security-opt` asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SecurityOptions {
    /// For `HostConfig.SecurityOpt`; a seccomp profile stands in it as JSON.
    pub(crate) options: Vec<String>,
    /// Whether the paths of the kernel that are masked or read-only are left as they are.
    pub(crate) open_paths: bool,
}

/// Checks the values of `--security-opt`, and reads the file of a seccomp profile.
pub(crate) fn security_options(values: &[String]) -> Result<SecurityOptions, String> {
    let mut found = SecurityOptions::default();
    for value in values {
        if value == "systempaths=unconfined" {
            found.open_paths = true;
            continue;
        }
        let pair = match value.split_once('=') {
            // The colon is how it was written once.
            None if value != "no-new-privileges" => value.split_once(':'),
            pair => pair,
        };
        let key = pair.map_or(value.as_str(), |(key, _)| key);
        let text = pair.map_or("", |(_, text)| text);
        if text.is_empty() && key != "no-new-privileges" {
            return Err(format!("invalid --security-opt: {}", quote(value)));
        }
        found.options.push(match (key, text) {
            ("seccomp", "unconfined" | "builtin") => value.clone(),
            ("seccomp", file) => format!("seccomp={}", seccomp_profile(file)?),
            _ => value.clone(),
        });
    }
    Ok(found)
}

fn seccomp_profile(file: &str) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|error| {
        crate::files::failed(
            &format!("opening seccomp profile ({file}) failed: open"),
            file,
            &error,
        )
    })?;
    let profile: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| format!("compacting json for seccomp profile ({file}) failed: {error}"))?;
    Ok(profile.to_string())
}

/// Capabilities as they are recorded: `CAP_NET_ADMIN` or `ALL`, sorted, each once; what is added
/// is not taken away.
pub(crate) fn capabilities(add: &[String], drop: &[String]) -> (Vec<String>, Vec<String>) {
    let normal = |names: &[String]| -> BTreeSet<String> {
        names
            .iter()
            .map(|name| match name.trim().to_ascii_uppercase() {
                name if name == "ALL" || name.starts_with("CAP_") => name,
                name => format!("CAP_{name}"),
            })
            .collect()
    };
    let (add, drop) = (normal(add), normal(drop));
    let drop = drop.difference(&add).cloned().collect();
    (add.into_iter().collect(), drop)
}

/// `node`, `node:node inside`, `node:rwm` or `node:node inside:rwm`.
pub(crate) fn device(value: &str) -> Result<DeviceMapping, String> {
    let parts: Vec<&str> = value.split(':').collect();
    let (host, inside, access) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, access] if is_access(access) => (host, host, access),
        [host, inside] => (host, inside, "rwm"),
        [host, inside, access] if is_access(access) => (host, inside, access),
        [_, _, access] => return Err(format!("bad mode specified: {access}")),
        _ => return Err(format!("bad format for path: {value}")),
    };
    if host.is_empty() {
        return Err(format!("bad format for path: {value}"));
    } else if !inside.starts_with('/') {
        return Err(format!("{inside} is not an absolute path"));
    }
    Ok(DeviceMapping {
        path_on_host: host.to_owned(),
        path_in_container: inside.to_owned(),
        cgroup_permissions: access.to_owned(),
    })
}

/// Letters of `rwm`, each once at most.
fn is_access(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| b"rwm".contains(&byte))
        && text.bytes().enumerate().all(|(at, byte)| !text.as_bytes()[..at].contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (text, want) in [
            ("/dev/fuse", Ok(("/dev/fuse", "/dev/fuse", "rwm"))),
            ("/dev/fuse:r", Ok(("/dev/fuse", "/dev/fuse", "r"))),
            ("/dev/a:/dev/b", Ok(("/dev/a", "/dev/b", "rwm"))),
            ("/dev/a:/dev/b:rw", Ok(("/dev/a", "/dev/b", "rw"))),
            ("/dev/a:/dev/b:rr", Err("bad mode specified: rr")),
            ("/dev/a:/b:r:w", Err("bad format for path: /dev/a:/b:r:w")),
            ("x", Err("x is not an absolute path")),
            (":/dev/a", Err("bad format for path: :/dev/a")),
        ] {
            let got = device(text);
            let got = got.as_ref().map(|device| {
                (&*device.path_on_host, &*device.path_in_container, &*device.cgroup_permissions)
            });
            assert_eq!(got.map_err(String::as_str), want, "{text}");
        }
    }

    #[test]
    fn capabilities_have_one_spelling() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            capabilities(&list(&["net_raw", "CAP_chown", "chown"]), &list(&["all", "CHOWN"])),
            (list(&["CAP_CHOWN", "CAP_NET_RAW"]), list(&["ALL"]))
        );
    }

    #[test]
    fn security_options_are_checked() {
        let take = |texts: &[&str]| {
            security_options(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        let found =
            take(&["no-new-privileges", "systempaths=unconfined", "label:disable"]).unwrap();
        assert_eq!(found.options, ["no-new-privileges", "label:disable"]);
        assert!(found.open_paths);
        assert_eq!(take(&["seccomp"]).unwrap_err(), "invalid --security-opt: \"seccomp\"");
        assert_eq!(take(&["x="]).unwrap_err(), "invalid --security-opt: \"x=\"");
        assert_eq!(
            take(&["seccomp=/nonexistent"]).unwrap_err(),
            "opening seccomp profile (/nonexistent) failed: \
             open /nonexistent: no such file or directory"
        );
    }

    #[test]
    fn a_seccomp_profile_is_read_and_compacted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{ \"b\": 1,\n \"a\": [2] }").unwrap();
        let path = file.path().display();
        let found = security_options(&[format!("seccomp={path}")]).unwrap();
        assert_eq!(found.options, [r#"seccomp={"b":1,"a":[2]}"#]);
        std::fs::write(file.path(), "{").unwrap();
        assert!(security_options(&[format!("seccomp={path}")]).is_err());
    }
}
