//! From the words of the command line to a command.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::command::{Call, Globals};
use crate::flags::{
    Flag, FlagError, FlagSet, Refused, RefusedSwitch, Switch, Text, flags, long, parse,
};
use crate::help;
use crate::system;
use crate::tree::{Body, Node, ROOT};
use crate::ui::{Exit, Ui};

const NO_DAEMON: &str = "no daemon is used; `--root DIR` chooses another data directory";
/// Errors and warnings are always told, so that the levels down to `info` change nothing.
const NO_LOG: &str = "there is no log of what the program does";

flags! {
    /// What stands before the command.
    GlobalArgs {
        /// Directory of the client configuration
        config: Text = long("config"),
        /// Endpoint to use
        context: Refused = long("context").short('c').refused(NO_DAEMON, &["", "default"]),
        /// Tell more about what is done
        debug: RefusedSwitch = long("debug").short('D').refused(NO_LOG, &["false"]),
        /// Daemon to use
        host: Refused = long("host").short('H').refused(NO_DAEMON, &[]),
        /// How much to tell: debug, info, warn, error or fatal
        log_level: Refused =
            long("log-level").short('l').refused(NO_LOG, &["info", "warn", "error", "fatal"]),
        /// Data directory; KISTA_ROOT names it too
        root: Text = long("root"),
        /// Encrypt the way to the daemon
        tls: RefusedSwitch = long("tls").refused(NO_DAEMON, &["false"]),
        /// Authorities that the daemon is checked against
        tlscacert: Refused = long("tlscacert").refused(NO_DAEMON, &[]),
        /// Certificate of the client
        tlscert: Refused = long("tlscert").refused(NO_DAEMON, &[]),
        /// Key of the client
        tlskey: Refused = long("tlskey").refused(NO_DAEMON, &[]),
        /// Check the daemon
        tlsverify: RefusedSwitch = long("tlsverify").refused(NO_DAEMON, &["false"]),
        /// Print the version and leave
        version: Switch = long("version").short('v'),
    }
}

/// The flags that stand before the command.
pub(crate) fn global_flags() -> &'static [Flag] {
    GlobalArgs::FLAGS
}

/// From the words of the command line to the command.
pub(crate) fn dispatch(words: Vec<String>, ui: &mut Ui) -> io::Result<Exit> {
    let parsed = match parse::<GlobalArgs>(words, false) {
        Ok(parsed) => parsed,
        Err(FlagError::Usage(text)) => {
            let usage = help::usage_line("[OPTIONS] COMMAND [ARG...]", "");
            let hint = "Run 'kista --help' for more information";
            writeln!(ui.err(), "{text}\n\n{usage}\n\n{hint}")?;
            return Ok(Exit::Failure(125));
        }
        Err(FlagError::Refused(text)) => {
            ui.fail(format_args!("kista: {text}"))?;
            return Ok(Exit::Failure(125));
        }
        Err(FlagError::Help(_)) => {
            help::root(&mut ui.out())?;
            return Ok(Exit::Success);
        }
    };
    let flags = parsed.flags;
    if flags.version.is_on() {
        writeln!(ui.out(), "{}", system::version_line())?;
        return Ok(Exit::Success);
    }
    let path = |text: &Text| text.as_deref().filter(|text| !text.is_empty()).map(PathBuf::from);
    let globals =
        Globals { root: path(&flags.root), config: path(&flags.config), ..Globals::default() };
    let mut words = parsed.args.into_iter();
    match words.next() {
        None => {
            help::root(&mut ui.out())?;
            Ok(Exit::Success)
        }
        Some(word) if word == "help" => show_help(words.collect(), &globals, ui),
        Some(word) => enter(ROOT, None, &word, words.collect(), &globals, ui),
    }
}

fn show_help(words: Vec<String>, globals: &Globals, ui: &mut Ui) -> io::Result<Exit> {
    let Some(first) = words.first() else {
        help::root(&mut ui.out())?;
        return Ok(Exit::Success);
    };
    if !ROOT.iter().any(|node| node.answers_to(first)) {
        return ui.fail(format_args!("unknown help topic: {}", words.join(" ")));
    }
    let (first, mut rest) = (first.clone(), words[1..].to_vec());
    rest.push("--help".to_owned());
    enter(ROOT, None, &first, rest, globals, ui)
}

