//! `network inspect`: prints all about networks.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, Text, flags, long};
use crate::inspect::inspect;
use crate::ui::{Exit, Ui, response};

flags! {
    /// Flags of `network inspect`.
    InspectArgs {
        /// Print with a Go template, or `json`
        format: Text = long("format").short('f'),
        /// Print what a swarm knows too, which is nothing
        verbose: Switch = long("verbose").short('v'),
    }
}

impl Command for InspectArgs {
    const PATH: &'static str = "network inspect";
    const USAGE: &'static str = "[OPTIONS] NETWORK [NETWORK...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        inspect(&args, self.format.text(), ui, |name, inspector, _| {
            inspector.add(&engine.inspect_network(name).map_err(|error| response(&error))?)
        })
    }
}
