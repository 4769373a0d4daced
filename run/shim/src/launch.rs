//! What a client asks its shim to run.
//!
//! A launch travels as two lines of JSON and a tail of bytes. The first line is for the shim,
//! which keeps little of it; the second is read by the stage only, and the tail is the system
//! call filter as it goes into the kernel.

use std::path::PathBuf;

use oci::Mount;
use oci::runtime::{Process, Resources, Spec};
use serde::{Deserialize, Serialize};

use crate::ShimError;
use crate::log::LogPlan;

/// All that a shim needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    /// For the shim.
    pub plan: Plan,
    /// What to run.
    pub kind: Kind,
    /// The system call filter.
    pub seccomp: Option<Filter>,
    /// The cgroup.
    pub cgroup: Option<CgroupPlan>,
    /// Make the working directory if it is missing, owned by this user and group.
    pub make_cwd: Option<(u32, u32)>,
    /// The network namespace comes with the launch, and the program waits until the client has
    /// connected it: see [`crate::network`].
    pub network: bool,
    /// Another OCI runtime that makes the process: it compiles `linux.seccomp` itself, and
    /// `seccomp` is not looked at.
    pub foreign: Option<Foreign>,
}

/// An OCI runtime that is not ours, for one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Its executable. Absolute.
    pub program: PathBuf,
    /// The directory of the container's bundle and of what the runtime keeps of it. Made by the
    /// launch of an init, which first removes what is there.
    pub dir: PathBuf,
    /// What the runtime calls the container.
    pub container: String,
}

/// What the shim itself needs of a launch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The container's id.
    pub id: String,
    /// The container's directory: log, attach socket. Absolute.
    pub container_dir: PathBuf,
    /// Whether there is a pseudo-terminal; it must agree with the process's `terminal`.
    #[serde(default)]
    pub tty: bool,
    /// Whether the process has a stdin; otherwise it reads `/dev/null`. A terminal always has one.
    #[serde(default)]
    pub open_stdin: bool,
    /// Whether stdin is closed when a client's input ends; see the crate's documentation.
    #[serde(default)]
    pub stdin_once: bool,
    /// What the launching client wants.
    #[serde(default)]
    pub attach: Streams,
    /// Where output goes besides the clients. `LogPlan::none()` for exec'd processes.
    #[serde(default)]
    pub log: LogPlan,
    /// Whether other clients may attach: `attach.sock` exists from before `Started` on.
    #[serde(default)]
    pub listen: bool,
    /// Whether the process is killed when the client that launched it is gone: for what is of no
    /// use to anybody else.
    #[serde(default)]
    pub ends_with_client: bool,
    /// Handed back to [`crate::Hooks::claim`]; small, since the shim parses it.
    #[serde(default)]
    pub engine: serde_json::Value,
}

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// It may send input.
    pub stdin: bool,
    /// It receives output (all of it if there is a terminal).
    pub stdout: bool,
    /// It receives errors.
    pub stderr: bool,
}

impl Streams {
    /// All three.
    pub const ALL: Self = Self { stdin: true, stdout: true, stderr: true };
    /// None: the client only learns of start and end.
    pub const NONE: Self = Self { stdin: false, stdout: false, stderr: false };

    pub(crate) fn bits(self) -> u8 {
        u8::from(self.stdin) | u8::from(self.stdout) << 1 | u8::from(self.stderr) << 2
    }

    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        let bit = |at: u8| bits & (1 << at) != 0;
        (bits < 8).then(|| Self { stdin: bit(0), stdout: bit(1), stderr: bit(2) })
    }
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A container's first process.
    Init {
        /// The container.
        spec: Box<Spec>,
        /// Its root file system, as `store` emits it; empty: `spec.root.path` is a directory.
        rootfs: Vec<Mount>,
        /// The inits of other containers that the spec names by `/proc/PID`: it fails if one of
        /// them ends before it is made.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        joined: Vec<Target>,
    },
    /// A process added to a running container. It ends when the container ends.
    Exec {
        /// The container's init.
        target: Target,
        /// The process.
        process: Box<Process>,
    },
}

/// A running container's init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// As the host sees it.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks since boot: if given, another process under
    /// the same number is an error.
    #[serde(default)]
    pub start_time: Option<u64>,
}

impl Target {
    /// The process that has the number now; `None` if there is none.
    pub fn running(pid: u32) -> Option<Self> {
        let number = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)?;
        Some(Self { pid, start_time: Some(crate::monitor::start_time(number)?) })
    }
}

/// A compiled system call filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// The bytes that `seccomp::Program::to_bytes` gives.
    Bytes(Vec<u8>),
    /// A file that holds them, in the cache.
    File(PathBuf),
}

/// The cgroup of the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CgroupPlan {
    /// Below the root of each hierarchy, say `kista/<id>`.
    pub path: String,
    /// For an init: the limits; the cgroup is made, and removed after the end. `None` for an
    /// exec'd process, which joins what is there.
    pub resources: Option<Box<Resources>>,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Head<P> {
    pub(crate) plan: P,
    /// The cgroup that the shim looks into and removes at the end.
    pub(crate) own_cgroup: Option<String>,
    /// Whether everything in that cgroup is killed at the end: the process is not alone in a
    /// process id namespace of its own, so the kernel does not do it.
    pub(crate) kill_rest: bool,
    /// Whether a process that helps to make it may be left to reap.
    pub(crate) has_helper: bool,
    /// What takes the container away at the end, and has its processes reparented to the shim.
    pub(crate) foreign: Option<Foreign>,
}

