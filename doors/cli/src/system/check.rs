//! `system check`: looks for what should not be there, and mends it if asked.

use std::io::{self, Write};

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `system check`.
    CheckArgs {
        /// Mend what is found
        repair: Switch = long("repair"),
    }
}

impl Command for CheckArgs {
    const PATH: &'static str = "system check";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    /// The exit code is 1 if something is not as it should be afterwards.
    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let report = match call.engine().and_then(|engine| engine.check(self.repair.is_on())) {
            Ok(report) => report,
            Err(error) => return ui.report(&error),
        };
        let mut out = ui.out();
        for finding in &report.findings {
            let end = if finding.repaired { " (repaired)" } else { "" };
            writeln!(out, "{} {}: {}{end}", finding.subject, finding.name, finding.problem)?;
        }
        let left = report.findings.iter().filter(|finding| !finding.repaired).count();
        let repaired = report.findings.len() - left;
        writeln!(out, "{} checked, {repaired} repaired, {left} left", report.checked)?;
        Ok(if left == 0 { Exit::Success } else { Exit::Failure(1) })
    }
}
