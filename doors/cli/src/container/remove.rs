//! `rm`: removes containers.

use std::io;

use engine::{Engine, Kind, RemoveContainer};

use crate::command::{Arity, Call, Command};
use crate::flags::{RefusedSwitch, Switch, flags, long};
use crate::refused;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `rm`.
    RemoveArgs {
        /// Kill the container first if it runs
        force: Switch = long("force").short('f'),
        /// Remove a link
        link: RefusedSwitch = long("link").short('l').refused(refused::LINKS, &["false"]),
        /// Remove its anonymous volumes too
        volumes: Switch = long("volumes").short('v'),
    }
}

impl Command for RemoveArgs {
    const PATH: &'static str = "container rm";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let (force, volumes) = (self.force.is_on(), self.volumes.is_on());
        if args.iter().any(|name| name.trim_matches('/').is_empty()) {
            return ui.fail("container name cannot be empty");
        }
        let remove = |engine: &Engine, name: &str| {
            let container = name.trim_matches('/').to_owned();
            engine.remove_container(&RemoveContainer { container, force, volumes }).map(|_| ())
        };
        super::all_at_once(
            &args,
            ui,
            || call.engine(),
            remove,
            |error, ui| {
                let exit = ui.report(error)?;
                // What should be gone and is gone is told, and is no failure.
                let gone = force && error.kind() == Kind::NotFound;
                Ok(if gone { Exit::Success } else { exit })
            },
        )
    }
}
