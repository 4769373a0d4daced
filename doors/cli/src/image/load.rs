//! `load`: takes in images from an archive.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use engine::LoadImages;

use crate::attach::is_terminal;
use crate::command::{Arity, Call, Command};
use crate::container::platforms;
use crate::files;
use crate::flags::{Switch, Text, Words, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `load`.
    LoadArgs {
        /// Archive to read; standard input if not given or `-`
        input: Text = long("input").short('i'),
        /// Only images for these platforms (os/arch[/variant])
        platform: Words = long("platform"),
        /// Only say which images there are now
        quiet: Switch = long("quiet").short('q'),
    }
}

impl Command for LoadArgs {
    const PATH: &'static str = "image load";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let platforms = match platforms(&self.platform.0) {
            Ok(platforms) => platforms,
            Err(text) => return ui.fail(text),
        };
        let mut input: Box<dyn Read + Send> = match self.input.text() {
            "" | "-" => {
                if is_terminal(io::stdin().as_fd()) {
                    return ui.fail("requested load from stdin, but stdin is empty");
                }
                Box::new(io::stdin())
            }
            path => match File::open(path) {
                Ok(file) => Box::new(file),
                Err(error) => return ui.fail(files::failed("open", path, &error)),
            },
        };
        let request = LoadImages { platforms };
        let loaded = match call.engine().and_then(|e| e.load_images(&mut *input, &request)) {
            Ok(loaded) => loaded,
            Err(error) => return ui.report(&error),
        };
        for image in loaded {
            if let (Some(name), Some(old)) = (&image.name, &image.replaced) {
                writeln!(
                    ui.out(),
                    "The image {name} already exists, renaming the old one with ID {old} to empty string"
                )?
            }
            match &image.name {
                Some(name) => writeln!(ui.out(), "Loaded image: {name}")?,
                None => writeln!(ui.out(), "Loaded image ID: {}", image.id)?,
            }
        }
        Ok(Exit::Success)
    }
}
