//! `import`: makes an image of a root file system in a tar archive.

use std::fs::File;
use std::io::{self, Read, Write};

use engine::ImportImage;

use crate::command::{Arity, Call, Command};
use crate::container::platform;
use crate::files;
use crate::flags::{List, Text, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `import`.
    ImportArgs {
        /// Apply a Dockerfile instruction (CMD, ENV, WORKDIR...)
        change: List = long("change").short('c'),
        /// Note for the history
        message: Text = long("message").short('m'),
        /// Platform that the file system is for (os/arch[/variant])
        platform: Text = long("platform"),
    }
}

impl Command for ImportArgs {
    const PATH: &'static str = "image import";
    const USAGE: &'static str = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let source = args.first().map_or("", String::as_str);
        if source.starts_with("http://") || source.starts_with("https://") {
            return ui.fail(format_args!(
                "importing from a URL is not supported yet: fetch it, and import the file or \
                 standard input: `curl -fL {source} | kista import -`"
            ));
        }
        let platform = match platform(self.platform.as_deref()) {
            Ok(platform) => platform,
            Err(text) => return ui.fail(text),
        };
        let mut input: Box<dyn Read + Send> = match source {
            "-" => Box::new(io::stdin()),
            path => match File::open(path) {
                Ok(file) => Box::new(file),
                Err(error) => return ui.fail(files::failed("open", path, &error)),
            },
        };
        let request = ImportImage {
            reference: args.get(1).cloned().filter(|name| !name.is_empty()),
            changes: self.change.0,
            message: self.message.text().to_owned(),
            platform,
            source: source.to_owned(),
        };
        match call.engine().and_then(|engine| engine.import_image(&mut *input, &request)) {
            Ok(id) => {
                writeln!(ui.out(), "{id}")?;
                Ok(Exit::Success)
            }
            Err(error) => ui.report(&error),
        }
    }
}
