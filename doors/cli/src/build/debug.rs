//! `build --debug-shell`: a shell where a step failed.
//!
//! It comes when all is told and nothing else runs any more: the others were ended when the step
//! failed, as without it. So there is one shell at most, and no view that draws over it.

use std::io::{self, Write};
use std::os::fd::AsFd;

use engine::{BuildImage, Engine, FailedStep};

use crate::attach::{self, DetachKeys, Outcome, Plan};
use crate::flags::Choice;
use crate::ui::{Ui, chain};

/// Why there can be no shell, before anything is built.
pub(super) fn refusal(shell: &Choice, builds_nothing: bool) -> Option<&'static str> {
    let is_terminal =
        || attach::is_terminal(io::stdin().as_fd()) && attach::is_terminal(io::stdout().as_fd());
    match shell.is_on() {
        true if builds_nothing => Some("--debug-shell is for builds, not for checks"),
        true if !is_terminal() => Some(
            "--debug-shell needs a terminal: standard input and output are not both one; \
             build without it",
        ),
        _ => None,
    }
}

/// Opens it and stays until it ends. That it cannot be opened is told, and no more: the build has
/// failed already.
pub(super) fn open(
    step: &FailedStep,
    shell: &Choice,
    (engine, build): (&Engine, &BuildImage),
    ui: &mut Ui,
) -> io::Result<()> {
    let words: Option<Vec<String>> =
        shell.more().map(|text| text.split_ascii_whitespace().map(str::to_owned).collect());
    writeln!(ui.err(), "A shell where {} failed; what it changes is thrown away.", step.name())?;
    ui.flush()?;
    let plan = Plan {
        stdin: true,
        stdout: true,
        stderr: true,
        tty: true,
        // There would be no way back.
        detach_keys: DetachKeys::none(),
        forward_signals: false,
        redraw: false,
    };
    let talked =
        engine.debug_build(build, step, words.as_deref(), |session| attach::attach(session, &plan));
    match talked {
        Ok(Ok(Outcome::Lost)) => writeln!(ui.err(), "The shell's supervisor was killed."),
        Ok(outcome) => outcome.map(drop),
        Err(error) => writeln!(ui.err(), "There is no shell: {}", chain(&error)),
    }
}
