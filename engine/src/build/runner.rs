//! A build step's command, in a container of its own.
//!
//! It gets what `run` gives: the same supervisor and runtime, with the profile for builds. There
//! is no record of it: it ends with its command, or with the process that builds.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use builder::{RunFailure, RunRequest, Runner, Stream};
use bundle::{Files, HostFacts, HostsFile, Inputs, Joined, ResolvConf, RootfsFacts, Userns};
use dockerapi::{ContainerConfig, HostConfig};
use dockerfile::{NetworkMode, SecurityMode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use shim::client::{Incoming, Pending, Session};
use shim::frame::Frame;
use shim::log::LogPlan;
use shim::{Early, Kind, Launch, Plan, ShimError, Streams};
use sys::fresh::FreshDirectory;

use super::platforms::{BINFMT, is_runnable};
use super::{AllowedDevices, BuildImage};
use crate::launch::ForHooks;
use crate::network::{EarlyNamespace, NetworkFiles, STEPS, StepNetwork};
use crate::{Engine, EngineError, names};

/// What a killed command ends with.
const KILL: u8 = 9;
/// Where a step without an address finds itself, and one of the host's network the host.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Runs commands for builds below one data directory.
pub(crate) struct StepRunner {
    root: PathBuf,
    /// Directories of running steps: what is mounted over `/etc/hosts` and the like.
    folder: OwnedFd,
    host: HostConfig,
    facts: HostFacts,
    devices: AllowedDevices,
    hostname: String,
}

impl StepRunner {
    pub(crate) fn new(engine: &Engine, build: &BuildImage) -> Result<Self, EngineError> {
        use std::os::unix::fs::DirBuilderExt;
        let path = engine.root().join(STEPS);
        let failed = |error| EngineError::io("create", &path)(error);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let folder: OwnedFd = std::fs::File::open(&path).map_err(failed)?.into();
        // What builders that were killed have left.
        sys::fresh::sweep(folder.as_fd()).map_err(failed)?;
        engine.reclaim_steps()?;
        let network = match build.host.network_mode.as_str() {
            "" | "default" => engine.build_network()?,
            mode @ ("none" | "host" | "bridge") => mode,
            other => {
                return Err(EngineError::Unsupported {
                    message: format!(
                        "network mode {other:?} is not supported for builds: use default, none or host"
                    ),
                });
            }
        };
        let mut host = build.host.clone();
        network.clone_into(&mut host.network_mode);
        "build".clone_into(&mut host.profile);
        "private".clone_into(&mut host.ipc_mode);
        "private".clone_into(&mut host.cgroupns_mode);
        "kista".clone_into(&mut host.runtime);
        if host.shm_size == 0 {
            host.shm_size = 64 << 20;
        }
        let (root, facts) = (engine.root().to_owned(), engine.facts()?.clone());
        let hostname = match build.request.hostname.as_str() {
            "" => "buildkitsandbox".to_owned(),
            name => name.to_owned(),
        };
        Ok(Self { root, folder, host, facts, devices: build.devices.clone(), hostname })
    }

    /// The network of a step that asks for this one.
    fn network_of(&self, asked: NetworkMode) -> &str {
        match asked {
            NetworkMode::Default => &self.host.network_mode,
            NetworkMode::None => "none",
            NetworkMode::Host => "host",
        }
    }

    fn launch(
        &self,
        engine: &Engine,
        id: String,
        request: &RunRequest<'_>,
        directory: &FreshDirectory,
        network: Option<&StepNetwork<'_>>,
        tty: bool,
    ) -> Result<Launch, EngineError> {
        let mut host = self.host.clone();
        self.network_of(request.network).clone_into(&mut host.network_mode);
        if request.security == SecurityMode::Insecure {
            host.privileged = true;
            host.profile = "docker".into();
        }
        let config = ContainerConfig {
            hostname: self.hostname.clone(),
            user: request.user.to_owned(),
            env: request.environment.to_vec(),
            cmd: request.arguments.to_vec(),
            working_dir: request.directory.to_owned(),
            tty,
            open_stdin: tty,
            ..ContainerConfig::default()
        };
        let path = self.root.join(STEPS).join(directory.name());
        let files = self.write_files(directory, &path, &host, network)?;
        let (passwd, group) = accounts(engine, request)?;
        let cgroup = engine.cgroup_path(&id, &host.cgroup_parent)?;
        let devices = |path: &str| crate::launch::host_devices(path);
        let bundle = bundle::spec(&Inputs {
            id: &id,
            config: &config,
            host: &host,
            rootfs: RootfsFacts { path: "", passwd: passwd.as_deref(), group: group.as_deref() },
            mounts: &[],
            files: Files {
                hostname: None,
                hosts: Some(&files.0),
                resolv_conf: Some(&files.1),
                init: None,
            },
            joined: Joined {
                made_network: network.map(|_| shim::network::HANDED_NETWORK),
                ..Joined::default()
            },
            userns: Userns::Unavailable("builds with ids of their own come with a later version"),
            devices: &devices,
            cgroups_path: &cgroup,
            seccomp: None,
            facts: &self.facts,
        })?;
        let mut spec = bundle.spec;
        crate::cdi::give_step(request.devices, &self.devices, &mut spec)?;
        spec.mounts.extend(request.mounts.iter().cloned());
        let mut rootfs = request.rootfs.to_vec();
        for mount in &mut rootfs {
            let options = bundle.needs.rootfs_options.iter().map(|option| (*option).to_owned());
            mount.options.extend(options);
        }
        let seccomp = engine.filter(&mut spec, bundle.needs.seccomp)?;
        let resources =
            spec.linux.as_mut().and_then(|linux| linux.resources.take()).unwrap_or_default();
        let for_hooks = ForHooks {
            root: self.root.clone(),
            id: id.clone(),
            auto_remove: false,
            // There is no record: the supervisor only looks after the process.
            exec: true,
        };
        Ok(Launch {
            plan: Plan {
                id,
                container_dir: path,
                tty,
                open_stdin: tty,
                stdin_once: false,
                attach: Streams { stdin: tty, stdout: true, stderr: true },
                log: LogPlan::none(),
                listen: false,
                ends_with_client: true,
                engine: serde_json::to_value(for_hooks).map_err(|source| EngineError::Invalid {
                    message: format!("the launch cannot be written down: {source}"),
                })?,
            },
            kind: Kind::Init { spec: Box::new(spec), rootfs, joined: Vec::new() },
            seccomp,
            cgroup: crate::launch::cgroup_plan(&cgroup, Some(resources)),
            make_cwd: Some((0, 0)),
            foreign: None,
            network: network.is_some(),
        })
    }

    /// `hosts` and `resolv.conf`: their paths.
    fn write_files(
        &self,
        directory: &FreshDirectory,
        path: &Path,
        host: &HostConfig,
        network: Option<&StepNetwork<'_>>,
    ) -> Result<(String, String), EngineError> {
        let network = match network {
            Some(network) => network.files(),
            None if host.network_mode == "host" => {
                NetworkFiles { host_gateway: Some(LOOPBACK), ..NetworkFiles::default() }
            }
            None => NetworkFiles::default(),
        };
        // Its own name is one that it can always look up.
        let addresses = match network.addresses.as_slice() {
            [] => &[LOOPBACK],
            own => own,
        };
        let hosts = bundle::hosts_file(&HostsFile {
            hostname: &self.hostname,
            domainname: "",
            addresses,
            extra_hosts: &host.extra_hosts,
            host_gateway: network.host_gateway,
            others: &[],
        })?;
        let server = network.server.map(|server| vec![server.to_string()]);
        let resolv_conf = bundle::resolv_conf(&ResolvConf {
            host_file: &std::fs::read("/etc/resolv.conf").unwrap_or_default(),
            servers: server.as_deref().unwrap_or(&host.dns),
            search: &host.dns_search,
            options: &host.dns_options,
            host_network: host.network_mode == "host",
            resolver: None,
        })?;
        let write = |name: &str, text: &str| -> Result<String, EngineError> {
            let failed = EngineError::io("write", path.join(name));
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o644);
            rustix::fs::openat(directory.directory(), name, flags, mode)
                .map_err(io::Error::from)
                .and_then(|file| {
                    rustix::fs::fchmod(&file, mode)?;
                    io::Write::write_all(&mut std::fs::File::from(file), text.as_bytes())
                })
                .map_err(failed)?;
            Ok(path.join(name).to_string_lossy().into_owned())
        };
        Ok((write("hosts", &hosts)?, write("resolv.conf", &resolv_conf)?))
    }
}

