//! `push`: sends an image, or all tags of a repository, to its registry.

use std::io::{self, Write};

use engine::{EngineError, PushImage};

use super::board::{Board, Stream, Way};
use crate::command::{Arity, Call, Command};
use crate::container::platform;
use crate::flags::{RefusedSwitch, Switch, Text, flags, long};
use crate::refused;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `push`.
    PushArgs {
        /// Send all tags that the repository has here
        all_tags: Switch = long("all-tags").short('a'),
        /// Sign with Docker Content Trust
        disable_content_trust: RefusedSwitch =
            long("disable-content-trust").hidden().refused(refused::CONTENT_TRUST, &["true"]),
        /// Platform that the image must be for (os/arch[/variant])
        platform: Text = long("platform"),
        /// Only say which image was sent
        quiet: Switch = long("quiet").short('q'),
    }
}

impl Command for PushArgs {
    const PATH: &'static str = "image push";
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG]";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let image = args.into_iter().next().unwrap_or_default();
        let platform = match platform(Some(self.platform.text())) {
            Ok(platform) => platform,
            Err(text) => return ui.fail(text),
        };
        let quiet = self.quiet.is_on();
        let registries = call.registries();
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let all = self.all_tags.is_on();
        let names = match all {
            false => vec![image.clone()],
            true => match engine.local_tags(&image) {
                Ok(names) => names,
                Err(EngineError::Invalid { message }) => return ui.fail(message),
                Err(error) => return ui.report(&error),
            },
        };
        let reference = image.parse::<oci::Reference>();
        let board = Board::new(Way::Push, if quiet { Stream::Nowhere } else { Stream::Out });
        if let Ok(name) = &reference {
            if !all && name.tag().is_none() && name.digest().is_none() {
                board.line("Using default tag: latest");
            }
            board.line(&format!("The push refers to repository [{}]", name.repository()));
        }
        for name in names {
            let request = PushImage { image: name.clone(), platform: platform.clone() };
            let pushed = match engine.push_image(&registries, &request, &board) {
                Ok(pushed) => pushed,
                // Docker's client prints these as they are.
                Err(error @ EngineError::NoTag { .. }) => return ui.fail(error),
                Err(error) => return ui.report(&error),
            };
            if pushed.is_partial {
                board.line(
                    "Not all of the image's platforms are here: one was sent, without the index \
                     (`pull --platform all` brings the others)",
                );
            }
            let tag = name
                .parse::<oci::Reference>()
                .ok()
                .and_then(|name| name.with_default_tag().tag().map(str::to_owned));
            board.line(&format!(
                "{}: digest: {} size: {}",
                tag.unwrap_or_default(),
                pushed.digest,
                pushed.size_bytes
            ));
        }
        if quiet {
            let name = match (reference, all) {
                (Ok(name), false) => name.with_default_tag().to_string(),
                (Ok(name), true) => name.to_string(),
                (Err(_), _) => image,
            };
            writeln!(ui.out(), "{name}")?;
        }
        Ok(Exit::Success)
    }
}
