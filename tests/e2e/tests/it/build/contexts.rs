//! Contexts and sources that are elsewhere.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::{Kista, needs, wait_until};

use super::Context;

const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A web server on the loopback of a test's host.
pub(super) struct Web {
    pub(super) base: String,
    asked: Arc<AtomicUsize>,
}

impl Web {
    fn new(kista: &Kista, files: &[(&str, Vec<u8>)]) -> Self {
        Self::on(kista.host().enter(|| TcpListener::bind("127.0.0.1:0").unwrap()), files)
    }

    /// On the loopback of the machine.
    pub(super) fn on_this_machine(files: &[(&str, Vec<u8>)]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), files)
    }

    fn on(listener: TcpListener, files: &[(&str, Vec<u8>)]) -> Self {
        let base = format!("http://{}", listener.local_addr().unwrap());
        let files: HashMap<String, Vec<u8>> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        // It ends with the test, which has a process of its own.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let Some(Ok(first)) = lines.next() else { continue };
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                counter.fetch_add(1, Ordering::SeqCst);
                let path = first.split(' ').nth(1).unwrap_or_default();
                let (status, body) = match files.get(path) {
                    Some(body) => ("200 OK", body.clone()),
                    None if path == "/moved" => ("302 Found\r\nLocation: /a.txt", Vec::new()),
                    None => ("404 Not Found", Vec::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nLast-Modified: {MODIFIED}\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        });
        Self { base, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A directory as an archive.
fn tar(folder: &Path, flags: &str) -> Vec<u8> {
    let out = Command::new("tar")
        .arg("-C")
        .arg(folder)
        .args([&format!("{flags}f"), "-", "."])
        .output()
        .unwrap();
    assert!(out.status.success());
    out.stdout
}

fn git(folder: &Path, words: &[&str]) {
    let out = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always"])
        .args(words)
        .output()
        .unwrap();
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A repository's server; killed when dropped.
struct Daemon(Child);

impl Daemon {
    /// Serves what is in a folder at git://127.0.0.1/.
    fn new(kista: &Kista, folder: &Path) -> Self {
        // The program itself: `git daemon` would be its parent, and outlived by it.
        let out = Command::new("git").arg("--exec-path").output().unwrap();
        let programs = String::from_utf8(out.stdout).unwrap();
        let mut command = Command::new(Path::new(programs.trim()).join("git-daemon"));
        command
            .args(["--export-all", "--listen=127.0.0.1", "--reuseaddr"])
            .arg(format!("--base-path={}", folder.display()))
            .stderr(Stdio::null());
        let child = kista.host().enter(|| command.spawn().unwrap());
        wait_until("git's server listens", || {
            kista.host().enter(|| std::net::TcpStream::connect("127.0.0.1:9418").ok())
        });
        Self(child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A repository with a commit on `main`, one on `old`, and a tag.
fn repository(folder: &Path) {
    std::fs::create_dir_all(folder.join("sub/deep")).unwrap();
    git(folder, &["init", "-q", "-b", "main"]);
    std::fs::write(folder.join("Dockerfile"), "FROM busybox\nCOPY f /f\n").unwrap();
    std::fs::write(folder.join("f"), "old").unwrap();
    std::fs::write(folder.join("sub/deep/Dockerfile"), "FROM busybox\nCOPY . /x/\n").unwrap();
    std::os::unix::fs::symlink("/etc", folder.join("link")).unwrap();
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "-m", "one"]);
    git(folder, &["branch", "old"]);
    git(folder, &["tag", "v1"]);
    std::fs::write(folder.join("f"), "new").unwrap();
    git(folder, &["commit", "-q", "-am", "two"]);
}

/// Shown for the link with openat(2) in `context::read_inside`: the host's file was read.
#[test]
fn an_archive_on_standard_input() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(
        "FROM busybox\nCOPY a ignored* /x/\n",
        &[
            ("a", "1"),
            ("ignored", "2"),
            (".dockerignore", "ign*"),
            ("d/Other", "FROM busybox\nCOPY a /b\n"),
        ],
    );
    std::os::unix::fs::symlink("/etc/passwd", context.file("link")).unwrap();
    for flags in ["-c", "-cz", "-cJ"] {
        let archive = tar(context.path(), flags);
        kista.command(&["build", "-t", "t", "-"]).stdin(archive).run().ok();
        assert_eq!(kista.ok(&["run", "--rm", "t", "ls", "/x"]), "a");
    }
    let archive = tar(context.path(), "-c");
    let words = ["build", "-t", "t", "-f", "d/Other", "-"];
    kista.command(&words).stdin(archive.clone()).run().ok();
    assert_eq!(kista.ok(&["run", "--rm", "t", "cat", "/b"]), "1");
    // A Dockerfile of the archive and not of the host.
    let words = ["build", "-f", "link", "-"];
    kista.command(&words).stdin(archive.clone()).run().fails(1, "failed to read dockerfile");
    let words = ["build", "-f", "-", "-"];
    kista.command(&words).stdin(archive).run().fails(1, "can't use stdin for both");
    let fetched = std::fs::read_dir(kista.root().join("build/fetched")).unwrap();
    assert_eq!(fetched.count(), 0);
}

#[test]
fn urls_as_contexts_and_dockerfiles() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nCOPY a /a\n", &[("a", "1")]);
    let web = Web::new(
        &kista,
        &[
            ("/c.tar.gz", tar(context.path(), "-cz")),
            ("/Dockerfile", b"FROM busybox\nRUN echo 2 > /a\n".to_vec()),
        ],
    );
    for (path, content) in [("c.tar.gz", "1"), ("Dockerfile", "2")] {
        kista.run(&["build", "-t", "t", &format!("{}/{path}", web.base)]).ok();
        assert_eq!(kista.ok(&["run", "--rm", "t", "cat", "/a"]), content);
    }
    kista.run(&["build", &format!("{}/none", web.base)]).fails(1, "status 404");
    let named = format!("other={}/c.tar.gz", web.base);
    let user = Context::new("FROM busybox\nCOPY --from=other a /b\n", &[]);
    user.build(&kista, &["--build-context", &named, "-t", "t"]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "t", "cat", "/b"]), "1");
}

