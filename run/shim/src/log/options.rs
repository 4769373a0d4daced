//! What `--log-driver` and `--log-opt` ask for.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ShimError;

/// How output is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// Not at all.
    #[default]
    None,
    /// Docker's: an object of JSON a line.
    JsonFile,
    /// Our own: small, exact bytes.
    Local,
    /// The host's journal.
    Journald,
}

/// How a container's output is kept: the options, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct LogPlan {
    /// How.
    pub driver: Driver,
    /// A file is closed when it has reached this size; `None` is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size_bytes: Option<u64>,
    /// How many files are kept, at least 1.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_files: u32,
    /// What goes with each entry: attributes, or the journal's fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What `tag`, `labels` and `env` may speak of.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogFacts<'a> {
    /// The container's id.
    pub id: &'a str,
    /// Its name, without a slash.
    pub name: &'a str,
    /// The image's id, `sha256:` and all.
    pub image_id: &'a str,
    /// What the user called the image.
    pub image_name: &'a str,
    /// The container's labels.
    pub labels: &'a [(&'a str, &'a str)],
    /// The container's environment.
    pub env: &'a [(&'a str, &'a str)],
}

/// Docker's default is no bound at all; ours is 10 MB three times.
const DEFAULT_JSON_FILE: (u64, u32) = (10_000_000, 3);
/// Docker's.
const DEFAULT_LOCAL: (u64, u32) = (20_000_000, 5);

/// Where the journal listens.
pub(crate) const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

impl LogPlan {
    /// Nothing is kept.
    pub fn none() -> Self {
        Self::default()
    }

    /// Understands a driver's name and its options.
    ///
    /// An option that the driver does not have, or that this implementation does not do, is an
    /// error; so is `journald` where nothing listens on its socket.
    ///
    /// | option | json-file | local | journald | |
    /// |---|---|---|---|---|
    /// | `max-size` | 10m | 20m | | with `k`, `m`, `g`, powers of 1000; -1 is no limit |
    /// | `max-file` | 3; 1 if `max-size` is given | 5 | | |
    /// | `compress` | false | false | | true is refused |
    /// | `labels`, `env` | yes | | yes | lists of names |
    /// | `tag` | yes | | `{{.ID}}` | with the fields below |
    /// | `mode` | blocking | blocking | blocking | `non-blocking` is refused |
    ///
    /// A tag may hold `{{.ID}}`, `{{.FullID}}`, `{{.Name}}`, `{{.ImageID}}`, `{{.ImageFullID}}`,
    /// `{{.ImageName}}` and `{{.DaemonName}}`.
    pub fn parse<'o>(
        driver: &str,
        options: impl IntoIterator<Item = (&'o str, &'o str)>,
        facts: &LogFacts<'_>,
    ) -> Result<Self, ShimError> {
        Self::parse_for(driver, options, facts, Path::new(JOURNAL_SOCKET))
    }

    fn parse_for<'o>(
        name: &str,
        options: impl IntoIterator<Item = (&'o str, &'o str)>,
        facts: &LogFacts<'_>,
        journal: &Path,
    ) -> Result<Self, ShimError> {
        let driver = Driver::by_name(name)
            .ok_or_else(|| ShimError::UnknownDriver { name: name.to_owned() })?;
        let mut wishes = Wishes::default();
        for (option, value) in options {
            wishes.take(driver, option, value)?;
        }
        let default = match driver {
            Driver::JsonFile => Some(DEFAULT_JSON_FILE),
            Driver::Local => Some(DEFAULT_LOCAL),
            Driver::None | Driver::Journald => None,
        };
        let (max_size_bytes, max_files) = default.map_or((None, 0), |(size, files)| {
            // A user who names a size and no count expects Docker's count.
            let files = match (driver, wishes.max_size) {
                (Driver::JsonFile, Some(_)) => 1,
                _ => files,
            };
            (wishes.max_size.unwrap_or(Some(size)), wishes.max_file.unwrap_or(files))
        });
        let mut attributes = Vec::new();
        if driver == Driver::Journald {
            super::journald::probe(journal)?;
            let tag = expand_tag(wishes.tag.unwrap_or("{{.ID}}"), facts)?;
            attributes = super::journald::fields(facts, &tag);
        } else if let Some(tag) = wishes.tag.filter(|tag| !tag.is_empty()) {
            attributes.push(("tag".to_owned(), expand_tag(tag, facts)?));
        }
        for (names, values) in [(wishes.labels, facts.labels), (wishes.env, facts.env)] {
            for name in names.unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
                let Some((name, value)) = values.iter().find(|(key, _)| *key == name) else {
                    continue;
                };
                let name = match driver {
                    Driver::Journald => super::journald::field_name(name),
                    _ => (*name).to_owned(),
                };
                attributes.push((name, (*value).to_owned()));
            }
        }
        Ok(Self { driver, max_size_bytes, max_files, attributes })
    }
}

