//! `network disconnect`: takes a container out of a network.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `network disconnect`.
    DisconnectArgs {
        /// A container that is not in the network is no failure
        force: Switch = long("force").short('f'),
    }
}

impl Command for DisconnectArgs {
    const PATH: &'static str = "network disconnect";
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";
    const ARGS: Arity = Arity::Exactly(2);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let disconnected = call
            .engine()
            .and_then(|engine| engine.disconnect_network(&args[0], &args[1], self.force.is_on()));
        match disconnected {
            Ok(()) => Ok(Exit::Success),
            Err(error) => ui.report(&error),
        }
    }
}
