//! `__cli-tree`: the commands and flags that there are, for the tables in docs/compat.

use std::io::{self, Write};

use serde::Serialize;

use crate::command::{Arity, Call, Command};
use crate::dispatch;
use crate::flags::{Flag, flags};
use crate::render::pretty;
use crate::tree::{self, Body, Node};
use crate::ui::{Exit, Ui};

flags! {
    /// `__cli-tree` has no flags.
    CliTreeArgs {}
}

#[derive(Serialize)]
struct CommandEntry {
    path: String,
    aliases: Vec<&'static str>,
    /// Why the command is not there.
    later: Option<&'static str>,
    flags: Vec<FlagEntry>,
}

#[derive(Serialize)]
struct FlagEntry {
    long: &'static str,
    short: Option<char>,
    takes_value: bool,
    hidden: bool,
    /// Why the flag cannot be used.
    refused: Option<String>,
    /// Values with which it is taken all the same.
    harmless: &'static [&'static str],
}

impl Command for CliTreeArgs {
    const PATH: &'static str = "__cli-tree";
    const USAGE: &'static str = "";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, _call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let mut commands = vec![CommandEntry {
            path: "kista".to_owned(),
            aliases: Vec::new(),
            later: None,
            flags: dispatch::global_flags().iter().map(flag).collect(),
        }];
        tree::walk(&mut |path, node| commands.push(command(path, node)));
        let mut out = ui.out();
        out.write_all(&pretty(&commands)?)?;
        writeln!(out)?;
        Ok(Exit::Success)
    }
}

fn command(path: &str, node: &Node) -> CommandEntry {
    let (later, flags) = match &node.body {
        Body::Later(why) => (Some(*why), Vec::new()),
        Body::Group(_) => (None, Vec::new()),
        Body::Leaf(leaf) => (None, leaf.flags.iter().map(flag).collect()),
    };
    CommandEntry { path: path.to_owned(), aliases: node.aliases.to_vec(), later, flags }
}

fn flag(flag: &Flag) -> FlagEntry {
    FlagEntry {
        long: flag.long,
        short: flag.short,
        takes_value: !flag.kind.is_empty(),
        hidden: flag.hidden,
        refused: flag.refusal(),
        harmless: flag.refused.map_or(&[], |refusal| refusal.harmless),
    }
}
