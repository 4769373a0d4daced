//! `RUN --mount` and `RUN --device`.
//!
//! Dockerfile reference 1.20, "RUN --mount".

use crate::csv::fields;
use crate::error::Reason;
use crate::suggest::suggest;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MountKind {
    /// A directory or file of the context, a stage or an image.
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A file or variable that never enters the image.
    Secret,
    /// An agent's socket.
    Ssh,
}

impl MountKind {
    const NAMES: [(&'static str, Self); 5] = [
        ("bind", Self::Bind),
        ("cache", Self::Cache),
        ("tmpfs", Self::Tmpfs),
        ("secret", Self::Secret),
        ("ssh", Self::Ssh),
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

/// How builds at the same time use one cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sharing {
    /// Together.
    Shared,
    /// Each one its own, if another uses it.
    Private,
    /// One after the other.
    Locked,
}

/// One `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    /// What is mounted.
    pub kind: MountKind,
    /// A stage, a named context or an image; empty for the context, or for an empty cache.
    pub from: String,
    /// The path in there; empty for its root.
    pub source: String,
    /// Where it is mounted; may be empty for a secret or a socket.
    pub target: String,
    /// Whether the step cannot write to it.
    pub read_only: bool,
    /// For memory: its size in bytes; 0 for no limit of its own.
    pub size_bytes: i64,
    /// The name of a cache, a secret or a socket; empty if not given.
    pub id: String,
    /// For a cache.
    pub sharing: Option<Sharing>,
    /// For a secret and a socket: whether it is an error that there is none.
    pub required: bool,
    /// For a secret: the variable that holds it; an empty text stands for the id.
    pub env: Option<String>,
    /// The mode.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// What can be said of a mount before variables are known: `from` takes none.
pub(crate) fn check_from(text: &str) -> Result<(), Reason> {
    for field in fields(text).map_err(|why| Reason::Csv { what: "mounts", why })? {
        let Some((key, value)) = field.split_once('=') else { continue };
        let variable = value.find('$').is_some_and(|at| at + 1 != value.len());
        if key.eq_ignore_ascii_case("from") && variable {
            return Err(Reason::KeyExpansion { key: "from".to_owned() });
        }
    }
    Ok(())
}

impl RunMount {
    /// Reads the value of a `--mount`; `expand` is asked for each value in it.
    pub fn parse(
        text: &str,
        mut expand: impl FnMut(&str) -> Result<String, crate::ExpandError>,
    ) -> Result<Self, Reason> {
        let mut mount = Self {
            kind: MountKind::Bind,
            from: String::new(),
            source: String::new(),
            target: String::new(),
            read_only: false,
            size_bytes: 0,
            id: String::new(),
            sharing: None,
            required: false,
            env: None,
            mode: None,
            uid: None,
            gid: None,
        };
        let mut read_only = None;
        for field in fields(text).map_err(|why| Reason::Csv { what: "mounts", why })? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_lowercase(), Some(value)),
                None => (field.to_lowercase(), None),
            };
            let value = match (value, key.as_str()) {
                (Some(value), _) => {
                    expand(value).map_err(|error| Reason::Expand(error.to_string()))?
                }
                (None, "readonly" | "ro" | "readwrite" | "rw" | "required") => "true".to_owned(),
                (None, _) => return Err(Reason::NotAPair { field }),
            };
            match key.as_str() {
                "readonly" | "ro" => read_only = Some(boolean(&key, &value)?),
                "readwrite" | "rw" => read_only = Some(!boolean(&key, &value)?),
                _ => mount.set(&key, value, &field)?,
            }
        }
        mount.check()?;
        let writable = matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs);
        mount.read_only = read_only.unwrap_or(!writable);
        Ok(mount)
    }

    fn set(&mut self, key: &str, value: String, field: &str) -> Result<(), Reason> {
        let wrong_kind = Reason::KeyForType { key: key.to_owned(), kind: self.kind.name() };
        let number = |key: &'static str, radix: u32| {
            u32::from_str_radix(&value, radix)
                .map_err(|_| Reason::KeyNumber { key, value: value.clone() })
        };
        match key {
            "type" => {
                let lower = value.to_lowercase();
                let known = MountKind::NAMES.iter().find(|(name, _)| *name == lower);
                self.kind = known.map(|(_, kind)| *kind).ok_or_else(|| Reason::MountType {
                    suggestion: suggest(&value, MountKind::NAMES.map(|(name, _)| name))
                        .map(str::to_owned),
                    kind: value.clone(),
                })?;
            }
            "from" => self.from = value,
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "required" if matches!(self.kind, MountKind::Secret | MountKind::Ssh) => {
                self.required = boolean(key, &value)?;
            }
            "size" if self.kind == MountKind::Tmpfs => {
                self.size_bytes = size(&value).ok_or_else(|| Reason::KeyValue {
                    key: key.to_owned(),
                    value: value.clone(),
                })?;
            }
            "required" | "size" => return Err(wrong_kind),
            "id" => self.id = value,
            "sharing" => {
                self.sharing = Some(match value.to_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => {
                        let words = ["shared", "private", "locked"];
                        let suggestion = suggest(&value, words).map(str::to_owned);
                        return Err(Reason::SharingMode { sharing: value, suggestion });
                    }
                });
            }
            "mode" => self.mode = Some(number("mode", 8)?),
            "uid" => self.uid = Some(number("uid", 10)?),
            "gid" => self.gid = Some(number("gid", 10)?),
            "env" => self.env = Some(value),
            _ => {
                return Err(Reason::UnknownKey {
                    key: key.to_owned(),
                    field: field.to_owned(),
                    suggestion: suggest(key, KEYS).map(str::to_owned),
                });
            }
        }
        Ok(())
    }

    /// What does not go together.
    fn check(&self) -> Result<(), Reason> {
        let kind = self.kind.name();
        if matches!(self.kind, MountKind::Bind | MountKind::Tmpfs) {
            let given = [
                ("mode", self.mode.is_some()),
                ("uid", self.uid.is_some()),
                ("gid", self.gid.is_some()),
            ];
            if let Some((key, _)) = given.iter().find(|(_, given)| *given) {
                return Err(Reason::KeyNotAllowed { key, kind });
            }
        }
        if self.kind == MountKind::Secret {
            if !self.from.is_empty() {
                return Err(Reason::SecretFrom);
            } else if self.sharing.is_some() {
                return Err(Reason::SecretSharing);
            } else if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
                return Err(Reason::SecretWithout);
            } else if !self.source.is_empty() && !self.id.is_empty() {
                return Err(Reason::SecretTwice);
            }
        }
        if self.sharing.is_some() && self.kind != MountKind::Cache {
            return Err(Reason::SharingNotAllowed { kind });
        }
        Ok(())
    }
}

