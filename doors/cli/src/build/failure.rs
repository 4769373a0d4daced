//! How a build that failed is shown: the step's last output, the line in the Dockerfile, why.

use std::io::{self, Write};

use engine::{BuildFailure, FoundDockerfile};

use crate::ui::{Exit, Ui, chain};

/// A build that failed.
pub(super) struct Failed {
    pub(super) error: BuildFailure,
    /// The Dockerfile, if it was read.
    pub(super) file: Option<FoundDockerfile>,
    /// The step that failed and its last lines.
    pub(super) output: Option<(String, Vec<String>)>,
}

/// Prints all of it; the exit code is 1.
pub(super) fn show(failed: Failed, ui: &mut Ui) -> io::Result<Exit> {
    let mut err = ui.err();
    if let Some((name, lines)) = &failed.output {
        writeln!(err, "------\n > {name}:")?;
        for line in lines {
            writeln!(err, "{line}")?;
        }
        writeln!(err, "------")?;
    }
    if let (Some(file), Some(lines)) = (&failed.file, failed.error.lines) {
        let source = dockerfile::show_source(&file.name, &file.content, lines);
        write!(err, "{source}")?;
    }
    writeln!(err, "ERROR: failed to build: failed to solve: {}", chain(&failed.error))?;
    Ok(Exit::Failure(1))
}
