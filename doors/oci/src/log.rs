//! Errors and warnings, in the forms of logrus: engines read the last error from the log file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use oci::Timestamp;
use serde_json::json;

use crate::args::Parsed;
use crate::error::OciError;

/// Where messages go.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Standard error if there is none.
    file: Option<File>,
    json: bool,
    debug: bool,
}

impl Log {
    /// As the global flags say. The file is made if it is not there, and appended to.
    pub(crate) fn open(global: &Parsed) -> Result<Self, OciError> {
        let json = match global.text("log-format").unwrap_or("text") {
            "" | "text" => false,
            "json" => true,
            other => return Err(OciError::Usage(format!("invalid log-format: {other}"))),
        };
        let file = match global.some("log") {
            None => None,
            Some(path) => {
                let open = OpenOptions::new().append(true).create(true).mode(0o644).open(path);
                let action = || format!("open the log file {path}");
                Some(open.map_err(|source| OciError::io(action(), source))?)
            }
        };
        Ok(Self { file, json, debug: global.is_on("debug") })
    }

    /// What ends a command. It is said on standard error too if there is a log file.
    pub(crate) fn error(&self, text: &str) {
        self.write("error", text);
        if self.file.is_some() {
            // Nowhere is left to tell it if this fails.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// What was not as asked for, and did not end the command.
    pub(crate) fn warn(&self, text: &str) {
        self.write("warning", text);
    }

    /// What helps to find out why.
    pub(crate) fn debug(&self, text: impl FnOnce() -> String) {
        if self.debug {
            self.write("debug", &text());
        }
    }

    fn write(&self, level: &str, text: &str) {
        let line = self.line(level, text, &time());
        // One write a line: several processes may append to the same file.
        let _ = match &self.file {
            Some(file) => (&*file).write_all(line.as_bytes()),
            None => io::stderr().write_all(line.as_bytes()),
        };
    }

    fn line(&self, level: &str, text: &str, time: &str) -> String {
        match self.json {
            true => format!("{}\n", json!({"level": level, "msg": text, "time": time})),
            // A JSON string is what logrus quotes like, but for a few control characters.
            false => format!("time=\"{time}\" level={level} msg={}\n", json!(text)),
        }
    }
}

/// RFC 3339 without fractions, which is what go-runc and conmon's readers parse.
fn time() -> String {
    Timestamp::from_unix(Timestamp::now().unix_seconds(), 0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_logrus() {
        let line = |json| {
            let log = Log { json, ..Log::default() };
            log.line("error", "cannot \"x\"\n: y", "2026-01-02T03:04:05Z")
        };
        assert_eq!(
            line(true),
            "{\"level\":\"error\",\"msg\":\"cannot \\\"x\\\"\\n: y\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
        );
        assert_eq!(
            line(false),
            "time=\"2026-01-02T03:04:05Z\" level=error msg=\"cannot \\\"x\\\"\\n: y\"\n"
        );
        assert!(!time().contains('.'), "{}", time());
    }
}
