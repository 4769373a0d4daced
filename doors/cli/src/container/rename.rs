//! `rename`: gives a container another name.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::flags::flags;
use crate::ui::{Exit, Ui};

flags! {
    /// `rename` has no flags.
    RenameArgs {}
}

impl Command for RenameArgs {
    const PATH: &'static str = "container rename";
    const USAGE: &'static str = "CONTAINER NEW_NAME";
    const ARGS: Arity = Arity::Exactly(2);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let [old, new] = args.as_slice() else { return Ok(Exit::Failure(1)) };
        let (old, new) = (old.trim(), new.trim());
        if old.is_empty() || new.is_empty() {
            return ui.fail("Error: Neither old nor new names may be empty");
        }
        match call.engine().and_then(|engine| engine.rename_container(old, new)) {
            Ok(()) => Ok(Exit::Success),
            Err(error) => {
                ui.report(&error)?;
                ui.fail(format_args!("Error: failed to rename container named {old}"))
            }
        }
    }
}
