//! The functions a template can call: Go's own, and those that Docker adds.
//!
//! `and` and `or` are not here: they stop at the first argument that decides.

use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::format::printf;
use crate::value::{self, Shape, Value};

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Param {
    Any,
    Text,
    Int,
    List,
}

impl Param {
    /// Go's name of the parameter's type.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::List => "[]string",
        }
    }

    pub(crate) fn takes(self, json: Option<&Json>) -> bool {
        match (self, json) {
            (Self::Any, _) => true,
            (Self::Text, Some(json)) => json.is_string(),
            (Self::Int, Some(json)) => json.is_i64(),
            (Self::List, Some(Json::Array(items))) => items.iter().all(Json::is_string),
            (Self::List, Some(Json::Null)) => true,
            _ => false,
        }
    }
}

type Result<'d> = std::result::Result<Value<'d>, String>;

/// A function: its fixed parameters, and the type of any that may follow.
pub(crate) struct Function {
    name: &'static str,
    pub(crate) fixed: &'static [Param],
    pub(crate) more: Option<Param>,
    call: for<'d> fn(&[Value<'d>]) -> Result<'d>,
}

impl Function {
    /// `arguments` are of the parameters' types and as many as those want.
    pub(crate) fn call<'d>(&self, arguments: &[Value<'d>]) -> Result<'d> {
        (self.call)(arguments)
    }

    /// In the header of a table a function of Docker's leaves its first text as it is.
    pub(crate) fn is_formatting(&self) -> bool {
        DOCKER.contains(&self.name)
    }
}

const DOCKER: &[&str] = &["json", "split", "join", "title", "lower", "upper", "pad", "truncate"];

const ANY: &[Param] = &[Param::Any];
const TEXT: &[Param] = &[Param::Text];

/// A row of the table below.
macro_rules! function {
    ($name:literal, $fixed:expr, $more:expr, $call:expr) => {
        Function { name: $name, fixed: $fixed, more: $more, call: $call }
    };
}

static FUNCTIONS: &[Function] = &[
    function!("eq", ANY, Some(Param::Any), equal_any),
    function!("ge", &[Param::Any, Param::Any], None, |a| {
        let less = order(&a[0], &a[1])?;
        Ok(Value::made(less != Some(Ordering::Less)))
    }),
    function!("gt", &[Param::Any, Param::Any], None, |a| {
        Ok(Value::made(order(&a[0], &a[1])? == Some(Ordering::Greater)))
    }),
    function!("html", &[], Some(Param::Any), |a| Ok(Value::made(escape_html(&all(a))))),
    function!("index", ANY, Some(Param::Any), index),
    function!("join", &[Param::List, Param::Text], None, |a| {
        let parts = match a[0].json() {
            Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).collect(),
            _ => Vec::new(),
        };
        Ok(Value::made(parts.join(text(&a[1]))))
    }),
    function!("js", &[], Some(Param::Any), |a| Ok(Value::made(escape_js(&all(a))))),
    function!("json", ANY, None, |a| Ok(Value::made(json(a[0].json())))),
    function!("le", &[Param::Any, Param::Any], None, |a| {
        let order = order(&a[0], &a[1])?;
        Ok(Value::made(matches!(order, Some(Ordering::Less | Ordering::Equal))))
    }),
    function!("len", ANY, None, length),
    function!("lower", TEXT, None, |a| Ok(Value::made(text(&a[0]).to_lowercase()))),
    function!("lt", &[Param::Any, Param::Any], None, |a| {
        Ok(Value::made(order(&a[0], &a[1])? == Some(Ordering::Less)))
    }),
    function!("ne", &[Param::Any, Param::Any], None, |a| Ok(Value::made(!equal(&a[0], &a[1])?))),
    function!("not", ANY, None, |a| Ok(Value::made(!a[0].is_true()))),
    function!("pad", &[Param::Text, Param::Int, Param::Int], None, |a| {
        let (before, after) = (spaces(&a[1])?, spaces(&a[2])?);
        match text(&a[0]) {
            "" => Ok(Value::made("")),
            text => Ok(Value::made(format!("{before}{text}{after}"))),
        }
    }),
    function!("print", &[], Some(Param::Any), |a| Ok(Value::made(all(a)))),
    function!("printf", TEXT, Some(Param::Any), |a| Ok(Value::made(printf(text(&a[0]), &a[1..])))),
    function!("println", &[], Some(Param::Any), |a| {
        let words: Vec<String> = a.iter().map(shown).collect();
        Ok(Value::made(words.join(" ") + "\n"))
    }),
    function!("slice", ANY, Some(Param::Any), slice),
    function!("split", &[Param::Text, Param::Text], None, |a| {
        Ok(Value::made(split(text(&a[0]), text(&a[1]))))
    }),
    function!("title", TEXT, None, |a| Ok(Value::made(title(text(&a[0]))))),
    function!("truncate", &[Param::Text, Param::Int], None, |a| {
        let length = a[1].json().and_then(Json::as_i64).unwrap_or(0);
        let length = usize::try_from(length).map_err(|_| "slice bounds out of range".to_owned())?;
        Ok(Value::made(text(&a[0]).chars().take(length).collect::<String>()))
    }),
    function!("upper", TEXT, None, |a| Ok(Value::made(text(&a[0]).to_uppercase()))),
    function!("urlquery", &[], Some(Param::Any), |a| Ok(Value::made(escape_query(&all(a))))),
];

