//! One record of comma separated values, as the values of `--mount` and `--device` are.
//!
//! RFC 4180, "Definition of the CSV Format", for one line.

/// Splits a record into its fields; a field may stand in double quotes, and `""` in it is one `"`.
///
/// The error says what is wrong, in the words of Go's `encoding/csv`.
pub fn fields(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim_end_matches(['\r', '\n']);
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted, text.len())?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                if let Some(at) = field.find('"') {
                    let column = text.len() - rest.len() + at + 1;
                    return Err(format!(
                        "parse error on line 1, column {column}: bare \" in non-quoted field"
                    ));
                }
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// A field behind its opening quote, and what follows its closing one.
fn quoted_field(text: &str, length: usize) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((inside, after)) = rest.split_once('"') else {
            return Err(format!(
                "parse error on line 1, column {}: extraneous or missing \" in quoted-field",
                length + 1
            ));
        };
        field.push_str(inside);
        if let Some(more) = after.strip_prefix('"') {
            field.push('"');
            rest = more;
        } else if after.is_empty() || after.starts_with(',') {
            return Ok((field, after));
        } else {
            let column = length - after.len();
            return Err(format!(
                "parse error on line 1, column {column}: extraneous or missing \" in quoted-field"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_split() {
        for (text, want) in [
            ("", &[""][..]),
            ("a,b", &["a", "b"]),
            ("a,", &["a", ""]),
            (r#""a,b",c"#, &["a,b", "c"]),
            (r#""a""b""#, &[r#"a"b"#]),
        ] {
            assert_eq!(fields(text).unwrap(), want, "{text}");
        }
        for text in [r#"a"b"#, r#""a"#, r#""a"b"#] {
            assert!(fields(text).is_err(), "{text}");
        }
    }
}
