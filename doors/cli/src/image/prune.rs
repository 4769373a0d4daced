//! `image prune`: removes images that nothing needs.

use std::io::{self, Write};

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, Switch, flags, long};
use crate::prompt;
use crate::render::human_size;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `image prune`.
    PruneArgs {
        /// All images that no container uses, not just those without a name
        all: Switch = long("all").short('a'),
        /// Only those that match (until=10m, label=KEY[=VALUE])
        filter: Filter = long("filter"),
        /// Do not ask
        force: Switch = long("force").short('f'),
    }
}

impl Command for PruneArgs {
    const PATH: &'static str = "image prune";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let all = self.all.is_on();
        let which = match all {
            true => "images without at least one container associated to them",
            false => "dangling images",
        };
        let question = format!("WARNING! This will remove all {which}.");
        if !self.force.is_on() && !prompt::confirm(&question, ui)? {
            return Ok(Exit::Success);
        }
        let filters = prompt::prune_filters(self.filter.0, &call.config());
        let pruned = match call.engine().and_then(|engine| engine.prune_images(all, &filters)) {
            Ok(pruned) => pruned,
            Err(error) => return ui.report(&error),
        };
        let mut out = ui.out();
        if !pruned.images.is_empty() {
            writeln!(out, "Deleted Images:")?;
            for step in &pruned.images {
                if let Some(name) = &step.untagged {
                    writeln!(out, "untagged: {name}")?;
                }
                if let Some(digest) = &step.deleted {
                    writeln!(out, "deleted: {digest}")?;
                }
            }
            writeln!(out)?;
        }
        writeln!(out, "Total reclaimed space: {}", human_size(pruned.reclaimed_bytes, 4))?;
        drop(out);
        if pruned.is_deferred {
            writeln!(
                ui.err(),
                "a build or a load is going on: space is given back by the next removal after it"
            )?;
        }
        Ok(Exit::Success)
    }
}
