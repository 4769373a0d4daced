//! `logout`: forgets what is kept for a registry.

use std::io::{self, Write};

use engine::Registries;

use crate::command::{Arity, Call, Command};
use crate::flags::flags;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `logout`.
    LogoutArgs {}
}

impl Command for LogoutArgs {
    const PATH: &'static str = "logout";
    const USAGE: &'static str = "[SERVER]";
    const ARGS: Arity = Arity::AtMost(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let server = args.into_iter().next().unwrap_or_default();
        let registry = match Registries::registry_name(&server) {
            Ok(registry) => registry,
            Err(error) => return ui.report(&error),
        };
        // Docker's own registry has the name of its old index here.
        let shown = match registry.as_str() {
            "docker.io" => "https://index.docker.io/v1/",
            other => other,
        };
        match call.registries().logout(&registry) {
            Ok(true) => writeln!(ui.out(), "Removing login credentials for {shown}")?,
            Ok(false) => writeln!(ui.out(), "Not logged in to {shown}")?,
            Err(error) => return ui.report(&error),
        }
        Ok(Exit::Success)
    }
}
