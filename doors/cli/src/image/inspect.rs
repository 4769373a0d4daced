//! `image inspect`: prints all about images.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::container::platform;
use crate::flags::{Text, flags, long};
use crate::inspect::inspect;
use crate::ui::{Exit, Ui, response};

flags! {
    /// Flags of `image inspect`.
    InspectArgs {
        /// Print with a Go template, or `json`
        format: Text = long("format").short('f'),
        /// Platform that the image must be for (os/arch[/variant])
        platform: Text = long("platform"),
    }
}

impl Command for InspectArgs {
    const PATH: &'static str = "image inspect";
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        // The default platform of other commands has no say here.
        let platform = match platform(Some(self.platform.text())) {
            Ok(platform) => platform,
            Err(text) => return ui.fail(text),
        };
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        inspect(&args, self.format.text(), ui, |name, inspector, _| {
            let image = engine.inspect_image(name, platform.as_ref());
            inspector.add(&image.map_err(|error| response(&error))?)
        })
    }
}
