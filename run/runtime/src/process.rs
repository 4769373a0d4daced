//! The last stretch of a process: from root in its namespaces to its own program.
//!
//! The same for a container's init and for a process added to it. Order is security here:
//!
//! 1. what needs privileges over the host's view: labels, oom score, limits;
//! 2. descriptors, so that nothing below can hand one on;
//! 3. the working directory, entered by the kernel's own resolution and checked;
//! 4. the bounding set, while CAP_SETPCAP is there; groups before user, since afterwards it is
//!    too late; the death signal again, since the kernel forgets it with the old identity;
//! 5. capabilities; then the program is looked up, with the eyes of the user it runs as;
//! 6. "ready", and a wait for "go";
//! 7. the filter as late as can be: without no_new_privs it needs CAP_SYS_ADMIN, which is kept
//!    until then and goes right after; hooks of the container's own, under it; execve.
//!
//! In a pid namespace where others live already, the process that does this is one that nobody
//! there sees, and from 6 on it is another: [`crate::crossing`].

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::runtime::Process;
use rustix::fs::{FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::process::{DumpableBehavior, Pid, Signal};
use rustix::thread::CapabilitySet;

use crate::caps::CapabilityPlan;
use crate::error::{Step, spec_error};
use crate::limits::Limits;
use crate::message;
use crate::notify::Connection;
use crate::program::Program;
use crate::{Options, RuntimeError, Stdio, console, crossing, label, procfs, target};

/// A process, checked, in the form in which it is carried out.
#[derive(Debug)]
pub(crate) struct ProcessPlan<'a> {
    pub(crate) process: &'a Process,
    pub(crate) stdio: Stdio<'a>,
    pub(crate) options: Options,
    pub(crate) death_signal: Option<Signal>,
    pub(crate) limits: Limits,
    pub(crate) warnings: Vec<String>,
    pub(crate) seccomp: Option<&'a seccomp::Program>,
    /// Who answers for the filter.
    pub(crate) listener: Option<Connection>,
    /// This process, as the caller sees it.
    pub(crate) own_pid: Option<Pid>,
    /// Whether others live where the process will be.
    pub(crate) crosses: bool,
    /// Whether somebody else than the caller may start it.
    pub(crate) may_outwait: bool,
    args: Vec<CString>,
    env: Vec<CString>,
    capabilities: CapabilityPlan,
    preserved: &'a [BorrowedFd<'a>],
}

/// A process that is all that its program shall be.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) program: Program,
    /// The near end of its terminal, for the caller.
    pub(crate) console: Option<OwnedFd>,
}

