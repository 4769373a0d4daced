//! `logs`: prints what a container has written.

use std::io::{self, Write};

use engine::{LogEntry, LogOptions, LogStream};
use oci::Timestamp;

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, Text, flags, long};
use crate::moment;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `logs`.
    LogsArgs {
        /// Show the attributes that the log driver keeps
        details: Switch = long("details"),
        /// Wait for more
        follow: Switch = long("follow").short('f'),
        /// Not before this time, or how long ago (10m)
        since: Text = long("since"),
        /// Only so many lines from the end, or all
        tail: Text = long("tail").short('n'),
        /// Show when each line was written
        timestamps: Switch = long("timestamps").short('t'),
        /// Not after this time, or how long ago (10m)
        until: Text = long("until"),
    }
}

impl Command for LogsArgs {
    const PATH: &'static str = "container logs";
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let name = args.first().map_or("", String::as_str);
        let engine = match call.engine() {
            Ok(engine) => engine,
            Err(error) => return ui.report(&error),
        };
        let config = match engine.container_config(name) {
            Ok(config) => config,
            Err(error) => return ui.report(&error),
        };
        let now = Timestamp::now();
        let time = |flag: &str, text: &Text| match text.text() {
            "" => Ok(None),
            text => moment::parse(text, now)
                .map(Some)
                .map_err(|why| format!("invalid value for \"{flag}\": {why}")),
        };
        let (since, until) = match (time("since", &self.since), time("until", &self.until)) {
            (Ok(since), Ok(until)) => (since, until),
            (Err(text), _) | (_, Err(text)) => return ui.fail(text),
        };
        let options = LogOptions {
            follow: self.follow.is_on(),
            since,
            until,
            // Anything that is no number means all, as Docker has it.
            tail: self.tail.text().parse().ok(),
            ..LogOptions::default()
        };
        let follow = options.follow;
        let logs = match engine.container_logs(name, options) {
            Ok(logs) => logs,
            Err(error) => return ui.report(&error),
        };
        for line in logs {
            let line = match line {
                Ok(line) => line,
                Err(error) => return ui.report(&error),
            };
            let text = self.render(&line);
            if line.stream == LogStream::Stderr && !config.tty {
                ui.err().write_all(&text)?;
            } else {
                ui.out().write_all(&text)?;
                if follow {
                    ui.flush()?;
                }
            }
        }
        Ok(Exit::Success)
    }
}

impl LogsArgs {
    fn render(&self, line: &LogEntry) -> Vec<u8> {
        let mut text = Vec::with_capacity(line.line.len() + 32);
        if self.timestamps.is_on() {
            text.extend(format!("{} ", line.time.fixed()).into_bytes());
        }
        if self.details.is_on() {
            let pairs: Vec<String> =
                line.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
            text.extend(format!("{} ", pairs.join(",")).into_bytes());
        }
        text.extend_from_slice(&line.line);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_carry_what_was_asked_for() {
        let line = LogEntry {
            stream: LogStream::Stdout,
            time: Timestamp::from_unix(0, 5),
            attributes: vec![("a".into(), "1".into()), ("b".into(), "2".into())],
            line: b"x\xff\n".to_vec(),
        };
        let mut args = LogsArgs::default();
        assert_eq!(args.render(&line), b"x\xff\n");
        args.timestamps = Switch(Some(true));
        assert_eq!(args.render(&line), b"1970-01-01T00:00:00.000000005Z x\xff\n");
        args.details = Switch(Some(true));
        assert_eq!(args.render(&line), b"1970-01-01T00:00:00.000000005Z a=1,b=2 x\xff\n");
    }
}
