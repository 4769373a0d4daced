//! Making a container, whole or not at all.
//!
//! ```text
//! read and check everything          nothing has happened
//! mkdir <root>/<id>, lock            from here on a failure undoes, in reverse
//! config.json, state.json            what `delete` needs if we are killed below
//! cgroup, resctrl
//! runtime::create_in                 its hooks: prestart, createRuntime, createContainer
//! state.json with `init`, pid file, terminal
//! create: the process is left waiting       run: it is started
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci::Timestamp;
use oci::runtime::{Hooks, NamespaceKind, Process, Spec};
use resctrl::Resctrl;
use runtime::hooks::HookPoint;
use runtime::{Container, Created, Mover, Options, Parent, Rootfs, StartHandle, Stdio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen};
use rustix::process::Pid;
use seccomp::Program;
use sys::procstat::ProcStat;

use crate::Context;
use crate::args::Parsed;
use crate::bundle::{self, Bundle};
use crate::cgroup;
use crate::command::{destroy, poststart};
use crate::error::{self, OciError, Step};
use crate::exit::Exit;
use crate::fds::Preserved;
use crate::notify::{self, Notify};
use crate::pid_file;
use crate::store::{Entry, FORMAT, Init, Lock, Record};
use crate::terminal::{Receiver, Relay};
use crate::trace;
use crate::wait::Held;

/// What is wanted of a new container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It waits to be started by another command.
    Create,
    /// It is started.
    Detach,
    /// It is started and waited for.
    Stay,
}

/// Who else wants a descriptor of a new process.
#[derive(Debug)]
pub(crate) struct Receivers {
    console: Option<Receiver>,
    pidfd: Option<Receiver>,
}

impl Receivers {
    /// Connects to whom the flags name, after `terminal` has been found to agree with them.
    pub(crate) fn connect(parsed: &Parsed, terminal: bool, stays: bool) -> Result<Self, OciError> {
        let console = parsed.some("console-socket");
        if terminal && !stays && console.is_none() {
            let text = "cannot allocate tty if runc will detach without setting console socket";
            return Err(OciError::Usage(text.into()));
        }
        if console.is_some() && (!terminal || stays) {
            let text = "cannot use console socket if runc will not detach or allocate tty";
            return Err(OciError::Usage(text.into()));
        }
        let connect = |path: Option<&str>| path.map(Receiver::connect).transpose();
        Ok(Self { console: connect(console)?, pidfd: connect(parsed.some("pidfd-socket"))? })
    }

    /// Sends what each waits for.
    pub(crate) fn serve(&self, created: &Created) -> Result<(), OciError> {
        if let (Some(receiver), Some(console)) = (&self.console, &created.console) {
            receiver.send(console.as_fd(), "/dev/ptmx")?;
        }
        if let Some(receiver) = &self.pidfd {
            receiver.send(created.pidfd.as_fd(), "pidfd")?;
        }
        Ok(())
    }
}

/// All that a container is made of.
struct Making<'a> {
    context: &'a Context,
    way: Way,
    bundle: Bundle,
    filter: Option<Program>,
    group: Option<cgroup::Plan>,
    preserved: Preserved,
    receivers: Receivers,
    notify_host: Option<String>,
    pid_file: Option<PathBuf>,
    options: Options,
}

