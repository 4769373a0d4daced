//! `inspect`: prints all about containers, images, networks and volumes, whichever has the name.

use std::io::{self, Write};

use engine::{Engine, EngineError, Kind};

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, Text, flags, long};
use crate::render::Inspector;
use crate::ui::{Exit, Ui, response};

flags! {
    /// Flags of `inspect`.
    InspectArgs {
        /// Print with a Go template, or `json`
        format: Text = long("format").short('f'),
        /// Count the bytes that a container has written too
        size: Switch = long("size").short('s'),
        /// Only this kind: container, image, network or volume
        kind: Text = long("type"),
    }
}

const KINDS: [&str; 10] = [
    "config",
    "container",
    "image",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "task",
    "volume",
];

impl Command for InspectArgs {
    const PATH: &'static str = "inspect";
    const USAGE: &'static str = "[OPTIONS] NAME|ID [NAME|ID...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let kind = self.kind.as_deref();
        match kind {
            None | Some("container" | "image" | "network" | "volume") => {}
            Some(known) if KINDS.contains(&known) => {
                return ui
                    .fail(format_args!("--type {known} is not supported: there is no such thing"));
            }
            Some(other) => {
                let kinds = KINDS.join("\", \"");
                return match other {
                    "" => ui.fail(format_args!("type is empty: must be one of \"{kinds}\"")),
                    _ => ui.fail(format_args!(
                        "unknown type: {}: must be one of \"{kinds}\"",
                        crate::text::quote(other)
                    )),
                };
            }
        }
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let size = self.size.is_on();
        inspect(&args, self.format.text(), ui, |name, inspector, ui| {
            let found = match kind {
                Some("container") => container(&engine, name, size, inspector),
                Some("image") => image(&engine, name, inspector),
                Some("network") => network(&engine, name, inspector),
                Some(_) => volume(&engine, name, inspector),
                None => return any(&engine, name, size, inspector, ui),
            };
            found.map_err(|error| response(&error))?
        })
    }
}

/// Looks things up one after another and prints those that are there; what is not there is
/// reported behind them, and makes the exit code 1. Errors of `look` are for the user.
pub(crate) fn inspect(
    names: &[String],
    format: &str,
    ui: &mut Ui,
    mut look: impl FnMut(&str, &mut Inspector, &mut Ui) -> Result<(), String>,
) -> io::Result<Exit> {
    let mut inspector = match Inspector::new(format) {
        Ok(inspector) => inspector,
        Err(text) => {
            ui.fail(text)?;
            return Ok(Exit::Failure(64));
        }
    };
    let mut failures = Vec::new();
    for name in names {
        if let Err(text) = look(name, &mut inspector, ui) {
            failures.push(text);
        }
    }
    inspector.print(&mut ui.out())?;
    let mut exit = Exit::Success;
    for failure in failures {
        exit = ui.fail(failure)?;
    }
    Ok(exit)
}

/// What the engine could not do, or else what the template could not.
type Looked = Result<Result<(), String>, EngineError>;

fn container(engine: &Engine, name: &str, size: bool, inspector: &mut Inspector) -> Looked {
    Ok(inspector.add(&engine.inspect_container(name, size)?))
}

fn image(engine: &Engine, name: &str, inspector: &mut Inspector) -> Looked {
    Ok(inspector.add(&engine.inspect_image(name, None)?))
}

fn network(engine: &Engine, name: &str, inspector: &mut Inspector) -> Looked {
    Ok(inspector.add(&engine.inspect_network(name)?))
}

fn volume(engine: &Engine, name: &str, inspector: &mut Inspector) -> Looked {
    Ok(inspector.add(&engine.inspect_volume(name)?))
}

/// A container, else an image, a network, a volume.
fn any(
    engine: &Engine,
    name: &str,
    size: bool,
    inspector: &mut Inspector,
    ui: &mut Ui,
) -> Result<(), String> {
    // Not a name of that kind of thing, or nothing has it: the next kind may.
    let goes_on = |error: &EngineError| {
        error.kind() == Kind::NotFound || error.to_string().contains("invalid reference format")
    };
    match container(engine, name, size, inspector) {
        Err(error) if goes_on(&error) => {}
        other => return other.map_err(|error| response(&error))?,
    }
    let kinds =
        [("image", image as fn(&_, &_, &mut _) -> _), ("network", network), ("volume", volume)];
    for (kind, look) in kinds {
        match look(engine, name, inspector) {
            Err(error) if goes_on(&error) => {}
            Err(error) => return Err(response(&error)),
            Ok(shown) => {
                if size {
                    // Nobody reads a warning on a closed stream.
                    let _ = writeln!(ui.err(), "WARNING: --size ignored for {kind}");
                }
                return shown;
            }
        }
    }
    Err(format!("Error: No such object: {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_behind_what_is_there() {
        let mut ui = Ui::captured();
        let names = ["a".to_owned(), "b".to_owned()];
        let exit = inspect(&names, "", &mut ui, |name, inspector, _| match name {
            "b" => inspector.add(&serde_json::json!({"Id": "b"})),
            _ => Err(format!("Error: No such object: {name}")),
        });
        assert_eq!(exit.unwrap(), Exit::Failure(1));
        let (out, err) = ui.into_texts();
        assert_eq!(out, "[\n    {\n        \"Id\": \"b\"\n    }\n]\n");
        assert_eq!(err, "Error: No such object: a\n");
    }

    #[test]
    fn a_template_that_is_none_is_exit_code_64() {
        let mut ui = Ui::captured();
        let exit = inspect(&[], "{{foo", &mut ui, |_, _, _| Ok(())).unwrap();
        assert_eq!(exit, Exit::Failure(64));
    }
}
