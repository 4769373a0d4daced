//! The long form of mounts, `--mount type=bind,source=...`, as the body of an API request.

use dockerapi::{BindOptions, Mount, TmpfsOptions, VolumeDriver, VolumeOptions};

use crate::{BundleError, csv, parse_ram_bytes};

/// Reads the value of `--mount`: comma-separated `key=value`, in Docker's words and with its
/// errors.
///
/// A source that begins with a dot stays as it is: relative to which directory, only the command
/// line knows. Paths and volumes are checked by [`plan_mounts`](crate::plan_mounts).
pub fn parse_mount(text: &str) -> Result<Mount, BundleError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(BundleError::invalid("value is empty"));
    }
    let mut mount = Mount { kind: "volume".into(), ..Default::default() };
    for field in csv::fields(text)? {
        set(&mut mount, &field)?;
    }
    check(&mount)?;
    Ok(mount)
}

fn set(mount: &mut Mount, field: &str) -> Result<(), BundleError> {
    let (key, value) = match field.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (field, None),
    };
    if key.trim() != key {
        let key = key.trim();
        return Err(BundleError::invalid(format!(
            "invalid option '{key}' in '{field}': option should not have whitespace"
        )));
    }
    if let Some(value) = value {
        if value.trim().is_empty() {
            return Err(BundleError::invalid(format!("invalid value for '{key}': value is empty")));
        }
        if value.trim() != value {
            return Err(BundleError::invalid(format!(
                "invalid value for '{key}' in '{field}': value should not have whitespace"
            )));
        }
    }
    let key = key.to_ascii_lowercase();
    let switches = ["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"];
    if value.is_none() && !switches.contains(&key.as_str()) {
        return Err(BundleError::invalid(format!(
            "invalid field '{field}' must be a key=value pair"
        )));
    }
    let text = || value.unwrap_or_default().to_owned();
    let wrong = || BundleError::invalid(format!("invalid value for {key}: {}", text()));
    match key.as_str() {
        "type" => mount.kind = text().to_ascii_lowercase(),
        "source" | "src" => mount.source = text(),
        "target" | "dst" | "destination" => mount.target = text(),
        "readonly" | "ro" => mount.read_only = boolean(&key, value)?,
        "consistency" => mount.consistency = text().to_ascii_lowercase(),
        "bind-propagation" => bind(mount).propagation = text().to_ascii_lowercase(),
        "bind-nonrecursive" => {
            return Err(BundleError::invalid(
                "bind-nonrecursive is deprecated, use bind-recursive=disabled instead",
            ));
        }
        "bind-recursive" => match text().as_str() {
            // Read-only mounts are read-only all the way down wherever the kernel can do that.
            "enabled" => {}
            "disabled" => bind(mount).non_recursive = true,
            "writable" => bind(mount).read_only_non_recursive = true,
            "readonly" => bind(mount).read_only_force_recursive = true,
            other => {
                return Err(BundleError::invalid(format!(
                    "invalid value for {key}: {other} (must be \"enabled\", \"disabled\", \
                     \"writable\", or \"readonly\")"
                )));
            }
        },
        "bind-create-src" => bind(mount).create_mountpoint = boolean(&key, value)?,
        "volume-subpath" => volume(mount).subpath = text(),
        "volume-nocopy" => volume(mount).no_copy = boolean(&key, value)?,
        "volume-label" => pair(&mut volume(mount).labels, &text()),
        "volume-driver" => driver(mount).name = text(),
        "volume-opt" => pair(&mut driver(mount).options, &text()),
        "image-subpath" => {
            mount.image_options.get_or_insert_default().subpath = text();
        }
        "tmpfs-size" => {
            tmpfs(mount).size_bytes = parse_ram_bytes(&text()).map_err(|_| wrong())?;
        }
        "tmpfs-mode" => {
            let digits = text().bytes().all(|byte| byte.is_ascii_digit());
            let mode = u32::from_str_radix(&text(), 8).ok().filter(|_| digits);
            tmpfs(mount).mode = mode.ok_or_else(wrong)?;
        }
        _ => {
            return Err(BundleError::invalid(format!("unknown option '{key}' in '{field}'")));
        }
    }
    Ok(())
}

