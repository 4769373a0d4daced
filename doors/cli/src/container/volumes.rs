//! `--volume` and `--tmpfs`: which of them are binds, and which anonymous volumes.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// What `--volume` asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Volumes {
    /// `source:target[:options]`, for `HostConfig.Binds`.
    pub(crate) binds: Vec<String>,
    /// Paths of anonymous volumes, as keys, for `Config.Volumes`.
    pub(crate) anonymous: BTreeMap<String, serde_json::Value>,
}

/// Sorts the values of `--volume`. What the options mean, the engine knows.
pub(crate) fn sort(values: &[String]) -> Result<Volumes, String> {
    let mut volumes = Volumes::default();
    for spec in values {
        match source_of(spec)? {
            None => {
                volumes.anonymous.insert(spec.clone(), serde_json::json!({}));
            }
            Some(source) => {
                let bind = match source.starts_with('.') {
                    true => format!("{}{}", absolute(source), &spec[source.len()..]),
                    false => spec.clone(),
                };
                if !volumes.binds.contains(&bind) {
                    volumes.binds.push(bind);
                }
            }
        }
    }
    Ok(volumes)
}

/// The first of two or three parts; `None` if there is but one.
fn source_of(spec: &str) -> Result<Option<&str>, String> {
    if spec.is_empty() {
        return Err("invalid empty volume spec".to_owned());
    } else if spec.len() <= 2 {
        return Ok(None);
    }
    let fail = |why: &str| Err(format!("invalid spec: {spec}: {why}"));
    let parts: Vec<&str> = spec.split(':').collect();
    // Docker reads from the left and names the first thing that is wrong.
    if parts.iter().take(4).any(|part| part.is_empty()) {
        return fail("empty section between colons");
    }
    match parts.len() {
        1 => Ok(None),
        2 | 3 => Ok(Some(parts[0])),
        _ => fail("too many colons"),
    }
}

/// The options of each tmpfs by its path; the last one counts.
pub(crate) fn tmpfs(values: &[String]) -> BTreeMap<String, String> {
    let split = |value: &String| {
        let (path, options) = value.split_once(':').unwrap_or((value, ""));
        (path.to_owned(), options.to_owned())
    };
    values.iter().map(split).collect()
}

/// A path that is relative to the working directory, without `.` and `..`.
pub(crate) fn absolute(path: &str) -> String {
    let Ok(here) = std::env::current_dir() else { return path.to_owned() };
    clean(&here.join(path)).to_string_lossy().into_owned()
}

/// Takes `.` and `..` out of an absolute path, by its words alone: links are not followed.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            part => cleaned.push(part),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_and_anonymous_volumes_are_told_apart() {
        let here = std::env::current_dir().unwrap();
        let relative = format!("{}/x:/y", here.display());
        for (spec, bind, anonymous) in [
            ("/data", None, Some("/data")),
            ("/a:/b", Some("/a:/b"), None),
            ("name:/b:ro,z", Some("name:/b:ro,z"), None),
            ("./x:/y", Some(relative.as_str()), None),
            ("././z/../x:/y", Some(relative.as_str()), None),
        ] {
            let volumes = sort(&[spec.to_owned()]).unwrap();
            assert_eq!(volumes.binds.first().map(String::as_str), bind, "{spec}");
            let keys = volumes.anonymous.keys().next().map(String::as_str);
            assert_eq!(keys, anonymous, "{spec}");
        }
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (spec, want) in [
            ("", "invalid empty volume spec"),
            (":/x", "invalid spec: :/x: empty section between colons"),
            ("/a:", "invalid spec: /a:: empty section between colons"),
            ("/a::ro", "invalid spec: /a::ro: empty section between colons"),
            ("/a:/b:ro:x", "invalid spec: /a:/b:ro:x: too many colons"),
        ] {
            assert_eq!(sort(&[spec.to_owned()]).unwrap_err(), want);
        }
    }

    #[test]
    fn tmpfs_options_follow_a_colon() {
        let map = tmpfs(&["/a".into(), "/b:size=1m,mode=700".into()]);
        assert_eq!(map["/a"], "");
        assert_eq!(map["/b"], "size=1m,mode=700");
    }
}