/// The second line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Body<K, C> {
    pub(crate) id: String,
    pub(crate) open_stdin: bool,
    pub(crate) make_cwd: Option<(u32, u32)>,
    #[serde(default)]
    pub(crate) network: bool,
    pub(crate) kind: K,
    pub(crate) cgroup: Option<C>,
    pub(crate) seccomp: SeccompSource,
    pub(crate) foreign: Option<Foreign>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeccompSource {
    None,
    Tail,
    File(PathBuf),
}

impl Launch {
    /// The payload of the `Launch` frame.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ShimError> {
        let failed = |source| ShimError::Encode { id: self.plan.id.clone(), source };
        let own = self.cgroup.as_ref().filter(|cgroup| cgroup.resources.is_some());
        let head = Head {
            plan: &self.plan,
            own_cgroup: own.map(|cgroup| cgroup.path.clone()),
            kill_rest: own.is_some() && !self.kind.has_own_pids(),
            has_helper: self.kind.joins_somebody(),
            foreign: self.foreign.clone(),
        };
        let seccomp = match &self.seccomp {
            None => SeccompSource::None,
            Some(Filter::Bytes(_)) => SeccompSource::Tail,
            Some(Filter::File(path)) => SeccompSource::File(path.clone()),
        };
        let body = Body {
            id: self.plan.id.clone(),
            open_stdin: self.plan.open_stdin,
            make_cwd: self.make_cwd,
            network: self.network,
            kind: &self.kind,
            cgroup: self.cgroup.as_ref(),
            seccomp,
            foreign: self.foreign.clone(),
        };
        let mut payload = Vec::with_capacity(32 * 1024);
        // serde_json writes no line feeds of its own and escapes those of the texts.
        serde_json::to_writer(&mut payload, &head).map_err(failed)?;
        payload.push(b'\n');
        serde_json::to_writer(&mut payload, &body).map_err(failed)?;
        payload.push(b'\n');
        if let Some(Filter::Bytes(program)) = &self.seccomp {
            payload.extend_from_slice(program);
        }
        Ok(payload)
    }
}

impl Kind {
    /// Whether the process is the first one of a new process id namespace.
    fn has_own_pids(&self) -> bool {
        use oci::runtime::NamespaceKind::Pid;
        let Self::Init { spec, .. } = self else { return false };
        let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
        namespaces.into_iter().any(|namespace| namespace.kind == Pid && namespace.path.is_none())
    }

    /// Whether it enters a pid or user namespace that is there already: `runtime::Parent`.
    fn joins_somebody(&self) -> bool {
        use oci::runtime::NamespaceKind::{Pid, User};
        let Self::Init { spec, .. } = self else { return true };
        let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
        namespaces.into_iter().any(|one| matches!(one.kind, Pid | User) && one.path.is_some())
    }
}

/// A launch's payload, cut into its parts: the two lines and the tail.
pub(crate) fn split(payload: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let line = |bytes: &'_ [u8]| bytes.iter().position(|byte| *byte == b'\n');
    let first = line(payload)?;
    let (head, rest) = (&payload[..first], &payload[first + 1..]);
    let second = line(rest)?;
    Some((head, &rest[..second], &rest[second + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch() -> Launch {
        let plan = Plan {
            id: "a\nb".into(),
            container_dir: "/x".into(),
            tty: true,
            open_stdin: true,
            stdin_once: false,
            attach: Streams::ALL,
            log: LogPlan::default(),
            listen: true,
            ends_with_client: true,
            engine: serde_json::json!({"rm": true}),
        };
        let spec = Spec { hostname: Some("here".into()), ..Spec::default() };
        Launch {
            plan,
            kind: Kind::Init { spec: Box::new(spec), rootfs: vec![], joined: vec![] },
            seccomp: Some(Filter::Bytes(vec![b'\n', 0, 255])),
            cgroup: Some(CgroupPlan { path: "kista/x".into(), resources: Some(Box::default()) }),
            make_cwd: Some((1, 2)),
            foreign: Some(Foreign {
                program: "/usr/bin/x".into(),
                dir: "/d".into(),
                container: "c".into(),
            }),
            network: false,
        }
    }

    #[test]
    fn a_launch_is_the_same_after_the_journey() {
        let before = launch();
        let payload = before.encode().unwrap();
        let (head, body, tail) = split(&payload).unwrap();
        let head: Head<Plan> = serde_json::from_slice(head).unwrap();
        let body: Body<Kind, CgroupPlan> = serde_json::from_slice(body).unwrap();

        assert_eq!(head.plan, before.plan);
        assert_eq!(head.own_cgroup.as_deref(), Some("kista/x"));
        assert!(head.kill_rest, "it has no process id namespace of its own");
        assert!(!head.has_helper, "it joins nobody");
        assert_eq!((&head.foreign, &body.foreign), (&before.foreign, &before.foreign));
        assert_eq!((body.kind, body.cgroup), (before.kind, before.cgroup));
        assert_eq!((body.id, body.open_stdin, body.make_cwd), ("a\nb".into(), true, Some((1, 2))));
        assert!(matches!(body.seccomp, SeccompSource::Tail));
        assert_eq!(tail, [b'\n', 0, 255]);
    }

    #[test]
    fn streams_are_three_bits() {
        for bits in 0..8 {
            assert_eq!(Streams::from_bits(bits).unwrap().bits(), bits);
        }
        assert_eq!(Streams::from_bits(8), None);
    }
}
