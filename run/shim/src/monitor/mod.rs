//! The shim's own process: from the launch to the end of the one that it looks after.
//!
//! ```text
//! main -> stage (child) -> claim -> [made, runs] -> running -> Started -> Watch::run -> end
//! ```
//!
//! What is kept while the process lives is a handful of descriptors and numbers. Buffers are made
//! when bytes come and are given back when it is quiet.

mod channel;
mod clients;
mod end;
mod foreign;
mod input;
mod joined;
mod network;
mod output;
mod stage;
mod standard;
mod watch;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::frame::Frame;
use crate::launch::Head;
use crate::{Early, Failure, Hooks, Plan};

use channel::{Channel, Report};
use clients::Client;
use network::Network;
pub(crate) use stage::start_time;
use watch::{Doors, Watch};

/// The whole of a process that was called as [`crate::NAME`]: descriptor 3 is its control socket, 4
/// the file that it was started from.
///
/// Returns when the process that it was told to launch has ended, all clients know, and
/// [`Hooks::finished`] has returned. Nothing is printed: there is nobody to read it.
pub fn main(hooks: &mut dyn Hooks) -> ExitCode {
    match supervise(hooks) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(125),
    }
}

fn supervise(hooks: &mut dyn Hooks) -> io::Result<()> {
    let control = sys::inherit::take(3)?;
    // Kept for as long as we live: see `client::spawn_early`.
    let _program = sys::inherit::take(4)?;
    leave_caller();
    let early = Early::from_words(std::env::args_os().skip(1));
    let (channel, theirs) = Channel::pair()?;
    let mut channel = Some(channel);
    // Before the launch arrives, so that the copying overlaps with the client's work, and before
    // signals are blocked and the umask changes, which the container is not to inherit.
    let stage = sys::process::fork(|| {
        drop(channel.take()); // in the copy: it must see the end of the stream when we die
        stage::run(control.as_fd(), &theirs)
    })?;
    drop(theirs);
    sys::signals::block_all()?;
    rustix::process::umask(Mode::from_raw_mode(0o077));

    let outcome = match channel {
        Some(channel) => launch(hooks, &channel, early_network(&early)),
        None => Outcome::Nothing,
    };
    // The channel is closed: the stage has said all it had to, or ends now.
    let reap_stage = || {
        let id = WaitId::PidFd(stage.pidfd.as_fd());
        let _ = rustix::process::waitid(id, WaitIdOptions::EXITED);
    };
    let client = Client::launcher(control);
    match outcome {
        Outcome::Nothing => {
            reap_stage();
            Ok(())
        }
        Outcome::NotClaimed(failure) => {
            reap_stage();
            refuse(client, &failure);
            Ok(())
        }
        Outcome::Failed { failure, own_cgroup } => {
            reap_stage();
            reap_children();
            if let Some(path) = own_cgroup {
                end::remove_cgroup(&path);
            }
            hooks.failed(&failure);
            refuse(client, &failure);
            hooks.finished();
            Ok(())
        }
        Outcome::Running(head, started, doors, network) => {
            let (has_helper, pid) = (head.has_helper, started.pid);
            let watch = Watch::new(hooks, *head, *started, *doors, network, client, stage);
            if has_helper {
                reap_others(pid);
            }
            // Giving its memory back takes the stage a while, for which nobody need wait.
            watch.run()
        }
    }
}

enum Outcome {
    /// The client went away before it had said what it wanted.
    Nothing,
    /// The hooks did not want it: nobody else is to know.
    NotClaimed(Failure),
    /// `own_cgroup`: to be removed, because the stage could not.
    Failed { failure: Failure, own_cgroup: Option<String> },
    /// It runs, and the hooks know.
    Running(Box<Head<Plan>>, Box<channel::Started>, Box<Doors>, Network),
}

/// The network namespace that is wanted as soon as possible: made while the client still works
/// and the stage waits. Without one, the container's first process makes its own.
fn early_network(early: &Early) -> Option<OwnedFd> {
    if early.network { runtime::new_network().ok() } else { None }
}

