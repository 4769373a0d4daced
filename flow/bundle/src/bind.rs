//! The short form of mounts, `-v [SOURCE:]DESTINATION[:OPTIONS]`, and of `--volumes-from`.

use crate::mount_rules::{check_destination, check_volume_name, clean_source};
use crate::{Access, BundleError, PlannedMount, PlannedSource, Propagation, VolumeWanted, paths};

/// Reads one of `HostConfig.Binds`. An absolute source is a path of the host, anything else the
/// name of a volume; without a source the volume is anonymous.
///
/// `volume_driver` is the driver of a volume that does not exist yet; empty for `local`.
pub fn parse_bind(text: &str, volume_driver: &str) -> Result<PlannedMount, BundleError> {
    let parts: Vec<&str> = text.splitn(4, ':').collect();
    let (source, destination, mode) = match parts[..] {
        [destination] => ("", destination, ""),
        // A destination with a mode would be an anonymous volume, which can have none.
        [source, destination] if !is_mode(destination) => (source, destination, ""),
        [source, destination, mode] => (source, destination, mode),
        _ => return Err(invalid_spec(text)),
    };
    if parts[0].is_empty() || text.contains('\0') {
        return Err(invalid_spec(text));
    }
    let options = Options::parse(mode).ok_or_else(|| invalid_mode(mode))?;
    let is_bind = source.starts_with('/');
    let within = |err: BundleError| {
        let kind = if is_bind { "bind" } else { "volume" };
        BundleError::invalid(format!(
            "invalid volume specification: '{text}': invalid mount config for type \"{kind}\": {err}"
        ))
    };
    let extra = |field: &str| BundleError::invalid(format!("field {field} must not be specified"));
    if is_bind && options.no_copy {
        return Err(within(extra("VolumeOptions")));
    }
    if !is_bind && options.propagation.is_some() {
        return Err(within(extra("BindOptions")));
    }
    check_destination(destination).map_err(within)?;
    let planned = if is_bind {
        PlannedSource::Bind { path: clean_source(source)?, create: true, non_recursive: false }
    } else {
        if !source.is_empty() {
            check_volume_name(source)?;
        }
        PlannedSource::Volume(VolumeWanted {
            name: Some(source.to_owned()).filter(|name| !name.is_empty()),
            driver: volume_driver.to_owned(),
            copy_up: !options.no_copy,
            anonymous: source.is_empty(),
            ..Default::default()
        })
    };
    Ok(PlannedMount {
        destination: paths::clean(destination),
        source: planned,
        access: if options.read_only { Access::ReadOnly } else { Access::ReadWrite },
        propagation: options.propagation,
        mode: mode.to_owned(),
        host_path: None,
    })
}

/// Reads one of `HostConfig.VolumesFrom`: `CONTAINER[:ro|rw]`. True is read-only.
pub fn parse_volumes_from(text: &str) -> Result<(&str, bool), BundleError> {
    if text.is_empty() {
        return Err(BundleError::invalid("volumes-from specification cannot be an empty string"));
    }
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    let options = Options::parse(mode).ok_or_else(|| invalid_mode(mode))?;
    if options.no_copy || options.propagation.is_some() {
        return Err(invalid_mode(mode));
    }
    Ok((container, options.read_only))
}

#[derive(Default)]
struct Options {
    read_only: bool,
    no_copy: bool,
    propagation: Option<Propagation>,
}

impl Options {
    /// `None` for an unknown word, or two words about the same thing.
    fn parse(mode: &str) -> Option<Self> {
        let mut options = Self::default();
        let mut seen = [false; 5];
        if mode.is_empty() {
            return Some(options);
        }
        for word in mode.split(',') {
            let about = match word {
                "ro" | "rw" => {
                    options.read_only = word == "ro";
                    0
                }
                // Labels of SELinux, where the host has it; consistency means nothing on Linux.
                "z" | "Z" => 1,
                "cached" | "delegated" | "consistent" => 2,
                "nocopy" => {
                    options.no_copy = true;
                    3
                }
                _ => {
                    options.propagation = Some(Propagation::parse(word)?);
                    4
                }
            };
            if std::mem::replace(&mut seen[about], true) {
                return None;
            }
        }
        Some(options)
    }
}

fn is_mode(text: &str) -> bool {
    Options::parse(text).is_some()
}

