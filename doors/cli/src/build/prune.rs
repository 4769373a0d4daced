//! `builder prune`: forgets what builds have done.

use std::io::{self, Write};

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, Refused, Switch, flags, long};
use crate::prompt;
use crate::render::human_size;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `builder prune`.
    PruneArgs {
        /// Cache mounts too
        all: Switch = long("all").short('a'),
        /// Choose what to forget (until=DURATION)
        filter: Filter = long("filter"),
        /// Ask nothing
        force: Switch = long("force").short('f'),
        /// Keep this much
        keep_storage: Refused = long("keep-storage")
            .later("the size of the build cache is not kept below a bound", &["0"]),
    }
}

impl Command for PruneArgs {
    const PATH: &'static str = "builder prune";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let what = match self.all.is_on() {
            true => "all build cache, and what cache mounts hold",
            false => "all build cache",
        };
        let question = format!("WARNING! This will remove {what}.");
        if !self.force.is_on() && !prompt::confirm(&question, ui)? {
            return Ok(Exit::Success);
        }
        let filters = prompt::prune_filters(self.filter.0, &call.config());
        match call.engine().and_then(|engine| engine.prune_builds(&filters, self.all.is_on())) {
            Ok(pruned) => {
                writeln!(ui.out(), "Total:\t{}", human_size(pruned.bytes, 4))?;
                Ok(Exit::Success)
            }
            Err(error) => ui.report(&error),
        }
    }
}
