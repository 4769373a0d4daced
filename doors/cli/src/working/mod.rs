//! Working containers: `from`, `run --working`, `copy`, `config`. `commit` and `rm` are those of
//! every container.
//!
//! The words are Buildah's; what differs is in docs/decisions/0009.

mod config;
mod copy;
mod events;
mod from;
mod run;

pub(crate) use config::ConfigArgs;
pub(crate) use copy::CopyArgs;
pub(crate) use from::FromArgs;
pub(crate) use run::{WorkingRunArgs, is_working_run};

use std::io;

use engine::{BuildFailure, BuildImage, Engine, EngineError, Growth};
use oci::Platform;

use crate::build::epoch_argument;
use crate::command::Call;
use crate::image::{Board, Stream, Way, pull};
use crate::ui::{Exit, Ui, chain};

/// Fetches images, and shows on standard error how that goes on: standard output is for names and
/// for what commands print.
fn fetcher<'a>(
    engine: &'a Engine,
    call: &'a Call<'_>,
    stream: Stream,
) -> impl Fn(&str, &Platform) -> Result<(), EngineError> + 'a {
    move |name, platform| {
        let board = Board::new(Way::Pull, stream);
        let platforms = engine::Platforms::These(vec![platform.clone()]);
        pull(engine, &call.registries(), name, platforms, &board).map(drop)
    }
}

/// Tells whoever waits why.
pub(crate) fn waiting(name: &str) {
    eprintln(&format!("Waiting for another command that works on {name}"));
}

fn eprintln(text: &str) {
    use std::io::Write;
    // What cannot be said is no reason not to go on.
    let _ = writeln!(Ui::default().err(), "{text}");
}

/// Does one instruction; the exit code is the command's, or 125.
fn grow(
    name: &str,
    growth: Growth,
    mut build: BuildImage,
    call: &Call<'_>,
    ui: &mut Ui,
) -> io::Result<Exit> {
    build.request.arguments.extend(epoch_argument());
    let engine = match call.engine() {
        Ok(engine) => engine,
        Err(error) => return failed(&error, ui),
    };
    let fetch = fetcher(&engine, call, Stream::Err);
    let told = || waiting(name);
    ui.flush()?;
    let done = engine.grow_working(name, growth, &build, &fetch, (&events::Through, &told));
    match done {
        Ok(()) => Ok(Exit::Success),
        Err(BuildFailure { error, .. }) => match *error {
            engine::BuildError::Exit { code, .. } => Ok(Exit::from_container(i32::from(code))),
            error => failed(&error, ui),
        },
    }
}

/// Something that is not the command's own failure.
fn failed(error: &dyn std::error::Error, ui: &mut Ui) -> io::Result<Exit> {
    ui.fail(format_args!("Error: {}", chain(error)))?;
    Ok(Exit::Failure(125))
}
