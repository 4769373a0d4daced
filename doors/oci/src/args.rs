//! Words to flags and arguments, by the rules of urfave/cli, which runc's command line has.
//!
//! `--name value`, `--name=value`, and the same with one dash: names of one letter and of several
//! are alike, and letters do not cluster. A switch takes a value only behind `=`. `--` ends the
//! flags. Flags may stand behind arguments, except where the arguments are another program's
//! command line ([`Trailing::Foreign`]). (The command line of `doors/cli` is pflag's, which differs
//! in each of these.)

use crate::command::Command;

/// One flag that a command takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// Its names without dashes; the first is what the code calls it.
    pub(crate) names: &'static [&'static str],
    /// What help texts call its value; empty for a switch.
    pub(crate) value: &'static str,
    /// One line for the user; empty keeps it out of help texts.
    pub(crate) help: &'static str,
}

/// A switch.
pub(crate) const fn switch(names: &'static [&'static str], help: &'static str) -> Flag {
    Flag { names, value: "", help }
}

/// A flag with a value.
pub(crate) const fn valued(
    names: &'static [&'static str],
    value: &'static str,
    help: &'static str,
) -> Flag {
    Flag { names, value, help }
}

/// Whether flags may follow the first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trailing {
    /// They may.
    Flags,
    /// What follows is another program's, or a number that may be negative.
    Foreign,
}

/// A command line, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// The first name of the flag and what was given, in order.
    values: Vec<(&'static str, String)>,
    /// The arguments.
    pub(crate) args: Vec<String>,
}

/// Why a command line was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It asks for help.
    Help,
    /// It is wrong.
    Wrong(String),
}

impl Parsed {
    /// Whether a switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.switch(name).unwrap_or(false)
    }

    /// A switch, if it was given.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        // Checked when it was taken.
        self.text(name).and_then(boolean)
    }

    /// The last value given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.list(name).last()
    }

    /// The last value given, unless that is empty: where runc takes the two for the same.
    pub(crate) fn some(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Every value given.
    pub(crate) fn list<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let of = move |(known, value): &'a (&'static str, String)| (*known, value.as_str());
        let name = name.to_owned();
        self.values.iter().map(of).filter(move |(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The first argument, which is a container's id.
    pub(crate) fn id(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }
}

/// The words that Go takes for yes and no.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Takes the flags before the command; answers with them and with the rest.
pub(crate) fn parse_global(
    flags: &'static [Flag],
    words: Vec<String>,
) -> Result<(Parsed, Vec<String>), Refusal> {
    let mut parsed = take(flags, Trailing::Foreign, words)?;
    let rest = std::mem::take(&mut parsed.args);
    Ok((parsed, rest))
}

/// Takes the words after a command's name.
pub(crate) fn parse(command: &Command, words: Vec<String>) -> Result<Parsed, Refusal> {
    take(command.flags, command.trailing, words)
}

fn take(flags: &'static [Flag], trailing: Trailing, words: Vec<String>) -> Result<Parsed, Refusal> {
    let mut parsed = Parsed::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        match flag {
            Some("") if word == "--" => break,
            None | Some("") => {
                parsed.args.push(word);
                if trailing == Trailing::Foreign {
                    break;
                }
            }
            Some(flag) => {
                let (name, value) = match flag.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (flag, None),
                };
                let entry = one(flags, name, value, &mut words)?;
                parsed.values.push(entry);
            }
        }
    }
    parsed.args.extend(words);
    Ok(parsed)
}

fn one(
    flags: &'static [Flag],
    name: &str,
    value: Option<String>,
    words: &mut impl Iterator<Item = String>,
) -> Result<(&'static str, String), Refusal> {
    let Some(flag) = flags.iter().find(|flag| flag.names.contains(&name)) else {
        return Err(match name {
            "help" | "h" => Refusal::Help,
            _ => Refusal::Wrong(format!("flag provided but not defined: -{name}")),
        });
    };
    let value = match (value, flag.value) {
        (Some(value), "") if boolean(&value).is_none() => {
            let text = format!("invalid boolean value \"{value}\" for -{name}");
            return Err(Refusal::Wrong(text));
        }
        (Some(value), _) => value,
        (None, "") => "true".to_owned(),
        (None, _) => words
            .next()
            .ok_or_else(|| Refusal::Wrong(format!("flag needs an argument: -{name}")))?,
    };
    Ok((flag.names[0], value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 3] = [
        switch(&["force", "f"], "Force"),
        valued(&["bundle", "b"], "PATH", "Bundle"),
        valued(&["env", "e"], "NAME=VALUE", "Environment"),
    ];

    fn line(text: &str, trailing: Trailing) -> Result<Parsed, Refusal> {
        take(&FLAGS, trailing, text.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn one_dash_and_two_are_alike() {
        for text in ["--bundle x", "-bundle x", "-b x", "--b=x", "-bundle=x", "-b y -b x"] {
            assert_eq!(line(text, Trailing::Flags).unwrap().text("bundle"), Some("x"), "{text}");
        }
        for (text, want) in
            [("-f", true), ("--force=false", false), ("-force=1", true), ("x", false)]
        {
            assert_eq!(line(text, Trailing::Flags).unwrap().is_on("force"), want, "{text}");
        }
        let parsed = line("-e a=1 --env b=2,c", Trailing::Flags).unwrap();
        assert_eq!(parsed.list("env").collect::<Vec<_>>(), ["a=1", "b=2,c"]);
    }

    #[test]
    fn arguments_end_the_flags_where_they_should() {
        for (text, trailing, args, force) in [
            ("id -f", Trailing::Flags, "id", true),
            ("id -f", Trailing::Foreign, "id -f", false),
            ("-f id -- -x", Trailing::Flags, "id -x", true),
            ("-f id -x", Trailing::Foreign, "id -x", true),
            ("-- -f", Trailing::Flags, "-f", false),
            ("-", Trailing::Flags, "-", false),
        ] {
            let parsed = line(text, trailing).unwrap();
            assert_eq!((parsed.args.join(" ").as_str(), parsed.is_on("force")), (args, force));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, want) in [
            ("--foo", "flag provided but not defined: -foo"),
            ("-b", "flag needs an argument: -b"),
            ("--force=maybe", "invalid boolean value \"maybe\" for -force"),
        ] {
            assert_eq!(line(text, Trailing::Flags).unwrap_err(), Refusal::Wrong(want.into()));
        }
        assert_eq!(line("x --help", Trailing::Flags).unwrap_err(), Refusal::Help);
    }
}
