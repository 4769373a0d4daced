//! `list`: all containers below the root directory.

use std::io::{self, Write as _};

use crate::Context;
use crate::args::{Parsed, switch, valued};
use crate::command::{Command, state};
use crate::error::{OciError, Step};
use crate::exit::Exit;

pub(crate) const LIST: Command = Command {
    arguments: "",
    flags: &[
        valued(&["format", "f"], "FORMAT", "table (default) or json"),
        switch(&["quiet", "q"], "print ids only"),
    ],
    counts: (0, 0),
    ..Command::plain("list", "list the containers below the root directory", run)
};

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let ids = match context.store.ids() {
        // Nobody has made one yet; a directory that was named and is not there is a mistake.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !context.root_given => Vec::new(),
        other => other.to(|| format!("open {}", context.store.root().display()))?,
    };
    let mut shown = Vec::with_capacity(ids.len());
    for id in ids {
        let looked = context.store.open(&id).and_then(|entry| {
            let owner = owner(entry.owner()?);
            Ok(state::Shown { owner, ..state::look(&entry)? })
        });
        match looked {
            Ok(one) => shown.push(one),
            // Deleted while we looked.
            Err(OciError::NoContainer) => {}
            Err(error) => {
                context.log.warn(&format!("load container {id}: {}", crate::error::chain(&error)));
            }
        }
    }
    let text = match parsed.text("format").unwrap_or("table") {
        _ if parsed.is_on("quiet") => {
            shown.iter().map(|one| format!("{}\n", one.id)).collect::<String>()
        }
        "table" => table(&shown),
        "json" => {
            let json = match shown.is_empty() {
                // As Go writes a list that nobody made.
                true => Ok("null".to_owned()),
                false => serde_json::to_string(&shown),
            };
            json.map_err(|error| OciError::State(error.to_string()))? + "\n"
        }
        _ => return Err(OciError::Usage("invalid format option".into())),
    };
    io::stdout().write_all(text.as_bytes()).to(|| "write the list".into())?;
    Ok(Exit::SUCCESS)
}

/// Columns of at least nine letters and three blanks between them, as runc's.
fn table(shown: &[state::Shown]) -> String {
    let heading = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(heading)
        .chain(shown.iter().map(|one| {
            [
                one.id.clone(),
                one.pid.to_string(),
                one.status.to_owned(),
                one.bundle.clone(),
                one.created.to_string(),
                one.owner.clone(),
            ]
        }))
        .collect();
    let width = |column: usize| {
        let longest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        longest.max(9) + 3
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("{cell:<width$}"));
        }
        text.push_str(&row[5]);
        text.push('\n');
    }
    text
}

/// A user's name; `#` and the number if there is none.
fn owner(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}
