//! Usage texts, in the form of runc's.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::args::Flag;
use crate::command::{COMMANDS, Command, GLOBAL_FLAGS};
use crate::exit;

/// `--help`, and no word at all.
pub(crate) fn overview(name: &str) -> ExitCode {
    exit::code(write_overview(&mut io::stdout(), name))
}

/// `help [COMMAND]`.
pub(crate) fn help(name: &str, command: Option<&str>) -> ExitCode {
    let Some(word) = command else { return overview(name) };
    match COMMANDS.iter().find(|command| command.name == word) {
        Some(command) => of(name, command),
        None => overview(name),
    }
}

/// `COMMAND --help`.
pub(crate) fn of(name: &str, command: &Command) -> ExitCode {
    exit::code(write_command(&mut io::stdout(), name, command))
}

fn write_overview(out: &mut impl Write, name: &str) -> io::Result<()> {
    writeln!(out, "NAME:\n   {name} - Open Container Initiative runtime\n")?;
    writeln!(out, "USAGE:\n   {name} [global options] command [command options] [arguments...]\n")?;
    writeln!(out, "VERSION:\n   {}\n", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "COMMANDS:")?;
    for command in COMMANDS {
        writeln!(out, "   {:<12}{}", command.name, command.about)?;
    }
    writeln!(out, "\nGLOBAL OPTIONS:")?;
    write_flags(out, &GLOBAL_FLAGS)
}

/// A command's usage.
pub(crate) fn write_command(out: &mut impl Write, name: &str, command: &Command) -> io::Result<()> {
    writeln!(out, "NAME:\n   {name} {} - {}\n", command.name, command.about)?;
    let options = if command.flags.is_empty() { "" } else { " [command options]" };
    writeln!(out, "USAGE:\n   {name} {}{options} {}", command.name, command.arguments)?;
    if !command.flags.is_empty() {
        writeln!(out, "\nOPTIONS:")?;
        write_flags(out, command.flags)?;
    }
    Ok(())
}

fn write_flags(out: &mut impl Write, flags: &[Flag]) -> io::Result<()> {
    for flag in flags.iter().filter(|flag| !flag.help.is_empty()) {
        let names: Vec<String> = flag
            .names
            .iter()
            .map(|name| if name.len() == 1 { format!("-{name}") } else { format!("--{name}") })
            .collect();
        let mut left = names.join(", ");
        if !flag.value.is_empty() {
            left = format!("{left} {}", flag.value);
        }
        writeln!(out, "   {left:<32}{}", flag.help)?;
    }
    Ok(())
}
