//! The values that a template computes with, and how they look when printed.

use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::Value as Json;

/// What a missing field of an object means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Of any type: it is no value.
    Any,
    /// A map whose type is known: it is the zero value of what the map holds.
    Map,
    /// Fields are known in advance: it is an error.
    Struct,
}

/// A value in the data, or one that a function made.
#[derive(Debug, Clone)]
pub(crate) enum Value<'d> {
    /// A missing key; prints as `<no value>`.
    Absent,
    Data(&'d Json, Shape),
    Made(Rc<Json>),
}

impl<'d> Value<'d> {
    pub(crate) fn made(json: impl Into<Json>) -> Self {
        Self::Made(Rc::new(json.into()))
    }

    /// Also what the objects inside of a list or map are.
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::Data(_, shape) => *shape,
            _ => Shape::Any,
        }
    }

    /// `None` for what is missing.
    pub(crate) fn json(&self) -> Option<&Json> {
        match self {
            Self::Absent => None,
            Self::Data(json, _) => Some(json),
            Self::Made(json) => Some(json),
        }
    }

    /// A part of this value, which `pick` finds.
    pub(crate) fn part(
        &self,
        shape: Shape,
        pick: impl for<'j> Fn(&'j Json) -> Option<&'j Json>,
    ) -> Option<Value<'d>> {
        match self {
            Self::Absent => None,
            Self::Data(json, _) => pick(json).map(|part| Self::Data(part, shape)),
            Self::Made(json) => pick(json).cloned().map(Self::made),
        }
    }

    /// Go's truth: not zero and not empty.
    pub(crate) fn is_true(&self) -> bool {
        match self.json() {
            None | Some(Json::Null) => false,
            Some(Json::Bool(value)) => *value,
            Some(Json::Number(number)) => number.as_f64() != Some(0.0),
            Some(Json::String(text)) => !text.is_empty(),
            Some(Json::Array(items)) => !items.is_empty(),
            Some(Json::Object(_)) if self.shape() == Shape::Struct => true,
            Some(Json::Object(members)) => !members.is_empty(),
        }
    }

    /// Go's name of the type, as `%T` prints it.
    pub(crate) fn type_name(&self) -> &'static str {
        self.json().map_or("<nil>", type_name)
    }

    /// How an action prints it.
    pub(crate) fn print(&self, out: &mut String) {
        match self.json() {
            None | Some(Json::Null) => out.push_str("<no value>"),
            Some(json) => print(json, out),
        }
    }
}

pub(crate) fn type_name(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_f64() => "float64",
        Json::Number(number) if number.is_i64() => "int",
        Json::Number(_) => "uint64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

/// The members of an object in the order that Go ranges over and prints a map.
pub(crate) fn sorted(members: &serde_json::Map<String, Json>) -> Vec<(&String, &Json)> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    sorted
}

/// `%v`: `map[a:1 b:2]`, `[a b]`, `<nil>`.
pub(crate) fn print(json: &Json, out: &mut String) {
    match json {
        Json::Null => out.push_str("<nil>"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(value) => out.push_str(&float(value)),
            None => {
                let _ = write!(out, "{number}");
            }
        },
        Json::String(text) => out.push_str(text),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                print(item, out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push_str("map[");
            for (index, (key, value)) in sorted(members).into_iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                let _ = write!(out, "{key}:");
                print(value, out);
            }
            out.push(']');
        }
    }
}

/// Shortest form that reads back the same; an exponent below 1e-4 and from 1e6 on.
///
/// Go's `%v` of a float64.
pub(crate) fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => with_exponent(digits, exponent),
        _ => format!("{value}"),
    }
}

/// `1.5e+06`: a sign and at least two digits.
pub(crate) fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
