//! printf, and Go's quoting.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::value::{self, Value};

/// Widths and precisions above this are refused, as Go does, with `%!(BADWIDTH)`.
const MAX_WIDTH: usize = 1_000_000;

/// Formats as Go's `fmt.Sprintf`; mistakes show in the text and are no errors.
pub(crate) fn printf(format: &str, arguments: &[Value<'_>]) -> String {
    let mut out = String::new();
    let mut next = 0;
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| "+-# 0".contains(*c)) {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.left = true,
                '#' => spec.alternate = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
        }
        spec.width =
            size(&mut chars, arguments, &mut next, &mut out, "%!(BADWIDTH)", &mut spec.left);
        if chars.next_if_eq(&'.').is_some() {
            let mut ignored = false;
            let read =
                size(&mut chars, arguments, &mut next, &mut out, "%!(BADPREC)", &mut ignored);
            spec.precision = Some(read.unwrap_or(0));
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.get(next) {
                None => {
                    let _ = write!(out, "%!{verb}(MISSING)");
                }
                Some(argument) => {
                    next += 1;
                    let json = argument.json().unwrap_or(&Json::Null);
                    spec.verb(verb, json, &mut out);
                }
            },
        }
    }
    if next < arguments.len() {
        out.push_str("%!(EXTRA ");
        for (index, argument) in arguments[next..].iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            typed(argument.json().unwrap_or(&Json::Null), &mut out);
        }
        out.push(')');
    }
    out
}

/// A width or precision: digits, or `*` for an argument.
fn size(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    arguments: &[Value<'_>],
    next: &mut usize,
    out: &mut String,
    bad: &str,
    left: &mut bool,
) -> Option<usize> {
    if chars.next_if_eq(&'*').is_some() {
        let argument = arguments.get(*next).and_then(Value::json).and_then(Json::as_i64);
        *next += 1;
        let wide = argument.and_then(|n| usize::try_from(n.unsigned_abs()).ok());
        let Some(wide) = wide.filter(|n| *n <= MAX_WIDTH) else {
            out.push_str(bad);
            return None;
        };
        *left |= argument.is_some_and(|n| n < 0);
        return Some(wide);
    }
    let mut read: Option<usize> = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        read = Some(read.unwrap_or(0).saturating_mul(10).saturating_add(digit as usize));
    }
    if read.is_some_and(|wide| wide > MAX_WIDTH) {
        out.push_str(bad);
        return None;
    }
    read
}

