//! `build --call check`: what the linter says, and nothing is built.

use std::io::{self, Write};

use engine::Engine;

use super::call::{Called, pretty};
use super::failure::{self, Failed};
use super::wishes::Wanted;
use crate::command::Call;
use crate::image::{Board, Stream, Way, pull};
use crate::ui::{Exit, Ui};

/// Prints the findings; the exit code is 1 if there are any.
pub(super) fn run(
    called: Called,
    wanted: Wanted,
    engine: &Engine,
    call: &Call<'_>,
    ui: &mut Ui,
) -> io::Result<Exit> {
    let Wanted { mut build, platforms, file } = wanted;
    build.request.all_stages = true;
    build.request.platform = platforms.into_iter().next();
    let fetch = |name: &str, platform: &oci::Platform| {
        let board = Board::new(Way::Pull, Stream::Nowhere);
        let platforms = engine::Platforms::These(vec![platform.clone()]);
        pull(engine, &call.registries(), name, platforms, &board).map(drop)
    };
    let planned = match engine.plan_build(&build.request, &fetch, false) {
        Ok(planned) => planned,
        Err(error) => return failure::show(Failed { error, file: Some(file), output: None }, ui),
    };
    let mut warnings = planned.warnings;
    warnings.sort_by_key(|warning| warning.lines);
    let mut out = ui.out();
    let exit = match warnings.is_empty() || called.ignores_status {
        true => Exit::Success,
        false => Exit::Failure(1),
    };
    if called.json {
        let found = engine::warnings_json(&warnings, &file.name, &file.content);
        return pretty(&found, &mut out).map(|_| exit);
    }
    match warnings.len() {
        0 => writeln!(out, "Check complete, no warnings found.")?,
        1 => writeln!(out, "Check complete, 1 warning has been found!")?,
        count => writeln!(out, "Check complete, {count} warnings have been found!")?,
    }
    for warning in &warnings {
        write!(out, "\nWARNING: {}", warning.rule)?;
        if !warning.url.is_empty() {
            write!(out, " - {}", warning.url)?;
        }
        writeln!(out, "\n{}\n", warning.message)?;
        write!(out, "{}", dockerfile::show_source(&file.name, &file.content, warning.lines))?;
    }
    Ok(exit)
}