impl Driver {
    /// Docker's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::Journald => "journald",
        }
    }

    /// By Docker's name; an empty one is the default, json-file.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "json-file" | "" => Self::JsonFile,
            "local" => Self::Local,
            "journald" => Self::Journald,
            _ => return None,
        })
    }

    fn has(self, option: &str) -> bool {
        match option {
            "max-size" | "max-file" | "compress" => matches!(self, Self::JsonFile | Self::Local),
            "labels" | "env" | "tag" => matches!(self, Self::JsonFile | Self::Journald),
            "mode" => self != Self::None,
            _ => false,
        }
    }
}

#[derive(Default)]
struct Wishes<'o> {
    max_size: Option<Option<u64>>,
    max_file: Option<u32>,
    labels: Option<&'o str>,
    env: Option<&'o str>,
    tag: Option<&'o str>,
}

impl<'o> Wishes<'o> {
    fn take(&mut self, driver: Driver, option: &'o str, value: &'o str) -> Result<(), ShimError> {
        let bad = |reason: &str| ShimError::BadLogOption {
            option: option.to_owned(),
            value: value.to_owned(),
            reason: reason.to_owned(),
        };
        if !driver.has(option) {
            let option = option.to_owned();
            return Err(ShimError::UnknownLogOption { driver: driver.name(), option });
        }
        match option {
            "max-size" if value == "-1" => self.max_size = Some(None),
            "max-size" => {
                let size = human_size(value).filter(|size| *size > 0);
                let size = size.ok_or_else(|| bad("it must be a positive size such as 10m"))?;
                self.max_size = Some(Some(size));
            }
            "max-file" => {
                let count = value.parse().ok().filter(|count| (1..=10_000).contains(count));
                let count = count.ok_or_else(|| bad("it must be a number from 1 to 10000"))?;
                self.max_file = Some(count);
            }
            "compress" => match value {
                "false" | "0" => {}
                "true" | "1" => return Err(bad("rotated logs are not compressed")),
                _ => return Err(bad("it must be true or false")),
            },
            "mode" => match value {
                "blocking" => {}
                "non-blocking" => return Err(bad("logs are only written in blocking mode")),
                _ => return Err(bad("it must be blocking")),
            },
            "labels" => self.labels = Some(value),
            "env" => self.env = Some(value),
            _ => self.tag = Some(value),
        }
        Ok(())
    }
}

/// A size as Docker reads it here: `10m`, `1.5 GB`, `512`; powers of 1000.
fn human_size(text: &str) -> Option<u64> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let factor = 1000_u64.pow(power);
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let (whole, fraction) = number.split_once('.')?;
    if fraction.len() > 9 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = u32::try_from(fraction.len()).ok()?;
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = u128::from(fraction) * u128::from(factor) / u128::from(10_u64.pow(digits));
    whole.checked_mul(factor)?.checked_add(u64::try_from(part).ok()?)
}

