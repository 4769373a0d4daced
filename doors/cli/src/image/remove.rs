//! `rmi`: removes images, or names of them.

use std::io::{self, Write};

use engine::{Kind, RemoveImage};

use crate::command::{Arity, Call, Command};
use crate::container::platforms;
use crate::flags::{Switch, Words, flags, long};
use crate::ui::{Exit, Ui, response};

flags! {
    /// Flags of `rmi`.
    RemoveArgs {
        /// Also if containers that do not run use it, and all names of an id at once
        force: Switch = long("force").short('f'),
        /// Without effect: no untagged parents are kept
        no_prune: Switch = long("no-prune"),
        /// Only the variants of a name for these platforms (os/arch[/variant])
        platform: Words = long("platform"),
    }
}

impl Command for RemoveArgs {
    const PATH: &'static str = "image rm";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let platforms = match platforms(&self.platform.0) {
            Ok(platforms) => platforms,
            Err(text) => return ui.fail(text),
        };
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let force = self.force.is_on();
        let mut failures = Vec::new();
        let mut failed = false;
        for image in args {
            match engine.remove_image(&RemoveImage { image, force, platforms: platforms.clone() }) {
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
