//! What a command prints, as it prints it.

use std::io::Write;

use engine::{BuildEvent, BuildEvents};

/// Passes output through. A reader that has gone does not end the command.
pub(super) struct Through;

impl BuildEvents for Through {
    fn event(&self, event: BuildEvent) {
        let BuildEvent::Output { error, bytes, .. } = event else { return };
        let _ = match error {
            true => std::io::stderr().write_all(&bytes),
            false => {
                let mut out = std::io::stdout().lock();
                out.write_all(&bytes).and_then(|()| out.flush())
            }
        };
    }
}