/// Puts the container's facts into a tag.
fn expand_tag(template: &str, facts: &LogFacts<'_>) -> Result<String, ShimError> {
    let short = |id: &str| -> String {
        let hex = id.split_once(':').map_or(id, |(_, hex)| hex);
        hex.chars().take(12).collect()
    };
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        text.push_str(before);
        let (field, after) = after.split_once("}}").unwrap_or((after, ""));
        match field.trim() {
            ".ID" => text.push_str(&short(facts.id)),
            ".FullID" => text.push_str(facts.id),
            ".Name" => text.push_str(facts.name),
            ".ImageID" => text.push_str(&short(facts.image_id)),
            ".ImageFullID" => text.push_str(facts.image_id),
            ".ImageName" => text.push_str(facts.image_name),
            ".DaemonName" => text.push_str("kista"),
            _ => {
                return Err(ShimError::BadLogOption {
                    option: "tag".to_owned(),
                    value: template.to_owned(),
                    reason: format!("there is no field {{{{{field}}}}} here"),
                });
            }
        }
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// The journal's socket, unless a test has its own.
pub(crate) fn journal_socket() -> PathBuf {
    PathBuf::from(JOURNAL_SOCKET)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: LogFacts<'static> = LogFacts {
        id: "0123456789abcdef0123",
        name: "happy_box",
        image_id: "sha256:fedcba9876543210fedc",
        image_name: "debian:12",
        labels: &[("team", "red"), ("com.x/y", "1")],
        env: &[("HOME", "/root")],
    };

    fn parse(driver: &str, options: &[(&str, &str)]) -> Result<LogPlan, String> {
        LogPlan::parse(driver, options.iter().copied(), &FACTS).map_err(|error| error.to_string())
    }

    #[test]
    fn logs_are_bounded_by_default() {
        let check = |driver, options: &[_], size: Option<u64>, files| {
            let plan = parse(driver, options).unwrap();
            assert_eq!((plan.max_size_bytes, plan.max_files), (size, files), "{options:?}");
        };
        check("", &[], Some(10_000_000), 3);
        check("json-file", &[("max-size", "1.5k")], Some(1500), 1);
        check("json-file", &[("max-file", "7")], Some(10_000_000), 7);
        check("json-file", &[("max-size", "-1"), ("max-file", "2")], None, 2);
        check("local", &[("max-size", "2 GiB")], Some(2_000_000_000), 5);
        check("none", &[], None, 0);
    }

    #[test]
    fn what_is_not_done_is_refused() {
        let check = |driver, option, value, wanted: &str| {
            let text = parse(driver, &[(option, value)]).unwrap_err();
            assert!(text.contains(wanted), "{text}");
        };
        check("syslog", "x", "y", "unknown log driver \"syslog\"");
        check("json-file", "colour", "y", "unknown log opt 'colour' for json-file log driver");
        check("local", "tag", "y", "unknown log opt 'tag' for local log driver");
        check("none", "mode", "blocking", "unknown log opt");
        check("json-file", "compress", "true", "not compressed");
        check("json-file", "mode", "non-blocking", "blocking");
        for size in ["0", "x", "10q", "-5", "99999999999p", ""] {
            check("json-file", "max-size", size, "positive size");
        }
        for count in ["0", "-1", "1.5", "x"] {
            check("json-file", "max-file", count, "from 1");
        }
        check("json-file", "tag", "{{.Oops}}", "no field {{.Oops}}");
    }

    #[test]
    fn names_become_attributes() {
        let options = [
            ("labels", "team,absent"),
            ("env", "HOME"),
            ("tag", "{{.Name}}/{{.ID}} of {{ .ImageID }}"),
        ];
        let plan = parse("json-file", &options).unwrap();
        let wanted =
            [("tag", "happy_box/0123456789ab of fedcba987654"), ("team", "red"), ("HOME", "/root")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(plan.attributes, wanted);
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<LogPlan>(&text).unwrap(), plan);
    }

    #[test]
    fn the_journal_must_listen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let parse = || LogPlan::parse_for("journald", [("labels", "com.x/y")], &FACTS, &path);
        let text = parse().unwrap_err().to_string();
        assert!(text.starts_with("log driver journald needs"), "{text}");
        let _socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let plan = parse().unwrap();
        let has = |name: &str, value: &str| {
            plan.attributes.iter().any(|(key, text)| key == name && text == value)
        };
        assert!(has("COM_X_Y", "1") && has("CONTAINER_TAG", "0123456789ab"), "{plan:?}");
    }
}