/// A command of a step that is about to run.
pub(super) struct Begun<'a> {
    pub(super) session: Session,
    /// What it has besides, for as long as it runs.
    _network: Option<StepNetwork<'a>>,
    _directory: FreshDirectory,
}

impl StepRunner {
    /// An engine for one command, whoever else runs one at the same time.
    pub(super) fn engine(&self) -> Result<Engine, EngineError> {
        let engine = Engine::open(&self.root)?;
        engine.set_facts(self.facts.clone());
        Ok(engine)
    }

    /// Has a command launched, with a terminal or with nothing to read from.
    pub(super) fn begin<'a>(
        &self,
        engine: &'a Engine,
        request: &RunRequest<'_>,
        tty: bool,
    ) -> Result<Begun<'a>, EngineError> {
        if !is_runnable(request.platform, Path::new(BINFMT)) {
            return Err(EngineError::Unsupported {
                message: format!(
                    "this machine runs no programs for {}: register an interpreter for them \
                     (qemu-user-static), or run the command in a stage with \
                     --platform=$BUILDPLATFORM",
                    request.platform
                ),
            });
        }
        let id = names::new_id();
        let mode = self.network_of(request.network);
        let cgroup = engine.cgroup_path(&id, &self.host.cgroup_parent)?;
        // They get ready beside our own work.
        let shim = shim::client::spawn_early(&Early { network: mode == "none" })?;
        if !cgroup.is_empty() {
            shim.make_cgroup(&cgroup)?;
        }
        let network = (mode == "bridge").then(EarlyNamespace::begin_one);
        let directory = FreshDirectory::create(self.folder.as_fd())
            .map_err(|error| EngineError::io("create a directory in", STEPS)(error))?;
        let network = network.map(|early| engine.prepare_step(&directory, early)).transpose()?;
        let launch = self.launch(engine, id, request, &directory, network.as_ref(), tty)?;
        let session = start(engine, shim, &launch, network.as_ref())?;
        Ok(Begun { session, _network: network, _directory: directory })
    }
}

