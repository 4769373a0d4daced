//! `kista`: the command line. Parses, asks the engine, renders.
//!
//! The same binary is the shim that looks after a container, the init that `--init` puts into
//! one, the program of the embedded image, and an OCI runtime: which of them, the name it is called by says, and
//! that is looked at before anything else is done.

#![allow(
    clippy::result_large_err,
    reason = "errors are the engine's, and end a command: none is on a hot path"
)]

mod attach;
mod build;
mod command;
mod config_file;
mod container;
mod dispatch;
mod files;
mod flags;
mod help;
mod image;
mod inspect;
mod moment;
mod network;
mod prompt;
mod refused;
mod registries;
mod render;
mod system;
mod text;
mod tree;
mod ui;
mod volume;
mod working;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::ui::{Exit, Ui};

/// A command lives for milliseconds; a third of its system calls would be the allocator's.
#[global_allocator]
static ALLOCATOR: sys::arena::Arena = sys::arena::Arena;

/// As a shell shows a program that wrote to a closed pipe: 128 and the number of SIGPIPE.
const BROKEN_PIPE: u8 = 141;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let own_name = args.next().unwrap_or_default();
    match Path::new(&own_name).file_name().and_then(OsStr::to_str) {
        Some("kista-shim") => return engine::supervise(),
        Some("docker-init") => return engine::init(&args.collect::<Vec<_>>()),
        Some("hello") => return engine::hello(),
        Some(name) if kista_oci::NAMES.contains(&name) => {
            return kista_oci::main(name, args.map(lossy).collect());
        }
        Some(engine::PROXY) => {
            return engine::proxy(&args.map(lossy).collect::<Vec<_>>());
        }
        Some(engine::HOLDER) => return engine::hold(),
        Some(engine::NETWORK) => return engine::hold_network(args.collect()),
        Some(engine::UPLINK) => return engine::look_after_uplink(args.collect()),
        Some(engine::REAPER) => return engine::reap(&args.next().unwrap_or_default()),
        _ => {}
    }
    let mut args = args.peekable();
    if args.next_if(|word| word == "oci").is_some() {
        return kista_oci::main("kista oci", args.map(lossy).collect());
    }
    attach::restore_on_panic();
    let mut ui = Ui::default();
    let done = dispatch::dispatch(args.map(lossy).collect(), &mut ui);
    let flushed = ui.flush();
    match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(BROKEN_PIPE),
        Err(error) => {
            // Nothing is left to tell it to if this fails too.
            let _ = ui.fail(format_args!("kista: {error}"));
            ExitCode::from(Exit::Failure(1).code())
        }
    }
}

/// Bytes that are no text are replaced, as they would be on the way through JSON to an engine.
fn lossy(word: OsString) -> String {
    word.into_string().unwrap_or_else(|word| word.to_string_lossy().into_owned())
}