/// Makes a container.
pub(crate) fn launch(context: &Context, parsed: &Parsed, way: Way) -> Result<Exit, OciError> {
    // It is claimed later; what is refused should be refused for the first reason.
    match context.store.open(parsed.id()) {
        Err(OciError::NoContainer) => {}
        other => return other.and(Err(OciError::Exists)),
    }
    let mut making = Making::prepare(context, parsed, way)?;
    let held = match way {
        Way::Stay => {
            if !parsed.is_on("no-subreaper") {
                rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
                    .to(|| "adopt the container's orphans".into())?;
            }
            Some(Held::new()?)
        }
        Way::Create | Way::Detach => None,
    };
    let entry = context.store.claim(parsed.id())?;
    let lock = entry.lock()?;
    let mut record = making.record();
    let brought = making.bring_up(&entry, &lock, &mut record);
    let (pid, created) = match brought {
        Ok(brought) => brought,
        Err(error) => {
            undo(context, &entry, lock, &record);
            return Err(error);
        }
    };
    if way != Way::Create {
        let number = pid.as_raw_nonzero().get();
        if let Err(error) = poststart(&entry.id, &record, number, created.pidfd.as_fd()) {
            undo(context, &entry, lock, &record);
            return Err(error);
        }
    }
    drop(lock);
    let Some(held) = held else {
        if let Some(notify) = &created.notify {
            notify.wait(created.pidfd.as_fd(), pid.as_raw_nonzero().get())?;
        }
        return Ok(Exit::SUCCESS);
    };
    let code = stay(&held, pid, created);
    if parsed.is_on("keep") {
        return Ok(Exit::Code(code?));
    }
    finish(context, &entry)?;
    Ok(Exit::Code(code?))
}

/// Waits for a container's end.
fn stay(held: &Held, pid: Pid, running: Running) -> Result<u8, OciError> {
    let mut relay = running.relay;
    held.wait(pid, running.pidfd.as_fd(), relay.as_mut(), running.notify)
}

/// Deletes a container that was waited for, unless somebody else did.
fn finish(context: &Context, entry: &Entry) -> Result<(), OciError> {
    let lock = match entry.lock() {
        Err(OciError::NoContainer) => return Ok(()),
        other => other?,
    };
    let record = entry.record()?;
    destroy(context, entry, lock, record.as_ref())
}

/// Removes a container that could not be made. What cannot be removed is told of, and stays for
/// `delete --force`: the first cause is what the command fails with.
fn undo(context: &Context, entry: &Entry, lock: Lock<'_>, record: &Record) {
    if let Err(error) = destroy(context, entry, lock, Some(record)) {
        let text = error::chain(&error);
        context.log.warn(&format!("container {} is left half-made: {text}", entry.id));
    }
}

/// A process that was made, and started or left waiting.
pub(crate) struct Running {
    /// A handle of it.
    pub(crate) pidfd: OwnedFd,
    /// Its terminal, if that is copied to ours.
    pub(crate) relay: Option<Relay>,
    /// Where it says that it is ready.
    pub(crate) notify: Option<Notify>,
}

impl<'a> Making<'a> {
    /// Reads and checks all that can be without making anything.
    fn prepare(context: &'a Context, parsed: &Parsed, way: Way) -> Result<Self, OciError> {
        // Before the bundle is entered, to which other names are relative.
        let pid_file = pid_file::path(parsed)?;
        let mut bundle = Bundle::load(parsed.some("bundle"))?;
        let preserved = Preserved::take(parsed, true)?;
        let process = process_of(&mut bundle.spec)?;
        preserved.announce(&mut process.env);
        let terminal = process.terminal;
        let notify_host = notify::host_socket();
        if notify_host.is_some() {
            let dir = context.store.root().join(parsed.id()).join(notify::DIR);
            notify::add_to(&mut bundle.spec, &dir);
        }
        bundle::tidy_environment(process_of(&mut bundle.spec)?);
        let linux = bundle.spec.linux.as_ref();
        let filter = linux.and_then(|linux| linux.seccomp.as_ref());
        let filter =
            filter.map(|filter| seccomp::compile(filter, seccomp::Arch::NATIVE)).transpose()?;
        let group = cgroup::Plan::new(context, parsed.id(), &bundle.spec)?;
        if let Some(plan) = rdt_plan(parsed.id(), &bundle.spec)? {
            plan.settle()?;
        }
        let making = Self {
            context,
            way,
            bundle,
            filter,
            group,
            preserved,
            receivers: Receivers::connect(parsed, terminal, way == Way::Stay)?,
            notify_host,
            pid_file,
            options: Options {
                no_pivot: parsed.is_on("no-pivot"),
                keep_keyring: parsed.is_on("no-new-keyring"),
                set_home: true,
                make_cwd: Some((0, 0)),
            },
        };
        let unit = making.group.as_ref().and_then(cgroup::Plan::unit);
        let nobody = |_| Ok(());
        let mover = cgroup::Attacher::is_needed(unit).then_some(Mover(&nobody));
        making.with_container(parsed.id(), (None, None), mover, |container| {
            Ok(runtime::check(container, &making.bundle.dir)?)
        })?;
        Ok(making)
    }

