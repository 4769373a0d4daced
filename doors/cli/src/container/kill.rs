//! `kill`: sends a signal to the first process of containers.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::flags::{Text, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `kill`.
    KillArgs {
        /// Signal to send, by name or number; KILL if not given
        signal: Text = long("signal").short('s'),
    }
}

impl Command for KillArgs {
    const PATH: &'static str = "container kill";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let signal = self.signal.0.filter(|signal| !signal.is_empty());
        let signal = signal.as_deref().unwrap_or("KILL");
        super::each(&args, ui, |container| engine.kill_container(container, signal))
    }
}
