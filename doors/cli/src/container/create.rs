//! `create`: makes a container without starting it.

use std::io::{self, Write};

use engine::{CreateContainer, Engine, EngineError, PullPolicy};

use super::options::CreateArgs;
use crate::command::{Arity, Call, Command};
use crate::files::CidFile;
use crate::image::{Board, Stream, Way, pull};
use crate::ui::{Exit, Ui};

impl Command for CreateArgs {
    const PATH: &'static str = "container create";
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const ARGS: Arity = Arity::AtLeast(1);
    const INTERSPERSED: bool = false;

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let quiet = self.0.quiet.is_on();
        let request = match self.0.into_request(args, &call.config()) {
            Ok(request) => request,
            Err(text) => return call.fail_with_help(&text, 125, ui),
        };
        let mut cid_file = match cid_file(&request.host.container_id_file) {
            Ok(file) => file,
            Err(text) => return ui.fail(text),
        };
        let made = call.engine().and_then(|engine| {
            fetching(&engine, &request, quiet, call, ui, |engine| engine.create_container(&request))
        });
        let created = match made {
            Ok(created) => created,
            Err(error) => return ui.report(&error),
        };
        for warning in &created.warnings {
            writeln!(ui.err(), "WARNING: {warning}")?;
        }
        if let Some(file) = &mut cid_file {
            file.write(&created.id)?;
        }
        writeln!(ui.out(), "{}", created.id)?;
        Ok(Exit::Success)
    }
}

/// Makes a container with `make`, and fetches its image before or between as the policy says.
///
/// How that goes on is shown on standard error, since standard output is the container's.
pub(crate) fn fetching<T>(
    engine: &Engine,
    request: &CreateContainer,
    quiet: bool,
    call: &Call<'_>,
    ui: &mut Ui,
    mut make: impl FnMut(&Engine) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let image = &request.config.image;
    let fetch = |ui: &mut Ui| {
        // Nothing that was gathered may come behind what the board writes.
        let _ = ui.flush();
        let stream = if quiet { Stream::Nowhere } else { Stream::Err };
        let board = Board::new(Way::Pull, stream);
        pull(engine, &call.registries(), image, crate::image::of(request.platform.clone()), &board)
            .map(drop)
    };
    if request.pull == PullPolicy::Always {
        fetch(ui)?;
    }
    match make(engine) {
        Err(error @ EngineError::NoLocalImage { .. }) => {
            if !quiet {
                // What cannot be said is no reason not to go on.
                let _ = writeln!(ui.err(), "{error}");
            }
            if let Err(error) = fetch(ui) {
                if !quiet {
                    let _ = writeln!(ui.err(), "{WITHOUT_REGISTRY}");
                }
                return Err(error);
            }
            make(engine)
        }
        other => other,
    }
}

/// What helps when there is no registry, or not with this image.
const WITHOUT_REGISTRY: &str = "An image can also be brought in from a file: see `kista load --help` and `kista import --help`";

/// The file of `--cidfile`, if there is to be one.
pub(crate) fn cid_file(path: &str) -> Result<Option<CidFile>, String> {
    if path.is_empty() { Ok(None) } else { CidFile::create(path).map(Some) }
}
