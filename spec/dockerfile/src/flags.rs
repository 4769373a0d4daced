//! The `--flags` of instructions.

use crate::error::Reason;
use crate::suggest::suggest;

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing, or `=true` or `=false`.
    Bool,
    /// One value.
    Text,
    /// One value each time it is given.
    Texts,
}

/// The flags that were given, by name.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    given: Vec<(&'static str, String)>,
}

impl Flags {
    /// Checks what was given against what the instruction knows.
    pub(crate) fn parse(given: &[String], known: &[(&'static str, Takes)]) -> Result<Self, Reason> {
        let mut flags = Self::default();
        for text in given {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (text.as_str(), None),
            };
            let flag = || name.to_owned();
            let bare = name.strip_prefix("--").unwrap_or(name);
            let Some(&(known_name, takes)) = known.iter().find(|(known, _)| *known == bare) else {
                let suggestion = suggest(bare, known.iter().map(|(name, _)| *name));
                return Err(Reason::UnknownFlag {
                    flag: flag(),
                    suggestion: suggestion.map(str::to_owned),
                });
            };
            if takes != Takes::Texts && flags.get(known_name).is_some() {
                return Err(Reason::RepeatedFlag { flag: flag() });
            }
            let value = match (takes, value) {
                (Takes::Bool, None) => "true".to_owned(),
                (Takes::Bool, Some("")) | (Takes::Text | Takes::Texts, None) => {
                    return Err(Reason::NoFlagValue { flag: flag() });
                }
                (Takes::Bool, Some(value)) => match value.to_ascii_lowercase().as_str() {
                    lower @ ("true" | "false") => lower.to_owned(),
                    _ => {
                        return Err(Reason::NotBoolean { flag: flag(), value: value.to_owned() });
                    }
                },
                (_, Some(value)) => value.to_owned(),
            };
            flags.given.push((known_name, value));
        }
        Ok(flags)
    }

    /// The value of a flag; `None` if it was not given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a flag, or an empty text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_default().to_owned()
    }

    /// Whether a boolean flag is set, or `None` if it was not given.
    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value == "true")
    }

    /// All values of a flag.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        self.given.iter().filter(|(given, _)| *given == name).map(|(_, v)| v.clone()).collect()
    }
}