    fn with_container<T>(
        &self,
        id: &str,
        (cgroup, resctrl): (Option<&cgroups::Cgroup>, Option<&resctrl::Group>),
        mover: Option<Mover<'_>>,
        act: impl FnOnce(&Container<'_>) -> Result<T, OciError>,
    ) -> Result<T, OciError> {
        let spec = &self.bundle.spec;
        let preserved: Vec<BorrowedFd<'_>> = self.preserved.fds.iter().map(AsFd::as_fd).collect();
        let terminal = spec.process.as_ref().is_some_and(|process| process.terminal);
        act(&Container {
            id,
            spec,
            rootfs: Rootfs::Directory(&self.bundle.rootfs),
            seccomp: self.filter.as_ref(),
            cgroup,
            resctrl,
            mover,
            stdio: if terminal { Stdio::Terminal { size: None } } else { Stdio::Inherit },
            parent: Parent::Own,
            death_signal: None,
            preserved: &preserved,
            options: self.options,
        })
    }

    /// What is known before there is a process.
    fn record(&self) -> Record {
        let spec = &self.bundle.spec;
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        Record {
            format: FORMAT,
            oci_version: spec.oci_version.clone(),
            bundle: text(&self.bundle.dir),
            rootfs: text(&self.bundle.rootfs),
            created: Timestamp::now(),
            cgroup: self.group.as_ref().map(|plan| plan.path.to_string()),
            unit: self.group.as_ref().and_then(cgroup::Plan::unit).map(str::to_owned),
            resctrl: None,
            shares_pids: shares_pids(spec),
            annotations: spec.annotations.clone(),
            hooks: later_hooks(spec.hooks.as_ref()),
            init: None,
        }
    }

    /// Makes the group of caches and memory bandwidth, which is written down first.
    fn make_resctrl(
        &self,
        entry: &Entry,
        lock: &Lock<'_>,
        record: &mut Record,
    ) -> Result<Option<resctrl::Group>, OciError> {
        let Some(plan) = rdt_plan(&entry.id, &self.bundle.spec)? else { return Ok(None) };
        let settled = plan.settle()?;
        record.resctrl = Some(settled.place().clone());
        lock.write_record(record)?;
        // What fails there has removed what it made: others may be in what has the name by now.
        Ok(Some(settled.make().inspect_err(|_| record.resctrl = None)?))
    }

    /// Makes everything, in the order of the drawing above.
    fn bring_up(
        &mut self,
        entry: &Entry,
        lock: &Lock<'_>,
        record: &mut Record,
    ) -> Result<(Pid, Running), OciError> {
        lock.write_config(&self.bundle.bytes)?;
        lock.write_record(record)?;
        if self.notify_host.is_some() {
            notify::make_dir(entry)?;
        }
        let mut group = match &mut self.group {
            None => None,
            Some(plan) => plan.make(self.context).inspect_err(|_| record.cgroup = None)?,
        };
        if group.is_none() {
            record.cgroup = None;
            if record.shares_pids {
                // In runc's words, and for its reason: nobody would know which they are.
                self.context.log.warn(
                    "Creating a rootless container with no cgroup and no private pid namespace. \
                     Such configuration is strongly discouraged (as it is impossible to properly \
                     kill all container's processes).",
                );
            }
        }
        let rdt = self.make_resctrl(entry, lock, record)?;
        let listener = match self.way {
            Way::Create => Some(listen_in(entry)?),
            Way::Detach | Way::Stay => None,
        };
        trace::setup(&self.context.log, self.filter.as_ref());
        let attacher = cgroup::Attacher::of(record.unit.as_deref())?;
        let attach = |pid| attacher.as_ref().map_or(Ok(()), |attacher| attacher.attach(pid));
        let mover = attacher.as_ref().map(|_| Mover(&attach));
        let groups = (group.as_ref(), rdt.as_ref());
        let created = self.with_container(&entry.id, groups, mover, |container| {
            Ok(runtime::create_in(container, &self.bundle.dir)?)
        })?;
        if let Some(group) = &mut group {
            group.settle()?;
        }
        for warning in &created.warnings {
            self.context.log.warn(warning);
        }
        let pid = created.pid;
        trace::waits(&self.context.log, pid);
        let start_time = ProcStat::of(pid).to(|| "look at the container's init".into())?.start_time;
        record.init = Some(Init { pid: pid.as_raw_nonzero().get(), start_time });
        lock.write_record(record)?;
        self.receivers.serve(&created)?;
        if let Some(path) = &self.pid_file {
            pid_file::write(path, pid)?;
        }
        let notify = match (&self.notify_host, self.way) {
            (Some(host), Way::Detach | Way::Stay) => Notify::open(entry, host)?,
            _ => None,
        };
        trace::let_go(&self.context.log);
        let running = let_go(created, self.way, listener, notify)?;
        Ok((pid, running))
    }
}

/// What `linux.intelRdt` asks for.
fn rdt_plan<'a>(id: &'a str, spec: &'a Spec) -> Result<Option<resctrl::Plan<'a>>, OciError> {
    let wanted = spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
    let plan = |wanted| Ok(resctrl::Plan::new(Resctrl::find()?, id, wanted)?);
    wanted.map(plan).transpose()
}

/// Leaves the process waiting, or starts it.
fn let_go(
    created: Created,
    way: Way,
    listener: Option<OwnedFd>,
    notify: Option<Notify>,
) -> Result<Running, OciError> {
    let Created { pidfd, console, start, .. } = created;
    let relay = match (way, console) {
        (Way::Stay, Some(console)) => Some(Relay::new(console)?),
        _ => None,
    };
    set_off(start, listener)?;
    Ok(Running { pidfd, relay, notify })
}

fn set_off(start: StartHandle, listener: Option<OwnedFd>) -> Result<(), OciError> {
    match listener {
        // From here on it lives by itself.
        Some(listener) => Ok(start.leave(listener.as_fd())?),
        None => Ok(start.start()?),
    }
}

/// The process, which must be there: a container without one could never be started.
fn process_of(spec: &mut Spec) -> Result<&mut Process, OciError> {
    spec.process
        .as_mut()
        .ok_or_else(|| OciError::Config { field: "process".into(), problem: "is missing".into() })
}

/// Where a created container waits. Closed on exec, and left to its first process.
fn listen_in(entry: &Entry) -> Result<OwnedFd, OciError> {
    let action = || format!("make a socket in {}", entry.path().display());
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).to(action)?;
    bind(&socket, &SocketAddrUnix::new(entry.start_socket()).to(action)?).to(action)?;
    listen(&socket, 16).to(action)?;
    Ok(socket)
}

fn shares_pids(spec: &Spec) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    let mut own = namespaces.filter(|namespace| namespace.kind == NamespaceKind::Pid);
    !own.any(|namespace| namespace.path.as_deref().is_none_or(str::is_empty))
}

/// The hooks that other commands call.
fn later_hooks(hooks: Option<&Hooks>) -> Option<Hooks> {
    let later = Hooks {
        poststart: HookPoint::Poststart.of(hooks).to_vec(),
        poststop: HookPoint::Poststop.of(hooks).to_vec(),
        ..Hooks::default()
    };
    (later != Hooks::default()).then_some(later)
}
