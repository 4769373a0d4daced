//! `org.systemd.property.NAME`: properties of a unit that a container's annotations ask for.
//!
//! Values are in the text form of GVariant, as far as units have such properties: booleans,
//! numbers (`uint64 5`), texts in quotes, arrays, tuples and variants. A number of seconds for a
//! `...Sec` is turned into the `...USec` that systemd's interface has, as runc does.

use std::collections::BTreeMap;

use super::value::Value;
use crate::CgroupError;

const PREFIX: &str = "org.systemd.property.";

/// The properties among `annotations`, with their names in systemd's interface.
pub(super) fn properties(
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<(String, Value)>, CgroupError> {
    let mut properties = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let refuse = |reason| CgroupError::Property { annotation: key.clone(), reason };
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(refuse("its name is no name of a property"));
        }
        let value =
            parse(text).ok_or_else(|| refuse("its value is not in GVariant's text form"))?;
        let seconds = name
            .strip_suffix("Sec")
            .filter(|front| front.ends_with(|last: char| last.is_ascii_lowercase()));
        properties.push(match seconds {
            None => (name.to_owned(), value),
            Some(front) => {
                let micros = microseconds(&value)
                    .ok_or_else(|| refuse("its value is no number of seconds"))?;
                (format!("{front}USec"), Value::U64(micros))
            }
        });
    }
    Ok(properties)
}

fn microseconds(seconds: &Value) -> Option<u64> {
    const MICROS: u64 = 1_000_000;
    let whole = match *seconds {
        Value::Byte(number) => number.into(),
        Value::U16(number) => number.into(),
        Value::U32(number) => number.into(),
        Value::U64(number) => number,
        Value::I16(number) => u64::try_from(number).ok()?,
        Value::I32(number) => u64::try_from(number).ok()?,
        Value::I64(number) => u64::try_from(number).ok()?,
        Value::F64(number) if number >= 0.0 => return Some((number * MICROS as f64) as u64),
        _ => return None,
    };
    whole.checked_mul(MICROS)
}

/// A value in its text form; `None` if it is none. GLib, "GVariant Text Format".
fn parse(text: &str) -> Option<Value> {
    let mut parser = Parser { rest: text, depth: 0 };
    let value = parser.value(None)?;
    parser.blanks();
    parser.rest.is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, mark: char) -> bool {
        self.blanks();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Up to a blank or a mark that ends a word.
    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| c.is_ascii_whitespace() || "[](),<>'\"".contains(c))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// A value, of a type that is known beforehand or shows itself.
    fn value(&mut self, kind: Option<&str>) -> Option<Value> {
        // What a stranger nests must not become our stack.
        self.depth += 1;
        let value = if self.depth > 16 { None } else { self.any(kind) };
        self.depth -= 1;
        value
    }

    fn any(&mut self, kind: Option<&str>) -> Option<Value> {
        self.blanks();
        match self.rest.chars().next()? {
            '\'' | '"' => Some(Value::Text(self.quoted()?)),
            '[' => self.array(kind),
            '(' => {
                let fields = self.list('(', ')', None)?;
                Some(Value::Struct(fields))
            }
            '<' => {
                self.take('<');
                let value = self.value(None)?;
                self.take('>').then(|| value.variant())
            }
            '@' => {
                self.take('@');
                // Brackets are part of a type, blanks are not.
                let end = self.rest.find(|c: char| c.is_ascii_whitespace())?;
                let (kind, rest) = self.rest.split_at(end);
                self.rest = rest;
                self.value(Some(kind))
            }
            _ => {
                let word = self.word();
                match named(word) {
                    Some(kind) => self.value(Some(kind)),
                    None => scalar(word, kind),
                }
            }
        }
    }

    fn array(&mut self, kind: Option<&str>) -> Option<Value> {
        let element = kind.and_then(|kind| kind.strip_prefix('a'));
        let values = self.list('[', ']', element)?;
        let kind = element.map(str::to_owned).or_else(|| Some(values.first()?.signature()))?;
        values.iter().all(|value| value.signature() == kind).then_some(Value::Array(kind, values))
    }

    fn list(&mut self, open: char, close: char, kind: Option<&str>) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        if !self.take(open) {
            return None;
        }
        if self.take(close) {
            return Some(values);
        }
        loop {
            values.push(self.value(kind)?);
            if self.take(close) {
                return Some(values);
            }
            if !self.take(',') {
                return None;
            }
            // A tuple of one is written with a comma behind.
            if self.take(close) {
                return Some(values);
            }
        }
    }

    fn quoted(&mut self) -> Option<String> {
        let mut characters = self.rest.chars();
        let quote = characters.next()?;
        let mut text = String::new();
        loop {
            match characters.next()? {
                '\\' => text.push(match characters.next()? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                }),
                end if end == quote => break,
                other => text.push(other),
            }
        }
        self.rest = characters.as_str();
        Some(text)
    }
}

