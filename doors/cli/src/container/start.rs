//! `start`: starts containers that do not run, and attaches to one if asked.

use std::io::{self, Write};
use std::os::fd::AsFd;

use engine::{Attach, Engine};

use super::run::{NO_TERMINAL, finish};
use crate::attach::{self, DetachKeys, Plan};
use crate::command::{Arity, Call, Command};
use crate::flags::{Refused, Switch, Text, flags, long};
use crate::refused;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `start`.
    StartArgs {
        /// Attach to stdout and stderr, and pass signals on
        attach: Switch = long("attach").short('a'),
        /// Restore from a checkpoint
        checkpoint: Refused = long("checkpoint").later(refused::CHECKPOINTS, &[""]),
        /// Where checkpoints are
        checkpoint_dir: Refused = long("checkpoint-dir").later(refused::CHECKPOINTS, &[""]),
        /// Keys that leave an attached container
        detach_keys: Text = long("detach-keys"),
        /// Attach to stdin
        interactive: Switch = long("interactive").short('i'),
    }
}

impl Command for StartArgs {
    const PATH: &'static str = "container start";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let attach = self.attach.is_on() || self.interactive.is_on();
        if attach && args.len() > 1 {
            return ui.fail("you cannot start and attach multiple containers at once");
        }
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        match args.first() {
            Some(name) if attach => self.start_attached(name, &engine, call, ui),
            _ => start_each(&args, &engine, ui),
        }
    }
}

fn start_each(names: &[String], engine: &Engine, ui: &mut Ui) -> io::Result<Exit> {
    let mut failed = Vec::new();
    for name in names {
        match engine.start_container(name, None) {
            Ok(started) => {
                for warning in &started.warnings {
                    writeln!(ui.err(), "WARNING: {warning}")?;
                }
                writeln!(ui.out(), "{name}")?;
            }
            Err(error) => {
                ui.report(&error)?;
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(Exit::Success);
    }
    ui.fail(format_args!("Error: failed to start containers: {}", failed.join(", ")))
}

impl StartArgs {
    fn start_attached(
        self,
        name: &str,
        engine: &Engine,
        call: &Call<'_>,
        ui: &mut Ui,
    ) -> io::Result<Exit> {
        let keys = self.detach_keys.0.filter(|keys| !keys.is_empty());
        let keys = keys.unwrap_or_else(|| call.config().detach_keys);
        let detach_keys = match DetachKeys::parse(&keys) {
            Ok(keys) => keys,
            Err(text) => return ui.fail(text),
        };
        let config = match engine.container_config(name) {
            Ok(config) => config,
            Err(error) => return ui.report(&error),
        };
        let stdin = self.interactive.is_on() && config.open_stdin;
        if config.tty && stdin && !attach::is_terminal(io::stdin().as_fd()) {
            return ui.fail(NO_TERMINAL);
        }
        let streams = Attach { stdin, stdout: true, stderr: true };
        if !config.tty {
            attach::hold_signals()?;
        }
        let running = match engine.start_container(name, Some(streams)) {
            Ok(running) => running,
            Err(error) => return ui.report(&error),
        };
        for warning in &running.warnings {
            writeln!(ui.err(), "WARNING: {warning}")?;
        }
        let Some(session) = running.session else { return Ok(Exit::Success) };
        ui.flush()?;
        let plan = Plan {
            stdin,
            stdout: true,
            stderr: true,
            tty: config.tty,
            detach_keys,
            forward_signals: !config.tty,
            redraw: false,
        };
        let outcome = attach::attach(session, &plan)?;
        finish(outcome, ui)
    }
}