/// Has the stage make the process.
fn launch(hooks: &mut dyn Hooks, channel: &Channel, network: Option<OwnedFd>) -> Outcome {
    let internal = |message: &str| Failure { exit_code: 125, message: message.to_owned() };
    let head: Head<Plan> = match channel.receive() {
        Ok(Some(Report::Head(bytes))) => match serde_json::from_slice(&bytes) {
            Ok(head) => head,
            Err(source) => {
                return Outcome::NotClaimed(Failure::internal(&crate::ShimError::Decode {
                    source,
                }));
            }
        },
        Ok(Some(Report::Failed(failure))) => return Outcome::NotClaimed(failure),
        Ok(Some(Report::Started(_) | Report::Socket(_)) | None) | Err(_) => {
            return Outcome::Nothing;
        }
    };
    if let Err(failure) = hooks.claim(&head.plan) {
        return Outcome::NotClaimed(failure);
    }
    if head.foreign.is_some() {
        // Its processes outlive those that make them, and are ours to wait for.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }
    let own_cgroup = head.own_cgroup.clone();
    let failed = |failure| Outcome::Failed { failure, own_cgroup: own_cgroup.clone() };
    if let Err(error) = channel.go(network.as_ref().map(AsFd::as_fd)) {
        return failed(Failure::internal(&error));
    }
    drop(network);
    // While the stage works. Whoever comes to them is heard when the process runs.
    let doors = match Doors::open(&head.plan) {
        Ok(doors) => doors,
        Err(error) => {
            let dir = head.plan.container_dir.display();
            return failed(internal(&format!("cannot make the attach socket in {dir}: {error}")));
        }
    };
    let mut handed = Vec::new();
    let report = loop {
        match channel.receive() {
            Ok(Some(Report::Socket(socket))) => handed.push(socket),
            report => break report,
        }
    };
    let outcome = match report {
        Ok(Some(Report::Started(started))) => {
            let network = Network::new(handed).map_err(|error| Failure::internal(&error));
            let running = network.and_then(|network| {
                hooks.running(started.pid, &started.warnings)?;
                Ok(network)
            });
            match running {
                Ok(network) => {
                    let (head, started) = (Box::new(head), Box::new(started));
                    return Outcome::Running(head, started, Box::new(doors), network);
                }
                Err(failure) => failed(failure),
            }
        }
        Ok(Some(Report::Failed(failure))) => Outcome::Failed { failure, own_cgroup: None },
        Ok(Some(Report::Head(_) | Report::Socket(_)) | None) => {
            failed(internal("the process that makes the container died"))
        }
        Err(error) => failed(Failure::internal(&error)),
    };
    doors.abandon();
    outcome
}

/// Out of the caller's session, away from its directory.
fn leave_caller() {
    // It fails where spawning has made this process a leader already.
    let _ = rustix::process::setsid();
    let _ = rustix::process::chdir(c"/");
    let _ = rustix::thread::set_name(c"kista-shim");
}

/// Tells the launching client that there is no process.
fn refuse(mut client: Client, failure: &Failure) {
    let Failure { exit_code, message } = failure;
    let mut bytes = Vec::new();
    Frame::Failed { exit_code: *exit_code, message }.encode(&mut bytes);
    client.send(&bytes);
}

/// Reaps what has ended already, but for the process itself: where others are in its pid
/// namespace the runtime enters that by way of one more process, which ends there.
fn reap_others(pid: u32) {
    for other in children().filter(|other| other.as_raw_nonzero().get().cast_unsigned() != pid) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let _ = rustix::process::waitid(WaitId::Pid(other), options);
    }
}

fn children() -> impl Iterator<Item = Pid> {
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let pids: Vec<_> =
        children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    pids.into_iter().filter_map(Pid::from_raw)
}

/// Kills what is left of a failed launch and reaps it: the stage's sibling is our child.
fn reap_children() {
    for pid in children() {
        // A child of ours that is not reaped keeps its number, so this hits nobody else.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    while rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED).is_ok() {}
}
