//! The embedded init: what `--init` puts before the user's program as process 1.
//!
//! ```text
//! docker-init [-s] [-g] [-v] [-w] [--] PROGRAM [ARGUMENT...]
//! ```
//!
//! It starts the program as its child in a process group of its own, in the foreground of the
//! terminal if there is one; passes on every signal that can be passed on; reaps whatever is
//! orphaned; and ends as the program ends, with its code or 128 + its signal. The flags are
//! tini's, of which `-g` (signals go to the program's whole group) has an effect; `-s`, `-v` and
//! `-w` are taken and change nothing.
//!
//! It is the same executable as everything else, but touches little of it, and gives its clean
//! pages back before it waits.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use sys::process::Child;
use sys::trim::CleanPages;

/// `argv[0]` under which the binary is an init.
pub const NAME: &str = "docker-init";

/// The whole of a process that was called as [`NAME`]; `args` are those after the name.
///
/// 127 if there is no such program, 126 if it cannot be executed, 125 for wrong arguments.
pub fn main(args: &[OsString]) -> ExitCode {
    match run(args) {
        Ok(code) => ExitCode::from(code),
        Err(Failure { text, code }) => {
            // There is no one else to say it: this is the container's first process.
            let line = format!("[{NAME}] {text}\n");
            let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
            ExitCode::from(code)
        }
    }
}

struct Failure {
    text: String,
    code: u8,
}

fn run(args: &[OsString]) -> Result<u8, Failure> {
    let internal = |what: &str, error: &dyn std::fmt::Display| Failure {
        text: format!("{what}: {error}"),
        code: 125,
    };
    let (to_group, command) = parse(args)?;
    // Everything is read from a descriptor: nothing is lost between start and loop.
    sys::signals::block_all().map_err(|error| internal("cannot block signals", &error))?;
    let signals = sys::signals::signal_fd(None)
        .map_err(|error| internal("cannot receive signals", &error))?;
    if rustix::process::getpid() != Pid::INIT {
        // Not the first process of a namespace: orphans come here all the same.
        let _ = rustix::process::set_child_subreaper(Some(Pid::INIT));
    }
    let child = start(command).map_err(|error| internal("cannot start a process", &error))?;
    let clean = CleanPages::find();
    loop {
        if let Some(code) = reap(&child).map_err(|error| internal("cannot wait", &error))? {
            return Ok(code);
        }
        let mut fds = [PollFd::new(&signals, PollFlags::IN)];
        match clean.poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(internal("cannot wait for signals", &errno)),
        }
        while let Ok(Some(signal)) = sys::signals::read_signal(signals.as_fd()) {
            pass_on(&child, signal, to_group);
        }
    }
}

/// Whether signals go to the whole group, and the command.
fn parse(args: &[OsString]) -> Result<(bool, &[OsString]), Failure> {
    let wrong = |text: String| Err(Failure { text, code: 125 });
    let mut to_group = false;
    for (index, arg) in args.iter().enumerate() {
        let bytes = arg.as_bytes();
        match bytes {
            b"--" => {
                let command = &args[index + 1..];
                return match command {
                    [] => wrong("there is nothing to run".to_owned()),
                    command => Ok((to_group, command)),
                };
            }
            [b'-', flags @ ..] if !flags.is_empty() => {
                if let Some(unknown) = flags.iter().find(|flag| !b"sgvw".contains(flag)) {
                    return wrong(format!("there is no flag -{}", char::from(*unknown)));
                }
                to_group |= flags.contains(&b'g');
            }
            _ => return Ok((to_group, &args[index..])),
        }
    }
    wrong("there is nothing to run".to_owned())
}

/// Starts the program, in the foreground of its own.
fn start(command: &[OsString]) -> std::io::Result<Child> {
    sys::process::fork(|| {
        // The terminal is only there if this process leads its session. Moving to the foreground
        // from the background is stopped by SIGTTOU, which is blocked until reset_signals.
        let _ = rustix::process::setpgid(None, None);
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
        sys::process::reset_signals();
        execute(command)
    })
}