#[test]
fn add_of_urls() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let inside = Context::new("", &[("in", "archived")]);
    let files = [("/a.txt", b"web\n".to_vec()), ("/b.tar", tar(inside.path(), "-c"))];
    let web = Web::new(&kista, &files);
    let base = &web.base;
    let build = |steps: &str| {
        Context::new(&format!("FROM busybox\n{steps}\n"), &[("c", "1")]).build(&kista, &["-t", "t"])
    };
    let run = |script: &str| kista.ok(&["run", "--rm", "t", "sh", "-c", script]);
    build(&format!("ADD {base}/a.txt /d/")).ok();
    assert_eq!(run("cat /d/a.txt; stat -c '%a %u %Y' /d/a.txt"), "web\n600 0 784111777");
    build(&format!("ADD --chmod=644 --chown=7 {base}/moved {base}/a.txt c /d/")).ok();
    assert_eq!(run("stat -c '%a %u' /d/moved /d/a.txt /d/c"), "644 7\n644 7\n644 7");
    build(&format!("ADD {base}/b.tar /d/")).ok();
    assert_eq!(run("ls /d"), "b.tar");
    build(&format!("ADD --unpack=true {base}/b.tar /d/")).ok();
    assert_eq!(run("cat /d/in"), "archived");

    let sum = "sha256:cc8d43e5bbbfd18a4a90f7b5c4ef2ff5f9b1ad7b9b1b8e92fb1e8e1b4a3dbd5c";
    let step = |sum: &str| format!("ADD --checksum={sum} {base}/a.txt /sum");
    let failed = build(&step(sum));
    failed.fails(1, "digest mismatch");
    let (_, actual) = failed.stderr.split_once("a.txt: ").unwrap();
    let actual = &actual[..71];
    build(&step(actual)).ok();
    let before = web.asked();
    build(&step(actual)).ok();
    assert_eq!(web.asked(), before, "what is said to be something in particular is known");
    build(&format!("ADD {base}/nowhere /x")).fails(1, "status 404");
    build("ADD --checksum=sha256:00 c /x").fails(1, "checksum requires HTTP(S) or Git sources");
    build(&format!("COPY {base}/a.txt /x")).fails(1, "source can't be a URL for COPY");
}

/// Shown for the last four with what `GitPlace::parse` refuses let through, no `--` before a
/// reference, and links followed to the subdirectory: the link was built from.
#[test]
fn git_repositories() {
    needs!(Root, Busybox, Git);
    let kista = Kista::with_busybox();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repo");
    repository(&path);
    let _daemon = Daemon::new(&kista, folder.path());
    let url = "git://127.0.0.1/repo";
    for (fragment, content) in [("", "new"), ("#old", "old"), ("#v1", "old"), ("#main", "new")] {
        kista.run(&["build", "-t", "t", &format!("{url}{fragment}")]).ok();
        assert_eq!(kista.ok(&["run", "--rm", "t", "cat", "/f"]), content, "{fragment}");
    }
    kista.run(&["build", "-t", "t", &format!("{url}#main:sub/deep")]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "t", "ls", "/x"]), "Dockerfile");
    for (fragment, text) in [
        ("#nowhere", "couldn't find remote ref nowhere"),
        ("#main:link", "is no directory of the repository"),
        ("#main:sub/../..", "its subdirectory leads out of it"),
        ("#--upload-pack=/bin/false", "its reference is none"),
    ] {
        kista.run(&["build", &format!("{url}{fragment}")]).fails(1, text);
    }

    let commit = |name: &str| {
        let out = Command::new("git").arg("-C").arg(&path).args(["rev-parse", name]).output();
        String::from_utf8(out.unwrap().stdout).unwrap().trim().to_owned()
    };
    let build = |step: &str| {
        let dockerfile = format!("FROM busybox\n{step}\n");
        Context::new(&dockerfile, &[]).build(&kista, &["-t", "t"])
    };
    let run = |script: &str| kista.ok(&["run", "--rm", "t", "sh", "-c", script]);
    // A commit that is no branch's last.
    build(&format!("ADD {url}#{} /r", commit("old"))).ok();
    assert_eq!(run("cat /r/f; ls -A /r"), "old\nDockerfile\nf\nlink\nsub".replace("old\n", "old"));
    build(&format!("ADD --keep-git-dir=true {url} /r")).ok();
    assert_eq!(run("cat /r/.git/HEAD"), commit("main"));
    build(&format!("ADD --checksum={} {url}#main /r", commit("main"))).ok();
    build(&format!("ADD --checksum={} {url}#main /r", commit("old")))
        .fails(1, "expected checksum to match");
}

