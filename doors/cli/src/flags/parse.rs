//! The grammar of a command line: words to flags and arguments, with pflag's rules and texts.
//!
//! `--name=value`, `--name value`, `-n value`, `-nvalue`, `-n=value`, `-ab` for two switches.
//! A switch takes a value only behind `=`. `--` ends the flags. In a command that is not
//! *interspersed* the first argument ends them too: what follows an image belongs to the
//! container, even `-x` and `--`.

use super::{Flag, FlagSet};
use crate::text::quote;

/// What a command line said.
#[derive(Debug)]
pub(crate) struct Parsed<F> {
    /// The flags.
    pub(crate) flags: F,
    /// The arguments.
    pub(crate) args: Vec<String>,
    /// What a user should be told on standard error before the command runs.
    pub(crate) warnings: Vec<String>,
}

/// Why a command line was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FlagError {
    /// It is wrong: the text, to be followed by the usage line.
    Usage(String),
    /// It asks for what Kista cannot do.
    Refused(String),
    /// It asks for help; `true` if by the old `-h`.
    Help(bool),
}

/// Parses `words` as the flags and arguments of one command.
pub(crate) fn parse<F: FlagSet>(
    words: impl IntoIterator<Item = String>,
    interspersed: bool,
) -> Result<Parsed<F>, FlagError> {
    let mut parser = Parser {
        words: words.into_iter(),
        parsed: Parsed { flags: F::default(), args: Vec::new(), warnings: Vec::new() },
    };
    while let Some(word) = parser.words.next() {
        if word == "--" {
            break;
        } else if let Some(rest) = word.strip_prefix("--") {
            parser.long(rest, &word)?;
        } else if let Some(cluster) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            parser.cluster(cluster)?;
        } else {
            parser.parsed.args.push(word);
            if !interspersed {
                break;
            }
        }
    }
    parser.parsed.args.extend(parser.words);
    Ok(parser.parsed)
}

struct Parser<F, I> {
    words: I,
    parsed: Parsed<F>,
}

impl<F: FlagSet, I: Iterator<Item = String>> Parser<F, I> {
    fn long(&mut self, rest: &str, word: &str) -> Result<(), FlagError> {
        if rest.starts_with(['-', '=']) {
            return Err(FlagError::Usage(format!("bad flag syntax: {word}")));
        }
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        let Some((index, flag)) = find::<F>(|flag| flag.long == name) else {
            return Err(match name {
                "help" => FlagError::Help(false),
                _ => FlagError::Usage(format!("unknown flag: --{name}")),
            });
        };
        match value {
            Some(value) => self.set(index, flag, value),
            None if flag.kind.is_empty() => self.set(index, flag, "true"),
            None => match self.words.next() {
                Some(value) => self.set(index, flag, &value),
                None => Err(FlagError::Usage(format!("flag needs an argument: --{name}"))),
            },
        }
    }

    /// Letters behind one dash: switches, and at the end perhaps a flag with its value.
    fn cluster(&mut self, mut cluster: &str) -> Result<(), FlagError> {
        while let Some(letter) = cluster.chars().next() {
            let rest = &cluster[letter.len_utf8()..];
            let Some((index, flag)) = find::<F>(|flag| flag.short == Some(letter)) else {
                return Err(match letter {
                    'h' => FlagError::Help(true),
                    _ => FlagError::Usage(format!(
                        "unknown shorthand flag: {} in -{cluster}",
                        quote_letter(letter)
                    )),
                });
            };
            // pflag wants something behind the `=`: a lone `-n=` has the value `=`.
            if let Some(value) = rest.strip_prefix('=').filter(|value| !value.is_empty()) {
                return self.set(index, flag, value);
            }
            if flag.kind.is_empty() {
                self.set(index, flag, "true")?;
                cluster = rest;
            } else if !rest.is_empty() {
                return self.set(index, flag, rest);
            } else {
                return match self.words.next() {
                    Some(value) => self.set(index, flag, &value),
                    None => Err(FlagError::Usage(format!(
                        "flag needs an argument: {} in -{cluster}",
                        quote_letter(letter)
                    ))),
                };
            }
        }
        Ok(())
    }

