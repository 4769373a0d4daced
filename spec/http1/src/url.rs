//! URLs, and the origin that credentials are bound to.

use std::fmt;

use crate::{HttpError, shown};

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
}

/// Scheme, host and port: who is spoken to. Two URLs of different origins share no credential.
///
/// RFC 6454, section 4.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// How.
    pub scheme: Scheme,
    /// A name or an address, in lower case; IPv6 in brackets.
    pub host: String,
    /// The port, also if it is the scheme's own.
    pub port: u16,
}

/// An absolute http or https URL without user and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Who is asked.
    pub origin: Origin,
    /// Path and query, beginning with a slash.
    pub target: String,
}

impl Scheme {
    /// The name before `://`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origin {
    /// `host` or `host:port` over `scheme`.
    pub fn parse(scheme: Scheme, authority: &str) -> Result<Self, HttpError> {
        let refuse = |why| HttpError::Url { text: shown(authority.as_bytes()), why };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.starts_with('[') || host.ends_with(']') => {
                let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                match port.parse() {
                    Ok(port) if digits && port != 0 => (host, port),
                    _ => return Err(refuse("its port is no number")),
                }
            }
            _ => (authority, scheme.default_port()),
        };
        let is_v6 = host.starts_with('[') && host.ends_with(']');
        let inside = if is_v6 { &host[1..host.len() - 1] } else { host };
        let allowed = |byte: u8| match is_v6 {
            true => byte.is_ascii_hexdigit() || b":.".contains(&byte),
            false => byte.is_ascii_alphanumeric() || b"-._".contains(&byte),
        };
        if inside.is_empty() || !inside.bytes().all(allowed) {
            return Err(refuse("its host is none"));
        }
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port })
    }

    /// `host`, or `host:port` if the port is not the scheme's own.
    pub fn authority(&self) -> String {
        match self.port == self.scheme.default_port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The host as a resolver takes it: without brackets.
    pub fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// A URL of this origin.
    pub fn at(&self, target: impl Into<String>) -> Url {
        Url { origin: self.clone(), target: target.into() }
    }
}

impl Url {
    /// Parses an absolute URL.
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let refuse = |why| HttpError::Url { text: shown(text.as_bytes()), why };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refuse("it has no scheme"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(refuse("its scheme is another")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err(refuse("it holds a user"));
        }
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) || target.contains('\\') {
            return Err(refuse("it holds characters that must be escaped"));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        let origin = Origin::parse(scheme, authority)?;
        Ok(Self { origin, target: format!("{slash}{target}") })
    }

    /// The URL that a `Location` or a link with this text means, seen from here.
    pub fn resolve(&self, text: &str) -> Result<Self, HttpError> {
        let absolute = match text {
            text if text.contains("://") && !text.starts_with(['/', '?']) => text.to_owned(),
            text if text.starts_with("//") => format!("{}:{text}", self.origin.scheme.name()),
            text => {
                let path = self.target.split('?').next().unwrap_or_default();
                let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
                let target = match text.as_bytes().first() {
                    Some(b'/') => text.to_owned(),
                    Some(b'?') => format!("{path}{text}"),
                    _ => format!("{folder}{text}"),
                };
                format!("{}{target}", self.origin)
            }
        };
        Self::parse(&absolute)
    }

    /// The same with one more parameter in the query. `value` is escaped here.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let joint = if self.target.contains('?') { '&' } else { '?' };
        self.target = format!("{}{joint}{name}={}", self.target, encode_component(value));
        self
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://{}", self.scheme.name(), self.authority())
    }
}

/// Without the query, which may hold somebody's signature or token.
impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.origin, self.path())
    }
}

/// Escapes everything that may not stand in a parameter of a query.
pub fn encode_component(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// Undoes [`encode_component`], once; `+` is a blank. `None` if it is malformed or no text.
pub fn decode_component(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                rest = behind;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_parse_and_resolve() {
        let base = Url::parse("https://Reg.example/v2/a/blobs/uploads/?x=1").unwrap();
        assert_eq!(base.origin.to_string(), "https://reg.example");
        for (text, want) in [
            ("/v2/b", "https://reg.example/v2/b"),
            ("c?d=e", "https://reg.example/v2/a/blobs/uploads/c?d=e"),
            ("?y", "https://reg.example/v2/a/blobs/uploads/?y"),
            ("//other:81/p", "https://other:81/p"),
            ("http://[::1]:5000/p#f", "http://[::1]:5000/p"),
            ("https://o?q", "https://o/?q"),
        ] {
            let url = base.resolve(text).unwrap();
            assert_eq!(format!("{}{}", url.origin, url.target), want, "{text}");
        }
        let url = base.with("digest", "sha256:a b");
        assert!(url.target.ends_with("?x=1&digest=sha256%3Aa%20b"));
        assert_eq!(url.to_string(), "https://reg.example/v2/a/blobs/uploads/");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "ftp://a/",
            "a/b",
            "https://user:secret@a/",
            "https:///a",
            "https://a:/",
            "https://a:0/",
            "https://a:99999/",
            "https://a b/",
            "https://a/b c",
            "https://a/\r\nX: y",
            "https://[::1/",
            "https://a\\b/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn components_are_escaped_and_back() {
        let text = "a/b:c?d&e=é %";
        assert_eq!(decode_component(&encode_component(text)).as_deref(), Some(text));
        for text in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(decode_component(text), None, "{text}");
        }
    }
}
