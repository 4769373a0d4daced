//! Words of an instruction: blanks, quotes, escapes and variables, as a Dockerfile has them.

/// Splits at blanks outside of quotes; quotes and escapes stay where they are.
///
/// `None` if a quote is not closed.
pub(crate) fn split(text: &str) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    let (mut start, mut quote, mut escaped) = (None, None, false);
    for (at, letter) in text.char_indices() {
        let begun = *start.get_or_insert(at);
        match (quote, letter) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), close) if open == close => quote = None,
            (None, blank) if blank.is_whitespace() => {
                if begun < at {
                    words.push(&text[begun..at]);
                }
                start = None;
            }
            _ => {}
        }
    }
    if quote.is_some() {
        return None;
    }
    if let Some(begun) = start {
        words.push(&text[begun..]);
    }
    Some(words)
}

/// Takes quotes and escapes off a word and puts in the values of its variables.
///
/// `$NAME`, `${NAME}`, `${NAME:-word}` and `${NAME:+word}`; not in single quotes. A name that
/// `lookup` does not know is empty. `None` if a quote or a brace is not closed, or for another form
/// of substitution.
pub(crate) fn expand(word: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = word.chars();
    let mut double = false;
    while let Some(letter) = rest.next() {
        match letter {
            '\'' if !double => loop {
                match rest.next()? {
                    '\'' => break,
                    inside => out.push(inside),
                }
            },
            '"' => double = !double,
            '\\' => match rest.next() {
                // In double quotes only what is special there is escaped.
                Some(next) if double && !matches!(next, '"' | '$' | '\\') => {
                    out.push('\\');
                    out.push(next);
                }
                Some(next) => out.push(next),
                None => out.push('\\'),
            },
            '$' => {
                let (value, used) = variable(rest.as_str(), lookup)?;
                out.push_str(&value);
                rest = rest.as_str()[used..].chars();
            }
            other => out.push(other),
        }
    }
    (!double).then_some(out)
}

/// The value of what stands behind a `$`, and how many bytes of `text` that took.
fn variable(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<(String, usize)> {
    let name_length = |text: &str| {
        let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        match text.chars().next() {
            Some(first) if word(first) && !first.is_ascii_digit() => {
                text.find(|letter| !word(letter)).unwrap_or(text.len())
            }
            _ => 0,
        }
    };
    let Some(inner) = text.strip_prefix('{') else {
        let length = name_length(text);
        if length == 0 {
            return Some(("$".into(), 0));
        }
        return Some((lookup(&text[..length]).unwrap_or_default(), length));
    };
    let length = name_length(inner);
    if length == 0 {
        return None;
    }
    let value = lookup(&inner[..length]).filter(|value| !value.is_empty());
    let behind = &inner[length..];
    if behind.starts_with('}') {
        return Some((value.unwrap_or_default(), length + 2));
    }
    let word = behind.strip_prefix(":-").or_else(|| behind.strip_prefix(":+"))?;
    let end = closing(word)?;
    let used = 1 + length + 2 + end + 1;
    let word = &word[..end];
    let value = match (behind.as_bytes()[1], value) {
        (b'-', Some(value)) => value,
        (b'-', None) | (_, Some(_)) => expand(word, lookup)?,
        (_, None) => String::new(),
    };
    Some((value, used))
}

/// Where the brace closes that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_split_outside_of_quotes() {
        for (text, want) in [
            ("", Some(vec![])),
            ("  a  b ", Some(vec!["a", "b"])),
            (r#"a="b c" d"#, Some(vec![r#"a="b c""#, "d"])),
            (r"a\ b c", Some(vec![r"a\ b", "c"])),
            (r#"'a "b' "c 'd""#, Some(vec![r#"'a "b'"#, r#""c 'd""#])),
            (r#""open"#, None),
        ] {
            assert_eq!(split(text), want, "{text}");
        }
    }

    #[test]
    fn words_lose_quotes_and_get_values() {
        let lookup = |name: &str| (name == "A").then(|| "1 2".to_owned());
        for (word, want) in [
            ("plain", Some("plain")),
            (r#""b c""#, Some("b c")),
            (r"a\ b", Some("a b")),
            (r#""a\nb\"""#, Some(r#"a\nb""#)),
            ("'$A'", Some("$A")),
            ("x${A}y$A/$B", Some("x1 2y1 2/")),
            (r"\$A", Some("$A")),
            ("${B:-d$A}", Some("d1 2")),
            ("${A:+yes}${B:+no}", Some("yes")),
            ("${A", None),
            ("${A%x}", None),
            ("'open", None),
            ("cost $5 $", Some("cost $5 $")),
            ("é$A", Some("é1 2")),
        ] {
            assert_eq!(expand(word, &lookup).as_deref(), want, "{word}");
        }
    }
}
