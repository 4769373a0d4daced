//! `tag`: gives an image one more name.

use std::io;

use crate::command::{Arity, Call, Command};
use crate::flags::flags;
use crate::text::quote;
use crate::ui::{Exit, Ui};

flags! {
    /// `tag` has no flags.
    TagArgs {}
}

impl Command for TagArgs {
    const PATH: &'static str = "image tag";
    const USAGE: &'static str = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";
    const ARGS: Arity = Arity::Exactly(2);
    const INTERSPERSED: bool = false;

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let [source, target] = args.as_slice() else { return Ok(Exit::Failure(1)) };
        if let Err(error) = target.parse::<oci::Reference>() {
            let target = quote(target);
            return ui.fail(format_args!(
                "Error parsing reference: {target} is not a valid repository/tag: {error}"
            ));
        }
        match call.engine().and_then(|engine| engine.tag_image(source, target)) {
            Ok(()) => Ok(Exit::Success),
            Err(error) => ui.report(&error),
        }
    }
}
