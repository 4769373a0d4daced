//! Filters: `key=value`, repeatable. Values of one key are alternatives, keys must all hold.

use std::collections::BTreeMap;

use oci::Timestamp;

use crate::EngineError;

/// What `--filter` was given, by key; which keys there are, each verb decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

impl Filters {
    /// Adds one `key=value`; the key of `label!=x` is `label!`.
    pub fn add(&mut self, text: &str) -> Result<(), EngineError> {
        let (key, value) = text
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
            .ok_or_else(|| EngineError::Invalid {
                message: format!(
                    "invalid argument \"{text}\": bad format of filter (expected name=value)"
                ),
            })?;
        self.0.entry(key.trim().to_ascii_lowercase()).or_default().push(value.trim().to_owned());
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a key that is not among `known`, with Docker's text.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), EngineError> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(EngineError::Invalid { message: format!("invalid filter '{key}'") }),
            None => Ok(()),
        }
    }

    /// The values of one key.
    pub(crate) fn values(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether the key is absent or one of its values satisfies `test`.
    pub(crate) fn any(&self, key: &str, test: impl Fn(&str) -> bool) -> bool {
        let values = self.values(key);
        values.is_empty() || values.iter().any(|value| test(value))
    }

    /// Whether a name is one that `name` asks for, as Docker's commands do.
    pub(crate) fn allow_name(&self, name: &str) -> bool {
        self.any("name", |wanted| matches_name(wanted, name))
    }

    /// Whether `labels` satisfies `label` (all of its values) and `label!` (none of them).
    pub(crate) fn labels_match(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|actual| actual == value),
            None => labels.contains_key(wanted.as_str()),
        };
        self.values("label").iter().all(has) && !self.values("label!").iter().any(has)
    }

    /// The value of a key that says yes or no.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, EngineError> {
        let mut flag = None;
        for value in self.values(key) {
            flag = Some(match value.to_ascii_lowercase().as_str() {
                "1" | "true" | "t" => true,
                "0" | "false" | "f" => false,
                _ => {
                    return Err(EngineError::Invalid {
                        message: format!("invalid filter '{key}=[{value}]'"),
                    });
                }
            });
        }
        Ok(flag)
    }

    /// The time of `until`: RFC 3339, seconds since 1970, or how long ago (`10m`, `1h30m`).
    pub(crate) fn until(&self) -> Result<Option<Timestamp>, EngineError> {
        match self.values("until") {
            [] => Ok(None),
            [text] => parse_time(text).map(Some).ok_or_else(|| EngineError::Invalid {
                message: format!("invalid filter 'until=[{text}]'"),
            }),
            _ => {
                Err(EngineError::Invalid { message: "more than one until filter specified".into() })
            }
        }
    }
}

fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(Timestamp::from_unix(seconds, 0));
    }
    let ago = parse_go_duration(text)?;
    Some(Timestamp::from_unix(Timestamp::now().unix_seconds().saturating_sub_unsigned(ago), 0))
}

/// Go's duration syntax, in whole seconds.
fn parse_go_duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        seconds += number * unit;
        rest = &rest[end..];
    }
    // A duration beyond all time is as good as all time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; `as` saturates"
    )]
    (!text.is_empty()).then_some(seconds as u64)
}

/// Docker matches names by regular expression; what people write is a part of the name, with `^`
/// and `$` for its ends. Everything else stands for itself.
fn matches_name(wanted: &str, name: &str) -> bool {
    let (wanted, at_start) = match wanted.strip_prefix('^') {
        Some(rest) => (rest.strip_prefix('/').unwrap_or(rest), true),
        None => (wanted.strip_prefix('/').unwrap_or(wanted), false),
    };
    match (at_start, wanted.strip_suffix('$')) {
        (true, Some(whole)) => name == whole,
        (true, None) => name.starts_with(wanted),
        (false, Some(end)) => name.ends_with(end),
        (false, None) => name.contains(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_add_up() {
        let mut filters = Filters::default();
        for text in ["label=a=1", "label!=b", "status=exited", "status=running"] {
            filters.add(text).unwrap();
        }
        assert!(filters.add("label").is_err());
        assert!(filters.any("status", |value| value == "running"));
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        assert!(filters.labels_match(&labels(&[("a", "1")])));
        assert!(!filters.labels_match(&labels(&[("a", "1"), ("b", "")])));
        assert!(!filters.labels_match(&labels(&[("a", "2")])));
        assert!(filters.only(&["label", "label!", "status"]).is_ok());
        assert!(filters.only(&["label"]).is_err());
    }

    #[test]
    fn durations_are_gos() {
        for (text, want) in [
            ("10m", Some(600)),
            ("1h30m", Some(5400)),
            ("1.5s", Some(1)),
            ("5", None),
            ("", None),
            ("1d", None),
        ] {
            assert_eq!(parse_go_duration(text), want, "{text}");
        }
    }

    #[test]
    fn names_match_by_part_and_by_ends() {
        for (wanted, want) in [
            ("web", true),
            ("^web$", false),
            ("^/web1$", true),
            ("1$", true),
            ("^eb", false),
            ("", true),
        ] {
            assert_eq!(matches_name(wanted, "web1"), want, "{wanted}");
        }
    }
}