fn invalid_spec(text: &str) -> BundleError {
    BundleError::invalid(format!("invalid volume specification: '{text}'"))
}

fn invalid_mode(mode: &str) -> BundleError {
    BundleError::invalid(format!("invalid mode: {mode}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn binds_of_paths() {
        let rows = [
            ("/a:/b", "/a", "/b", Access::ReadWrite, None),
            ("/a/../c/:/b//d/", "/c", "/b/d", Access::ReadWrite, None),
            ("/a:/b:ro", "/a", "/b", Access::ReadOnly, None),
            ("/a:/b:rw,Z,rshared", "/a", "/b", Access::ReadWrite, Some(Propagation::Rshared)),
            ("/a:/b:ro,cached,slave", "/a", "/b", Access::ReadOnly, Some(Propagation::Slave)),
        ];
        for (text, source, destination, access, propagation) in rows {
            let mount = parse_bind(text, "").unwrap();
            let path = source.to_owned();
            let expected = PlannedSource::Bind { path, create: true, non_recursive: false };
            assert_eq!(mount.source, expected, "{text}");
            assert_eq!((mount.access, mount.propagation), (access, propagation), "{text}");
            assert_eq!(mount.destination, destination, "{text}");
        }
    }

    #[test]
    fn binds_of_volumes() {
        for (text, name, copy_up) in [
            ("data:/b", Some("data"), true),
            ("data:/b:nocopy,ro", Some("data"), false),
            ("/b", None, true),
        ] {
            let PlannedSource::Volume(wanted) = parse_bind(text, "local").unwrap().source else {
                panic!("{text}")
            };
            assert_eq!((wanted.name.as_deref(), wanted.copy_up), (name, copy_up), "{text}");
            assert_eq!((wanted.anonymous, &*wanted.driver), (name.is_none(), "local"), "{text}");
        }
    }

    #[test]
    fn errors_have_dockers_words() {
        let rows = [
            ("", "invalid volume specification: ''"),
            (":/b", "invalid volume specification: ':/b'"),
            ("/a:/b:rw:x", "invalid volume specification: '/a:/b:rw:x'"),
            ("/a:rw", "invalid volume specification: '/a:rw'"),
            ("/a:/b:xx", "invalid mode: xx"),
            ("/a:/b:ro,rw", "invalid mode: ro,rw"),
            ("/a:/b:ro,", "invalid mode: ro,"),
            (
                "/a:b",
                "invalid volume specification: '/a:b': invalid mount config for type \"bind\": \
                 invalid mount path: 'b' mount path must be absolute",
            ),
            (
                "/a:/",
                "invalid volume specification: '/a:/': invalid mount config for type \"bind\": \
                 invalid specification: destination can't be '/'",
            ),
            (
                "/a:/x/..",
                "invalid volume specification: '/a:/x/..': invalid mount config for type \"bind\": \
                 invalid specification: destination can't be '/'",
            ),
            (
                "/a:/b:nocopy",
                "invalid volume specification: '/a:/b:nocopy': invalid mount config for type \
                 \"bind\": field VolumeOptions must not be specified",
            ),
            (
                "v1:/b:shared",
                "invalid volume specification: 'v1:/b:shared': invalid mount config for type \
                 \"volume\": field BindOptions must not be specified",
            ),
            (
                "./x:/b",
                "create ./x: \"./x\" includes invalid characters for a local volume name, only \
                 \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host \
                 directory, use absolute path",
            ),
            (
                "v:/b",
                "create v: volume name is too short, names should be at least two alphanumeric \
                 characters",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_bind(text, "").unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn volumes_from() {
        assert_eq!(parse_volumes_from("box").unwrap(), ("box", false));
        assert_eq!(parse_volumes_from("box:ro,z").unwrap(), ("box", true));
        for bad in ["", "box:x", "box:nocopy", "box:shared"] {
            assert!(parse_volumes_from(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_has_a_clean_absolute_destination(text in "[a/.:rowzsh,]{0,16}") {
            if let Ok(mount) = parse_bind(&text, "") {
                prop_assert!(mount.destination.len() > 1);
                prop_assert_eq!(paths::clean(&mount.destination), mount.destination);
            }
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,32}") {
            let _ = parse_bind(&text, "");
            let _ = parse_volumes_from(&text);
        }
    }
}
