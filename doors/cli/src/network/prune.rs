//! `network prune`: removes networks that no container uses.

use std::io::{self, Write};

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, Switch, flags, long};
use crate::prompt;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `network prune`.
    PruneArgs {
        /// Only those that match (until=24h, label=KEY[=VALUE])
        filter: Filter = long("filter"),
        /// Do not ask
        force: Switch = long("force").short('f'),
    }
}

impl Command for PruneArgs {
    const PATH: &'static str = "network prune";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let question = "WARNING! This will remove all custom networks not used by at least one \
                        container.";
        if !self.force.is_on() && !prompt::confirm(question, ui)? {
            return Ok(Exit::Success);
        }
        let filters = prompt::prune_filters(self.filter.0, &call.config());
        match call.engine().and_then(|engine| engine.prune_networks(&filters)) {
            Ok(names) => {
                if !names.is_empty() {
                    writeln!(ui.out(), "Deleted Networks:\n{}\n", names.join("\n"))?;
                }
                Ok(Exit::Success)
            }
            Err(error) => ui.report(&error),
        }
    }
}