/// A type by the word before a value.
fn named(word: &str) -> Option<&'static str> {
    Some(match word {
        "boolean" => "b",
        "byte" => "y",
        "int16" => "n",
        "uint16" => "q",
        "int32" => "i",
        "uint32" => "u",
        "int64" => "x",
        "uint64" => "t",
        "double" => "d",
        "string" => "s",
        _ => return None,
    })
}

/// A boolean or a number; whole numbers without a type have 32 bits and a sign.
fn scalar(word: &str, kind: Option<&str>) -> Option<Value> {
    Some(match kind {
        None if word == "true" || word == "false" => Value::Bool(word == "true"),
        None if word.contains(['.', 'e', 'E']) && !word.starts_with("0x") => {
            Value::F64(word.parse().ok()?)
        }
        None | Some("i") => Value::I32(whole(word)?.try_into().ok()?),
        Some("b") => Value::Bool(word.parse().ok()?),
        Some("y") => Value::Byte(whole(word)?.try_into().ok()?),
        Some("n") => Value::I16(whole(word)?.try_into().ok()?),
        Some("q") => Value::U16(whole(word)?.try_into().ok()?),
        Some("u") => Value::U32(whole(word)?.try_into().ok()?),
        Some("x") => Value::I64(whole(word)?.try_into().ok()?),
        Some("t") => Value::U64(whole(word)?.try_into().ok()?),
        Some("d") => Value::F64(word.parse().ok()?),
        _ => return None,
    })
}

fn whole(word: &str) -> Option<i128> {
    match word.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_values() {
        let check = |text: &str, want: Value| assert_eq!(parse(text), Some(want), "{text}");
        check("true", Value::Bool(true));
        check(" -5 ", Value::I32(-5));
        check("uint64 123456789", Value::U64(123_456_789));
        check("byte 0x10", Value::Byte(16));
        check("234.5", Value::F64(234.5));
        check("'inactive-or-failed'", Value::text("inactive-or-failed"));
        check(r#""a \" b""#, Value::text("a \" b"));
        check("['a.service', 'b.service']", Value::texts(["a.service", "b.service"]));
        check("@as []", Value::texts::<String>([]));
        let pair = |one: &str, two: &str| Value::Struct(vec![Value::text(one), Value::text(two)]);
        let pairs = vec![pair("/dev/null", "rw"), pair("char-pts", "rwm")];
        check("[('/dev/null', 'rw'), ('char-pts', 'rwm')]", Value::Array("(ss)".into(), pairs));
        check("@at [1, 2]", Value::Array("t".into(), vec![Value::U64(1), Value::U64(2)]));
        check("<uint32 7>", Value::U32(7).variant());
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let deep = "[".repeat(100_000);
        for bad in
            ["", "covfefe", "'open", "[1, 'a']", "[]", "(1", "byte 256", "5000000000", "1 2", &deep]
        {
            assert_eq!(parse(bad), None, "{bad:.20}");
        }
    }

    #[test]
    fn seconds_become_microseconds() {
        let ask = |name: &str, text: &str| {
            properties(&BTreeMap::from([(format!("{PREFIX}{name}"), text.to_owned())]))
        };
        let want = |name: &str, value| vec![(name.to_owned(), value)];
        for text in ["234", "byte 234", "uint64 234", "int16 234"] {
            let got = ask("TimeoutStopSec", text).unwrap();
            assert_eq!(got, want("TimeoutStopUSec", Value::U64(234_000_000)), "{text}");
        }
        let got = ask("TimeoutStopSec", "234.789").unwrap();
        assert_eq!(got, want("TimeoutStopUSec", Value::U64(234_789_000)));
        assert_eq!(ask("FOOSec", "123").unwrap(), want("FOOSec", Value::I32(123)));
        assert_eq!(ask("Sec", "123").unwrap(), want("Sec", Value::I32(123)));
        for (name, text) in
            [("TimeoutStopSec", "'x'"), ("TimeoutStopSec", "-1"), ("Xo", "1"), ("Number1", "1")]
        {
            let error = ask(name, text).unwrap_err().to_string();
            assert!(error.contains(&format!("org.systemd.property.{name}")), "{error}");
        }
        let other = BTreeMap::from([("other".to_owned(), "x".to_owned())]);
        assert!(properties(&other).unwrap().is_empty());
    }
}
