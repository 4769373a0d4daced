//! `pull`: fetches an image, or all of a repository.

use std::io::{self, Write};

use engine::{Engine, EngineError, Platforms, PullImage, PulledImage, Registries};
use oci::Platform;

use super::board::{Board, Stream, Way};
use crate::command::{Arity, Call, Command};
use crate::container::{platform, platforms};
use crate::flags::{RefusedSwitch, Switch, Text, flags, long};
use crate::refused;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `pull`.
    PullArgs {
        /// Fetch all tags of the repository
        all_tags: Switch = long("all-tags").short('a'),
        /// Verify signatures of Docker Content Trust
        disable_content_trust: RefusedSwitch =
            long("disable-content-trust").hidden().refused(refused::CONTENT_TRUST, &["true"]),
        /// Platforms that the image must be for (os/arch[/variant], with commas; or all)
        platform: Text = long("platform"),
        /// Only say which image there is now
        quiet: Switch = long("quiet").short('q'),
    }
}

impl Command for PullArgs {
    const PATH: &'static str = "image pull";
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG|@DIGEST]";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let image = args.into_iter().next().unwrap_or_default();
        let platforms = match wanted(self.platform.as_deref()) {
            Ok(platforms) => platforms,
            Err(text) => return ui.fail(text),
        };
        let quiet = self.quiet.is_on();
        let registries = call.registries();
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let board = Board::new(Way::Pull, if quiet { Stream::Nowhere } else { Stream::Out });
        if !self.all_tags.is_on() {
            let name = image.parse::<oci::Reference>();
            if name.is_ok_and(|name| name.tag().is_none() && name.digest().is_none()) {
                board.line("Using default tag: latest");
            }
            return match pull(&engine, &registries, &image, platforms, &board) {
                Ok(pulled) => {
                    writeln!(ui.out(), "{}", pulled.name)?;
                    Ok(Exit::Success)
                }
                Err(error) => ui.report(&error),
            };
        }
        let names = match registries.tags(&image) {
            Ok(names) => names,
            Err(EngineError::Invalid { message }) => return ui.fail(message),
            Err(error) => return ui.report(&error),
        };
        let mut any_new = false;
        for name in names {
            let request = PullImage { image: name.clone(), platforms: platforms.clone() };
            board.line(&heading(&name));
            match engine.pull_image(&registries, &request, &board) {
                Ok(pulled) => {
                    any_new |= pulled.is_new;
                    board.line(&format!("Digest: {}", pulled.digest));
                }
                Err(error) => return ui.report(&error),
            }
        }
        board.line(&status(any_new, &image));
        let name = image.parse::<oci::Reference>().map_or(image, |name| name.to_string());
        writeln!(ui.out(), "{name}")?;
        Ok(Exit::Success)
    }
}

/// What `--platform`, or else `DOCKER_DEFAULT_PLATFORM`, asks for.
fn wanted(text: Option<&str>) -> Result<Platforms, String> {
    match text {
        Some("all") => Ok(Platforms::All),
        Some(text) if !text.is_empty() => {
            platforms(std::slice::from_ref(&text.to_owned())).map(Platforms::These)
        }
        _ => platform(text).map(of),
    }
}

/// One platform, or the machine's own.
pub(crate) fn of(platform: Option<Platform>) -> Platforms {
    platform.map_or(Platforms::Host, |platform| Platforms::These(vec![platform]))
}

/// Pulls one image and shows it on a board, in Docker's words.
pub(crate) fn pull(
    engine: &Engine,
    registries: &Registries,
    image: &str,
    platforms: Platforms,
    board: &Board,
) -> Result<PulledImage, EngineError> {
    if image.parse::<oci::Reference>().is_ok() {
        board.line(&heading(image));
    }
    let request = PullImage { image: image.to_owned(), platforms };
    let pulled = engine.pull_image(registries, &request, board)?;
    board.line(&format!("Digest: {}", pulled.digest));
    board.line(&status(pulled.is_new, &pulled.familiar));
    Ok(pulled)
}

/// `12: Pulling from library/debian`
fn heading(image: &str) -> String {
    let Ok(reference) = image.parse::<oci::Reference>() else { return image.to_owned() };
    let reference = reference.with_default_tag();
    let wanted = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => reference.with_digest(digest.clone()).to_string(),
        (None, tag) => tag.unwrap_or_default().to_owned(),
    };
    format!("{wanted}: Pulling from {}", reference.path())
}

fn status(is_new: bool, image: &str) -> String {
    match is_new {
        true => format!("Status: Downloaded newer image for {image}"),
        false => format!("Status: Image is up to date for {image}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_dockers() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, want) in [
            ("debian", "latest: Pulling from library/debian".to_owned()),
            ("localhost:5000/x/y:1", "1: Pulling from x/y".to_owned()),
            (
                &format!("debian@{digest}"),
                format!("docker.io/library/debian@{digest}: Pulling from library/debian"),
            ),
        ] {
            assert_eq!(heading(image), want);
        }
    }
}
