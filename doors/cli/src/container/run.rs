//! `run`: makes a container of an image and runs a command in it.
//!
//! The exit code is the command's; 125 if there is no container, 126 if the command could not be
//! run, 127 if it was not found.

use std::io::{self, Write};
use std::os::fd::AsFd;

use engine::{Attach, CreatedContainer, EngineError, Kind};

use super::create::{cid_file, fetching};
use super::options::RunArgs;
use crate::attach::{self, DetachKeys, Outcome, Plan};
use crate::command::{Arity, Call, Command};
use crate::ui::{Exit, Ui, response};

/// What Docker's client says when input cannot come from where it should.
pub(crate) const NO_TERMINAL: &str = "the input device is not a TTY";

/// The exit code where nobody is left to tell the container's: the one that `ps` shows then.
const SUPERVISOR_LOST: u8 = 255;

impl Command for RunArgs {
    const PATH: &'static str = "container run";
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const ARGS: Arity = Arity::AtLeast(1);
    const INTERSPERSED: bool = false;

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        if self.working.0.is_some() {
            let text = "--working comes first: kista run --working NAME [OPTIONS] -- COMMAND";
            return call.fail_with_help(text, 125, ui);
        }
        let client = call.config();
        let (detach, sig_proxy) = (self.detach.is_on(), self.sig_proxy.is_on());
        let attached = !self.attach.0.is_empty();
        let quiet = self.quiet.is_on();
        let keys = self.detach_keys.0.clone().filter(|keys| !keys.is_empty());
        let mut request = match self.into_request(args, &client) {
            Ok(request) => request,
            Err(text) => return call.fail_with_help(&text, 125, ui),
        };
        let config = &mut request.config;
        if detach && attached {
            return ui.fail("conflicting options: cannot specify both --attach and --detach");
        } else if detach {
            config.attach_stdin = false;
            config.attach_stdout = false;
            config.attach_stderr = false;
            config.stdin_once = false;
        } else if config.tty && config.attach_stdin && !attach::is_terminal(io::stdin().as_fd()) {
            return ui.fail(NO_TERMINAL);
        }
        let detach_keys = match DetachKeys::parse(&keys.unwrap_or(client.detach_keys)) {
            Ok(keys) => keys,
            Err(text) => return ui.fail(text),
        };
        let mut cid_file = match cid_file(&request.host.container_id_file) {
            Ok(file) => file,
            Err(text) => return call.fail_with_help(&text, 125, ui),
        };
        let streams = Attach {
            stdin: config.attach_stdin,
            stdout: config.attach_stdout,
            stderr: config.attach_stderr,
        };
        let follow = streams != Attach::default();
        let mut created = |created: &CreatedContainer| -> Result<(), EngineError> {
            if let Some(file) = &mut cid_file {
                let id = &created.id;
                file.write(id).map_err(|error| EngineError::Invalid {
                    message: format!("failed to write the container ID ({id}) to file: {error}"),
                })?;
            }
            if follow && sig_proxy {
                // From here on there is somebody to pass signals on to.
                attach::hold_signals().map_err(|error| EngineError::Invalid {
                    message: format!("cannot hold signals: {error}"),
                })?;
            }
            Ok(())
        };
        let started = call.engine().and_then(|engine| {
            let attach = follow.then_some(streams);
            fetching(&engine, &request, quiet, call, ui, |engine| {
                engine.run_container(&request, attach, &mut created)
            })
        });
        let running = match started {
            Ok(running) => running,
            Err(error) => return call.fail_with_help(&response(&error), exit_code(&error), ui),
        };
        for warning in &running.warnings {
            writeln!(ui.err(), "WARNING: {warning}")?;
        }
        let Some(session) = running.session else {
            writeln!(ui.out(), "{}", running.id)?;
            return Ok(Exit::Success);
        };
        ui.flush()?;
        let plan = Plan {
            stdin: streams.stdin,
            stdout: streams.stdout,
            // A terminal has but one stream, which is shown if either was asked for.
            stderr: streams.stderr,
            tty: request.config.tty,
            detach_keys,
            forward_signals: sig_proxy,
            redraw: false,
        };
        match attach::attach(session, &plan)? {
            Outcome::NotStarted { exit_code, message } => {
                let text = format!("Error response from daemon: {message}");
                call.fail_with_help(&text, exit_code, ui)
            }
            outcome => finish(outcome, ui),
        }
    }
}

/// The exit code of `run` for a failure before the command ran.
pub(crate) fn exit_code(error: &EngineError) -> u8 {
    match error.kind() {
        Kind::CommandNotFound => 127,
        Kind::CommandNotExecutable => 126,
        _ => 125,
    }
}

/// The exit code for how a session ended, for those commands where leaving is no failure.
pub(crate) fn finish(outcome: Outcome, ui: &mut Ui) -> io::Result<Exit> {
    Ok(match outcome {
        Outcome::Exited(code) => Exit::from_container(i32::from(code)),
        Outcome::Detached => Exit::Success,
        Outcome::Signalled(signal) => Exit::Failure(signal.saturating_add(128)),
        Outcome::Abandoned => ui.fail("\ngot 3 SIGTERM/SIGINTs, forcefully exiting")?,
        Outcome::NotStarted { exit_code, message } => {
            ui.fail(format_args!("Error response from daemon: {message}"))?;
            Exit::Failure(exit_code)
        }
        Outcome::Lost => {
            ui.fail("the container's supervisor was killed, and the container with it")?;
            Exit::Failure(SUPERVISOR_LOST)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_of_failures() {
        let not_started = |exit_code| EngineError::NotStarted { message: String::new(), exit_code };
        assert_eq!(exit_code(&not_started(127)), 127);
        assert_eq!(exit_code(&not_started(126)), 126);
        assert_eq!(exit_code(&EngineError::NoImage { name: "x".into() }), 125);
    }

    #[test]
    fn exit_codes_of_sessions() {
        for (outcome, code) in [
            (Outcome::Exited(0), 0),
            (Outcome::Exited(137), 137),
            (Outcome::Detached, 0),
            (Outcome::Signalled(15), 143),
            (Outcome::Lost, 255),
        ] {
            assert_eq!(finish(outcome, &mut Ui::captured()).unwrap().code(), code);
        }
    }
}