#[derive(Default)]
struct Spec {
    plus: bool,
    left: bool,
    alternate: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Spec {
    fn verb(&self, verb: char, json: &Json, out: &mut String) {
        match (verb, json) {
            ('T', _) => self.pad(value::type_name(json), false, out),
            ('v', Json::Null) => self.pad("<nil>", false, out),
            (_, Json::Array(items)) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    self.verb(verb, item, out);
                }
                out.push(']');
            }
            (_, Json::Object(members)) => {
                out.push_str("map[");
                for (index, (key, item)) in value::sorted(members).into_iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    self.verb(verb, &Json::from(key.as_str()), out);
                    out.push(':');
                    self.verb(verb, item, out);
                }
                out.push(']');
            }
            ('v' | 't', Json::Bool(value)) => self.pad(&value.to_string(), false, out),
            (_, Json::String(text)) => self.text(verb, text, json, out),
            (_, Json::Number(number)) => {
                let done = match (number.as_i64(), number.as_u64(), number.as_f64()) {
                    (Some(int), _, _) => self.integer(verb, int.into(), out),
                    (_, Some(int), _) => self.integer(verb, int.into(), out),
                    (_, _, Some(float)) => self.float(verb, float, out),
                    _ => None,
                };
                if done.is_none() {
                    wrong(verb, json, out);
                }
            }
            _ => wrong(verb, json, out),
        }
    }

    fn text(&self, verb: char, text: &str, json: &Json, out: &mut String) {
        let cut: String = match self.precision {
            Some(precision) if verb != 'x' && verb != 'X' => text.chars().take(precision).collect(),
            _ => text.to_owned(),
        };
        match verb {
            's' | 'v' => self.pad(&cut, self.zero, out),
            'q' if self.alternate && !cut.contains('`') => {
                self.pad(&format!("`{cut}`"), false, out)
            }
            'q' => self.pad(&quote(&cut), false, out),
            'x' | 'X' => {
                let bytes =
                    &text.as_bytes()[..self.precision.unwrap_or(text.len()).min(text.len())];
                let mut hex = String::new();
                for (index, byte) in bytes.iter().enumerate() {
                    if self.space && index > 0 {
                        hex.push(' ');
                    }
                    if self.alternate && (self.space || index == 0) {
                        hex.push_str("0x");
                    }
                    let _ = write!(hex, "{byte:02x}");
                }
                let hex = if verb == 'X' { hex.to_uppercase() } else { hex };
                self.pad(&hex, self.zero, out);
            }
            _ => wrong(verb, json, out),
        }
    }

    /// `None` if integers have no such verb.
    fn integer(&self, verb: char, value: i128, out: &mut String) -> Option<()> {
        let magnitude = value.unsigned_abs();
        let (prefix, digits) = match verb {
            'd' | 'v' => ("", magnitude.to_string()),
            'b' => (if self.alternate { "0b" } else { "" }, format!("{magnitude:b}")),
            'o' => (if self.alternate { "0" } else { "" }, format!("{magnitude:o}")),
            'O' => ("0o", format!("{magnitude:o}")),
            'x' => (if self.alternate { "0x" } else { "" }, format!("{magnitude:x}")),
            'X' => (if self.alternate { "0X" } else { "" }, format!("{magnitude:X}")),
            'c' | 'q' => {
                let c = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{FFFD}');
                let text =
                    if verb == 'c' { c.to_string() } else { quote_with(&c.to_string(), '\'') };
                self.pad(&text, false, out);
                return Some(());
            }
            'U' => {
                self.pad(&format!("U+{magnitude:04X}"), false, out);
                return Some(());
            }
            _ => return None,
        };
        let digits = match self.precision {
            Some(precision) => format!("{digits:0>precision$}"),
            None => digits,
        };
        self.signed(value < 0, prefix, &digits, self.precision.is_none(), out);
        Some(())
    }

    /// `None` if floats have no such verb.
    fn float(&self, verb: char, value: f64, out: &mut String) -> Option<()> {
        let magnitude = value.abs();
        let digits = match verb {
            'v' => value::float(magnitude),
            'f' | 'F' => format!("{magnitude:.*}", self.precision.unwrap_or(6)),
            'e' | 'E' => exponential(magnitude, self.precision.unwrap_or(6)),
            'g' | 'G' => match self.precision {
                None => value::float(magnitude),
                Some(precision) => general(magnitude, precision.max(1)),
            },
            _ => return None,
        };
        let digits = if verb.is_uppercase() { digits.to_uppercase() } else { digits };
        self.signed(value.is_sign_negative(), "", &digits, true, out);
        Some(())
    }

    fn signed(&self, negative: bool, prefix: &str, digits: &str, zeros: bool, out: &mut String) {
        let sign = match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        if self.zero && zeros && !self.left {
            let used = sign.len() + prefix.len();
            let width = self.width.unwrap_or(0).saturating_sub(used);
            let _ = write!(out, "{sign}{prefix}{digits:0>width$}");
        } else {
            self.pad(&format!("{sign}{prefix}{digits}"), false, out);
        }
    }

    fn pad(&self, text: &str, zeros: bool, out: &mut String) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        let fill = if zeros && !self.left { "0" } else { " " };
        if self.left {
            out.push_str(text);
        }
        out.push_str(&fill.repeat(missing));
        if !self.left {
            out.push_str(text);
        }
    }
}

/// `%!d(string=hi)`
fn wrong(verb: char, json: &Json, out: &mut String) {
    let _ = write!(out, "%!{verb}(");
    typed(json, out);
    out.push(')');
}

fn typed(json: &Json, out: &mut String) {
    if !json.is_null() {
        let _ = write!(out, "{}=", value::type_name(json));
    }
    value::print(json, out);
}

fn exponential(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    match text.split_once('e') {
        Some((digits, exponent)) => value::with_exponent(digits, exponent.parse().unwrap_or(0)),
        None => text,
    }
}

fn general(value: f64, precision: usize) -> String {
    let rounded = exponential(value, precision - 1);
    let Some((digits, exponent)) = rounded.split_once('e') else { return rounded };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let tidy = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= limit {
        return value::with_exponent(&tidy(digits), exponent);
    }
    let decimals = usize::try_from(limit - 1 - exponent).unwrap_or(0);
    tidy(&format!("{value:.decimals$}"))
}

/// In double quotes, with Go's escapes.
pub(crate) fn quote(text: &str) -> String {
    quote_with(text, '"')
}

fn quote_with(text: &str, mark: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for c in text.chars() {
        match c {
            _ if c == mark || c == '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            _ if u32::from(c) < 0x80 && c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push(mark);
    out
}

/// The text of a literal in double, single or back quotes; `None` if an escape is wrong.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`') {
        return raw.strip_suffix('`').map(|raw| raw.replace('\r', ""));
    }
    let mark = literal.chars().next()?;
    let body = literal.strip_prefix(mark)?.strip_suffix(mark)?;
    let mut bytes = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let plain = match chars.next()? {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '\\' => '\\',
            quote if quote == mark => quote,
            'x' => {
                bytes.push(u8::try_from(digits(&mut chars, 2, 16, 0)?).ok()?);
                continue;
            }
            'u' => char::from_u32(digits(&mut chars, 4, 16, 0)?)?,
            'U' => char::from_u32(digits(&mut chars, 8, 16, 0)?)?,
            first => {
                let first = first.to_digit(8)?;
                bytes.push(u8::try_from(digits(&mut chars, 2, 8, first)?).ok()?);
                continue;
            }
        };
        bytes.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32, first: u32) -> Option<u32> {
    let mut value = first;
    for _ in 0..count {
        value = value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    Some(value)
}
