//! `checkpoint` and `restore`: by CRIU, where there is one that can.
//!
//! Neither is done yet. What is told is the first thing that stands in the way on this machine:
//! a user who installs CRIU learns at once whether the kernel would let it work.

use std::process::{Command as Program, Stdio};

use crate::Context;
use crate::args::{Flag, Parsed, switch, valued};
use crate::command::{Command, create};
use crate::error::OciError;
use crate::exit::Exit;

pub(crate) const CHECKPOINT: Command = Command {
    flags: &[
        IMAGE,
        WORK,
        valued(&["parent-path"], "DIR", "images of an earlier pre-dump"),
        switch(&["leave-running"], "leave the processes running"),
        ESTABLISHED,
        switch(&["tcp-skip-in-flight"], "leave out connections that are being made"),
        switch(&["link-remap"], "allow to remap links to removed files"),
        UNIX,
        SHELL,
        LAZY,
        valued(&["status-fd"], "FD", "descriptor that is written to when pages can be had"),
        valued(&["page-server"], "ADDRESS:PORT", "where to send pages to"),
        LOCKS,
        switch(&["pre-dump"], "dump memory only and leave the processes running"),
        CGROUPS,
        EMPTY_NS,
        DEDUP,
    ],
    ..Command::plain("checkpoint", "checkpoint a running container with CRIU", checkpoint)
};

pub(crate) const RESTORE: Command = Command {
    flags: &[
        create::CONSOLE,
        IMAGE,
        WORK,
        ESTABLISHED,
        UNIX,
        SHELL,
        LOCKS,
        CGROUPS,
        valued(&["bundle", "b"], "DIR", "the bundle (default: working directory)"),
        switch(&["detach", "d"], "do not wait for the container's end"),
        create::PID_FILE,
        switch(&["no-subreaper"], "do not adopt the container's orphans"),
        switch(&["no-pivot"], "do not use pivot_root"),
        EMPTY_NS,
        DEDUP,
        LAZY,
        valued(&["lsm-profile"], "TYPE:NAME", "profile of the security module"),
        valued(&["lsm-mount-context"], "CONTEXT", "mount context of the security module"),
    ],
    ..Command::plain("restore", "restore a container from a checkpoint with CRIU", restore)
};

const IMAGE: Flag = valued(&["image-path"], "DIR", "where the images are");
const WORK: Flag = valued(&["work-path"], "DIR", "where logs and the like go");
const ESTABLISHED: Flag = switch(&["tcp-established"], "allow open TCP connections");
const UNIX: Flag = switch(&["ext-unix-sk"], "allow external unix sockets");
const SHELL: Flag = switch(&["shell-job"], "allow shell jobs");
const LAZY: Flag = switch(&["lazy-pages"], "use userfaultfd to restore memory");
const LOCKS: Flag = switch(&["file-locks"], "handle file locks");
const CGROUPS: Flag = valued(&["manage-cgroups-mode"], "MODE", "soft, full, strict or ignore");
const EMPTY_NS: Flag = valued(&["empty-ns"], "TYPE", "namespaces to leave empty");
const DEDUP: Flag = switch(&["auto-dedup"], "punch holes in the images that were read");

fn checkpoint(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    context.store.open(parsed.id())?;
    Err(refuse("checkpoint"))
}

fn restore(_context: &Context, _parsed: &Parsed) -> Result<Exit, OciError> {
    Err(refuse("restore"))
}

/// Why it cannot be done here.
fn refuse(what: &str) -> OciError {
    let reason = match Program::new("criu").arg("check").stdin(Stdio::null()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            "criu is not installed".to_owned()
        }
        Err(error) => format!("criu cannot be run: {error}"),
        Ok(output) if !output.status.success() => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let last = text.lines().rev().find(|line| !line.trim().is_empty());
            format!("criu does not work with this kernel: {}", last.unwrap_or("criu check failed"))
        }
        Ok(_) => "kista-oci does not drive criu yet".to_owned(),
    };
    OciError::Unsupported(format!("{what} is not supported: {reason}"))
}
