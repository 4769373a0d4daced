//! Commands: what they have in common, and the way from words to one of them.
//!
//! A command is a struct of flags (see [`crate::flags`]) that says how its arguments look and
//! what to do. The tree of all of them is in [`crate::tree`].

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::OnceLock;

use engine::{Engine, EngineError, Home, Registries};

use crate::config_file::{self, ConfigFile};
use crate::flags::{Flag, FlagError, FlagSet, parse};
use crate::help;
use crate::ui::{Exit, Ui};

/// A command: its flags are the fields.
pub(crate) trait Command: FlagSet {
    /// Its longest path, which is also what its aliases have in common.
    const PATH: &'static str;
    /// What follows its name in the usage line.
    const USAGE: &'static str;
    /// How many arguments it takes.
    const ARGS: Arity;
    /// Whether flags may stand behind arguments.
    const INTERSPERSED: bool = true;

    /// Does it.
    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit>;
}

/// How many arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    /// None.
    None,
    /// So many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// So many or fewer.
    AtMost(usize),
    /// From so many to so many.
    Between(usize, usize),
}

impl Arity {
    /// What is wrong with `count` arguments, in Docker's words, and the word before the hint.
    fn complaint(self, count: usize) -> Option<(String, &'static str)> {
        let plural = |number: usize| if number == 1 { "argument" } else { "arguments" };
        match self {
            Self::None if count > 0 => Some(("accepts no arguments".into(), "Run")),
            Self::Exactly(wanted) if count != wanted => {
                Some((format!("requires {wanted} {}", plural(wanted)), "Run"))
            }
            Self::AtLeast(wanted) if count < wanted => {
                Some((format!("requires at least {wanted} {}", plural(wanted)), "See"))
            }
            Self::AtMost(wanted) if count > wanted => {
                Some((format!("requires at most {wanted} {}", plural(wanted)), "Run"))
            }
            Self::Between(least, most) if count < least || count > most => {
                let text = format!("requires at least {least} and at most {most} arguments");
                Some((text, "Run"))
            }
            _ => None,
        }
    }
}

/// What a command knows about how it was called.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// `run`, `container run`: without the program's name, aliases resolved.
    pub(crate) path: &'a str,
    /// One line about the command.
    pub(crate) about: &'static str,
    /// What stood before the command.
    pub(crate) globals: &'a Globals,
}

/// What stood before the command.
#[derive(Debug, Default)]
pub(crate) struct Globals {
    /// The data directory; the engine's choice if `None`.
    pub(crate) root: Option<PathBuf>,
    /// Where Docker's client keeps its configuration; its own choice if `None`.
    pub(crate) config: Option<PathBuf>,
    /// The data directory in use, once a command has asked for it.
    pub(crate) home: OnceLock<Home>,
}

impl Globals {
    fn home(&self) -> Result<&Home, EngineError> {
        if self.home.get().is_none() {
            // Two at once would need two threads.
            let _ = self.home.set(Home::enter(self.root.as_deref())?);
        }
        Ok(self.home.get().expect("set just now"))
    }
}

impl Call<'_> {
    /// The engine on the data directory that the user means. The first call of all must come
    /// while there is one thread.
    pub(crate) fn engine(&self) -> Result<Engine, EngineError> {
        Engine::open(self.globals.home()?.root())
    }

    /// The user's client configuration.
    pub(crate) fn config(&self) -> ConfigFile {
        ConfigFile::load(self.globals.config.as_deref())
    }

    /// The registries, with the credentials in the user's client configuration.
    pub(crate) fn registries(&self) -> Registries {
        Registries::new(config_file::directory(self.globals.config.as_deref()))
    }

    /// `kista: text`, a hint where help is, and the exit code 125: how `run` and `create` fail
    /// before there is a container.
    pub(crate) fn fail_with_help(&self, text: &str, code: u8, ui: &mut Ui) -> io::Result<Exit> {
        // Docker names the short form here, whichever was used.
        let name = self.path.rsplit(' ').next().unwrap_or(self.path);
        writeln!(ui.err(), "kista: {text}\n\nRun 'kista {name} --help' for more information")?;
        Ok(Exit::Failure(code))
    }
}

/// A command without its type, for the tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    /// See [`Command::PATH`].
    pub(crate) path: &'static str,
    /// See [`Command::USAGE`].
    pub(crate) usage: &'static str,
    /// Its flags.
    pub(crate) flags: &'static [Flag],
    /// Parses the words behind its name and does it.
    pub(crate) enter: fn(Vec<String>, &Call<'_>, &mut Ui) -> io::Result<Exit>,
}

/// A command without its type.
pub(crate) const fn leaf<C: Command>() -> Leaf {
    Leaf { path: C::PATH, usage: C::USAGE, flags: C::FLAGS, enter: enter::<C> }
}

fn enter<C: Command>(words: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
    let path = call.path;
    let parsed = match parse::<C>(words, C::INTERSPERSED) {
        Ok(parsed) => parsed,
        Err(FlagError::Usage(text)) => {
            let usage = help::usage_line(path, C::USAGE);
            writeln!(
                ui.err(),
                "{text}\n\n{usage}\n\nRun 'kista {path} --help' for more information"
            )?;
            return Ok(Exit::Failure(125));
        }
        Err(FlagError::Refused(text)) => return call.fail_with_help(&text, 125, ui),
        Err(FlagError::Help(old)) => {
            if old {
                writeln!(ui.out(), "Flag shorthand -h has been deprecated, use --help")?;
            }
            help::command(call.path, call.about, &leaf::<C>(), ui)?;
            return Ok(Exit::Success);
        }
    };
    for warning in &parsed.warnings {
        writeln!(ui.err(), "{warning}")?;
    }
    if let Some((complaint, word)) = C::ARGS.complaint(parsed.args.len()) {
        let usage = help::usage_line(path, C::USAGE);
        writeln!(
            ui.err(),
            "kista: 'kista {path}' {complaint}\n\n{usage}\n\n\
             {word} 'kista {path} --help' for more information"
        )?;
        return Ok(Exit::Failure(1));
    }
    parsed.flags.run(parsed.args, call, ui)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arities_complain_as_docker_does() {
        for (arity, count, want) in [
            (Arity::None, 0, None),
            (Arity::None, 2, Some("accepts no arguments")),
            (Arity::Exactly(1), 0, Some("requires 1 argument")),
            (Arity::Exactly(2), 1, Some("requires 2 arguments")),
            (Arity::AtLeast(1), 0, Some("requires at least 1 argument")),
            (Arity::AtLeast(1), 3, None),
            (Arity::AtMost(1), 2, Some("requires at most 1 argument")),
        ] {
            let complaint = arity.complaint(count).map(|(text, _)| text);
            assert_eq!(complaint.as_deref(), want, "{arity:?} {count}");
        }
    }
}
