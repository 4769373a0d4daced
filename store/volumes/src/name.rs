//! What a volume may be called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::VolumeError;

/// A volume's name: a letter or digit, then letters, digits, `_`, `.` and `-`.
///
/// So it is one safe file name, and never one of those that begin with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(Box<str>);

const MAX_BYTES: usize = 255;

impl VolumeName {
    /// A new name of 64 hexadecimal digits, as a volume gets to which its user gave none.
    pub fn anonymous() -> Self {
        Self(sys::names::random_hex::<32>().into_boxed_str())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = VolumeError;

    fn from_str(text: &str) -> Result<Self, VolumeError> {
        let mut bytes = text.bytes();
        let grammar = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if !grammar {
            return Err(VolumeError::Name { name: text.to_owned() });
        }
        if text.len() > MAX_BYTES {
            return Err(VolumeError::NameTooLong { name: text.to_owned(), max: MAX_BYTES });
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for VolumeName {
    type Error = VolumeError;

    fn try_from(text: String) -> Result<Self, VolumeError> {
        text.parse()
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_file_names_are_names() {
        for good in ["a", "data", "my-data_1.2", "0", "A.", &"x".repeat(255)] {
            assert_eq!(good.parse::<VolumeName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", ".new-x", "-a", "_a", "a/b", "../a", "a b", "a\0", "a\n", "é"] {
            assert!(matches!(bad.parse::<VolumeName>(), Err(VolumeError::Name { .. })), "{bad:?}");
        }
        assert!("x".repeat(256).parse::<VolumeName>().is_err());
        assert_eq!(VolumeName::anonymous().as_str().len(), 64);
    }
}
