//! `pause` and `unpause`: freeze all processes of containers, and let them go on.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::flags::flags;
use crate::ui::{Exit, Ui};

flags! {
    /// `pause` has no flags.
    PauseArgs {}
}

flags! {
    /// `unpause` has no flags.
    UnpauseArgs {}
}

impl Command for PauseArgs {
    const PATH: &'static str = "container pause";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        super::each(&args, ui, |container| engine.pause_container(container))
    }
}

impl Command for UnpauseArgs {
    const PATH: &'static str = "container unpause";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        super::each(&args, ui, |container| engine.unpause_container(container))
    }
}
