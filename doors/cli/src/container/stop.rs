//! `stop`: asks containers to exit, then insists.

use std::io;
use std::time::Duration;

use engine::{Engine, Grace, StopContainer};

use crate::command::{Arity, Call, Command};
use crate::flags::{Integer, Text, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `stop`.
    StopArgs {
        /// Signal to send instead of the container's stop signal
        signal: Text = long("signal").short('s'),
        /// Seconds to wait before killing the container; -1 waits for ever
        time: Integer<i64> = long("time").deprecated("use --timeout instead"),
        /// Seconds to wait before killing the container; -1 waits for ever
        timeout: Integer<i64> = long("timeout").short('t'),
    }
}

/// How long to wait, if anything was said: `--timeout`, or `--time` as it was called once.
pub(crate) fn grace(
    timeout: Integer<i64>,
    time: Integer<i64>,
) -> Result<Option<Grace>, &'static str> {
    if timeout.0.is_some() && time.0.is_some() {
        return Err("conflicting options: cannot specify both --timeout and --time");
    }
    Ok(timeout.0.or(time.0).map(|seconds| match u64::try_from(seconds) {
        Ok(seconds) => Grace::For(Duration::from_secs(seconds)),
        Err(_) => Grace::Forever,
    }))
}

impl Command for StopArgs {
    const PATH: &'static str = "container stop";
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let grace = match grace(self.timeout, self.time) {
            Ok(grace) => grace,
            Err(text) => return ui.fail(text),
        };
        let signal = self.signal.0.filter(|signal| !signal.is_empty());
        let stop = |engine: &Engine, container: &str| {
            let (container, signal) = (container.to_owned(), signal.clone());
            engine.stop_container(&StopContainer { container, signal, grace })
        };
        super::all_at_once(&args, ui, || call.engine(), stop, |error, ui| ui.report(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_seconds_wait_for_ever() {
        let number = |seconds| Integer(Some(seconds));
        let none = Integer(None);
        assert_eq!(grace(none, none), Ok(None));
        assert_eq!(grace(number(3), none), Ok(Some(Grace::For(Duration::from_secs(3)))));
        assert_eq!(grace(none, number(0)), Ok(Some(Grace::For(Duration::ZERO))));
        assert_eq!(grace(number(-1), none), Ok(Some(Grace::Forever)));
        assert!(grace(number(1), number(1)).is_err());
    }
}
