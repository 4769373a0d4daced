//! `volume inspect`: prints all about volumes.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::flags::{Text, flags, long};
use crate::inspect::inspect;
use crate::ui::{Exit, Ui, response};

flags! {
    /// Flags of `volume inspect`.
    InspectArgs {
        /// Print with a Go template, or `json`
        format: Text = long("format").short('f'),
    }
}

impl Command for InspectArgs {
    const PATH: &'static str = "volume inspect";
    const USAGE: &'static str = "[OPTIONS] VOLUME [VOLUME...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        inspect(&args, self.format.text(), ui, |name, inspector, _| {
            inspector.add(&engine.inspect_volume(name).map_err(|error| response(&error))?)
        })
    }
}
