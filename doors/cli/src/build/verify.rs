//! `build --verify`: the same twice, or what differs.

use std::io::{self, Write};
use std::sync::atomic::AtomicBool;

use engine::{BuildFailure, Difference, Engine};

use super::args::fetcher;
use super::failure::{self, Failed};
use super::progress::Printer;
use super::wishes::Wanted;
use crate::command::Call;
use crate::ui::{Exit, Ui};

/// How many files of a step are named.
const SHOWN: usize = 20;

/// Builds twice for the first platform; the exit code is 1 if the two differ.
pub(super) fn run(
    wanted: Wanted,
    pull: bool,
    engine: &Engine,
    call: &Call<'_>,
    printer: Printer<'_>,
) -> io::Result<Exit> {
    let Wanted { mut build, platforms, file } = wanted;
    build.request.no_cache = true;
    build.request.platform = platforms.into_iter().next();
    let found = (|| -> Result<Vec<Difference>, BuildFailure> {
        let _lock = engine.lock_for_build().map_err(|error| BuildFailure {
            error: Box::new(engine::BuildError::Image {
                name: "cannot open the data directory".into(),
                source: Box::new(error),
            }),
            lines: None,
            step: None,
        })?;
        let fetch = fetcher(engine, call, &printer);
        let first = engine.plan_build(&build.request, &fetch, pull)?;
        let second = engine.plan_build(&build.request, &fetch, false)?;
        let stop = AtomicBool::new(false);
        printer.follow(|events| engine.verify_build(&build, (first, second), events, &stop))
    })();
    match found {
        Ok(found) => show(&found, printer.into_ui()),
        Err(error) => {
            let output = printer.last_failure();
            failure::show(Failed { error, file: Some(file), output }, printer.into_ui())
        }
    }
}

fn show(found: &[Difference], ui: &mut Ui) -> io::Result<Exit> {
    let mut out = ui.out();
    if found.is_empty() {
        writeln!(out, "Two builds gave the same.")?;
        return Ok(Exit::Success);
    }
    for difference in found {
        writeln!(out, "{}", difference.step)?;
        for file in difference.files.iter().take(SHOWN) {
            writeln!(out, "    {} ({})", file.path, file.what.join(", "))?;
        }
        if let Some(more) = difference.files.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            writeln!(out, "    and {more} more")?;
        }
    }
    let only_times =
        found.iter().flat_map(|difference| &difference.files).all(|file| file.what == ["time"]);
    if only_times {
        writeln!(
            out,
            "Only times differ: with --build-arg SOURCE_DATE_EPOCH=SECONDS they do not."
        )?;
    }
    Ok(Exit::Failure(1))
}
