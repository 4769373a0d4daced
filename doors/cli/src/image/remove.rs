//! `rmi`: removes images, or names of them.

use std::io::{self, Write};

use engine::{Kind, RemoveImage};

use crate::command::{Arity, Call, Command};
use crate::flags::{Refused, Switch, flags, long};
use crate::refused;
use crate::ui::{Exit, Ui, response};

flags! {
    /// Flags of `rmi`.
    RemoveArgs {
        /// Also if containers that do not run use it, and all names of an id at once
        force: Switch = long("force").short('f'),
        /// Without effect: no untagged parents are kept
        no_prune: Switch = long("no-prune"),
        /// Only the variant for a platform
        platform: Refused = long("platform").refused(refused::VARIANTS, &[""]),
    }
}

impl Command for RemoveArgs {
    const PATH: &'static str = "image rm";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let force = self.force.is_on();
        let mut failures = Vec::new();
        let mut failed = false;
        for image in args {
            match engine.remove_image(&RemoveImage { image, force }) {
                Ok(steps) => {
                    for step in steps {
                        if let Some(name) = step.untagged {
                            writeln!(ui.out(), "Untagged: {name}")?;
                        }
                        if let Some(digest) = step.deleted {
                            writeln!(ui.out(), "Deleted: {digest}")?;
                        }
                    }
                }
                Err(error) => {
                    // What should be gone and is gone is told, and is no failure.
                    failed |= !(force && error.kind() == Kind::NotFound);
                    failures.push(response(&error));
                }
            }
        }
        for failure in &failures {
            ui.fail(failure)?;
        }
        Ok(if failed { Exit::Failure(1) } else { Exit::Success })
    }
}
