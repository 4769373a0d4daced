//! `compat`: docs/compat/docker-cli.md, the state of each of Docker's commands and flags.
//!
//! The facts are in data/docker-cli.json; what Kista has is asked of the built binary, whose
//! hidden command `__cli-tree` prints the tree that its parser works with. So the table cannot
//! say more than the program does.

mod table;

use std::fs;
use std::process::Command;

use serde::Deserialize;

use crate::Outcome;
use crate::process;
use crate::workspace::{self, Workspace};

/// Docker's commands.
#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    source: String,
    commands: Vec<Fact>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Fact {
    /// `docker container ls`
    path: String,
    #[serde(default)]
    aliases: Vec<String>,
    /// Other paths to the same command.
    #[serde(default)]
    also: Vec<String>,
    /// It only holds other commands.
    #[serde(default)]
    group: bool,
    #[serde(default)]
    hidden: bool,
    flags: Vec<FactFlag>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct FactFlag {
    long: String,
    short: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    deprecated: bool,
    #[serde(default)]
    windows_only: bool,
}

/// A command of ours.
#[derive(Debug, Deserialize)]
pub(crate) struct Ours {
    /// `container ls`, also with the program's name in front.
    path: String,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    hidden: bool,
    /// The sentence with which all of it is refused.
    #[serde(default)]
    refused: Option<String>,
    #[serde(default)]
    flags: Vec<OurFlag>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OurFlag {
    long: Option<String>,
    short: Option<String>,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    refused: Option<String>,
}

/// Writes the table, or says that it is stale.
pub(crate) fn run(check: bool) -> Outcome {
    let facts = workspace::root().join("xtask/data/docker-cli.json");
    let facts: Facts = serde_json::from_slice(&fs::read(facts)?)?;
    let kista = Workspace::load(false)?.released();
    let tree = process::output(Command::new(&kista).arg("__cli-tree"))?;
    let ours: Vec<Ours> = serde_json::from_slice(&tree)?;
    let table = table::render(&facts, &ours);
    let path = workspace::root().join("docs/compat/docker-cli.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    if old == table {
        println!("compat: up to date");
        return Ok(());
    }
    if check {
        return Err("docs/compat/docker-cli.md is stale: run `cargo xtask compat`".into());
    }
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(&path, table)?;
    println!("wrote {}", path.display());
    Ok(())
}
