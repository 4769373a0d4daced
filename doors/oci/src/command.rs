//! The commands and their flags: runc's.

mod create;
mod criu;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod spec;
mod start;
mod state;
mod update;

use crate::Context;
use crate::args::{Flag, Parsed, Trailing, switch, valued};
use crate::error::OciError;
use crate::exit::Exit;

/// One command.
pub(crate) struct Command {
    /// Its word.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) about: &'static str,
    /// Its arguments, for usage texts.
    pub(crate) arguments: &'static str,
    /// Its flags.
    pub(crate) flags: &'static [Flag],
    /// Whether flags may follow arguments.
    pub(crate) trailing: Trailing,
    /// How many arguments there must be at least, and at most.
    pub(crate) counts: (usize, usize),
    /// Whether it makes processes of containers: then it is entered by way of [`crate::shield`].
    pub(crate) enters: bool,
    /// What precedes its errors.
    pub(crate) failure: Option<&'static str>,
    /// Its exit code when it fails.
    pub(crate) failure_code: u8,
    /// What carries it out.
    pub(crate) run: fn(&Context, &Parsed) -> Result<Exit, OciError>,
}

impl Command {
    /// One that takes an id and no flags, and makes no process.
    const fn plain(
        name: &'static str,
        about: &'static str,
        run: fn(&Context, &Parsed) -> Result<Exit, OciError>,
    ) -> Self {
        Self {
            name,
            about,
            arguments: "<container-id>",
            flags: &[],
            trailing: Trailing::Flags,
            counts: (1, 1),
            enters: false,
            failure: None,
            failure_code: 1,
            run,
        }
    }

    /// Refuses a wrong number of arguments in runc's words.
    pub(crate) fn check_count(&self, program: &str, parsed: &Parsed) -> Result<(), OciError> {
        let (least, most) = self.counts;
        let count = parsed.args.len();
        let how = match () {
            () if (least..=most).contains(&count) => return Ok(()),
            () if least == most => format!("exactly {least}"),
            () if count < least => format!("a minimum of {least}"),
            () => format!("a maximum of {most}"),
        };
        let name = self.name;
        Err(OciError::Usage(format!("{program}: \"{name}\" requires {how} argument(s)")))
    }
}

/// Every command, in the order of help texts.
pub(crate) const COMMANDS: &[Command] = &[
    criu::CHECKPOINT,
    create::CREATE,
    delete::DELETE,
    events::EVENTS,
    exec::EXEC,
    features::FEATURES,
    kill::KILL,
    list::LIST,
    pause::PAUSE,
    ps::PS,
    criu::RESTORE,
    pause::RESUME,
    create::RUN,
    spec::SPEC,
    start::START,
    state::STATE,
    update::UPDATE,
];

/// What precedes the command.
pub(crate) const GLOBAL_FLAGS: [Flag; 7] = [
    switch(&["debug"], "enable debug logging"),
    valued(&["log"], "FILE", "append log messages to this file (default: standard error)"),
    valued(&["log-format"], "FORMAT", "text (default) or json"),
    valued(&["root"], "DIR", "where the state of containers is kept, best on a tmpfs"),
    switch(&["systemd-cgroup"], "let systemd make cgroups; cgroupsPath is then slice:prefix:name"),
    valued(&["rootless"], "WHEN", "ignore cgroup permission errors: true, false or auto"),
    switch(&["version", "v"], "print the version"),
];

pub(crate) use delete::destroy;
pub(crate) use start::poststart;
