//! Parser directives: comments at the very top of a file that tell how it is to be read.

use crate::lines::is_space;

/// What the directives of a file say; `None` where a directive is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// `syntax`: the image of a frontend. Kista's own parser reads every file all the same.
    pub syntax: Option<String>,
    /// `escape`: the escape character, as written.
    pub escape: Option<String>,
    /// `check`: options of the linter.
    pub check: Option<String>,
    /// True once a line was seen after which there are no more directives.
    done: bool,
}

impl Directives {
    /// Offers a line without leading blanks; true if it is a directive.
    ///
    /// The error is the name of a directive that stands there a second time.
    pub(crate) fn offer(&mut self, line: &str) -> Result<bool, String> {
        if self.done {
            return Ok(false);
        }
        let Some((name, value)) = line.strip_prefix('#').and_then(assignment) else {
            self.done = true;
            return Ok(false);
        };
        let slot = match name.to_ascii_lowercase().as_str() {
            "syntax" => &mut self.syntax,
            "escape" => &mut self.escape,
            "check" => &mut self.check,
            _ => {
                self.done = true;
                return Ok(false);
            }
        };
        if slot.is_some() {
            return Err(name.to_ascii_lowercase());
        }
        *slot = Some(value.to_owned());
        Ok(true)
    }
}

/// `name = value`, both without blanks around them.
fn assignment(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.trim_start_matches(is_space).split_once('=')?;
    let name = name.trim_end_matches(is_space);
    let value = value.trim_matches(is_space);
    let plain = name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.bytes().all(|letter| letter.is_ascii_alphanumeric());
    (plain && !value.is_empty()).then_some((name, value))
}

/// A `check=...` directive within a comment that stands before an instruction.
pub(crate) fn check_comment(comment: &str) -> Option<&str> {
    let (name, value) = assignment(comment)?;
    name.eq_ignore_ascii_case("check").then(|| value.split(' ').next().unwrap_or(value))
}

/// The frontend that a file asks for: `# syntax=`, `// syntax=`, or a JSON document's `syntax`.
///
/// A first line that starts with `#!` is passed over.
pub fn detect_syntax(content: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(content);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = match text.strip_prefix("#!") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
        None => text,
    };
    for comment in ["#", "//"] {
        let mut directives = Directives::default();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix(comment) else { break };
            if !matches!(directives.offer(&format!("#{rest}")), Ok(true)) {
                break;
            }
        }
        if let Some(syntax) = directives.syntax {
            return Some(syntax);
        }
    }
    let document: serde_json::Value = serde_json::from_str(text).ok()?;
    Some(document.get("syntax")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syntax_is_found_in_each_form() {
        for (text, want) in [
            ("# syntax=docker/dockerfile:1\nFROM x", Some("docker/dockerfile:1")),
            ("#!/usr/bin/x\n# escape=`\n#Syntax = a b \nFROM x", Some("a b")),
            ("// syntax=bar", Some("bar")),
            ("{\"syntax\": \"foo\"}", Some("foo")),
            ("# a comment\n# syntax=foo", None),
            ("FROM x\n# syntax=foo", None),
        ] {
            assert_eq!(detect_syntax(text.as_bytes()).as_deref(), want, "{text:?}");
        }
    }
}
