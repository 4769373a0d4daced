//! `from`: makes a working container, and prints its name.

use std::io::{self, Write};

use engine::CreateWorking;

use super::fetcher;
use crate::command::{Arity, Call, Command};
use crate::container::platform;
use crate::flags::{Switch, Text, flags, long};
use crate::image::Stream;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `from`.
    FromArgs {
        /// Name the container (IMAGE-working-container if not given)
        name: Text = long("name"),
        /// Platform of the image (os/arch[/variant])
        platform: Text = long("platform"),
        /// When to fetch the image: missing, always or never
        pull: Text = long("pull"),
        /// Show nothing while the image is fetched
        quiet: Switch = long("quiet").short('q'),
    }
}

impl Command for FromArgs {
    const PATH: &'static str = "from";
    const USAGE: &'static str = "[OPTIONS] IMAGE|scratch";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let platform = match platform(self.platform.as_deref()) {
            Ok(platform) => platform,
            Err(text) => return ui.fail(text),
        };
        let request = CreateWorking {
            name: self.name.0.filter(|name| !name.is_empty()),
            image: args[0].clone(),
            platform,
        };
        let (always, never) = match self.pull.as_deref().unwrap_or("missing") {
            "missing" => (false, false),
            "always" => (true, false),
            "never" => (false, true),
            other => {
                return ui.fail(format_args!(
                    "invalid value {other:?} of --pull: missing, always or never"
                ));
            }
        };
        let stream = if self.quiet.is_on() { Stream::Nowhere } else { Stream::Err };
        ui.flush()?;
        let made = call.engine().and_then(|engine| {
            let fetch = fetcher(&engine, call, stream);
            let fetch = |name: &str, platform: &oci::Platform| match never {
                true => Err(engine::EngineError::NoImage { name: name.to_owned() }),
                false => fetch(name, platform),
            };
            engine.create_working(&request, &fetch, always)
        });
        match made {
            Ok(created) => {
                writeln!(ui.out(), "{}", created.name)?;
                Ok(Exit::Success)
            }
            Err(error) => ui.report(&error),
        }
    }
}
