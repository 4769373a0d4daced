//! Header fields, in the order in which they came.

use crate::HttpError;

/// Header fields. Names are compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    fields: Vec<(String, String)>,
}

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of the first field of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The values of all fields of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Puts a field in place of all others of this name.
    ///
    /// Control characters of `value` become blanks, so that no value can end the field.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.remove(name);
        self.append(name, value);
    }

    /// Adds a field, also if there is one of this name.
    pub fn append(&mut self, name: &str, value: impl Into<String>) {
        let mut value = value.into();
        if value.contains(char::is_control) {
            value = value.replace(char::is_control, " ");
        }
        self.fields.push((name.to_owned(), value));
    }

    /// Takes all fields of this name away.
    pub fn remove(&mut self, name: &str) {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a field that is a list between commas has this word.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(word))
    }

    /// The media type of `Content-Type`, in lower case and without parameters.
    pub fn media_type(&self) -> Option<String> {
        let value = self.get("content-type")?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// The value of `Content-Length`; `None` if there is none.
    pub fn content_length(&self) -> Result<Option<u64>, HttpError> {
        let mut values = self.all("content-length");
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(HttpError::Framing { why: "there are several Content-Length fields" });
        }
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(length) if digits => Ok(Some(length)),
            _ => Err(HttpError::Framing { why: "Content-Length is no number" }),
        }
    }

    pub(crate) fn parse_line(&mut self, line: &[u8]) -> Result<(), HttpError> {
        let malformed = || HttpError::Field { line: crate::shown(line) };
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let value = value.trim_ascii();
        if name.is_empty()
            || !name.iter().all(|byte| is_token(*byte))
            || value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
        {
            return Err(malformed());
        }
        if self.fields.len() == crate::MAX_FIELDS {
            return Err(HttpError::TooLong);
        }
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.fields.push((text(name), text(value)));
        Ok(())
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.fields {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 9110, section 5.6.2, "tchar".
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_make_fields() {
        let mut fields = Fields::new();
        fields.set("A", "1\r\nB: 2");
        let mut out = Vec::new();
        fields.write(&mut out);
        assert_eq!(out, b"A: 1  B: 2\r\n\r\n");
    }

    #[test]
    fn lengths_are_one_number_or_refused() {
        for (values, want) in [
            (&["5"][..], Some(Some(5))),
            (&[][..], Some(None)),
            (&["5", "5"][..], None),
            (&["+5"][..], None),
            (&["5, 5"][..], None),
            (&[""][..], None),
            (&["99999999999999999999"][..], None),
        ] {
            let mut fields = Fields::new();
            values.iter().for_each(|value| fields.append("Content-Length", *value));
            assert_eq!(fields.content_length().ok(), want, "{values:?}");
        }
    }
}
