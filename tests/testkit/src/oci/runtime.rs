//! The runtime: a program, and a state directory of its own.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::bundle::{Bundle, unique};
use super::container::Container;
use crate::process::{self, Output};
use crate::{PATIENCE, kista};

/// Whose runtime it is, by the name of its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Kista,
    Runc,
    Crun,
    Other,
}

/// A runtime, which knows the containers of one test.
#[derive(Debug, Clone)]
pub struct Runtime {
    program: PathBuf,
    kind: Kind,
    /// `state`, and the streams of containers.
    folder: Arc<TempDir>,
}

impl Runtime {
    /// The one that `RUNTIME` names, by its path; else `kista-oci`, a link to the built `kista`.
    pub fn under_test() -> Self {
        match std::env::var_os("RUNTIME") {
            Some(path) => Self::at(path.into()),
            None => {
                let folder = folder();
                let program = folder.path().join("kista-oci");
                std::os::unix::fs::symlink(kista::program(), &program).unwrap();
                Self { program, kind: Kind::Kista, folder: Arc::new(folder) }
            }
        }
    }

    /// The program with that path.
    pub fn at(program: PathBuf) -> Self {
        assert!(program.exists(), "there is no runtime {}", program.display());
        let kind = kind(&program);
        Self { program, kind, folder: Arc::new(folder()) }
    }

    /// Whose it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The directory with what belongs to this test's runtime.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command of the runtime, with its state directory as `--root`.
    ///
    /// crun up to 1.27 refuses a machine on which cgroup v1 is used while v2 is mounted, too:
    /// it runs where v2 is not. And it gives its standard streams to the container's root, even
    /// where that is `/dev/null`: it gets one that is not the machine's.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = if self.kind == Kind::Crun {
            let mut command = Command::new("unshare");
            command
                .args(["--mount", "--propagation", "slave", "sh", "-c", AROUND_CRUN])
                .arg(&self.program)
                .arg(self.folder().join("null"));
            command
        } else {
            Command::new(&self.program)
        };
        command.arg("--root").arg(self.folder().join("state")).args(arguments);
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn call(&self, arguments: &[&str]) -> Output {
        self.call_with(arguments, "")
    }

    /// Runs a command that reads something to its end.
    #[track_caller]
    pub fn call_with(&self, arguments: &[&str], stdin: impl Into<Vec<u8>>) -> Output {
        process::run(self.command(arguments), stdin.into(), PATIENCE, || {})
    }

    /// `run`: creates, starts, waits and deletes; gives what the container wrote.
    #[track_caller]
    pub fn run(&self, bundle: &Bundle) -> Output {
        self.run_with(bundle, &[], "")
    }

    /// `run` with flags and an input.
    #[track_caller]
    pub fn run_with(&self, bundle: &Bundle, flags: &[&str], stdin: impl Into<Vec<u8>>) -> Output {
        bundle.write();
        let id = unique();
        let path = bundle.path().to_str().unwrap();
        let arguments = [&["run", "--bundle", path], flags, &[&id]].concat();
        let out = self.call_with(&arguments, stdin);
        assert_ne!(self.call(&["state", &id]).code, 0, "run left a container: {out:?}");
        if !bundle.cgroup().is_empty() {
            super::cgroup::assert_gone(bundle.cgroup());
        }
        out
    }

    /// `create`; panics if it fails.
    #[track_caller]
    pub fn create(&self, bundle: &Bundle) -> Container {
        self.try_create(bundle).unwrap_or_else(|out| panic!("create: {out:?}"))
    }

    /// `create`; what it answered, if it fails.
    pub fn try_create(&self, bundle: &Bundle) -> Result<Container, Output> {
        self.create_with(bundle, &unique(), &[])
    }

    /// `create` with an id and flags; what it answered, if it fails.
    #[track_caller]
    pub fn create_with(
        &self,
        bundle: &Bundle,
        id: &str,
        flags: &[&str],
    ) -> Result<Container, Output> {
        bundle.write();
        let path = bundle.path().to_str().unwrap();
        let command = self.command(&[&["create", "--bundle", path], flags, &[id]].concat());
        self.create_by(command, bundle, id)
    }

    /// A `create` that the caller has put together.
    #[track_caller]
    pub fn create_by(
        &self,
        mut command: Command,
        bundle: &Bundle,
        id: &str,
    ) -> Result<Container, Output> {
        // The container keeps these streams, so that a pipe would not end with the command.
        let (stdout, stderr) = (self.stream(id, "out"), self.stream(id, "err"));
        command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&stdout).unwrap())
            .stderr(fs::File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let status = process::wait(&mut child, Instant::now() + PATIENCE);
        if status.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let read = |path: &Path| fs::read(path).unwrap();
        let bytes = read(&stdout);
        let out = Output {
            code: status.map_or(-1, process::code),
            stdout: String::from_utf8_lossy(&bytes).into_owned(),
            stderr: String::from_utf8_lossy(&read(&stderr)).into_owned(),
            bytes,
        };
        assert!(status.is_some(), "create takes too long: {out:?}");
        match out.code {
            0 => Ok(Container::new(self.clone(), id.to_owned(), bundle)),
            _ => Err(out),
        }
    }

    /// Where a container's standard output or error goes.
    pub(super) fn stream(&self, id: &str, name: &str) -> PathBuf {
        // An id that is to be refused need not be a file's name.
        self.folder().join(format!("{}.{name}", id.replace('/', "_")))
    }

    /// The ids that `list` knows.
    pub fn list(&self) -> Vec<String> {
        self.call(&["list", "--quiet"]).ok().lines().map(str::to_owned).collect()
    }

    /// Panics unless nothing is left of a create that failed.
    #[track_caller]
    pub fn assert_nothing_left(&self, bundle: &Bundle) {
        let state = self.folder().join("state");
        if state.exists() {
            assert_eq!(self.list(), Vec::<String>::new());
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        if !bundle.cgroup().is_empty() {
            super::cgroup::assert_gone(bundle.cgroup());
        }
        loop {
            let left: Vec<_> = fs::read_dir(&state)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("conformance-"))
                .map(|entry| entry.path())
                .collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left in the state directory: {left:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("kista-runtime-").tempdir().unwrap()
}

fn kind(program: &Path) -> Kind {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    match &*name {
        name if name.starts_with("kista") => Kind::Kista,
        name if name.starts_with("runc") => Kind::Runc,
        name if name.starts_with("crun") => Kind::Crun,
        _ => Kind::Other,
    }
}

/// Run by a shell with crun's path, that of a device to be, and crun's arguments.
const AROUND_CRUN: &str = r#"
null=$1; shift
! [ -e /sys/fs/cgroup/unified/cgroup.procs ] || umount /sys/fs/cgroup/unified || exit
[ -e "$null" ] || mknod -m 666 "$null" c 1 3 2>/dev/null || [ -e "$null" ] || exit
mount --bind "$null" /dev/null || exit
is_null() { [ "$(stat -L -c %t:%T "/proc/$$/fd/$1")" = 1:3 ]; }
! is_null 0 || exec </dev/null
! is_null 1 || exec >/dev/null
! is_null 2 || exec 2>/dev/null
exec "$0" "$@"
"#;
