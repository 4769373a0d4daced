//! `create` and `run`: from a bundle to a container. runtime-spec 1.3.0, runtime.md, "Create".

use crate::Context;
use crate::args::{Flag, Parsed, switch, valued};
use crate::command::Command;
use crate::error::OciError;
use crate::exit::Exit;
use crate::launch::{self, Way};

pub(crate) const CREATE: Command = Command {
    flags: &[BUNDLE, CONSOLE, PIDFD, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE],
    enters: true,
    failure: Some("create failed"),
    ..Command::plain("create", "create a container", create)
};

pub(crate) const RUN: Command = Command {
    flags: &[
        BUNDLE,
        CONSOLE,
        PIDFD,
        switch(&["detach", "d"], "do not wait for the container's end"),
        switch(&["keep"], "do not delete the container when it has ended"),
        PID_FILE,
        switch(&["no-subreaper"], "do not adopt the container's orphans"),
        NO_PIVOT,
        NO_KEYRING,
        PRESERVE,
    ],
    enters: true,
    failure: Some("run failed"),
    ..Command::plain("run", "create and start a container", run)
};

const BUNDLE: Flag = valued(&["bundle", "b"], "DIR", "the bundle (default: working directory)");
pub(crate) const CONSOLE: Flag =
    valued(&["console-socket"], "PATH", "socket that receives the terminal's near end");
pub(crate) const PIDFD: Flag =
    valued(&["pidfd-socket"], "PATH", "socket that receives a descriptor of the process");
pub(crate) const PID_FILE: Flag = valued(&["pid-file"], "FILE", "file to write the process id to");
const NO_PIVOT: Flag = switch(&["no-pivot"], "do not use pivot_root: for roots on a ramdisk");
const NO_KEYRING: Flag = switch(&["no-new-keyring"], "keep the caller's session keyring");
pub(crate) const PRESERVE: Flag =
    valued(&["preserve-fds"], "N", "pass on N descriptors behind stdio and LISTEN_FDS");

fn create(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    launch::launch(context, parsed, Way::Create)
}

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let way = match parsed.is_on("detach") {
        true => Way::Detach,
        false => Way::Stay,
    };
    launch::launch(context, parsed, way)
}
