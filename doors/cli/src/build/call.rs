//! `build --call`: what a Dockerfile says of itself, and nothing is built.
//!
//! Tables and JSON are those of buildx: BuildKit's subrequests, version 1.0.0.

use std::io::{self, Write};

use engine::{BuildFailure, Engine, Outline, Target};

use super::check;
use super::failure::{self, Failed};
use super::wishes::Wanted;
use crate::command::Call;
use crate::image::{Board, Stream, Way, pull};
use crate::ui::{Exit, Ui};

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// What the linter says.
    Check,
    /// What the target takes.
    Outline,
    /// The targets.
    Targets,
    /// What can be called.
    Describe,
}

/// `--call`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Called {
    pub(super) method: Method,
    pub(super) json: bool,
    /// The exit code says nothing of what was found.
    pub(super) ignores_status: bool,
}

/// What can be called, and what it is for.
const METHODS: [(&str, &str); 4] = [
    ("outline", "List all parameters current build target supports"),
    ("targets", "List all targets current build supports"),
    ("lint", "Lint a Dockerfile"),
    ("subrequests.describe", "List available subrequest types"),
];
/// The version of all of them.
const VERSION: &str = "1.0.0";

impl Called {
    /// Reads `METHOD[,format=json|text][,ignorestatus=true]`; `None` for a build.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let (mut name, mut json, mut ignores_status) = (String::new(), false, false);
        for field in dockerfile::csv_fields(text)? {
            match field.split_once('=') {
                None if name.is_empty() => name = field,
                None => return Err(format!("invalid print value: {text}")),
                Some(("format", "json")) => json = true,
                Some(("format", "" | "text")) => json = false,
                Some(("ignorestatus", value)) => {
                    ignores_status = super::outputs::boolean(value)
                        .ok_or_else(|| format!("invalid ignorestatus print value: {value}"))?;
                }
                Some(_) => return Err(format!("invalid print field: {field}")),
            }
        }
        let method = match name.as_str() {
            "" | "build" => return Ok(None),
            "check" | "lint" => Method::Check,
            "outline" => Method::Outline,
            "targets" => Method::Targets,
            "subrequests.describe" => Method::Describe,
            other => {
                return Err(format!(
                    "unknown method {other:?} for --call: build, check, outline, targets and \
                     subrequests.describe are there"
                ));
            }
        };
        Ok(Some(Self { method, json, ignores_status }))
    }
}

/// Calls it.
pub(super) fn run(
    called: Called,
    wanted: Wanted,
    engine: &Engine,
    call: &Call<'_>,
    ui: &mut Ui,
) -> io::Result<Exit> {
    match called.method {
        Method::Check => check::run(called, wanted, engine, call, ui),
        Method::Describe => describe(called.json, ui),
        Method::Targets => match engine::build_targets(&wanted.build.request.dockerfile) {
            Ok(targets) => show_targets(&targets, &wanted, called.json, ui),
            Err(error) => failed(error, wanted, ui),
        },
        Method::Outline => match outline(&wanted, engine, call) {
            Ok(outline) => show_outline(&outline, &wanted, called.json, ui),
            Err(error) => failed(error, wanted, ui),
        },
    }
}

fn failed(error: BuildFailure, wanted: Wanted, ui: &mut Ui) -> io::Result<Exit> {
    failure::show(Failed { error, file: Some(wanted.file), output: None }, ui)
}

fn outline(wanted: &Wanted, engine: &Engine, call: &Call<'_>) -> Result<Outline, BuildFailure> {
    let fetch = |name: &str, platform: &oci::Platform| {
        let board = Board::new(Way::Pull, Stream::Nowhere);
        let platforms = engine::Platforms::These(vec![platform.clone()]);
        pull(engine, &call.registries(), name, platforms, &board).map(drop)
    };
    Ok(engine.plan_build(&wanted.build.request, &fetch, false)?.outline().clone())
}

