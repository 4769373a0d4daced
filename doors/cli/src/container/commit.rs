//! `commit`: makes an image of what a container has become.

use std::io::{self, Write};

use engine::CommitContainer;

use crate::command::{Arity, Call, Command};
use crate::flags::{List, OnByDefault, Switch, Text, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `commit`.
    CommitArgs {
        /// Who made it (NAME <ADDRESS>)
        author: Text = long("author").short('a'),
        /// Apply a Dockerfile instruction (CMD, ENV, WORKDIR...)
        change: List = long("change").short('c'),
        /// Note for the history
        message: Text = long("message").short('m'),
        /// Let the container run meanwhile: its files may not fit together
        no_pause: Switch = long("no-pause"),
        /// Make one layer of all, those of the base too
        squash: Switch = long("squash"),
        /// Pause the container meanwhile, as is done unless this is false
        pause: OnByDefault = long("pause").short('p').hidden(),
    }
}

impl Command for CommitArgs {
    const PATH: &'static str = "container commit";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]";
    const ARGS: Arity = Arity::Between(1, 2);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let epoch = match epoch() {
            Ok(epoch) => epoch,
            Err(text) => return ui.fail(text),
        };
        let request = CommitContainer {
            container: args[0].clone(),
            name: args.get(1).cloned().unwrap_or_default(),
            author: self.author.text().to_owned(),
            message: self.message.text().to_owned(),
            changes: self.change.0,
            pause: self.pause.is_on() && !self.no_pause.is_on(),
            squash: self.squash.is_on(),
            epoch,
            waiting: Some(crate::working::waiting),
        };
        match call.engine().and_then(|engine| engine.commit_container(&request)) {
            Ok(id) => {
                writeln!(ui.out(), "{id}")?;
                Ok(Exit::Success)
            }
            Err(error) => ui.report(&error),
        }
    }
}

/// `SOURCE_DATE_EPOCH` of the environment: seconds since 1970.
fn epoch() -> Result<Option<oci::Timestamp>, String> {
    match crate::build::epoch_argument() {
        None => Ok(None),
        Some((_, text)) if text.is_empty() => Ok(None),
        Some((name, text)) => match text.parse() {
            Ok(seconds) => Ok(Some(oci::Timestamp::from_unix(seconds, 0))),
            Err(_) => Err(format!("invalid {name} {text:?}: seconds since 1970 are wanted")),
        },
    }
}