/// Whether a template may name the function; `and` and `or` are among them.
pub(crate) fn exists(name: &str) -> bool {
    matches!(name, "and" | "or") || find(name).is_some()
}

pub(crate) fn find(name: &str) -> Option<&'static Function> {
    let at = FUNCTIONS.binary_search_by_key(&name, |function| function.name).ok()?;
    Some(&FUNCTIONS[at])
}

fn text<'v>(value: &'v Value<'_>) -> &'v str {
    value.json().and_then(Json::as_str).unwrap_or("")
}

fn spaces(value: &Value<'_>) -> std::result::Result<String, String> {
    let count = value.json().and_then(Json::as_i64).unwrap_or(0);
    match usize::try_from(count) {
        Ok(count) if count <= crate::MAX_OUTPUT_BYTES => Ok(" ".repeat(count)),
        _ => Err(format!("cannot pad with {count} spaces")),
    }
}

/// As `print` shows it: what is missing is a nil here.
fn shown(value: &Value<'_>) -> String {
    let mut out = String::new();
    value::print(value.json().unwrap_or(&Json::Null), &mut out);
    out
}

/// Go's `fmt.Sprint`: a space between two operands when neither is a string.
fn all(arguments: &[Value<'_>]) -> String {
    let mut out = String::new();
    let mut after_text = true;
    for argument in arguments {
        let is_text = argument.json().is_some_and(Json::is_string);
        if !is_text && !after_text {
            out.push(' ');
        }
        out.push_str(&shown(argument));
        after_text = is_text;
    }
    out
}

fn json(json: Option<&Json>) -> String {
    // Both separators are escaped by Go's encoder, and can only stand inside strings.
    json.unwrap_or(&Json::Null)
        .to_string()
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

fn equal_any<'d>(arguments: &[Value<'d>]) -> Result<'d> {
    if arguments.len() < 2 {
        return Err("missing argument for comparison".into());
    }
    for other in &arguments[1..] {
        if equal(&arguments[0], other)? {
            return Ok(Value::made(true));
        }
    }
    Ok(Value::made(false))
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> std::result::Result<bool, String> {
    let null = Json::Null;
    let (left, right) = (left.json().unwrap_or(&null), right.json().unwrap_or(&null));
    match (left, right) {
        (Json::Null, _) | (_, Json::Null) => Ok(left == right),
        (Json::Array(_) | Json::Object(_), _) | (_, Json::Array(_) | Json::Object(_)) => {
            Err("incompatible types for comparison".into())
        }
        (Json::Number(a), Json::Number(b)) if a.is_f64() == b.is_f64() => Ok(a == b),
        _ if value::type_name(left) == value::type_name(right) => Ok(left == right),
        _ => Err("incompatible types for comparison".into()),
    }
}

/// `None` where one of them is not a number.
fn order(left: &Value<'_>, right: &Value<'_>) -> std::result::Result<Option<Ordering>, String> {
    match (left.json(), right.json()) {
        (Some(Json::String(a)), Some(Json::String(b))) => Ok(Some(a.cmp(b))),
        (Some(Json::Number(a)), Some(Json::Number(b))) if a.is_f64() == b.is_f64() => {
            let whole = |n: &serde_json::Number| {
                n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from))
            };
            match (whole(a), whole(b)) {
                (Some(a), Some(b)) => Ok(Some(a.cmp(&b))),
                _ => Ok(a.as_f64().partial_cmp(&b.as_f64())),
            }
        }
        (Some(Json::String(_) | Json::Number(_)), Some(Json::String(_) | Json::Number(_))) => {
            Err("incompatible types for comparison".into())
        }
        _ => Err("invalid type for comparison".into()),
    }
}