impl Runner for StepRunner {
    fn run(
        &self,
        request: &RunRequest<'_>,
        stop: &AtomicBool,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<(), RunFailure> {
        let other = |error: EngineError| RunFailure::Other(with_causes(&error));
        let engine = self.engine().map_err(other)?;
        let mut begun = self.begin(&engine, request, false).map_err(other)?;
        match begun.session.started() {
            Ok(_) => {}
            Err(ShimError::Failed { exit_code, message }) => {
                // As a shell would have it: the step's command is what failed.
                output(Stream::Error, format!("{message}\n").as_bytes());
                return Err(RunFailure::Exit(exit_code));
            }
            Err(error) => return Err(other(error.into())),
        }
        follow(&mut begun.session, stop, output)
    }
}

/// Hands the launch over, and connects the step's network while the shim makes the rest.
fn start(
    engine: &Engine,
    shim: Pending,
    launch: &Launch,
    network: Option<&StepNetwork<'_>>,
) -> Result<Session, EngineError> {
    let Some(network) = network else { return Ok(shim.launch(launch)?) };
    let sandbox = network.sandbox();
    let mut session = match sandbox.namespace() {
        Some(namespace) => shim.launch_in(launch, namespace)?,
        None => shim.launch(launch)?,
    };
    engine.connect_sandbox(network.owner(), sandbox, &mut session)?;
    Ok(session)
}

/// Passes output on until the command has ended.
fn follow(
    session: &mut Session,
    stop: &AtomicBool,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> Result<(), RunFailure> {
    let lost = |error: &dyn std::error::Error| RunFailure::Other(with_causes(error));
    let mut killed = false;
    loop {
        match session.try_recv().map_err(|error| lost(&error))? {
            Incoming::Frame(Frame::Stdout(bytes)) => output(Stream::Out, bytes),
            Incoming::Frame(Frame::Stderr(bytes)) => output(Stream::Error, bytes),
            Incoming::Frame(Frame::Exited { code: 0 }) => return Ok(()),
            Incoming::Frame(Frame::Exited { code }) => return Err(RunFailure::Exit(code)),
            Incoming::Frame(_) => {}
            Incoming::End => {
                return Err(RunFailure::Other("its supervisor was killed".to_owned()));
            }
            Incoming::Nothing => {
                if stop.load(Ordering::Relaxed) && !killed {
                    session.signal(KILL).map_err(|error| lost(&error))?;
                    killed = true;
                }
                let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                let mut fds = [PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN)];
                match poll(&mut fds, Some(&wait)) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(lost(&io::Error::from(errno))),
                }
            }
        }
    }
}

type File = Option<Vec<u8>>;

/// `/etc/passwd` and `/etc/group` as the command will see them.
fn accounts(engine: &Engine, request: &RunRequest<'_>) -> Result<(File, File), EngineError> {
    let mounts = engine.snapshots()?.mounts(request.diff_ids, None, true)?;
    let root = runtime::mount_detached(&mounts)?;
    let read = |path: &str| -> Result<File, EngineError> {
        let failed = EngineError::io("read", path);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match sys::fs::open_in_root(root.as_fd(), path, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if !file.metadata().is_ok_and(|facts| facts.is_file()) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let limit = bundle::ACCOUNT_FILE_LIMIT_BYTES as u64 + 1;
        io::Read::read_to_end(&mut io::Read::take(file, limit), &mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    };
    Ok((read("etc/passwd")?, read("etc/group")?))
}

fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let codes = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
