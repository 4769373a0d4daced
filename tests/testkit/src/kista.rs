//! The program under test, in a data directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::audit::{self, Owner};
use crate::peer::Docker;
use crate::process::{self, Output};
use crate::{Host, Image, PATIENCE, Terminal, User};

/// In the data directory, where a test has settings of its own.
const CONFIG: &str = "config.toml";

/// A data directory and the `kista` that works in it.
///
/// When dropped, removes all containers and then panics if anything is left of them.
#[derive(Debug)]
pub struct Kista {
    root: TempDir,
    program: PathBuf,
    cookie: String,
    audited: bool,
    host: Option<Host>,
    /// Containers are in no network unless they name one.
    is_offline: bool,
    /// Who its commands are run by, if not by whoever runs the tests.
    user: Option<User>,
    /// What answers in its place.
    docker: Option<Docker>,
}

impl Kista {
    /// An empty data directory.
    pub fn new() -> Self {
        let host = Host::new();
        // Most tests need no network, and a guest's kernel may have none to give.
        let is_offline = !host.as_ref().is_some_and(Host::has_bridges);
        let mut kista = Self::with_network(host, is_offline);
        if Docker::is_wanted() {
            kista.docker = Some(Docker::start(kista.root(), kista.host()));
            kista.audited = false;
        }
        kista
    }

    /// One whose commands see the machine's own network: servers of the test on its loopback.
    /// Containers are in no network, so that nothing of the machine is touched.
    pub fn on_this_machine() -> Self {
        Self::with_network(None, true)
    }

    fn with_network(host: Option<Host>, is_offline: bool) -> Self {
        let root = tempfile::Builder::new().prefix("kista-test-").tempdir().unwrap();
        let cookie = root.path().file_name().unwrap().to_string_lossy().into_owned();
        if is_offline {
            std::fs::write(root.path().join(CONFIG), "default_network = \"none\"\n").unwrap();
        }
        Self {
            root,
            program: program(),
            cookie,
            audited: true,
            host,
            is_offline,
            user: None,
            docker: None,
        }
    }

    /// One whose commands an ordinary user runs. Containers are in no network unless they name one.
    pub fn of(user: User) -> Self {
        Self::with_network(Host::new(), true).handed_to(user)
    }

    /// As [`Kista::on_this_machine`], for an ordinary user.
    pub fn on_this_machine_of(user: User) -> Self {
        Self::with_network(None, true).handed_to(user)
    }

    fn handed_to(self, user: User) -> Self {
        let mut kista = self;
        let own = Some(User::ID);
        std::os::unix::fs::chown(kista.root(), own, own).unwrap();
        kista.user = Some(user);
        kista
    }

    /// The user who runs its commands.
    pub fn user(&self) -> &User {
        self.user.as_ref().expect("made with one")
    }

    /// One with the image `busybox` ([`Image::busybox`]) in it.
    pub fn with_busybox() -> Self {
        let kista = Self::new();
        kista.load(&Image::busybox("busybox"));
        kista
    }

    /// Does without the audit at the end, for tests that break things on purpose.
    pub fn without_audit(mut self) -> Self {
        self.audited = false;
        self
    }

    /// The host whose network its commands see.
    pub fn host(&self) -> &Host {
        self.host.as_ref().expect("the test asked for root")
    }

    /// Calls `action` in that network, if there is one.
    fn in_network<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        match &self.host {
            Some(host) => host.enter(action),
            None => action(),
        }
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The value of the environment variable [`audit::COOKIE`] in our processes.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Puts an image into the store.
    #[track_caller]
    pub fn load(&self, image: &Image) {
        self.command(&["load"]).stdin(image.docker_archive()).run().ok();
    }

    /// Runs a command and waits for its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).run()
    }

    /// Runs a command that must succeed; gives its output without the last line's end.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok()
    }

    /// What `inspect` says of one container or image.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> Value {
        let mut all: Value = serde_json::from_str(&self.ok(&["inspect", name])).unwrap();
        all[0].take()
    }

    /// `inspect --format`.
    #[track_caller]
    pub fn format(&self, format: &str, name: &str) -> String {
        self.ok(&["inspect", "--format", format, name])
    }

    /// A command to be run in some particular way.
    pub fn command(&self, arguments: &[&str]) -> Invocation<'_> {
        let mut command = match (&self.user, &self.docker) {
            (Some(user), _) => user.command(&self.program, arguments),
            (None, Some(docker)) => docker.command(arguments),
            (None, None) => {
                let mut command = Command::new(&self.program);
                command.args(arguments);
                command
            }
        };
        command
            .env("KISTA_ROOT", self.root())
            .env(audit::COOKIE, &self.cookie)
            // What the user who runs the tests has set must not matter.
            .env("HOME", self.root())
            .env_remove("DOCKER_DEFAULT_PLATFORM")
            .env_remove("KISTA_CONFIG");
        if self.is_offline {
            command.env("KISTA_CONFIG", self.root().join(CONFIG));
        }
        Invocation { kista: self, command, stdin: Vec::new(), timeout: PATIENCE * 2 }
    }

    /// Whose processes, cgroups, mounts and files are ours.
    pub fn owner(&self) -> Owner {
        Owner { root: self.root().to_owned(), cookie: self.cookie.clone() }
    }

    /// Removes all containers by force.
    pub fn remove_all(&self) -> Output {
        let all = self.run(&["ps", "--all", "--quiet", "--no-trunc"]).stdout;
        let mut arguments = vec!["rm", "--force", "--volumes"];
        arguments.extend(all.lines());
        if arguments.len() == 3 {
            return Output { code: 0, stdout: String::new(), stderr: String::new(), bytes: vec![] };
        }
        self.run(&arguments)
    }
}

impl Default for Kista {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Kista {
    fn drop(&mut self) {
        let removed = self.remove_all();
        let owner = self.owner();
        let left = if self.audited { audit::wait_for_nothing(&owner) } else { Vec::new() };
        for pid in audit::processes(&owner) {
            audit::kill(pid);
        }
        owner.remove_cgroups();
        if std::thread::panicking() || !self.audited {
            return;
        }
        assert_eq!(removed.code, 0, "rm: {}", removed.stderr);
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }
}

/// A command about to be run.
#[derive(Debug)]
pub struct Invocation<'k> {
    kista: &'k Kista,
    command: Command,
    stdin: Vec<u8>,
    timeout: Duration,
}

impl Invocation<'_> {
    /// What it reads; nothing otherwise.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// How long it may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it in a terminal.
    pub fn terminal(self) -> Terminal {
        self.kista.in_network(|| Terminal::start(&self.command))
    }

    /// Starts it and leaves its streams to the caller, who also waits for its end.
    pub fn spawn(mut self) -> Child {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.kista.in_network(|| self.command.spawn().unwrap())
    }

    /// The command itself, for a caller that starts it in the network of [`Kista::host`].
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it to its end; panics if that does not come in time.
    #[track_caller]
    pub fn run(self) -> Output {
        let Self { kista, command, stdin, timeout } = self;
        kista.in_network(move || {
            process::run(command, stdin, timeout, || {
                for pid in audit::processes(&kista.owner()) {
                    audit::kill(pid);
                }
            })
        })
    }
}

/// `KISTA_BIN`, or the `kista` beside the test that runs: target/debug/kista.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("KISTA_BIN") {
        return path.into();
    }
    let path = target_directory().join("kista");
    assert!(path.exists(), "no {}: cargo build -p cli, or set KISTA_BIN", path.display());
    path
}

/// target/debug, when run by cargo.
pub(crate) fn target_directory() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}