fn enter(
    nodes: &'static [Node],
    parent: Option<&Node>,
    word: &str,
    mut words: Vec<String>,
    globals: &Globals,
    ui: &mut Ui,
) -> io::Result<Exit> {
    let prefix = parent.map_or(String::new(), |parent| format!("{} ", parent.name));
    let Some(node) = nodes.iter().find(|node| node.answers_to(word)) else {
        return unknown(parent, &prefix, word, ui);
    };
    let path = format!("{prefix}{}", node.name);
    match &node.body {
        Body::Leaf(leaf) => {
            let call = Call { path: &path, about: node.about, globals };
            (leaf.enter)(words, &call, ui)
        }
        Body::Later(why) => ui.fail(format_args!("kista: '{path}' is not available yet: {why}")),
        Body::Group(children) => match words.first().map(String::as_str) {
            None => {
                help::group(node, children, &mut ui.err())?;
                Ok(Exit::Success)
            }
            Some("--help" | "-h" | "help") => {
                help::group(node, children, &mut ui.out())?;
                Ok(Exit::Success)
            }
            Some(flag) if flag.starts_with('-') && flag != "-" => {
                let name = node.name;
                let usage = help::usage_line(name, "COMMAND");
                writeln!(
                    ui.err(),
                    "unknown flag: {flag}\n\n{usage}\n\nRun 'kista {name} --help' for more information"
                )?;
                Ok(Exit::Failure(125))
            }
            Some(_) => {
                let word = words.remove(0);
                enter(children, Some(node), &word, words, globals, ui)
            }
        },
    }
}

fn unknown(parent: Option<&Node>, prefix: &str, word: &str, ui: &mut Ui) -> io::Result<Exit> {
    let mut err = ui.err();
    write!(err, "kista: unknown command: kista {prefix}{word}\n\n")?;
    if let Some(parent) = parent {
        write!(err, "{}\n\n", help::usage_line(parent.name, ""))?;
    }
    writeln!(err, "Run 'kista {prefix}--help' for more information")?;
    Ok(Exit::Failure(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> (Exit, String, String) {
        let mut ui = Ui::captured();
        let words = line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        let exit = dispatch(words, &mut ui).unwrap();
        let (out, err) = ui.into_texts();
        (exit, out, err)
    }

    #[test]
    fn mistakes_are_answered_in_dockers_words() {
        for (line, code, want) in [
            (
                "foo",
                1,
                "kista: unknown command: kista foo\n\nRun 'kista --help' for more information\n",
            ),
            (
                "image foo",
                1,
                "kista: unknown command: kista image foo\n\nUsage:  kista image\n\n\
                 Run 'kista image --help' for more information\n",
            ),
            (
                "run --foo a",
                125,
                "unknown flag: --foo\n\nUsage:  kista run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n\
                 Run 'kista run --help' for more information\n",
            ),
            (
                "container ps --foo",
                125,
                "unknown flag: --foo\n\nUsage:  kista container ls [OPTIONS]\n\n\
                 Run 'kista container ls --help' for more information\n",
            ),
            (
                "run",
                1,
                "kista: 'kista run' requires at least 1 argument\n\n\
                 Usage:  kista run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n\
                 See 'kista run --help' for more information\n",
            ),
            (
                "run --memory x a",
                125,
                "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'\n\n\
                 Usage:  kista run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n\
                 Run 'kista run --help' for more information\n",
            ),
            (
                "--log-level debug ps",
                125,
                "kista: --log-level is not supported: there is no log of what the program does\n",
            ),
            ("help foo", 1, "unknown help topic: foo\n"),
        ] {
            let (exit, out, err) = call(line);
            assert_eq!(err, want, "{line}");
            assert_eq!(exit, Exit::Failure(code), "{line}");
            assert_eq!(out, "", "{line}");
        }
    }

    #[test]
    fn what_is_not_there_yet_says_so() {
        let (exit, _, err) = call("stats x");
        assert_eq!(exit, Exit::Failure(1));
        assert!(err.starts_with("kista: 'stats' is not available yet: "), "{err}");
        let (exit, _, err) = call("run --gpus all debian");
        assert_eq!(exit, Exit::Failure(125));
        assert!(err.starts_with("kista: --gpus is not supported yet: "), "{err}");
        assert!(err.ends_with("\n\nRun 'kista run --help' for more information\n"), "{err}");
        let (exit, _, err) = call("-H unix:///x ps");
        assert_eq!(exit, Exit::Failure(125));
        assert!(err.starts_with("kista: --host is not supported: no daemon"), "{err}");
    }

    #[test]
    fn help_is_found_from_everywhere() {
        for line in ["", "--help", "help"] {
            let (exit, out, _) = call(line);
            assert_eq!(exit, Exit::Success);
            assert!(out.starts_with("Usage:  kista [OPTIONS] COMMAND"), "{line}");
        }
        let (_, out, _) = call("help ps");
        assert!(
            out.contains("kista container ls, kista container ps, kista container list, kista ps")
        );
        let (_, out, err) = call("image");
        assert!(out.is_empty() && err.starts_with("Usage:  kista image COMMAND"));
    }
}
