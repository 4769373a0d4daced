//! `exec`: runs one more command in a running container.

use std::io;
use std::os::fd::AsFd;

use engine::{Attach, ExecContainer, Kind};

use super::checks::Environment;
use super::run::{NO_TERMINAL, finish};
use crate::attach::{self, DetachKeys, Outcome, Plan};
use crate::command::{Arity, Call, Command};
use crate::files;
use crate::flags::{Checked, List, Switch, Text, flags, long};
use crate::ui::{Exit, Ui, chain};

flags! {
    /// Flags of `exec`.
    ExecArgs {
        /// Leave the command alone
        detach: Switch = long("detach").short('d'),
        /// Keys that leave an attached command
        detach_keys: Text = long("detach-keys"),
        /// Set a variable (NAME=VALUE), or hand one on (NAME)
        env: Checked<Environment> = long("env").short('e'),
        /// Read variables from a file
        env_file: List = long("env-file"),
        /// Attach to stdin
        interactive: Switch = long("interactive").short('i'),
        /// Give the command nearly all rights of the host
        privileged: Switch = long("privileged"),
        /// Give the command a terminal
        tty: Switch = long("tty").short('t'),
        /// User inside (NAME or UID[:GROUP or GID])
        user: Text = long("user").short('u'),
        /// Directory to start in
        workdir: Text = long("workdir").short('w'),
    }
}

impl Command for ExecArgs {
    const PATH: &'static str = "container exec";
    const USAGE: &'static str = "[OPTIONS] CONTAINER COMMAND [ARG...]";
    const ARGS: Arity = Arity::AtLeast(2);
    const INTERSPERSED: bool = false;

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let mut env = Vec::new();
        for path in &self.env_file.0 {
            match files::pairs(path, &files::own_variable) {
                Ok(pairs) => env.extend(pairs),
                Err(text) => return ui.fail(text),
            }
        }
        env.extend(self.env.0);
        let detach_keys = self.detach_keys.0.filter(|keys| !keys.is_empty());
        let detach_keys = detach_keys.unwrap_or_else(|| call.config().detach_keys);
        let detach_keys = match DetachKeys::parse(&detach_keys) {
            Ok(keys) => keys,
            Err(text) => return ui.fail(text),
        };
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let (detach, tty) = (self.detach.is_on(), self.tty.is_on());
        let stdin = self.interactive.is_on() && !detach;
        let [container, command @ ..] = args.as_slice() else { return Ok(Exit::Failure(1)) };
        if tty && stdin && !attach::is_terminal(io::stdin().as_fd()) {
            // A container that is not there is the greater mistake.
            return match engine.container_config(container) {
                Ok(_) => ui.fail(NO_TERMINAL),
                Err(error) => ui.report(&error),
            };
        }
        let streams = Attach { stdin, stdout: true, stderr: true };
        let request = ExecContainer {
            container: container.clone(),
            command: command.to_vec(),
            env,
            user: self.user.text().to_owned(),
            working_dir: self.workdir.text().to_owned(),
            tty,
            console_size: if tty { attach::terminal_size() } else { None },
            interactive: self.interactive.is_on(),
            privileged: self.privileged.is_on(),
            attach: (!detach).then_some(streams),
        };
        let session = match engine.exec_container(&request) {
            Ok(started) => started.session,
            Err(error) => {
                return match start_failure(error.kind()).filter(|_| !detach) {
                    Some(code) => {
                        ui.fail(chain(&error))?;
                        Ok(Exit::Failure(code))
                    }
                    None => ui.report(&error),
                };
            }
        };
        let Some(session) = session else { return Ok(Exit::Success) };
        ui.flush()?;
        let plan = Plan {
            stdin,
            stdout: true,
            stderr: true,
            tty,
            detach_keys,
            // Docker's client passes no signals on to an exec; a terminal's come as keys.
            forward_signals: false,
            redraw: false,
        };
        match attach::attach(session, &plan)? {
            Outcome::Detached => ui.fail("read escape sequence"),
            Outcome::NotStarted { exit_code, message } => {
                ui.fail(message)?;
                Ok(Exit::Failure(exit_code))
            }
            outcome => finish(outcome, ui),
        }
    }
}

/// The exit code of a command that could not be started; `None` if it was not tried, since there
/// is no such container or it does not run.
fn start_failure(kind: Kind) -> Option<u8> {
    match kind {
        Kind::NotFound | Kind::Conflict | Kind::Unsupported => None,
        Kind::CommandNotFound => Some(127),
        _ => Some(126),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_tried_has_an_exit_code_of_its_own() {
        for (kind, want) in [
            (Kind::NotFound, None),
            (Kind::Conflict, None),
            (Kind::CommandNotFound, Some(127)),
            (Kind::CommandNotExecutable, Some(126)),
            (Kind::Internal, Some(126)),
        ] {
            assert_eq!(start_failure(kind), want, "{kind:?}");
        }
    }
}
