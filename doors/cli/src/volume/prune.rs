//! `volume prune`: removes volumes that no container uses.

use std::io::{self, Write};

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, Switch, flags, long};
use crate::prompt;
use crate::render::human_size;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `volume prune`.
    PruneArgs {
        /// Those with a name too
        all: Switch = long("all").short('a'),
        /// Only those that match (label=KEY[=VALUE])
        filter: Filter = long("filter"),
        /// Do not ask
        force: Switch = long("force").short('f'),
    }
}

impl Command for PruneArgs {
    const PATH: &'static str = "volume prune";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let all = self.all.is_on();
        if all && self.filter.0.0.contains_key("all") {
            return ui.fail("conflicting options: cannot specify both --all and --filter all=1");
        }
        let which = if all { "local" } else { "anonymous local" };
        let question = format!(
            "WARNING! This will remove {which} volumes not used by at least one container."
        );
        let question = if all { question.replace("remove", "remove all") } else { question };
        if !self.force.is_on() && !prompt::confirm(&question, ui)? {
            return Ok(Exit::Success);
        }
        let filters = prompt::prune_filters(self.filter.0, &call.config());
        let pruned = call.engine().and_then(|engine| engine.prune_volumes(all, &filters));
        let (names, bytes) = match pruned {
            Ok(pruned) => pruned,
            Err(error) => return ui.report(&error),
        };
        let mut out = ui.out();
        if !names.is_empty() {
            writeln!(out, "Deleted Volumes:\n{}\n", names.join("\n"))?;
        }
        writeln!(out, "Total reclaimed space: {}", human_size(bytes, 4))?;
        Ok(Exit::Success)
    }
}
