//! `WWW-Authenticate`: what a registry wants to be shown.

use crate::Fields;
use crate::fields::is_token;

/// One challenge: a scheme and its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Challenge {
    /// `bearer`, `basic`: in lower case.
    pub scheme: String,
    /// Names in lower case and values, in order; the first of a name counts.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// All challenges of a response, in order.
    ///
    /// RFC 9110, section 11.6.1, read as registries write it: several in one field or in several,
    /// values with or without quotes, blanks around `=`, empty items. What makes no sense is passed
    /// over, since another challenge beside it may be met.
    pub fn all(fields: &Fields) -> Vec<Self> {
        fields.all("www-authenticate").flat_map(Self::parse).collect()
    }

    /// The challenges of one field.
    pub fn parse(text: &str) -> Vec<Self> {
        let mut challenges: Vec<Self> = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if rest.is_empty() {
                return challenges;
            }
            let length = rest.bytes().take_while(|byte| is_token(*byte)).count();
            if length == 0 {
                // Not a word: pass over it, to what stands behind the next comma.
                rest = rest.find(',').map_or("", |comma| &rest[comma..]);
                continue;
            }
            let (word, behind) = rest.split_at(length);
            let word = word.to_ascii_lowercase();
            match behind.trim_start().strip_prefix('=') {
                // `scheme =` cannot be told from `name =`, and no scheme is followed by `=`.
                Some(value) => {
                    let (value, after) = value_of(value.trim_start());
                    rest = after;
                    if let Some(challenge) = challenges.last_mut() {
                        challenge.parameters.push((word, value));
                    }
                }
                None => {
                    challenges.push(Self { scheme: word, parameters: Vec::new() });
                    rest = behind;
                }
            }
        }
    }

    /// The value of a parameter, if it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// A quoted string or a word, and what stands behind it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_as_registries_write_them() {
        let bearer = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let parsed = Challenge::parse(bearer);
        assert_eq!(parsed.len(), 1);
        assert_eq!(parsed[0].scheme, "bearer");
        assert_eq!(parsed[0].get("scope"), Some("repository:a/b:pull,push"));
        assert_eq!(parsed[0].get("service"), Some("registry.docker.io"));

        let parsed = Challenge::parse(r#"Basic realm="a \"b\", c", Bearer realm = x , service=y"#);
        let schemes: Vec<&str> = parsed.iter().map(|c| c.scheme.as_str()).collect();
        assert_eq!(schemes, ["basic", "bearer"]);
        assert_eq!(parsed[0].get("realm"), Some("a \"b\", c"));
        assert_eq!((parsed[1].get("realm"), parsed[1].get("service")), (Some("x"), Some("y")));
    }

    #[test]
    fn nonsense_ends_and_is_passed_over() {
        for (text, want) in [
            ("", 0),
            (",,, ,", 0),
            ("\"\"\",=", 0),
            ("Basic", 1),
            ("Bearer realm=\"open", 1),
            ("=x, Basic realm=\"y\"", 1),
            ("Bearer realm=\"a\\", 1),
        ] {
            assert_eq!(Challenge::parse(text).len(), want, "{text}");
        }
    }
}
