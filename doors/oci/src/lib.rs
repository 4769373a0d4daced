//! The OCI runtime: `kista oci`, and the name `kista-oci`. Parses, calls `run`, answers.
//!
//! ```text
//! docker, containerd, podman, CRI-O ... --- kista-oci create|start|exec|kill|... ---> run/runtime
//!                                           |                                         run/cgroups
//!                                           `-- <root>/<id>/: what later commands need
//! ```
//!
//! A drop-in for runc: its commands, flags, exit codes and the texts that engines match
//! (docs/compat/oci-runtime.md). Every command is a process of its own, of one thread; between
//! them nothing of ours runs but the container. What a command leaves to the next one is a
//! directory ([`store`]); what a container *is* now is never read from there but asked of the
//! kernel ([`status`]).
//!
//! A container that is created and not started waits on a listening socket in that directory,
//! which only its first process holds: `start` connects to it, and learns why the program could
//! not be executed if it could not. Connecting also tells "created" from "running", since
//! execve(2) closes the listener. No file has to be right for that, and nobody has to be there.
//!
//! This door stands on `run` and not on `engine`: an OCI runtime has no images, no names and no
//! policy, and other people's engines bring their own.

#![allow(clippy::result_large_err, reason = "an error ends the command: none is on a hot path")]

mod args;
mod bundle;
mod cgroup;
mod command;
mod error;
mod exit;
mod fds;
mod help;
mod launch;
mod log;
mod notify;
mod pid_file;
mod quantity;
mod shield;
mod status;
mod store;
mod terminal;
mod trace;
mod wait;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::args::{Parsed, Refusal};
use crate::command::{COMMANDS, Command};
use crate::error::OciError;
use crate::exit::Exit;
use crate::log::Log;
use crate::store::Store;

/// What every command is told.
pub(crate) struct Context {
    /// Where containers are kept.
    pub(crate) store: Store,
    /// Whether that place was named by the user.
    pub(crate) root_given: bool,
    /// Whether systemd makes the cgroups.
    pub(crate) systemd: bool,
    /// Whether a cgroup that cannot be had for want of rights is done without.
    pub(crate) rootless: bool,
    /// Where errors and warnings go.
    pub(crate) log: Log,
}

/// The names under which the program is nothing but an OCI runtime: its own, and the one that some
/// engines and scripts insist on.
pub const NAMES: [&str; 2] = ["kista-oci", "runc"];

/// Runs a command line; `name` is how the program was called, `words` what follows.
///
/// `name` is what usage texts say: `kista oci`, or one of [`NAMES`].
pub fn main(name: &str, words: Vec<String>) -> ExitCode {
    let (global, rest) = match args::parse_global(&command::GLOBAL_FLAGS, words) {
        Ok(parsed) => parsed,
        Err(refusal) => return refuse(name, None, &Log::default(), refusal),
    };
    let log = match Log::open(&global) {
        Ok(log) => log,
        Err(error) => {
            Log::default().error(&error::chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let mut rest = rest.into_iter();
    let Some(word) = rest.next() else {
        return if global.is_on("version") { version(name) } else { help::overview(name) };
    };
    if global.is_on("version") {
        return version(name);
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == word) else {
        return match word.as_str() {
            "help" | "h" => help::help(name, rest.next().as_deref()),
            _ => {
                log.error(&format!("No help topic for '{word}'"));
                // The code that urfave/cli gives, which scripts know.
                ExitCode::from(3)
            }
        };
    };
    let parsed = match args::parse(command, rest.collect()) {
        Ok(parsed) => parsed,
        Err(refusal) => return refuse(name, Some(command), &log, refusal),
    };
    run(name, command, &global, &parsed, log)
}

fn run(
    name: &str,
    command: &'static Command,
    global: &Parsed,
    parsed: &Parsed,
    log: Log,
) -> ExitCode {
    if let Err(error) = command.check_count(name, parsed) {
        // As runc does: the message, the usage, and the code for any error.
        let _ = help::write_command(&mut std::io::stderr(), name, command);
        log.error(&error.to_string());
        return ExitCode::FAILURE;
    }
    let context = match context(global, log) {
        Ok(context) => context,
        Err((error, log)) => {
            log.error(&error::chain(&error));
            return ExitCode::FAILURE;
        }
    };
    if command.enters {
        // Returns if there is nothing to be done, or nothing that can be.
        shield::enter(&context.log);
    }
    context.log.debug(|| format!("{} of {:?} in {:?}", command.name, parsed.args, context.store));
    match (command.run)(&context, parsed) {
        Ok(Exit::Code(code)) => ExitCode::from(code),
        Err(error) => {
            context.log.error(&match command.failure {
                None => error::chain(&error),
                // As with runc: whose command it was, then the cause.
                Some(failure) => format!("{name} {failure}: {}", error::chain(&error)),
            });
            ExitCode::from(command.failure_code)
        }
    }
}

fn context(global: &Parsed, log: Log) -> Result<Context, (OciError, Log)> {
    let rootless = match global.text("rootless").unwrap_or("auto") {
        "auto" => !is_root(),
        text => match args::boolean(text) {
            Some(rootless) => rootless,
            None => {
                let error = OciError::Usage(format!("invalid --rootless value \"{text}\""));
                return Err((error, log));
            }
        },
    };
    let root = match global.text("root").filter(|root| !root.is_empty()) {
        Some(root) => std::path::absolute(root),
        None => Ok(default_root()),
    };
    match root {
        Ok(root) => Ok(Context {
            store: Store::new(root),
            root_given: global.text("root").is_some(),
            systemd: global.is_on("systemd-cgroup"),
            rootless,
            log,
        }),
        Err(source) => Err((OciError::io("find the root directory", source), log)),
    }
}

/// Whether we have root's rights over this machine. Root in a user namespace, as which Podman calls
/// for an ordinary user, has not.
fn is_root() -> bool {
    rustix::process::geteuid().is_root() && sys::namespace::is_initial_user()
}

/// `/run/kista-oci`, or a place of the user's own.
fn default_root() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    match own {
        Some(dir) if !is_root() => PathBuf::from(dir).join("kista-oci"),
        _ => PathBuf::from("/run/kista-oci"),
    }
}

fn refuse(name: &str, command: Option<&'static Command>, log: &Log, refusal: Refusal) -> ExitCode {
    match (refusal, command) {
        (Refusal::Help, None) => help::overview(name),
        (Refusal::Help, Some(command)) => help::of(name, command),
        (Refusal::Wrong(text), command) => {
            let usage = match command {
                None => format!("{name} --help"),
                Some(command) => format!("{name} {} --help", command.name),
            };
            log.error(&format!("{text} (see {usage})"));
            ExitCode::FAILURE
        }
    }
}

fn version(name: &str) -> ExitCode {
    // The form that engines take apart: "NAME version NUMBER", then what it conforms to. A link
    // called `runc` is for those that look for that word.
    let (own, spec) = (env!("CARGO_PKG_VERSION"), oci::runtime::VERSION);
    let commit = option_env!("KISTA_COMMIT").unwrap_or("unknown");
    let name = name.replace(' ', "-");
    let text = format!("{name} version {own}\ncommit: {commit}\nspec: {spec}\n");
    exit::code(std::io::stdout().write_all(text.as_bytes()))
}
