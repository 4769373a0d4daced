//! Flags: what a command takes before its arguments, declared once as a typed struct.
//!
//! A struct written in [`flags!`] is three things at once: the fields that the command reads, the
//! table that `--help`, `__cli-tree` and the parser walk, and one setter per field. The tables
//! are constants, so a command pays nothing for the flags of the others, and parsing
//! `kista run ...` costs microseconds (a clap tree of the same flags: 150 to 220).
//!
//! The grammar and the texts of its errors are those of Go's pflag, since scripts meet them
//! through `docker`: see [`parse`].

mod parse;
mod quantity;
mod value;

pub(crate) use parse::{FlagError, parse};
pub(crate) use quantity::{Bytes, CpuDecimal, Rates, SwapBytes, Throttles, Ulimits, Weights};
pub(crate) use value::{
    Check, Checked, Choice, Filter, Integer, List, Map, OnByDefault, Refused, RefusedSwitch,
    Switch, Text, Value, Words,
};

/// How one flag is declared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// Without the dashes.
    pub(crate) long: &'static str,
    /// The single letter, if there is one.
    pub(crate) short: Option<char>,
    /// One line for the user.
    pub(crate) help: &'static str,
    /// What `--help` calls the value; empty for a switch, whose value is optional.
    pub(crate) kind: &'static str,
    /// Whether `--help` leaves it out.
    pub(crate) hidden: bool,
    /// What to do instead, if using it deserves a warning.
    pub(crate) deprecated: Option<&'static str>,
    /// Why it cannot be used.
    pub(crate) refused: Option<Refusal>,
}

/// Why a flag cannot be used, and the values with which it asks for nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    /// Whether its subject is to come.
    pub(crate) later: bool,
    /// A clause that follows `--flag is not supported: `.
    pub(crate) reason: &'static str,
    /// Values that are accepted all the same.
    pub(crate) harmless: &'static [&'static str],
}

/// Starts the declaration of a flag.
pub(crate) const fn long(long: &'static str) -> Flag {
    Flag { long, short: None, help: "", kind: "", hidden: false, deprecated: None, refused: None }
}

impl Flag {
    /// Adds the single letter.
    pub(crate) const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    /// Keeps it out of `--help`.
    pub(crate) const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    /// Keeps it out of `--help` and warns whoever uses it.
    pub(crate) const fn deprecated(self, instead: &'static str) -> Self {
        Self { hidden: true, deprecated: Some(instead), ..self }
    }

    /// Makes its use an error, except with a value that asks for nothing.
    pub(crate) const fn refused(
        self,
        reason: &'static str,
        harmless: &'static [&'static str],
    ) -> Self {
        Self { refused: Some(Refusal { later: false, reason, harmless }), ..self }
    }

    /// As [`Flag::refused`], for what a later piece of work brings.
    pub(crate) const fn later(
        self,
        reason: &'static str,
        harmless: &'static [&'static str],
    ) -> Self {
        Self { refused: Some(Refusal { later: true, reason, harmless }), ..self }
    }

    /// Used by [`flags!`]: the text for the user and the name of the value.
    pub(crate) const fn described(self, help: &'static str, kind: &'static str) -> Self {
        Self { help, kind, ..self }
    }

    /// What a user reads who uses a refused flag.
    pub(crate) fn refusal(&self) -> Option<String> {
        let refusal = self.refused?;
        let yet = if refusal.later { " yet" } else { "" };
        Some(format!("--{} is not supported{yet}: {}", self.long, refusal.reason))
    }

    /// `-m, --memory` or `--memory`, as pflag names a flag in its errors.
    pub(crate) fn title(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }
}

/// A struct declared by [`flags!`].
pub(crate) trait FlagSet: Default + 'static {
    /// In the order of the fields.
    const FLAGS: &'static [Flag];

    /// Takes one value of the flag `FLAGS[index]`; the error is for the user.
    fn set(&mut self, index: usize, text: &str) -> Result<(), String>;
}

/// Declares a struct of flags: `field: Type = long("name").short('n')`, the doc comment is the
/// help text, the type is a [`Value`].
macro_rules! flags {
    ($(#[doc = $about:literal])* $name:ident {
        $($(#[doc = $help:literal])+ $field:ident: $type:ty = $flag:expr,)*
    }) => {
        $(#[doc = $about])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $($(#[doc = $help])+ pub(crate) $field: $type,)*
        }

        impl $crate::flags::FlagSet for $name {
            const FLAGS: &'static [$crate::flags::Flag] = &[$(
                $flag.described(
                    concat!($($help),+).trim_ascii(),
                    <$type as $crate::flags::Value>::KIND,
                ),
            )*];

            fn set(&mut self, index: usize, text: &str) -> Result<(), String> {
                type Setter = fn(&mut $name, &str) -> Result<(), String>;
                const SETTERS: &[Setter] =
                    &[$(|flags, text| $crate::flags::Value::set(&mut flags.$field, text),)*];
                match SETTERS.get(index) {
                    Some(setter) => setter(self, text),
                    None => Ok(()),
                }
            }
        }
    };
}
pub(crate) use flags;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    flags! {
        /// For the tests of the parser.
        Sample {
            /// A switch
            all: Switch = long("all").short('a'),
            /// A switch that is on
            proxy: OnByDefault = long("proxy"),
            /// A text
            name: Text = long("name").short('n'),
            /// A list
            env: List = long("env").short('e'),
            /// A number
            count: Integer<i64> = long("count"),
            /// Not here
            publish: Refused = long("publish").short('p').later("no bridge", &[]),
            /// Not here either
            driver: Refused = long("driver").refused("only local", &["local"]),
            /// Old
            time: Integer<i64> = long("time").deprecated("use --timeout instead"),
        }
    }

    #[test]
    fn the_table_and_the_setters_agree() {
        let mut sample = Sample::default();
        let index = Sample::FLAGS.iter().position(|flag| flag.long == "env").unwrap();
        sample.set(index, "a=b").unwrap();
        assert_eq!(sample.env.0, ["a=b"]);
        assert_eq!(Sample::FLAGS[0].help, "A switch");
        assert_eq!(Sample::FLAGS[2].kind, "string");
        assert_eq!(
            Sample::FLAGS[5].refusal().unwrap(),
            "--publish is not supported yet: no bridge"
        );
    }
}
