//! The types a flag can have: switches, texts, numbers, lists and maps.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use engine::Filters;

/// What a flag holds. `set` is called once for each time the flag is given.
pub(crate) trait Value {
    /// What `--help` calls it; empty for a switch.
    const KIND: &'static str;

    /// Takes what was given; the error is for the user.
    fn set(&mut self, text: &str) -> Result<(), String>;
}

/// A switch, off unless given.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Switch(pub(crate) Option<bool>);

impl Switch {
    /// Whether it is on.
    pub(crate) fn is_on(self) -> bool {
        self.0 == Some(true)
    }
}

impl Value for Switch {
    const KIND: &'static str = "";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = Some(parse_bool(text)?);
        Ok(())
    }
}

/// A switch, on unless given as `=false`.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct OnByDefault(Option<bool>);

impl OnByDefault {
    /// Whether it is on.
    pub(crate) fn is_on(self) -> bool {
        self.0 != Some(false)
    }
}

impl Value for OnByDefault {
    const KIND: &'static str = "";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = Some(parse_bool(text)?);
        Ok(())
    }
}

/// The words that Go takes for yes and no.
pub(crate) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => {
            let quoted = crate::text::quote(text);
            Err(format!("strconv.ParseBool: parsing {quoted}: invalid syntax"))
        }
    }
}

/// A text; `None` if the flag was not given. The last one counts.
#[derive(Debug, Default, Clone)]
pub(crate) struct Text(pub(crate) Option<String>);

impl Text {
    /// What was given.
    pub(crate) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// What was given, or nothing: for flags where the two are the same.
    pub(crate) fn text(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }
}

impl Value for Text {
    const KIND: &'static str = "string";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = Some(text.to_owned());
        Ok(())
    }
}

/// A switch that may say more behind `=`; the last one counts.
#[derive(Debug, Default, Clone)]
pub(crate) struct Choice(Option<String>);

impl Choice {
    /// Whether it is on.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// What it says, if that is more than yes.
    pub(crate) fn more(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl Value for Choice {
    const KIND: &'static str = "";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0 = match parse_bool(text) {
            Ok(is_on) => is_on.then(String::new),
            Err(_) => Some(text.trim().to_owned()),
        };
        Ok(())
    }
}

/// A flag that is refused; what it is given is forgotten.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Refused;

impl Value for Refused {
    const KIND: &'static str = "value";

    fn set(&mut self, _text: &str) -> Result<(), String> {
        Ok(())
    }
}

/// A switch that is refused.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct RefusedSwitch;

impl Value for RefusedSwitch {
    const KIND: &'static str = "";

    fn set(&mut self, text: &str) -> Result<(), String> {
        parse_bool(text).map(|_| ())
    }
}

/// A number; the last one counts.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Integer<T>(pub(crate) Option<T>);

/// An integer type of Go's.
pub(crate) trait GoInteger: TryFrom<i128> + Copy {
    /// Its name in help texts.
    const NAME: &'static str;
    /// The function that Go names in errors.
    const PARSER: &'static str;
}

impl GoInteger for i64 {
    const NAME: &'static str = "int";
    const PARSER: &'static str = "strconv.ParseInt";
}

impl GoInteger for u16 {
    const NAME: &'static str = "uint16";
    const PARSER: &'static str = "strconv.ParseUint";
}

impl<T: GoInteger> Value for Integer<T> {
    const KIND: &'static str = T::NAME;

    fn set(&mut self, text: &str) -> Result<(), String> {
        let fail = |why| {
            let quoted = crate::text::quote(text);
            format!("{}: parsing {quoted}: {why}", T::PARSER)
        };
        let number = parse_integer(text).ok_or_else(|| fail("invalid syntax"))?;
        self.0 = Some(T::try_from(number).map_err(|_| fail("value out of range"))?);
        Ok(())
    }
}

/// A number as Go's `ParseInt(text, 0, ...)` takes it: decimal, `0x`, `0o`, `0b` or a leading
/// zero for octal, with `_` between digits.
fn parse_integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    // More digits than an i128 holds are out of every range.
    let number = match i128::from_str_radix(&digits, radix) {
        Ok(number) => number,
        Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => i128::MAX,
        Err(_) => return None,
    };
    Some(if negative { -number } else { number })
}

/// All values, in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct List(pub(crate) Vec<String>);

impl Value for List {
    const KIND: &'static str = "list";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0.push(text.to_owned());
        Ok(())
    }
}

/// All values, in order; one occurrence may hold several, between commas.
#[derive(Debug, Default, Clone)]
pub(crate) struct Words(pub(crate) Vec<String>);

impl Value for Words {
    const KIND: &'static str = "stringSlice";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0.extend(text.split(',').filter(|word| !word.is_empty()).map(str::to_owned));
        Ok(())
    }
}

/// What the values of a list or a map must look like.
pub(crate) trait Check: Default + fmt::Debug {
    /// The value as it is kept; the error is for the user.
    fn check(text: &str) -> Result<String, String>;
}

/// All values, in order, each checked.
#[derive(Debug, Default, Clone)]
pub(crate) struct Checked<C>(pub(crate) Vec<String>, PhantomData<C>);

impl<C: Check> Value for Checked<C> {
    const KIND: &'static str = "list";

    fn set(&mut self, text: &str) -> Result<(), String> {
        self.0.push(C::check(text)?);
        Ok(())
    }
}

/// `key=value` pairs, each checked; without `=` the value is empty.
#[derive(Debug, Default, Clone)]
pub(crate) struct Map<C = Anything>(pub(crate) BTreeMap<String, String>, PhantomData<C>);

impl<C: Check> Value for Map<C> {
    const KIND: &'static str = "map";

    fn set(&mut self, text: &str) -> Result<(), String> {
        let text = C::check(text)?;
        let (key, value) = text.split_once('=').unwrap_or((&text, ""));
        self.0.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}

/// Takes every text as it is.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Anything;

impl Check for Anything {
    fn check(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }
}

/// `key=value` conditions, for the engine to judge.
#[derive(Debug, Default, Clone)]
pub(crate) struct Filter(pub(crate) Filters);

impl Value for Filter {
    const KIND: &'static str = "filter";

    fn set(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        self.0.add(text).map_err(|_| "bad format of filter (expected name=value)".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, want) in [
            ("0", Some(0)),
            ("-12", Some(-12)),
            ("+7", Some(7)),
            ("0x10", Some(16)),
            ("0b101", Some(5)),
            ("017", Some(15)),
            ("1_000", Some(1000)),
            ("", None),
            ("x", None),
            ("1.5", None),
            ("0x", None),
            ("--1", None),
        ] {
            assert_eq!(parse_integer(text), want, "{text}");
        }
        let mut number = Integer::<u16>::default();
        assert_eq!(
            number.set("65536").unwrap_err(),
            "strconv.ParseUint: parsing \"65536\": value out of range"
        );
        let mut number = Integer::<i64>::default();
        assert!(number.set("99999999999999999999").unwrap_err().ends_with("value out of range"));
    }

    #[test]
    fn maps_and_words_split() {
        let mut map = Map::<Anything>::default();
        for text in ["a=1", "b", "a=2=3"] {
            map.set(text).unwrap();
        }
        assert_eq!(map.0["a"], "2=3");
        assert_eq!(map.0["b"], "");
        let mut words = Words::default();
        words.set("a,b").unwrap();
        words.set("c").unwrap();
        assert_eq!(words.0, ["a", "b", "c"]);
    }
}