fn show_outline(outline: &Outline, wanted: &Wanted, json: bool, ui: &mut Ui) -> io::Result<Exit> {
    let mut out = ui.out();
    if json {
        return pretty(&outline.to_json(&wanted.build.request.dockerfile), &mut out);
    }
    if !outline.name.is_empty() || !outline.description.is_empty() {
        let name = if outline.name.is_empty() { "(default)" } else { &outline.name };
        let mut rows = vec![vec!["TARGET:", name]];
        if !outline.description.is_empty() {
            rows.push(vec!["DESCRIPTION:", &outline.description]);
        }
        table(&rows, 1, &mut out)?;
        writeln!(out)?;
    }
    if !outline.arguments.is_empty() {
        let mut rows = vec![vec!["BUILD ARG", "VALUE", "DESCRIPTION"]];
        rows.extend(outline.arguments.iter().map(|argument| {
            vec![argument.name.as_str(), argument.value.as_str(), argument.description.as_str()]
        }));
        table(&rows, 3, &mut out)?;
        writeln!(out)?;
    }
    for (title, list) in [("SECRET", &outline.secrets), ("SSH", &outline.agents)] {
        if !list.is_empty() {
            let mut rows = vec![vec![title, "REQUIRED"]];
            rows.extend(
                list.iter()
                    .map(|one| vec![one.name.as_str(), if one.is_required { "true" } else { "" }]),
            );
            table(&rows, 3, &mut out)?;
            writeln!(out)?;
        }
    }
    Ok(Exit::Success)
}

fn show_targets(targets: &[Target], wanted: &Wanted, json: bool, ui: &mut Ui) -> io::Result<Exit> {
    let mut out = ui.out();
    if json {
        return pretty(&engine::targets_json(targets, &wanted.build.request.dockerfile), &mut out);
    }
    let names: Vec<String> = targets
        .iter()
        .map(|target| match (target.name.as_str(), target.is_default) {
            ("", true) => "(default)".to_owned(),
            (name, true) => format!("{name} (default)"),
            (name, false) => name.to_owned(),
        })
        .collect();
    let mut rows = vec![vec!["TARGET", "DESCRIPTION"]];
    rows.extend(
        names.iter().zip(targets).map(|(name, target)| vec![name.as_str(), &target.description]),
    );
    table(&rows, 1, &mut out)?;
    Ok(Exit::Success)
}

fn describe(json: bool, ui: &mut Ui) -> io::Result<Exit> {
    let mut out = ui.out();
    if json {
        let all = METHODS.iter().map(|(name, description)| {
            serde_json::json!({
                "name": format!("frontend.{name}"),
                "version": VERSION,
                "type": "rpc",
                "description": description,
                "metadata": [{ "name": "result.json" }, { "name": "result.txt" }],
            })
        });
        return pretty(&all.collect(), &mut out);
    }
    let mut rows = vec![vec!["NAME", "VERSION", "DESCRIPTION"]];
    rows.extend(METHODS.iter().map(|(name, description)| vec![*name, VERSION, *description]));
    table(&rows, 1, &mut out)?;
    Ok(Exit::Success)
}

/// JSON as Go's encoder indents it.
pub(super) fn pretty(value: &serde_json::Value, out: &mut impl Write) -> io::Result<Exit> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(Exit::Success)
}

/// Columns as Go's tabwriter sets them: the last one is not filled up.
fn table(rows: &[Vec<&str>], padding: usize, out: &mut impl Write) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            match at + 1 == columns {
                true => writeln!(out, "{cell}")?,
                false => write!(out, "{cell:<width$}", width = widths[at] + padding)?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read() {
        let parsed = |text: &str| Called::parse(text);
        assert_eq!(parsed("build"), Ok(None));
        let called =
            |method, json, ignores_status| Ok(Some(Called { method, json, ignores_status }));
        assert_eq!(parsed("check"), called(Method::Check, false, false));
        assert_eq!(parsed("outline,format=json"), called(Method::Outline, true, false));
        assert_eq!(parsed("lint,ignorestatus=1"), called(Method::Check, false, true));
        for text in ["what", "outline,targets", "outline,x=y", "check,ignorestatus=maybe"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn columns_are_set_as_gos() {
        let mut out = Vec::new();
        table(&[vec!["A", "B", "C"], vec!["long", "", "x"]], 3, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A      B   C\nlong       x\n");
    }
}