    fn set(&mut self, index: usize, flag: &Flag, value: &str) -> Result<(), FlagError> {
        if let (Some(refusal), Some(text)) = (flag.refused, flag.refusal())
            && !refusal.harmless.contains(&value)
        {
            return Err(FlagError::Refused(text));
        }
        self.parsed.flags.set(index, value).map_err(|reason| {
            let (value, title) = (quote(value), quote(&flag.title()));
            FlagError::Usage(format!("invalid argument {value} for {title} flag: {reason}"))
        })?;
        if let Some(instead) = flag.deprecated {
            let long = flag.long;
            self.parsed.warnings.push(format!("Flag --{long} has been deprecated, {instead}"));
        }
        Ok(())
    }
}

fn find<F: FlagSet>(test: impl Fn(&Flag) -> bool) -> Option<(usize, &'static Flag)> {
    F::FLAGS.iter().enumerate().find(|(_, flag)| test(flag))
}

/// A letter in Go's `%q` form.
fn quote_letter(letter: char) -> String {
    format!("'{letter}'")
}

#[cfg(test)]
mod tests {
    use super::super::tests::Sample;
    use super::*;

    fn sample(line: &str, interspersed: bool) -> Result<Parsed<Sample>, FlagError> {
        parse(line.split(' ').map(str::to_owned), interspersed)
    }

    #[test]
    fn every_way_to_give_a_value_is_understood() {
        for line in ["--name x", "--name=x", "-n x", "-nx", "-n=x", "-an x", "-anx", "-an=x"] {
            let parsed = sample(line, true).unwrap();
            assert_eq!(parsed.flags.name.as_deref(), Some("x"), "{line}");
            assert_eq!(parsed.flags.all.is_on(), line.starts_with("-a"), "{line}");
        }
        let parsed = sample("--all=false --proxy=0 -a=true", true).unwrap();
        assert!(parsed.flags.all.is_on());
        assert!(!parsed.flags.proxy.is_on());
        assert_eq!(sample("--name=", true).unwrap().flags.name.as_deref(), Some(""));
        assert_eq!(sample("-n=", true).unwrap().flags.name.as_deref(), Some("="));
    }

    #[test]
    fn arguments_end_the_flags_where_they_should() {
        for (line, interspersed, want) in [
            ("a -a b", true, "a b"),
            ("a -a b", false, "a -a b"),
            ("-a -- -x y", true, "-x y"),
            ("-a -- img -x -- y", false, "img -x -- y"),
            ("img -- y", false, "img -- y"),
            ("- x", true, "- x"),
        ] {
            assert_eq!(sample(line, interspersed).unwrap().args.join(" "), want, "{line}");
        }
    }

    #[test]
    fn errors_are_pflags() {
        for (line, want) in [
            ("--foo", "unknown flag: --foo"),
            ("--foo=1", "unknown flag: --foo"),
            ("-ax1", "unknown shorthand flag: 'x' in -x1"),
            ("--name", "flag needs an argument: --name"),
            ("-an", "flag needs an argument: 'n' in -n"),
            ("--=x", "bad flag syntax: --=x"),
            (
                "--all=x",
                "invalid argument \"x\" for \"-a, --all\" flag: \
                 strconv.ParseBool: parsing \"x\": invalid syntax",
            ),
            (
                "--count x",
                "invalid argument \"x\" for \"--count\" flag: \
                 strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
        ] {
            assert_eq!(sample(line, true).unwrap_err(), FlagError::Usage(want.into()), "{line}");
        }
        assert_eq!(sample("-h", true).unwrap_err(), FlagError::Help(true));
        assert_eq!(sample("x --help", true).unwrap_err(), FlagError::Help(false));
    }

    #[test]
    fn refusals_and_warnings() {
        assert_eq!(
            sample("-p 80:80", true).unwrap_err(),
            FlagError::Refused("--publish is not supported yet: no bridge".into())
        );
        assert!(sample("--driver nfs", true).is_err());
        assert!(sample("--driver local", true).is_ok());
        let parsed = sample("--time 3", true).unwrap();
        assert_eq!(parsed.flags.time.0, Some(3));
        assert_eq!(parsed.warnings, ["Flag --time has been deprecated, use --timeout instead"]);
    }
}
