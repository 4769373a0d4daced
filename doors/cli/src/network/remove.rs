//! `network rm`: removes networks.

use std::io::{self, Write};

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `network rm`.
    RemoveArgs {
        /// A network that is not there is no failure
        force: Switch = long("force").short('f'),
    }
}

impl Command for RemoveArgs {
    const PATH: &'static str = "network rm";
    const USAGE: &'static str = "NETWORK [NETWORK...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let mut exit = Exit::Success;
        for name in &args {
            match engine.remove_network(name, self.force.is_on()) {
                Ok(Some(name)) => writeln!(ui.out(), "{name}")?,
                // Nothing was there, and nothing was done.
                Ok(None) => {}
                Err(error) => exit = ui.report(&error)?,
            }
        }
        Ok(exit)
    }
}
