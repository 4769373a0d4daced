//! `attach`: connects this terminal to a running container's streams.

use std::io;
use std::os::fd::AsFd;

use engine::Attach;

use super::run::{NO_TERMINAL, finish};
use crate::attach::{self, DetachKeys, Outcome, Plan};
use crate::command::{Arity, Call, Command};
use crate::flags::{OnByDefault, Switch, Text, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `attach`.
    AttachArgs {
        /// Keys that leave the container
        detach_keys: Text = long("detach-keys"),
        /// Do not attach to stdin
        no_stdin: Switch = long("no-stdin"),
        /// Pass signals on to the container
        sig_proxy: OnByDefault = long("sig-proxy"),
    }
}

impl Command for AttachArgs {
    const PATH: &'static str = "container attach";
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let name = args.first().map_or("", String::as_str);
        let keys = self.detach_keys.0.filter(|keys| !keys.is_empty());
        let keys = keys.unwrap_or_else(|| call.config().detach_keys);
        let detach_keys = match DetachKeys::parse(&keys) {
            Ok(keys) => keys,
            Err(text) => return ui.fail(text),
        };
        let found =
            call.engine().and_then(|engine| Ok((engine.inspect_container(name, false)?, engine)));
        let (container, engine) = match found {
            Ok(found) => found,
            Err(error) => return ui.report(&error),
        };
        if !container.state.running {
            return ui.fail("You cannot attach to a stopped container, start it first");
        } else if container.state.paused {
            return ui.fail("You cannot attach to a paused container, unpause it first");
        }
        let tty = container.config.tty;
        let stdin = !self.no_stdin.is_on() && container.config.open_stdin;
        if tty && !self.no_stdin.is_on() && !attach::is_terminal(io::stdin().as_fd()) {
            return ui.fail(NO_TERMINAL);
        }
        let streams = Attach { stdin, stdout: true, stderr: true };
        let session = match engine.attach_container(&container.id, streams) {
            Ok(session) => session,
            Err(error) => return ui.report(&error),
        };
        ui.flush()?;
        let plan = Plan {
            stdin,
            stdout: true,
            stderr: true,
            tty,
            detach_keys,
            forward_signals: self.sig_proxy.is_on() && !tty,
            redraw: true,
        };
        match attach::attach(session, &plan)? {
            Outcome::Detached => ui.fail("read escape sequence"),
            outcome => finish(outcome, ui),
        }
    }
}
