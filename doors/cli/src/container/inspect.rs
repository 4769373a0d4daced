//! `container inspect`: prints all about containers.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, Text, flags, long};
use crate::inspect::inspect;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `container inspect`.
    InspectArgs {
        /// Print with a Go template, or `json`
        format: Text = long("format").short('f'),
        /// Count the bytes that the container has written too
        size: Switch = long("size").short('s'),
    }
}

impl Command for InspectArgs {
    const PATH: &'static str = "container inspect";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let size = self.size.is_on();
        inspect(&args, self.format.text(), ui, |name, inspector, _| {
            let container = engine
                .inspect_container(name, size)
                .map_err(|error| crate::ui::response(&error))?;
            inspector.add(&container)
        })
    }
}
