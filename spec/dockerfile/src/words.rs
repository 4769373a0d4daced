//! Splitting the rest of an instruction: into words, into flags, out of JSON.

use serde_json::Value;

use crate::error::Reason;
use crate::lines::is_space;

/// What separates the arguments of an instruction that takes a plain list.
pub(crate) fn is_blank(letter: char) -> bool {
    matches!(letter, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// Splits at runs of blanks into at most two parts.
pub(crate) fn split_first(text: &str) -> (&str, Option<&str>) {
    match text.split_once(is_blank) {
        Some((first, rest)) => (first, Some(rest.trim_start_matches(is_blank))),
        None => (text, None),
    }
}

/// Splits at runs of blanks; the text has none at its ends.
pub(crate) fn split_all(text: &str) -> Vec<String> {
    text.split(is_blank).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Splits at blanks outside of quotes; quotes and escapes stay.
pub(crate) fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut started = false;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match quote {
            None if is_space(letter) => {
                if std::mem::take(&mut started) {
                    words.push(std::mem::take(&mut word));
                }
            }
            None if letter == escape => {
                // An escape at the very end is dropped.
                if let Some(next) = letters.next() {
                    started = true;
                    word.extend([letter, next]);
                }
            }
            None => {
                started = true;
                quote = matches!(letter, '\'' | '"').then_some(letter);
                word.push(letter);
            }
            Some(open) if letter == escape && open != '\'' => match letters.next() {
                Some(next) => word.extend([letter, next]),
                None => break,
            },
            Some(open) => {
                if letter == open {
                    quote = None;
                }
                word.push(letter);
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}

/// Takes the leading `--words` off; quotes and escapes in them are resolved.
pub(crate) fn take_flags(text: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text;
    loop {
        let start = rest.trim_start_matches(is_space);
        if !start.starts_with("--") {
            return (flags, start);
        }
        let (flag, quoted, after) = flag_word(start, escape);
        rest = after;
        if flag == "--" {
            return (flags, rest);
        }
        if quoted || !flag.is_empty() {
            flags.push(flag);
        }
        if rest.is_empty() {
            return (flags, "");
        }
    }
}

/// One word up to a blank, whether any of it was quoted, and what follows.
fn flag_word(text: &str, escape: char) -> (String, bool, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut quoted = false;
    let mut letters = text.chars();
    loop {
        let after = letters.as_str();
        let Some(letter) = letters.next() else { return (word, quoted, "") };
        match quote {
            None if is_space(letter) => return (word, quoted, after),
            None if matches!(letter, '\'' | '"') => {
                quote = Some(letter);
                quoted = true;
            }
            Some(open) if letter == open => quote = None,
            _ if letter == escape => word.extend(letters.next()),
            _ => word.push(letter),
        }
    }
}

/// A JSON array of strings. `None` if the text is something else, which is then no JSON at all;
/// an error if it is an array that holds something else than strings.
pub(crate) fn json_strings(text: &str) -> Result<Option<Vec<String>>, Reason> {
    let text = text.trim_start_matches(is_space);
    if !text.starts_with('[') {
        return Ok(None);
    }
    let Ok(items) = serde_json::from_str::<Vec<Value>>(text) else { return Ok(None) };
    let strings = items.into_iter().map(|item| match item {
        Value::String(text) => Ok(text),
        _ => Err(Reason::NotStrings),
    });
    strings.collect::<Result<_, _>>().map(Some)
}
