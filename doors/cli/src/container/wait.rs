//! `wait`: waits until containers have ended and prints their exit codes.

use std::io::{self, Write};

use crate::command::{Arity, Call, Command};
use crate::flags::flags;
use crate::ui::{Exit, Ui};

flags! {
    /// `wait` has no flags.
    WaitArgs {}
}

impl Command for WaitArgs {
    const PATH: &'static str = "container wait";
    const USAGE: &'static str = "CONTAINER [CONTAINER...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let mut exit = Exit::Success;
        for name in &args {
            match engine.wait_container(name) {
                Ok(code) => {
                    writeln!(ui.out(), "{code}")?;
                    // Others may take long.
                    ui.flush()?;
                }
                Err(error) => exit = ui.report(&error)?,
            }
        }
        Ok(exit)
    }
}
