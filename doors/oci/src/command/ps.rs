//! `ps`: the processes of a container, by their numbers or as ps(1) shows them.

use std::io::Write as _;
use std::process::{Command as Program, Stdio};

use crate::Context;
use crate::args::{Parsed, Trailing, valued};
use crate::cgroup;
use crate::command::Command;
use crate::error::{OciError, Step};
use crate::exit::Exit;

pub(crate) const PS: Command = Command {
    arguments: "<container-id> [ps options]",
    flags: &[valued(&["format", "f"], "FORMAT", "table (default) or json")],
    trailing: Trailing::Foreign,
    counts: (1, usize::MAX),
    ..Command::plain("ps", "display the processes of a container", run)
};

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let entry = context.store.open(parsed.id())?;
    let record = entry.record()?.unwrap_or_default();
    let pids: Vec<i32> = match cgroup::open(&record)? {
        None if record.cgroup.is_some() => Vec::new(),
        None => return Err(OciError::State("cgroup not exist".into())),
        Some(group) => group.processes()?.iter().map(|pid| pid.as_raw_nonzero().get()).collect(),
    };
    let text = match parsed.text("format").unwrap_or("table") {
        "json" => format!("{}\n", serde_json::json!(pids)),
        "table" => table(&pids, &parsed.args[1..])?,
        _ => return Err(OciError::Usage("invalid format option".into())),
    };
    std::io::stdout().write_all(text.as_bytes()).to(|| "write the list".into())?;
    Ok(Exit::SUCCESS)
}

/// The lines of ps(1) that are about these processes, and its heading.
fn table(pids: &[i32], options: &[String]) -> Result<String, OciError> {
    let mut ps = Program::new("ps");
    match options.is_empty() {
        true => ps.arg("-ef"),
        false => ps.args(options),
    };
    let output = ps.stdin(Stdio::null()).output().to(|| "run ps".into())?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(OciError::State(format!("ps: {}: {stdout}{stderr}", output.status)));
    }
    filter(&stdout, pids)
}

fn filter(table: &str, pids: &[i32]) -> Result<String, OciError> {
    let (heading, rows) = table.split_once('\n').unwrap_or((table, ""));
    let Some(column) = heading.split_whitespace().position(|title| title == "PID") else {
        return Err(OciError::State("couldn't find PID field in ps output".into()));
    };
    let mut text = format!("{heading}\n");
    for row in rows.lines() {
        let pid = row.split_whitespace().nth(column).and_then(|field| field.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            text.push_str(row);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_by_the_column_of_numbers() {
        let table = "UID   PID CMD\nroot   12 a 7\nroot    7 b\nroot  712 c\n";
        assert_eq!(filter(table, &[7]).unwrap(), "UID   PID CMD\nroot    7 b\n");
        assert!(filter("UID CMD\n", &[7]).is_err());
    }
}
