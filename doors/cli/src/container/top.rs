//! `top`: shows the processes of a container.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::flags::flags;
use crate::render::Table;
use crate::ui::{Exit, Ui};

flags! {
    /// `top` has no flags: what follows the container is for ps(1).
    TopArgs {}
}

impl Command for TopArgs {
    const PATH: &'static str = "container top";
    const USAGE: &'static str = "CONTAINER [ps OPTIONS]";
    const ARGS: Arity = Arity::AtLeast(1);
    const INTERSPERSED: bool = false;

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let [container, ps @ ..] = args.as_slice() else { return Ok(Exit::Failure(1)) };
        let top = match call.engine().and_then(|engine| engine.top_container(container, ps)) {
            Ok(top) => top,
            Err(error) => return ui.report(&error),
        };
        let mut table = Table::new(20, 3);
        table.push(&top.titles.join("\t"));
        top.processes.iter().for_each(|process| table.push(&process.join("\t")));
        table.print(&mut ui.out())?;
        Ok(Exit::Success)
    }
}