/// Shown with all protocols allowed to git, and with the caller's home and configuration: the
/// submodule was fetched, and the program of `core.fsmonitor` was run.
#[test]
fn a_hostile_repository_runs_nothing() {
    needs!(Root, Busybox, Git);
    let kista = Kista::with_busybox();
    let folder = tempfile::tempdir().unwrap();
    let (path, secret) = (folder.path().join("repo"), folder.path().join("secret"));
    repository(&path);
    repository(&secret);
    // A submodule of the host's, by the protocol of files.
    git(&path, &["submodule", "add", "-q", secret.to_str().unwrap(), "stolen"]);
    git(&path, &["commit", "-q", "-m", "submodule"]);
    git(&path, &["checkout", "-q", "-b", "ext"]);
    let modules = "[submodule \"x\"]\n path = stolen\n url = ext::sh -c touch% /tmp/kista-canary\n";
    std::fs::write(path.join(".gitmodules"), modules).unwrap();
    git(&path, &["commit", "-q", "-am", "ext"]);
    let _daemon = Daemon::new(&kista, folder.path());
    let home = kista.root().join(".gitconfig");
    let marker = folder.path().join("ran");
    let script = format!("[core]\n fsmonitor = touch {}\n", marker.display());
    std::fs::write(&home, script).unwrap();
    for branch in ["main", "ext"] {
        let out = kista.run(&["build", &format!("git://127.0.0.1/repo#{branch}")]);
        out.fails(1, "not allowed");
    }
    for url in ["ext::sh", "file:///etc", "git@-oProxyCommand=x:y"] {
        assert_ne!(kista.run(&["build", url]).code, 0, "{url}");
    }
    assert!(!marker.exists() && !Path::new("/tmp/kista-canary").exists());
}

/// Shown with `redacted` without effect. The refusal of a URL of http named the password until
/// this was tested.
#[test]
fn passwords_of_urls_go_nowhere() {
    needs!(Root, Busybox, Git);
    let kista = Kista::with_busybox();
    let folder = tempfile::tempdir().unwrap();
    repository(&folder.path().join("repo.git"));
    let _daemon = Daemon::new(&kista, folder.path());
    let url = "git://user:canary-of-a-password@127.0.0.1/repo.git";
    let dockerfile = format!("FROM busybox\nADD --keep-git-dir=true {url} /r\n");
    let built = Context::new(&dockerfile, &[]).build(&kista, &["-t", "t"]);
    // git's own protocol knows no users: nothing is fetched, and nothing is told.
    let check = |built: &testkit::Output| {
        let shown = format!("{}{}", built.stdout, built.stderr);
        // The Dockerfile's own line is shown as it is written.
        let told = shown.lines().filter(|line| !line.contains(" | ") || line.starts_with('#'));
        for line in told {
            assert!(!line.contains("canary-of-a-password"), "{shown}");
        }
    };
    check(&built);
    let web = Web::new(&kista, &[("/a.txt", b"web\n".to_vec())]);
    let url = web.base.replace("http://", "http://user:canary-of-a-password@");
    let dockerfile = format!("FROM busybox\nADD {url}/a.txt /a\n");
    let built = Context::new(&dockerfile, &[]).build(&kista, &["-t", "t"]);
    check(&built);
    built.fails(1, "has a user in it");
    assert_eq!(web.asked(), 0);
    // Nor does anything that stays.
    let mut folders = vec![kista.root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                let canary = b"canary-of-a-password";
                let is_there = bytes.windows(canary.len()).any(|part| part == canary);
                assert!(!is_there, "{}", path.display());
            }
        }
    }
}

#[test]
fn layouts_as_images() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let made = Context::new("FROM busybox\nRUN echo 1 > /made\n", &[]);
    let layout = made.file("layout");
    let output = format!("type=oci,tar=false,name=base:3,dest={}", layout.display());
    made.build(&kista, &["-o", &output]).ok();
    let user = Context::new("FROM base\nCOPY --from=base /made /b\n", &[]);
    for name in ["", ":3"] {
        let named = format!("base=oci-layout://{}{name}", layout.display());
        user.build(&kista, &["--build-context", &named, "-t", "t", "--no-cache"]).ok();
        assert_eq!(kista.ok(&["run", "--rm", "t", "cat", "/made", "/b"]), "1\n1");
    }
    let named = format!("base=oci-layout://{}:4", layout.display());
    user.build(&kista, &["--build-context", &named]).fails(1, "layout:4");
    assert_ne!(kista.run(&["image", "inspect", "base:3"]).code, 0, "it gets no name");
}
