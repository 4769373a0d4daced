//! One line of comma-separated values, as Go's `encoding/csv` reads the value of `--mount`.

use crate::BundleError;

/// The fields of the first line. A field that begins with `"` ends at the next single `"`, and
/// `""` stands for one `"` in it; elsewhere a `"` is an error.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, BundleError> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let column = text.len() - rest.len() + 1;
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)
                .ok_or_else(|| error(column, "extraneous or missing \" in quoted-field"))?,
            None => {
                let end = rest.find([',', '\n', '\r']).unwrap_or(rest.len());
                let field = &rest[..end];
                if let Some(quote) = field.find('"') {
                    return Err(error(column + quote, "bare \" in non-quoted-field"));
                }
                (field.to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

/// The content of a quoted field and what follows its closing quote: a comma or the line's end.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None if after.is_empty() || after.starts_with([',', '\n', '\r']) => {
                return Some((field, after));
            }
            None => return None,
        }
    }
}

fn error(column: usize, what: &str) -> BundleError {
    BundleError::invalid(format!("parse error on line 1, column {column}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines() {
        let rows: [(&str, &[&str]); 7] = [
            ("a", &["a"]),
            ("a,b", &["a", "b"]),
            ("a,", &["a", ""]),
            (r#""a,b",c"#, &["a,b", "c"]),
            (r#""a""b""#, &["a\"b"]),
            ("a\nb", &["a"]),
            (r#""",x"#, &["", "x"]),
        ];
        for (text, expected) in rows {
            assert_eq!(fields(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn quotes_in_wrong_places() {
        for text in ["a\"", "\"a", "\"a\"b", "a,b\"c"] {
            assert!(fields(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn quoting_is_undone(values in proptest::collection::vec("[a\",= ]{0,6}", 1..5)) {
            let line: Vec<String> =
                values.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
            prop_assert_eq!(fields(&line.join(",")).unwrap(), values);
        }
    }
}
