//! `restart`: `stop`, then `start`.

use std::io;

use engine::StopContainer;

use super::stop::grace;
use crate::command::{Arity, Call, Command};
use crate::flags::{Integer, Text, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `restart`.
    RestartArgs {
        /// Signal to send instead of the container's stop signal
        signal: Text = long("signal").short('s'),
        /// Seconds to wait before killing the container; -1 waits for ever
        time: Integer<i64> = long("time").deprecated("use --timeout instead"),
        /// Seconds to wait before killing the container; -1 waits for ever
        timeout: Integer<i64> = long("timeout").short('t'),
    }
}

impl Command for RestartArgs {
    const PATH: &'static str = "container restart";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let grace = match grace(self.timeout, self.time) {
            Ok(grace) => grace,
            Err(text) => return ui.fail(text),
        };
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let signal = self.signal.0.filter(|signal| !signal.is_empty());
        // In turn: starting a process wants a program of one thread.
        super::each(&args, ui, |container| {
            let (container, signal) = (container.to_owned(), signal.clone());
            engine.restart_container(&StopContainer { container, signal, grace })
        })
    }
}
