//! What the options of Docker's `local` driver mean to us.
//!
//! `docker volume create --opt type=none --opt o=bind --opt device=/srv/data` is a directory of the
//! host under a name, `--opt type=tmpfs --opt o=size=64m` memory. Docker hands everything else to
//! mount(8)'s kind of file systems on the host; we have no mounts on the host, and refuse it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::{VolumeError, VolumeName};

/// Where a volume's files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory of the store's: `Volumes::path`.
    Directory,
    /// A directory of the host.
    Bind(BindSource),
    /// Memory; empty whenever it is mounted.
    Tmpfs(TmpfsSource),
}

/// `type=none`, `o=bind`, `device=<absolute path>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindSource {
    /// The directory on the host.
    pub host_path: PathBuf,
    /// Mount options: `bind` or `rbind` first, then `ro`, `nosuid` and the like.
    pub options: Vec<String>,
}

/// `type=tmpfs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TmpfsSource {
    /// Mount options: `size=64m`, `mode=1777`, `noexec` and the like.
    pub options: Vec<String>,
}

/// Mount options that say the same for every file system.
const FLAGS: [&str; 12] = [
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "noatime",
    "relatime",
    "nodiratime",
    "strictatime",
];
/// Mount options of tmpfs that take a value. tmpfs(5).
const TMPFS_KEYS: [&str; 6] = ["size", "nr_blocks", "nr_inodes", "mode", "uid", "gid"];

impl Source {
    /// Reads the options of the volume `name`.
    pub(crate) fn parse(
        name: &VolumeName,
        options: &BTreeMap<String, String>,
    ) -> Result<Self, VolumeError> {
        let refuse = |key: &str, value: &str, reason| VolumeError::Option {
            name: name.clone(),
            option: format!("{key}={value}"),
            reason,
        };
        for (key, value) in options {
            if !matches!(key.as_str(), "type" | "o" | "device") {
                return Err(refuse(key, value, "only type, o and device are known"));
            }
        }
        let get = |key: &str| options.get(key).map_or("", String::as_str);
        let (kind, device) = (get("type"), get("device"));
        let words: Vec<&str> = get("o").split(',').filter(|word| !word.is_empty()).collect();
        let bind = words.iter().any(|word| matches!(*word, "bind" | "rbind"));
        match kind {
            "" if device.is_empty() && words.is_empty() => Ok(Self::Directory),
            "" | "none" | "bind" if bind => {
                if !device.starts_with('/') {
                    return Err(refuse("device", device, "a bind needs an absolute path"));
                }
                let known = |word: &&str| matches!(*word, "bind" | "rbind") || FLAGS.contains(word);
                if let Some(word) = words.iter().find(|word| !known(word)) {
                    return Err(refuse("o", word, "no such option of a bind"));
                }
                let mut options: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
                options.sort_by_key(|word| !matches!(word.as_str(), "bind" | "rbind"));
                Ok(Self::Bind(BindSource { host_path: device.into(), options }))
            }
            "tmpfs" => {
                if !matches!(device, "" | "tmpfs" | "none") {
                    return Err(refuse("device", device, "a tmpfs has no device"));
                }
                let known = |word: &&str| match word.split_once('=') {
                    Some((key, value)) => TMPFS_KEYS.contains(&key) && !value.is_empty(),
                    None => FLAGS.contains(word),
                };
                if let Some(word) = words.iter().find(|word| !known(word)) {
                    return Err(refuse("o", word, "no such option of tmpfs"));
                }
                let options = words.iter().map(|&word| word.to_owned()).collect();
                Ok(Self::Tmpfs(TmpfsSource { options }))
            }
            other => Err(refuse(
                "type",
                other,
                "only type=none with o=bind, and type=tmpfs, can be mounted without the host",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Source, String> {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Source::parse(&"v".parse().unwrap(), &options).map_err(|error| error.to_string())
    }

    #[test]
    fn options_mean_what_docker_means_or_are_refused() {
        assert_eq!(parse(&[]), Ok(Source::Directory));
        let bind = parse(&[("type", "none"), ("o", "ro,bind"), ("device", "/srv")]);
        let options = vec!["bind".into(), "ro".into()];
        assert_eq!(bind, Ok(Source::Bind(BindSource { host_path: "/srv".into(), options })));
        let tmpfs = parse(&[("type", "tmpfs"), ("o", "size=1m,noexec"), ("device", "tmpfs")]);
        let options = vec!["size=1m".into(), "noexec".into()];
        assert_eq!(tmpfs, Ok(Source::Tmpfs(TmpfsSource { options })));
        for bad in [
            &[("type", "nfs"), ("o", "addr=1.2.3.4"), ("device", ":/x")][..],
            &[("type", "none"), ("device", "/srv")],
            &[("type", "none"), ("o", "bind"), ("device", "srv")],
            &[("type", "none"), ("o", "bind")],
            &[("type", "none"), ("o", "bind,upperdir=/x"), ("device", "/srv")],
            &[("type", "tmpfs"), ("o", "huge=always")],
            &[("type", "tmpfs"), ("device", "/dev/sda")],
            &[("size", "10G")],
            &[("device", "/srv")],
        ] {
            let text = parse(bad).unwrap_err();
            assert!(text.starts_with("create v: invalid option: "), "{text}");
        }
    }
}