fn length<'d>(arguments: &[Value<'d>]) -> Result<'d> {
    match arguments[0].json() {
        Some(Json::String(text)) => Ok(Value::made(text.len())),
        Some(Json::Array(items)) => Ok(Value::made(items.len())),
        Some(Json::Object(members)) => Ok(Value::made(members.len())),
        None | Some(Json::Null) => Err("len of nil pointer".into()),
        Some(other) => Err(format!("len of type {}", value::type_name(other))),
    }
}

fn index<'d>(arguments: &[Value<'d>]) -> Result<'d> {
    let mut item = arguments[0].clone();
    for key in &arguments[1..] {
        item = index_one(&item, key)?;
    }
    Ok(item)
}

fn index_one<'d>(item: &Value<'d>, key: &Value<'_>) -> Result<'d> {
    match item.json() {
        Some(Json::Object(members)) => {
            let Some(Json::String(name)) = key.json() else {
                return Err(format!("value has type {}; should be string", key.type_name()));
            };
            let strings = members.values().all(Json::is_string);
            let found = item.part(item.shape(), |json| json.get(name.as_str()));
            // A map of strings has the empty string for what it does not hold.
            let zero = item.shape() == Shape::Map && strings;
            Ok(found.unwrap_or_else(|| if zero { Value::made("") } else { Value::Absent }))
        }
        Some(Json::Array(items)) => {
            let at = position(key, items.len())?;
            if at == items.len() {
                return Err(format!("index out of range: {at}"));
            }
            Ok(item.part(item.shape(), |json| json.get(at)).unwrap_or(Value::Absent))
        }
        Some(Json::String(text)) => {
            let at = position(key, text.len())?;
            match text.as_bytes().get(at) {
                Some(byte) => Ok(Value::made(*byte)),
                None => Err(format!("index out of range: {at}")),
            }
        }
        // The maps of Docker's types are null when empty.
        Some(Json::Null) if item.shape() == Shape::Map => Ok(Value::made("")),
        None | Some(Json::Null) => Err("index of untyped nil".into()),
        Some(other) => Err(format!("can't index item of type {}", value::type_name(other))),
    }
}

/// An index of a slice; its length is allowed, for the end of a range.
fn position(key: &Value<'_>, length: usize) -> std::result::Result<usize, String> {
    let Some(number) = key.json().and_then(Json::as_i64) else {
        return Err(match key.json() {
            None | Some(Json::Null) => "cannot index slice/array with nil".into(),
            Some(_) => format!("cannot index slice/array with type {}", key.type_name()),
        });
    };
    match usize::try_from(number) {
        Ok(at) if at <= length => Ok(at),
        _ => Err(format!("index out of range: {number}")),
    }
}

fn slice<'d>(arguments: &[Value<'d>]) -> Result<'d> {
    let length = match arguments[0].json() {
        Some(Json::String(_)) if arguments.len() > 3 => {
            return Err("cannot 3-index slice a string".into());
        }
        Some(Json::String(text)) => text.len(),
        Some(Json::Array(items)) => items.len(),
        None | Some(Json::Null) => return Err("slice of untyped nil".into()),
        Some(other) => return Err(format!("can't slice item of type {}", value::type_name(other))),
    };
    if arguments.len() > 4 {
        return Err(format!("too many slice indexes: {}", arguments.len() - 1));
    }
    let mut at = [0, length, length];
    for (slot, argument) in at.iter_mut().zip(&arguments[1..]) {
        *slot = position(argument, length)?;
    }
    for (from, to) in [(at[0], at[1]), (at[1], at[2])] {
        if from > to {
            return Err(format!("invalid slice index: {from} > {to}"));
        }
    }
    Ok(match arguments[0].json() {
        Some(Json::Array(items)) => Value::made(items[at[0]..at[1]].to_vec()),
        Some(Json::String(text)) => {
            Value::made(String::from_utf8_lossy(&text.as_bytes()[at[0]..at[1]]).into_owned())
        }
        _ => Value::Absent,
    })
}

fn split(text: &str, separator: &str) -> Vec<String> {
    if separator.is_empty() {
        return text.chars().map(String::from).collect();
    }
    text.split(separator).map(str::to_owned).collect()
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        let inside = before.is_alphanumeric() || before == '_' || before == '\'';
        if inside {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        before = c;
    }
    out
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{FFFD}'),
            _ => out.push(c),
        }
    }
    out
}

fn escape_js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => {
                out.push('\\');
                out.push(c);
            }
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out
}

fn escape_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