/// Options of one type on a mount of another, and options that need others.
fn check(mount: &Mount) -> Result<(), BundleError> {
    let kind = mount.kind.as_str();
    let mixed = [
        ("bind", mount.bind_options.is_some()),
        ("volume", mount.volume_options.is_some()),
        ("image", mount.image_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ];
    for (other, there) in mixed {
        if there && other != kind {
            return Err(BundleError::invalid(format!(
                "cannot mix '{other}-*' options with mount type '{kind}'"
            )));
        }
    }
    let Some(options) = &mount.bind_options else { return Ok(()) };
    let needs = |value: &str, what: &str| {
        Err(BundleError::invalid(format!(
            "option 'bind-recursive={value}' requires '{what}' to be specified in conjunction"
        )))
    };
    if options.read_only_non_recursive && !mount.read_only {
        return needs("writable", "readonly");
    }
    if options.read_only_force_recursive && !mount.read_only {
        return needs("readonly", "readonly");
    }
    if options.read_only_force_recursive && options.propagation != "rprivate" {
        return needs("readonly", "bind-propagation=rprivate");
    }
    Ok(())
}

fn boolean(key: &str, value: Option<&str>) -> Result<bool, BundleError> {
    match value {
        None | Some("1" | "true") => Ok(true),
        Some("0" | "false") => Ok(false),
        Some(other) => Err(BundleError::invalid(format!(
            "invalid value for '{key}': invalid boolean value ({other:?}): must be one of \
             \"true\", \"1\", \"false\", or \"0\" (default \"true\")"
        ))),
    }
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut VolumeDriver {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn pair(map: &mut std::collections::BTreeMap<String, String>, text: &str) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if !key.is_empty() {
        map.insert(key.to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_key() {
        let bind = parse_mount(
            "type=bind,src=/a,dst=/b,ro,bind-propagation=RPRIVATE,bind-recursive=readonly,\
             bind-create-src=1,consistency=cached",
        )
        .unwrap();
        assert_eq!((&*bind.kind, &*bind.source, &*bind.target), ("bind", "/a", "/b"));
        let options = bind.bind_options.unwrap();
        assert!(bind.read_only && options.read_only_force_recursive && options.create_mountpoint);
        assert_eq!(options.propagation, "rprivate");

        let volume = parse_mount(
            r#"source=v,target=/b,volume-nocopy=true,volume-subpath=x/y,volume-driver=local,"volume-opt=o=a,b",volume-label=k=v"#,
        )
        .unwrap();
        assert_eq!(volume.kind, "volume");
        let options = volume.volume_options.unwrap();
        assert_eq!((options.no_copy, &*options.subpath), (true, "x/y"));
        assert_eq!(options.driver_config.unwrap().options["o"], "a,b");
        assert_eq!(options.labels["k"], "v");

        let tmpfs =
            parse_mount("type=tmpfs,destination=/t,tmpfs-size=64m,tmpfs-mode=1770").unwrap();
        let options = tmpfs.tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (64 << 20, 0o1770));
    }

    #[test]
    fn errors_have_dockers_words() {
        let rows = [
            (" ", "value is empty"),
            ("type", "invalid field 'type' must be a key=value pair"),
            ("type=bind,target", "invalid field 'target' must be a key=value pair"),
            ("type=bind,src=", "invalid value for 'src': value is empty"),
            (
                "type=bind, src=/a",
                "invalid option 'src' in ' src=/a': option should not have whitespace",
            ),
            ("src= /a", "invalid value for 'src' in 'src= /a': value should not have whitespace"),
            ("type=bind,nope=1", "unknown option 'nope' in 'nope=1'"),
            (
                "ro=yes",
                "invalid value for 'ro': invalid boolean value (\"yes\"): must be one of \"true\", \
                 \"1\", \"false\", or \"0\" (default \"true\")",
            ),
            (
                "type=bind,bind-recursive=x",
                "invalid value for bind-recursive: x (must be \"enabled\", \"disabled\", \
                 \"writable\", or \"readonly\")",
            ),
            (
                "type=bind,bind-nonrecursive",
                "bind-nonrecursive is deprecated, use bind-recursive=disabled instead",
            ),
            ("type=tmpfs,tmpfs-size=x", "invalid value for tmpfs-size: x"),
            ("type=tmpfs,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
            ("type=tmpfs,tmpfs-mode=+7", "invalid value for tmpfs-mode: +7"),
            (
                "type=volume,bind-propagation=shared",
                "cannot mix 'bind-*' options with mount type 'volume'",
            ),
            (
                "type=bind,bind-recursive=writable",
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
            ),
            (
                "type=bind,bind-recursive=readonly,ro",
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be \
                 specified in conjunction",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_mount(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = parse_mount(&text);
        }
    }
}