/// Becomes the program, looked up as a shell does; answers the exit code if that fails.
fn execute(command: &[OsString]) -> i32 {
    let Some(name) = command.first() else { return 127 };
    let strings = |values: Vec<Vec<u8>>| -> Vec<CString> {
        // Arguments and environment came through execve(2): none has a NUL inside.
        values.into_iter().filter_map(|value| CString::new(value).ok()).collect()
    };
    let args = strings(command.iter().map(|arg| arg.as_bytes().to_vec()).collect());
    let env = strings(
        std::env::vars_os()
            .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
            .collect(),
    );
    let args: Vec<_> = args.iter().map(CString::as_c_str).collect();
    let env: Vec<_> = env.iter().map(CString::as_c_str).collect();
    let mut worst = Errno::NOENT;
    for path in candidates(name) {
        let Ok(path) = CString::new(path.into_vec()) else { continue };
        let error = sys::process::exec(&path, &args, &env);
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) | None => {}
            Some(errno) => worst = errno,
        }
    }
    let line = format!("[{NAME}] cannot execute {}: {worst}\n", name.to_string_lossy());
    let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
    if worst == Errno::NOENT { 127 } else { 126 }
}

/// Where a program may be. exec(3), "Special semantics for execlp() and execvp()".
fn candidates(name: &OsStr) -> Vec<OsString> {
    if name.as_bytes().contains(&b'/') {
        return vec![name.to_owned()];
    }
    let path = std::env::var_os("PATH")
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    let below = |dir: &[u8]| {
        let dir: &[u8] = if dir.is_empty() { b"." } else { dir };
        OsString::from_vec([dir, b"/", name.as_bytes()].concat())
    };
    path.as_bytes().split(|byte| *byte == b':').map(below).collect()
}

/// Reaps everything that has ended; the exit code if the program was among it.
fn reap(child: &Child) -> Result<Option<u8>, Errno> {
    let mut code = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child.pid => code = Some(exit_code(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(Errno::CHILD) => return Ok(code),
            Err(errno) => return Err(errno),
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = match status.terminating_signal() {
        Some(signal) => 128 + signal,
        None => status.exit_status().unwrap_or(0),
    };
    u8::try_from(code & 0xff).unwrap_or(255)
}

/// Passes a signal on, unless it is about this process itself.
fn pass_on(child: &Child, signal: i32, to_group: bool) {
    use rustix::process::Signal;
    let own = [Signal::CHILD, Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
    if own.contains(&signal) {
        return;
    }
    if to_group && let Some(signal) = Signal::from_named_raw(signal) {
        let _ = rustix::process::kill_process_group(child.pid, signal);
        return;
    }
    // One that has ended meanwhile does not miss it.
    let _ = sys::signals::send(child.pidfd.as_fd(), signal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_tinis() {
        let check = |line: &str, wanted: Result<(bool, &str), &str>| {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let got = parse(&args).map_err(|failure| failure.text);
            let got = got.map(|(group, command)| (group, command.join(OsStr::new(" "))));
            let wanted = wanted.map(|(group, command)| (group, OsString::from(command)));
            assert_eq!(got, wanted.map_err(str::to_owned), "{line}");
        };
        check("-- sh -c x", Ok((false, "sh -c x")));
        check("sh -c x", Ok((false, "sh -c x")));
        check("-g -s -vv -w -- a", Ok((true, "a")));
        check("-gs a -- b", Ok((true, "a -- b")));
        check("-x a", Err("there is no flag -x"));
        check("", Err("there is nothing to run"));
        check("-g --", Err("there is nothing to run"));
    }

    #[test]
    fn programs_are_looked_up_in_the_path() {
        assert_eq!(candidates(OsStr::new("./x")), ["./x"]);
        assert!(candidates(OsStr::new("x")).iter().all(|path| path.as_bytes().ends_with(b"/x")));
    }
}