impl<'a> ProcessPlan<'a> {
    pub(crate) fn new(
        process: &'a Process,
        stdio: Stdio<'a>,
        seccomp: Option<&'a seccomp::Program>,
        preserved: &'a [BorrowedFd<'a>],
        options: Options,
        death_signal: Option<Signal>,
    ) -> Result<Self, RuntimeError> {
        if process.args.first().is_none_or(String::is_empty) {
            return Err(spec_error("process.args", "is empty"));
        }
        if !process.cwd.starts_with('/') {
            return Err(spec_error("process.cwd", "is not absolute"));
        }
        if process.terminal != matches!(stdio, Stdio::Terminal { .. }) {
            return Err(spec_error("process.terminal", "differs from what the caller arranged"));
        }
        // The kernel takes this number for "no change".
        for (field, id) in
            [("process.user.uid", process.user.uid), ("process.user.gid", process.user.gid)]
                .into_iter()
                .chain(
                    process
                        .user
                        .additional_gids
                        .iter()
                        .map(|&gid| ("process.user.additionalGids", gid)),
                )
        {
            if id == u32::MAX {
                return Err(spec_error(field, "is not an id"));
            }
        }
        if let Some(score) = process.oom_score_adj
            && !(-1000..=1000).contains(&score)
        {
            return Err(spec_error("process.oomScoreAdj", "is not between -1000 and 1000"));
        }
        label::check(process)?;
        if seccomp.is_some_and(|filter| filter.has_listener() && !filter.allows("sendmsg", &[])) {
            // The last thing that is done under the filter before the program is executed.
            return Err(spec_error(
                "linux.seccomp",
                "must let sendmsg pass, by which its listener is handed over",
            ));
        }
        let strings = |field: &'static str, texts: &[String]| {
            texts
                .iter()
                .map(|text| CString::new(text.as_str()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| spec_error(field, "has a zero byte in it"))
        };
        let mut warnings = Vec::new();
        Ok(Self {
            process,
            stdio,
            options,
            death_signal,
            limits: Limits::new(process)?,
            args: strings("process.args", &process.args)?,
            env: strings("process.env", &process.env)?,
            capabilities: CapabilityPlan::new(process.capabilities.as_ref(), &mut warnings),
            warnings,
            seccomp,
            listener: None,
            own_pid: None,
            crosses: false,
            may_outwait: false,
            preserved,
        })
    }

    /// Whether something has to be written to a procfs.
    pub(crate) fn needs_proc(&self) -> bool {
        self.process.oom_score_adj.is_some() || label::is_wanted(self.process)
    }

    /// Step 1, part one: while a procfs of our own is at hand.
    pub(crate) fn write_proc(&mut self, proc: BorrowedFd<'_>) -> Result<(), RuntimeError> {
        if let Some(score) = self.process.oom_score_adj {
            let action = || format!("set oom_score_adj to {score}");
            match procfs::write_self(proc, "self/oom_score_adj", &score.to_string()) {
                // Lowering it needs CAP_SYS_RESOURCE, which root in a container may lack.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    self.warnings.push(format!("could not {}: {error}", action()));
                }
                other => other.inside(action)?,
            }
        }
        label::apply(proc, self.process)
    }

    /// All the rest. Returns only with the reason why not.
    ///
    /// `root` is the root directory. The process is in all its namespaces. `terminal` is the pair
    /// of a terminal's ends, the far end first. `hooks` is what is due right before the program.
    pub(crate) fn become_it(
        &mut self,
        root: OwnedFd,
        mut socket: OwnedFd,
        terminal: Option<(OwnedFd, OwnedFd)>,
        hooks: impl FnOnce() -> Result<(), RuntimeError>,
    ) -> Result<Infallible, Failed> {
        let prepared = match self.prepare(root, &mut socket, terminal) {
            Ok(prepared) => prepared,
            Err(error) => return Err((error, socket)),
        };
        if self.crosses {
            crossing::cross(self, prepared, socket, hooks);
        }
        let Prepared { program, console } = prepared;
        let near = console.as_ref().map(AsFd::as_fd);
        let told = message::send_ready(socket.as_fd(), &self.warnings, near);
        // It is the caller's from here on, who may give it to somebody who waits for its end.
        drop(console);
        match told.inside(|| "report that it is ready".into()) {
            Ok(()) => self.execute(&program, socket, false, hooks),
            Err(error) => Err((error, socket)),
        }
    }

    fn prepare(
        &mut self,
        root: OwnedFd,
        socket: &mut OwnedFd,
        terminal: Option<(OwnedFd, OwnedFd)>,
    ) -> Result<Prepared, RuntimeError> {
        self.limits.apply(&mut self.warnings)?;
        if !self.crosses {
            self.limits.apply_scheduler(None)?;
        }
        let (far, console) = terminal.unzip();
        if let Some(far) = &far {
            console::give(far.as_fd(), self.process.user.uid)?;
            if !self.crosses {
                console::take(far.as_fd())?;
            }
        }
        let entered = self.enter_cwd(root.as_fd())?;
        drop(root);
        let console = self.arrange(socket, far, console)?;
        sys::process::reset_signals();

        self.capabilities.clamp(&mut self.warnings)?;
        self.capabilities.bound()?;
        self.change_ids()?;
        if !entered {
            // Some directories open only to their owner, root or not (NFS).
            enter(&self.process.cwd).map_err(|error| self.cwd_error(error))?;
        }
        check_cwd(&self.process.cwd)?;
        if self.process.no_new_privileges {
            rustix::thread::set_no_new_privs(true).inside(|| "set no_new_privs".into())?;
        }
        let held = match (self.seccomp, self.process.no_new_privileges) {
            (Some(_), false) => CapabilitySet::SYS_ADMIN,
            _ => CapabilitySet::empty(),
        };
        self.capabilities.apply(held)?;
        if self.death_signal.is_some() {
            sys::process::set_pdeathsig(self.death_signal)
                .inside(|| "arm the death signal".into())?;
        }
        if self.options.set_home {
            crate::home::add(&mut self.env, self.process.user.uid);
        }
        let program = Program::look_up(&self.args[0], &self.env)?;
        rustix::process::umask(Mode::from_raw_mode(self.process.user.umask.unwrap_or(0o022)));
        Ok(Prepared { program, console })
    }

    /// What the process needs of the caller's descriptors. The first three numbers stay taken in
    /// any case, so that nothing else comes to be there before they have their meaning.
    pub(crate) fn inherited(&self) -> impl Iterator<Item = BorrowedFd<'a>> {
        let given = match self.stdio {
            Stdio::Fds(three) => three.to_vec(),
            _ => Vec::new(),
        };
        let own = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        own.into_iter().chain(given).chain(self.preserved.iter().copied())
    }

    /// Standard input, output and error, what is preserved, and nothing else; answers with the
    /// terminal's near end. It and the socket have other numbers from then on.
    fn arrange(
        &mut self,
        socket: &mut OwnedFd,
        far: Option<OwnedFd>,
        console: Option<OwnedFd>,
    ) -> Result<Option<OwnedFd>, RuntimeError> {
        let mut fds = Vec::with_capacity(3 + self.preserved.len());
        match (self.stdio, &far) {
            (Stdio::Fds(three), _) => fds.extend(three.into_iter().zip(0..)),
            (_, Some(far)) => fds.extend((0..3).map(|number| (far.as_fd(), number))),
            _ => {
                let own =
                    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
                // One that is closed stays closed.
                fds.extend(
                    own.into_iter().zip(0..).filter(|(fd, _)| rustix::io::fcntl_getfd(fd).is_ok()),
                );
            }
        }
        fds.extend(self.preserved.iter().copied().zip(3..));
        self.give_stdio(&fds[..fds.len().min(3)]);
        if let Some(listener) = &mut self.listener {
            listener.move_above(3 + self.preserved.len() as i32)?;
        }
        let mut keep = vec![socket.as_fd()];
        keep.extend(console.as_ref().map(AsFd::as_fd));
        let moved =
            sys::process::arrange_fds(&fds, &keep).inside(|| "arrange descriptors".into())?;
        let mut moved = moved.into_iter();
        let new_socket = moved.next().expect("as many as were to be kept");
        // The numbers that they had may be the program's by now: not to be closed as theirs.
        std::mem::forget((std::mem::replace(socket, new_socket), far, console));
        let console = moved.next();
        let mut keep = vec![socket.as_fd()];
        keep.extend(console.as_ref().map(AsFd::as_fd));
        keep.extend(self.listener.as_ref().map(Connection::as_fd));
        sys::process::close_before_exec(self.end_of_fds(), &keep)
            .inside(|| "close what the program does not get".into())?;
        Ok(console)
    }

    /// A pipe that the process may only inherit and not open again by its name in /proc would break
    /// programs that log to /dev/stdout. Files of the host keep their owner.
    fn give_stdio(&self, stdio: &[(BorrowedFd<'_>, i32)]) {
        let uid = Uid::from_raw(self.process.user.uid);
        for (fd, _) in stdio.iter().filter(|(_, number)| *number < 3) {
            let Ok(stat) = rustix::fs::fstat(fd) else { continue };
            let kind = FileType::from_raw_mode(stat.st_mode);
            if matches!(kind, FileType::Fifo | FileType::Socket) && stat.st_uid != uid.as_raw() {
                // A user namespace may not know the present owner. Nothing worse than before then.
                let _ = rustix::fs::fchown(fd, Some(uid), None);
            }
        }
    }

    /// Enters the working directory as root; `false` if only its user may.
    fn enter_cwd(&self, root: BorrowedFd<'_>) -> Result<bool, RuntimeError> {
        let cwd = &self.process.cwd;
        match enter(cwd) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => Ok(false),
            Err(rustix::io::Errno::NOENT) if self.options.make_cwd.is_some() => {
                let (uid, gid) = self.options.make_cwd.unwrap_or_default();
                let owner = Some((Uid::from_raw(uid), Gid::from_raw(gid)));
                target::make_directory(root, cwd, owner)
                    .inside(|| format!("make the working directory {cwd}"))?;
                enter(cwd).map_err(|error| self.cwd_error(error))?;
                Ok(true)
            }
            Err(error) => Err(self.cwd_error(error)),
        }
    }

    fn cwd_error(&self, errno: rustix::io::Errno) -> RuntimeError {
        // The words that runc uses, which tests and users of Docker look for.
        let action = format!("chdir to cwd (\"{}\") set in config.json", self.process.cwd);
        RuntimeError::Inside { action, source: errno.into() }
    }

    fn change_ids(&self) -> Result<(), RuntimeError> {
        let user = &self.process.user;
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        rustix::thread::set_keep_capabilities(true).inside(|| "keep capabilities".into())?;
        // The list is exact. That the primary group is in it, so that no process can shed it by
        // a set-group-id program and gain what is denied to the group, is for who writes the spec.
        let groups: Vec<Gid> = user.additional_gids.iter().map(|&gid| Gid::from_raw(gid)).collect();
        match rustix::thread::set_thread_groups(&groups) {
            // A user namespace made without privileges forbids the call, and its own process has
            // no other groups to get rid of than its user's.
            Err(rustix::io::Errno::PERM) if groups.is_empty() => {}
            other => other.inside(|| "set the supplementary groups".into())?,
        }
        rustix::thread::set_thread_res_gid(gid, gid, gid)
            .inside(|| format!("become group {}", user.gid))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
            .inside(|| format!("become user {}", user.uid))?;
        // A change of identity makes the process dumpable as the system's default has it.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .inside(|| "stay out of reach of others".into())
    }

    /// One more than the highest number of the program's descriptors.
    pub(crate) fn end_of_fds(&self) -> i32 {
        3 + i32::try_from(self.preserved.len()).unwrap_or(i32::MAX - 3)
    }

    /// Puts the filter in force, and gives up what that took. Answers with what its listener is to
    /// have.
    pub(crate) fn load_filter(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        let Some(filter) = self.seccomp else { return Ok(None) };
        let listener = filter.load().inside(|| "load the seccomp filter".into())?;
        if !self.process.no_new_privileges {
            self.capabilities.apply(CapabilitySet::empty())?;
        }
        Ok(listener)
    }

    /// Puts the filter in force for this process.
    fn filter_itself(&mut self) -> Result<(), RuntimeError> {
        let listener = self.load_filter()?;
        match (listener, self.listener.take(), self.own_pid) {
            (None, ..) => Ok(()),
            (Some(filter), Some(connection), Some(pid)) => connection.tell(pid, filter),
            // Calls that nobody answers would wait for ever.
            (Some(_), ..) => Err(spec_error("linux.seccomp", "there is nobody to notify")),
        }
    }

    /// Waits for "go", and becomes the program. `loaded`: the filter is in force already.
    pub(crate) fn execute(
        &mut self,
        program: &Program,
        socket: OwnedFd,
        loaded: bool,
        hooks: impl FnOnce() -> Result<(), RuntimeError>,
    ) -> Result<Infallible, Failed> {
        let Some(socket) = message::await_start(socket) else {
            // Nobody wants this process any more.
            sys::process::exit_now(0);
        };
        // Hooks are the container's own programs, and as confined as the one that follows.
        let filtered = match loaded {
            true => Ok(()),
            false => self.limits.apply_last().and_then(|()| self.filter_itself()),
        };
        if let Err(error) = filtered.and_then(|()| hooks()) {
            return Err((error, socket));
        }
        let args: Vec<_> = self.args.iter().map(CString::as_c_str).collect();
        let env: Vec<_> = self.env.iter().map(CString::as_c_str).collect();
        let error = sys::process::exec(program.path(), &args, &env);
        Err((program.failure(&error).into(), socket))
    }
}

/// An error, and the socket to report it on, wherever that has moved to.
pub(crate) type Failed = (RuntimeError, OwnedFd);

/// Enters a directory of the container's tree. A path through `/proc/self/fd` and the like would
/// lead to whatever directory of the host is open in this process, so magic links are refused
/// (CVE-2024-21626).
fn enter(path: &str) -> Result<(), rustix::io::Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_MAGICLINKS;
    let dir = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)?;
    rustix::process::fchdir(dir)
}

/// The kernel itself says whether the working directory is below the root.
fn check_cwd(path: &str) -> Result<(), RuntimeError> {
    match rustix::process::getcwd(Vec::new()) {
        Ok(name) if name.as_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(rustix::io::Errno::NOENT) => {
            Err(RuntimeError::Refused(format!("the working directory {path} is outside the root")))
        }
        Err(errno) => Err(errno).inside(|| format!("look at the working directory {path}")),
    }
}
