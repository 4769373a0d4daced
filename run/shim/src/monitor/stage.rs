//! The stage: the shim's child that does what takes memory, and exits.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cgroups::{Cgroup, CgroupError, CgroupPath, Controller, Hierarchy, Options, Version};
use oci::runtime::{IdMapping, Namespace, NamespaceKind, Process, Resources, Spec};
use runtime::{Container, Created, Exec, Parent, Rootfs, RuntimeError};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::RecvFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use seccomp::Program;
use sys::procstat::ProcStat;

use super::channel::{Channel, Go, Started, receive_exactly};
use super::foreign;
use super::joined::Joined;
use super::standard::Standard;
use crate::frame::{HEADER_BYTES, MAX_CGROUP_BYTES, MAX_LAUNCH_BYTES, kind};
use crate::launch::{Body, SeccompSource, split};
use crate::{CgroupPlan, Failure, Foreign, Kind, ShimError, Target};

/// Reads a launch from `control` and carries it out, as a copy of the shim with one thread.
/// Answers the exit code, which says nothing: the channel does.
pub(super) fn run(control: BorrowedFd<'_>, channel: &Channel) -> i32 {
    // Signals are as the spawning left them, and the runtime sets them right once more.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // A shim that is killed now takes the launch along; if it died before, the channel tells.
    let _ = sys::process::set_pdeathsig(Some(Signal::KILL));
    let mut early = None;
    let (payload, namespace) = loop {
        match receive(control) {
            Ok(Some(Wish::Cgroup(path))) => early = EarlyCgroup::make(&path),
            Ok(Some(Wish::Launch(payload, namespace))) => break (payload, namespace),
            Ok(None) | Err(_) => return 1,
        }
    };
    let client = Client { control, namespace };
    match carry_out(&payload, &client, channel, early) {
        Ok(Some(started)) => i32::from(channel.started(&started).is_err()),
        Ok(None) => 1,
        Err(failure) => i32::from(channel.failed(&failure).is_err()),
    }
}

/// Who wants the launch, and what came with it.
struct Client<'a> {
    control: BorrowedFd<'a>,
    /// The network namespace, if it is made already.
    namespace: Option<OwnedFd>,
}

/// What a client sends to a stage.
enum Wish {
    /// The path of a cgroup to make at once.
    Cgroup(String),
    /// The launch's payload, and the network namespace that came with it.
    Launch(Vec<u8>, Option<OwnedFd>),
}

