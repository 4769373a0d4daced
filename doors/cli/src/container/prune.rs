//! `container prune`: removes all containers that do not run.

use std::io::{self, Write};

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, Switch, flags, long};
use crate::prompt;
use crate::render::human_size;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `container prune`.
    PruneArgs {
        /// Only those that match (until=10m, label=KEY[=VALUE])
        filter: Filter = long("filter"),
        /// Do not ask
        force: Switch = long("force").short('f'),
    }
}

impl Command for PruneArgs {
    const PATH: &'static str = "container prune";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let question = "WARNING! This will remove all stopped containers.";
        if !self.force.is_on() && !prompt::confirm(question, ui)? {
            return Ok(Exit::Success);
        }
        let filters = prompt::prune_filters(self.filter.0, &call.config());
        let (ids, bytes) = match call.engine().and_then(|engine| engine.prune_containers(&filters))
        {
            Ok(pruned) => pruned,
            Err(error) => return ui.report(&error),
        };
        let mut out = ui.out();
        if !ids.is_empty() {
            writeln!(out, "Deleted Containers:\n{}\n", ids.join("\n"))?;
        }
        writeln!(out, "Total reclaimed space: {}", human_size(bytes, 4))?;
        Ok(Exit::Success)
    }
}