/// The words that Go's `strconv.ParseBool` takes.
fn boolean(key: &str, value: &str) -> Result<bool, Reason> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Reason::KeyValue { key: key.to_owned(), value: value.to_owned() }),
    }
}

/// A size in bytes, with a unit of 1024s.
fn size(text: &str) -> Option<i64> {
    let end = text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.')? + 1;
    let (number, unit) = text.split_at(end);
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, which is meant")]
    (number >= 0.0).then_some((number * 1024_f64.powi(power)) as i64)
}

/// One `--device`: a device by its CDI name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDevice {
    /// `vendor/class=name`, or shorter.
    pub name: String,
    /// Whether it is an error that there is none.
    pub required: bool,
}

impl RunDevice {
    /// Reads the value of a `--device`.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let mut device = Self { name: String::new(), required: false };
        for field in fields(text).map_err(|why| Reason::Csv { what: "devices", why })? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_lowercase(), Some(value.to_owned())),
                None => (field.to_lowercase(), None),
            };
            match (key.as_str(), value) {
                ("required", None) => device.required = true,
                ("required", Some(value)) => device.required = boolean(&key, &value)?,
                ("name", Some(_)) if !device.name.is_empty() => {
                    return Err(Reason::RepeatedDevice { name: device.name });
                }
                ("name", Some(value)) => device.name = value,
                _ if device.name.is_empty() => device.name = field,
                (_, None) => return Err(Reason::NotAPair { field }),
                (_, Some(_)) => {
                    let suggestion = suggest(&key, ["name", "required"]).map(str::to_owned);
                    return Err(Reason::UnknownKey { key, field, suggestion });
                }
            }
        }
        Ok(device)
    }
}
