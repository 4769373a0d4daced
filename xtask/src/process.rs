//! Programs that tasks run, with what they print passed through or kept.

use std::error::Error;
use std::process::{Command, Stdio};

use crate::Outcome;

/// Runs it with our terminal; its failure is ours.
pub(crate) fn run(command: &mut Command) -> Outcome {
    println!("+ {}", shown(command));
    let status = command.status().map_err(|err| format!("cannot run {}: {err}", shown(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} failed: {status}", shown(command)).into())
    }
}

/// What it prints, if it succeeds.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|err| format!("cannot run {}: {err}", shown(command)))?;
    if !output.status.success() {
        return Err(format!("{} failed: {}", shown(command), output.status).into());
    }
    Ok(output.stdout)
}

/// Cargo, the one that runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(crate::workspace::root());
    command
}

fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    command.get_args().fold(program, |line, word| format!("{line} {}", word.to_string_lossy()))
}