/// One wish and not a byte more: what follows the launch is for the shim. `None` if the client
/// has gone.
fn receive(control: BorrowedFd<'_>) -> io::Result<Option<Wish>> {
    let mut head = [0; HEADER_BYTES];
    let (count, mut fds) = sys::socket::receive(control, &mut head, 1, RecvFlags::WAITALL)?;
    if count < HEADER_BYTES {
        return Ok(None);
    }
    let [kind, a, b, c, d] = head;
    let most = match kind {
        kind::LAUNCH => MAX_LAUNCH_BYTES,
        kind::CGROUP => MAX_CGROUP_BYTES,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    let mut bytes = Vec::new();
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > most {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if !receive_exactly(control, &mut bytes, length)? {
        return Ok(None);
    }
    if kind == kind::LAUNCH {
        return Ok(Some(Wish::Launch(bytes, fds.pop())));
    }
    let path = String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Some(Wish::Cgroup(path)))
}

/// `None` if the shim does not want it.
fn carry_out(
    payload: &[u8],
    client: &Client<'_>,
    channel: &Channel,
    early: Option<EarlyCgroup>,
) -> Result<Option<Started>, Failure> {
    let (head, body, tail) = split(payload).ok_or_else(|| internal("the launch is not whole"))?;
    // The shim claims the container while the rest is parsed here, and what is ours is limited.
    channel.head(head).map_err(|error| Failure::internal(&error))?;
    let work = Work::parse(body, tail, client.namespace.as_ref())
        .and_then(|work| Ok((work.limit(early)?, work)));
    let Ok(Some(Go { network })) = channel.wait() else { return Ok(None) };
    let (early, mut work) = work?;
    work.use_network(network.as_ref());
    let joined = work.join_others()?;
    let started = work.perform(client, channel, early, joined.as_ref());
    started.map(Some)
}

/// A launch, understood.
struct Work {
    body: Body<Kind, CgroupPlan>,
    filter: Option<Program>,
}

impl Work {
    fn parse(body: &[u8], tail: &[u8], namespace: Option<&OwnedFd>) -> Result<Self, Failure> {
        let mut body: Body<Kind, CgroupPlan> = serde_json::from_slice(body)
            .map_err(|source| Failure::internal(&ShimError::Decode { source }))?;
        match (&mut body.kind, body.network, namespace) {
            (_, false, _) => {}
            (Kind::Init { spec, .. }, true, Some(namespace)) => {
                crate::network::join(spec, namespace.as_fd());
            }
            (Kind::Init { .. }, true, None) => {}
            _ => return Err(internal("the network did not come with the launch")),
        }
        let filter = match &body.seccomp {
            SeccompSource::None => None,
            SeccompSource::Tail => Some(program(tail)?),
            SeccompSource::File(path) => {
                let read = std::fs::read(path);
                let name = path.display();
                let bytes = read.map_err(|error| internal(&format!("cannot read {name}: {error}")));
                Some(program(&bytes?)?)
            }
        };
        Ok(Self { body, filter })
    }

    /// Has the container join a network namespace that was made for it, where it wants a new one.
    fn use_network(&mut self, made: Option<&OwnedFd>) {
        let (Kind::Init { spec, .. }, Some(made)) = (&mut self.body.kind, made) else { return };
        let Some(linux) = &mut spec.linux else { return };
        // It belongs to our user namespace, over which a container in another has no rights.
        if linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::User) {
            return;
        }
        let wanted = |namespace: &&mut Namespace| {
            namespace.kind == NamespaceKind::Network && namespace.path.is_none()
        };
        if let Some(namespace) = linux.namespaces.iter_mut().find(wanted) {
            namespace.path = Some(format!("/proc/self/fd/{}", made.as_raw_fd()));
        }
    }

    fn join_others(&mut self) -> Result<Option<Joined>, Failure> {
        match &mut self.body.kind {
            Kind::Init { spec, joined, .. } if !joined.is_empty() => {
                Joined::open(spec, joined).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Sets the limits of a cgroup that was made early, if it is the one that is wanted.
    fn limit(&self, early: Option<EarlyCgroup>) -> Result<Option<EarlyCgroup>, Failure> {
        let Some(CgroupPlan { path, resources: Some(resources) }) = &self.body.cgroup else {
            return Ok(None);
        };
        // Another runtime makes its own.
        let is_wanted = |early: &EarlyCgroup| early.path == *path && self.body.foreign.is_none();
        let Some(mut early) = early.filter(is_wanted) else { return Ok(None) };
        early.limit(resources).map_err(|error| Failure::internal(&error))?;
        Ok(Some(early))
    }

    fn perform(
        &self,
        client: &Client<'_>,
        channel: &Channel,
        early: Option<EarlyCgroup>,
        joined: Option<&Joined>,
    ) -> Result<Started, Failure> {
        if let Some(foreign) = &self.body.foreign {
            return self.make_by(foreign, client, channel);
        }
        let cgroup_failed = |error: CgroupError| Failure::internal(&error);
        let Some(CgroupPlan { path, resources }) = &self.body.cgroup else {
            return self.make_and_start(None, client, channel, joined);
        };
        let Some(resources) = resources else {
            let group = open_cgroup(path).map_err(cgroup_failed)?;
            return self.make_and_start(Some(&group), client, channel, joined);
        };
        let group = match early {
            Some(early) => early.take(),
            None => make_cgroup(path, resources).map_err(cgroup_failed)?,
        };
        let outcome = self.make_and_start(Some(&group), client, channel, joined);
        if outcome.is_err() {
            super::end::remove_cgroup(path);
        }
        outcome
    }

    fn make_and_start(
        &self,
        group: Option<&Cgroup>,
        client: &Client<'_>,
        channel: &Channel,
        joined: Option<&Joined>,
    ) -> Result<Started, Failure> {
        let io_failed = |error: io::Error| Failure::internal(&error);
        let options =
            runtime::Options { make_cwd: self.body.make_cwd, ..runtime::Options::default() };
        let (stdio, created) = match &self.body.kind {
            Kind::Init { spec, rootfs, .. } => {
                let process =
                    spec.process.as_ref().ok_or_else(|| internal("there is nothing to run"))?;
                let stdio = self.stdio(process, &mappings(spec))?;
                let created = runtime::create(&Container {
                    id: &self.body.id,
                    spec,
                    rootfs: match rootfs.is_empty() {
                        true => Rootfs::Directory(root_directory(spec)?),
                        false => Rootfs::Mounts(rootfs),
                    },
                    seccomp: self.filter.as_ref(),
                    cgroup: group,
                    resctrl: None,
                    mover: None,
                    stdio: stdio.theirs(),
                    parent: Parent::Sibling,
                    death_signal: Some(Signal::KILL),
                    preserved: &[],
                    options,
                });
                (stdio, created)
            }
            Kind::Exec { target, process } => {
                let (pid, pidfd) = open_target(*target)?;
                let stdio = self.stdio(process, &id_maps(pid).map_err(io_failed)?)?;
                let created = runtime::exec(&Exec {
                    target: runtime::Target { pid, pidfd: pidfd.as_fd() },
                    process,
                    seccomp: self.filter.as_ref(),
                    cgroup: group,
                    resctrl: None,
                    memory_policy: None,
                    stdio: stdio.theirs(),
                    parent: Parent::Sibling,
                    death_signal: Some(Signal::KILL),
                    preserved: &[],
                    options,
                });
                (stdio, created)
            }
        };
        let created = created.map_err(|error| failure(&error))?;
        // One that was made of what turns out to be somebody else's ends here, unstarted.
        joined.map_or(Ok(()), Joined::check)?;
        let mounts = match self.body.kind {
            // Without it the end takes a little longer.
            Kind::Init { .. } => runtime::hold_mounts(&created).ok(),
            Kind::Exec { .. } => None,
        };
        let Created { pid, pidfd, console, start, warnings } = created;
        // The program's end of the pipes must be nobody's but its own, so that their end is seen.
        let ends = stdio.ours(console).map_err(io_failed)?;
        self.await_network(client, channel, Some(pid))?;
        start.start().map_err(|error| failure(&error))?;
        let pid = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or(0);
        let memory_events = memory_events(group);
        Ok(Started { pid, pidfd, ends, memory_events, mounts, warnings })
    }

    /// Waits until the client has connected the network, and passes on what it hands over. `pid` is
    /// the process whose own namespace is to be connected, if none came with the launch.
    fn await_network(
        &self,
        client: &Client<'_>,
        channel: &Channel,
        pid: Option<Pid>,
    ) -> Result<(), Failure> {
        let io_failed = |error: io::Error| Failure::internal(&error);
        if !self.body.network {
            return Ok(());
        }
        if client.namespace.is_none() {
            let pid = pid.ok_or_else(|| {
                internal("a container with ids of its own needs the built-in runtime for networks")
            })?;
            crate::network::tell_made(client.control, pid).map_err(io_failed)?;
        }
        let handed = crate::network::await_connected(client.control).map_err(io_failed)?;
        for socket in handed.ok_or_else(|| internal("whoever started it has gone"))? {
            channel.socket(&socket).map_err(io_failed)?;
        }
        Ok(())
    }

    /// Has another runtime make it.
    fn make_by(
        &self,
        foreign: &Foreign,
        client: &Client<'_>,
        channel: &Channel,
    ) -> Result<Started, Failure> {
        // It starts what it makes, and so joins a network that is whole.
        self.await_network(client, channel, None)?;
        let io_failed = |error: io::Error| Failure::internal(&error);
        let plan = self.body.cgroup.as_ref();
        let (stdio, made) = match &self.body.kind {
            Kind::Init { spec, rootfs, .. } => {
                let process =
                    spec.process.as_ref().ok_or_else(|| internal("there is nothing to run"))?;
                let stdio = self.stdio(process, &mappings(spec))?;
                let limits = plan.and_then(|plan| {
                    let resources = plan.resources.as_deref()?;
                    Some(foreign::Limits { cgroup: &plan.path, resources })
                });
                let made = foreign::create(foreign, spec, rootfs, limits.as_ref(), &stdio)?;
                (stdio, made)
            }
            Kind::Exec { target, process } => {
                let (pid, _pidfd) = open_target(*target)?;
                let stdio = self.stdio(process, &id_maps(pid).map_err(io_failed)?)?;
                let made = foreign::exec(foreign, &self.body.id, process, &stdio)?;
                (stdio, made)
            }
        };
        let group = plan.and_then(|plan| open_cgroup(&plan.path).ok());
        Ok(Started {
            pid: u32::try_from(made.pid.as_raw_nonzero().get()).unwrap_or(0),
            pidfd: made.pidfd,
            ends: stdio.ours(made.console).map_err(io_failed)?,
            memory_events: memory_events(group.as_ref()),
            mounts: None,
            warnings: Vec::new(),
        })
    }

    fn stdio(
        &self,
        process: &Process,
        mappings: &(Vec<IdMapping>, Vec<IdMapping>),
    ) -> Result<Standard, Failure> {
        Standard::new(process, self.body.open_stdin, mappings)
            .map_err(|error| internal(&format!("cannot make standard streams: {error}")))
    }
}

/// The id mappings of a container to be, for users and groups.
fn mappings(spec: &Spec) -> (Vec<IdMapping>, Vec<IdMapping>) {
    let both =
        |linux: &oci::runtime::Linux| (linux.uid_mappings.clone(), linux.gid_mappings.clone());
    spec.linux.as_ref().map(both).unwrap_or_default()
}

pub(super) fn internal(message: &str) -> Failure {
    Failure { exit_code: 125, message: message.to_owned() }
}

fn failure(error: &RuntimeError) -> Failure {
    match error {
        RuntimeError::Exec(error) => {
            Failure { exit_code: error.kind.exit_code(), message: error.to_string() }
        }
        error => Failure::internal(error),
    }
}

fn program(bytes: &[u8]) -> Result<Program, Failure> {
    Program::from_bytes(bytes).ok_or_else(|| internal("the system call filter is damaged"))
}

fn root_directory(spec: &Spec) -> Result<&Path, Failure> {
    let root = spec.root.as_ref().ok_or_else(|| internal("there is no root file system"))?;
    Ok(Path::new(&root.path))
}

/// A cgroup that was made before anyone had claimed the container. It goes with this, unless the
/// container gets it.
struct EarlyCgroup {
    path: String,
    hierarchy: Hierarchy,
    group: Option<Cgroup>,
    /// One of its directories, and which that is: device and inode.
    made: (PathBuf, (u64, u64)),
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let status = rustix::fs::lstat(path)?;
    Ok((status.st_dev, status.st_ino))
}

impl EarlyCgroup {
    /// `None` if it cannot be made, or is there: who claims the container sees to that.
    fn make(path: &str) -> Option<Self> {
        let hierarchy = Hierarchy::detect().ok()?;
        let parsed = CgroupPath::new(path).ok()?;
        let group = hierarchy.create(&parsed, &Resources::default(), &Options::default()).ok()?;
        let (first, _) = group.directories().next()?;
        let Ok(identity) = identity(first) else {
            let _ = group.remove(Duration::ZERO);
            return None;
        };
        let made = (first.to_owned(), identity);
        Some(Self { path: path.to_owned(), hierarchy, group: Some(group), made })
    }

    fn limit(&mut self, resources: &Resources) -> Result<(), CgroupError> {
        let group = self.group.as_mut().expect("is only taken with the whole");
        self.hierarchy.extend(group, resources)?;
        group.apply(resources)
    }

    /// It is the container's from now on.
    fn take(mut self) -> Cgroup {
        self.group.take().expect("is only taken with the whole")
    }
}

impl Drop for EarlyCgroup {
    fn drop(&mut self) {
        let Some(group) = self.group.take() else { return };
        let (path, made) = &self.made;
        // Nothing has been in it. If whoever wanted it was killed, another may have taken it for
        // litter and made his own meanwhile: that stays.
        if identity(path).is_ok_and(|found| found == *made) {
            let _ = group.remove(Duration::ZERO);
        }
    }
}

/// Makes the container's cgroup. Whoever holds the life lock owns the name: a group that is there
/// already was left by a shim that was killed.
fn make_cgroup(path: &str, resources: &Resources) -> Result<Cgroup, CgroupError> {
    let path = CgroupPath::new(path)?;
    let hierarchy = Hierarchy::detect()?;
    let create = || hierarchy.create(&path, resources, &Options::default());
    match create() {
        Err(CgroupError::Exists { .. }) => {
            super::end::remove_cgroup(path.as_str());
            create()
        }
        other => other,
    }
}

fn open_cgroup(path: &str) -> Result<Cgroup, CgroupError> {
    Hierarchy::detect()?.open(&CgroupPath::new(path)?)
}

/// The file in which the memory controller counts its kills, if there is one.
fn memory_events(group: Option<&Cgroup>) -> Option<OwnedFd> {
    let dir = group?.directory(Controller::Memory)?;
    let open = |name: &str| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, dir.join(name), flags, Mode::empty()).ok()
    };
    let (_, version) = group?.directories().find(|(path, _)| *path == dir)?;
    open(match version {
        Version::V2 => "memory.events",
        Version::V1 => "memory.oom_control",
    })
}

/// The container's init, as long as it is the one that was meant.
pub(super) fn open_target(target: Target) -> Result<(Pid, OwnedFd), Failure> {
    let gone = || internal("the container is not running");
    let pid = i32::try_from(target.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
    // Checked after the descriptor is there: from now on the number is this process or nobody.
    match target.start_time {
        Some(wanted) if start_time(pid) != Some(wanted) => Err(gone()),
        _ => Ok((pid, pidfd)),
    }
}

/// When a process started; `None` if there is none.
pub(crate) fn start_time(pid: Pid) -> Option<u64> {
    ProcStat::of(pid).ok().map(|stat| stat.start_time)
}

/// The id mappings of a process's user namespace; empty where its ids are ours.
fn id_maps(pid: Pid) -> io::Result<(Vec<IdMapping>, Vec<IdMapping>)> {
    let namespace = |process: &str| rustix::fs::stat(format!("/proc/{process}/ns/user"));
    let theirs = namespace(&pid.as_raw_nonzero().to_string())?;
    // The map of our own namespace tells what ids are in the one above, as an ordinary user's.
    if namespace("self")
        .is_ok_and(|ours| (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino))
    {
        return Ok(Default::default());
    }
    let read = |kind| -> io::Result<Vec<IdMapping>> {
        let text = std::fs::read_to_string(format!("/proc/{}/{kind}", pid.as_raw_nonzero()))?;
        Ok(text.lines().filter_map(mapping).collect())
    };
    Ok((read("uid_map")?, read("gid_map")?))
}

fn mapping(line: &str) -> Option<IdMapping> {
    let mut numbers = line.split_ascii_whitespace().map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(IdMapping { container_id: next()?, host_id: next()?, size: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = rustix::process::getpid();
        let pid = std::process::id();
        let started = start_time(own).unwrap();
        open_target(Target { pid, start_time: Some(started) }).unwrap();
        open_target(Target { pid, start_time: None }).unwrap();
        open_target(Target { pid, start_time: Some(started + 1) }).unwrap_err();
        open_target(Target { pid: u32::MAX, start_time: None }).unwrap_err();
    }

    #[test]
    fn an_early_cgroup_takes_nothing_from_one_that_was_made_since() {
        testkit::needs!(Root);
        let early = EarlyCgroup::make(&format!("kista-early-{}", std::process::id())).unwrap();
        let group = early.group.as_ref().unwrap();
        let made: Vec<PathBuf> = group.directories().map(|(path, _)| path.to_owned()).collect();
        assert!(!made.is_empty());
        for directory in &made {
            std::fs::remove_dir(directory).unwrap();
            std::fs::create_dir(directory).unwrap();
        }
        drop(early);
        for directory in &made {
            std::fs::remove_dir(directory).unwrap();
        }
    }

    #[test]
    fn mappings_are_three_numbers() {
        let one = IdMapping { container_id: 0, host_id: 100_000, size: 65_536 };
        assert_eq!(mapping("         0     100000      65536"), Some(one));
        assert_eq!(mapping("0 1"), None);
        let own = id_maps(rustix::process::getpid()).unwrap();
        assert!(own.0.is_empty() && own.1.is_empty(), "ids of our own namespace are ours");
    }
}
