//! Git repositories, by the host's own `git`.
//!
//! What is fetched was written by a stranger, and so may be the server. git is given no file of
//! configuration, no template and no hook, an environment that we wrote, no terminal, and the
//! protocols of networks alone: neither `file` nor `ext`, in the repository or in a submodule.
//! Repository and reference stand where git takes no option for them.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags};
use rustix::process::{Signal, WaitId, WaitIdOptions};
use sys::process::{Program, Spawn};

use super::place::{GitPlace, is_commit};
use super::{Fetched, redacted};
use crate::BuildError;
use crate::request::Secret;

/// How a repository is fetched.
#[derive(Debug, Clone, Copy)]
pub struct GitOptions<'a> {
    /// Whether `.git` stays.
    pub keep_directory: bool,
    /// The commit that it must be, or the beginning of it; any if empty.
    pub checksum: &'a str,
    /// The socket of an agent with keys, for ssh.
    pub agent: Option<&'a Path>,
    /// Of these `GIT_AUTH_TOKEN` and `GIT_AUTH_HEADER`, each also with `.HOST` at its end, say who
    /// asks a server over http or https.
    pub secrets: &'a [Secret],
    /// Ends it early.
    pub stop: &'a AtomicBool,
}

/// A commit's files.
#[derive(Debug)]
pub struct Cloned {
    /// Where they are.
    pub fetched: Fetched,
    /// The commit.
    pub commit: String,
    /// The directory that was asked for.
    pub folder: OwnedFd,
}

/// Fetches a commit of a repository, with its submodules.
pub fn clone(
    root: &Path,
    place: &GitPlace,
    options: &GitOptions<'_>,
) -> Result<Cloned, BuildError> {
    let fetched = Fetched::new(root)?;
    let shown = redacted(&place.repository);
    let git = Git {
        program: find_git(&shown)?,
        folder: fetched.path(),
        shown: &shown,
        agent: options.agent,
        authorization: authorization(&place.repository, options.secrets)?,
        stop: options.stop,
    };
    git.run(&["init", "-q", "--template="])?;
    git.run(&["config", "remote.origin.url", &place.repository])?;
    let wanted = match place.reference.as_str() {
        "" => "HEAD",
        reference => reference,
    };
    let shallow = ["fetch", "-q", "--depth=1", "--no-tags", "--", &place.repository, wanted];
    let commit = match git.run(&shallow) {
        Ok(_) => git.run(&["rev-parse", "--verify", "-q", "FETCH_HEAD^{commit}"])?,
        // A server need not give a commit that no branch ends in.
        Err(BuildError::Git { .. }) if is_hex(wanted) => {
            let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
            git.run(&["fetch", "-q", "--", &place.repository, all[0], all[1]])?;
            git.run(&["rev-parse", "--verify", "-q", &format!("{wanted}^{{commit}}")])?
        }
        Err(error) => return Err(error),
    };
    let commit = commit.trim().to_owned();
    if !is_commit(&commit) {
        return Err(git.failed(format!("git says that {wanted} is {commit:?}")));
    }
    if !commit.starts_with(options.checksum) {
        return Err(BuildError::Invalid(format!(
            "expected checksum to match {}, got {commit}",
            options.checksum
        )));
    }
    git.run(&["checkout", "-q", "--force", "--detach", &commit])?;
    if sys::fs::open_beneath(fetched.directory(), ".gitmodules", OFlags::PATH, Mode::empty())
        .is_ok()
    {
        git.run(&["submodule", "-q", "update", "--init", "--recursive", "--depth=1"])?;
    }
    match options.keep_directory {
        // It goes into the image: without the password in the repository's URL.
        true => {
            git.run(&["config", "remote.origin.url", &without_user(&place.repository)])?;
            remove(&fetched, "FETCH_HEAD")?;
        }
        false => {
            let removed = sys::tree::remove_tree(fetched.directory(), c".git");
            removed.map_err(BuildError::io("remove", ".git"))?;
        }
    }
    let folder = subdirectory(&fetched, &place.subdirectory)?;
    Ok(Cloned { fetched, commit, folder })
}

fn is_hex(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn remove(fetched: &Fetched, name: &str) -> Result<(), BuildError> {
    match std::fs::remove_file(fetched.path().join(".git").join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(BuildError::io("remove", name)(error))
        }
        _ => Ok(()),
    }
}

/// The user and the password in the URL that is one of the words.
fn user_of<'a>(words: &[&'a str]) -> Option<&'a str> {
    let url = words.iter().find_map(|word| word.split_once("://"))?.1;
    let authority = url.split('/').next()?;
    authority.rsplit_once('@').map(|(user, _)| user).filter(|user| !user.is_empty())
}

/// A URL without its user.
fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{}", &rest[end..])
        }
        None => url.to_owned(),
    }
}

/// A directory of the tree: each part of its path is one, and no link.
fn subdirectory(fetched: &Fetched, path: &str) -> Result<OwnedFd, BuildError> {
    let path = if path.is_empty() { "." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    sys::fs::open_beneath(fetched.directory(), path, flags, Mode::empty())
        .map_err(|_| BuildError::Invalid(format!("{path:?} is no directory of the repository")))
}

/// `git` in the search path; not one of the current directory.
fn find_git(repository: &str) -> Result<PathBuf, BuildError> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let found = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("git"))
        .find(|program| rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok());
    found.ok_or_else(|| BuildError::Git {
        repository: repository.to_owned(),
        message: "there is no git in the search path: install it, or use an archive".into(),
    })
}

/// What is sent to the repository's own server and to no other: the setting's name and value.
///
/// A token goes as GitHub, GitLab and others take it: the password of a user of any name.
fn authorization(
    repository: &str,
    secrets: &[Secret],
) -> Result<Option<(String, String)>, BuildError> {
    use base64::Engine as _;
    let Some((scheme, rest)) = repository.split_once("://") else { return Ok(None) };
    if !matches!(scheme, "http" | "https") {
        return Ok(None);
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default();
    let read = |name: &str| -> Result<Option<String>, BuildError> {
        for id in [format!("{name}.{host}"), name.to_owned()] {
            let Some(secret) = secrets.iter().find(|secret| secret.id == id) else { continue };
            let Some(bytes) = secret.read()? else { continue };
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            if text.contains(['\r', '\n']) {
                return Err(BuildError::Invalid(format!("secret {id} has more than one line")));
            }
            return Ok(Some(text));
        }
        Ok(None)
    };
    let value = match (read("GIT_AUTH_HEADER")?, read("GIT_AUTH_TOKEN")?) {
        (Some(header), _) => header,
        (None, Some(token)) => {
            let pair = format!("x-access-token:{token}");
            format!("basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        }
        (None, None) => return Ok(None),
    };
    let key = format!("http.{scheme}://{authority}/.extraHeader");
    Ok(Some((key, format!("Authorization: {value}"))))
}

struct Git<'a> {
    program: PathBuf,
    folder: &'a Path,
    shown: &'a str,
    agent: Option<&'a Path>,
    authorization: Option<(String, String)>,
    stop: &'a AtomicBool,
}

/// What git is told in place of files of configuration.
const CONFIG: [(&str, &str); 9] = [
    ("core.hooksPath", "/dev/null"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("init.defaultBranch", "main"),
    ("advice.detachedHead", "false"),
    ("protocol.allow", "never"),
];
/// What of the caller's environment it gets.
const INHERITED: [&str; 11] = [
    "PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
];
/// What is read of what git says.
const MAX_OUTPUT: u64 = 64 << 10;

impl Git<'_> {
    fn failed(&self, message: String) -> BuildError {
        BuildError::Git { repository: self.shown.to_owned(), message }
    }

    fn environment(&self) -> Vec<OsString> {
        let mut environment: Vec<OsString> = [
            "HOME=/nonexistent",
            "LC_ALL=C",
            "GIT_CONFIG_NOSYSTEM=1",
            "GIT_CONFIG_GLOBAL=/dev/null",
            "GIT_ATTR_NOSYSTEM=1",
            "GIT_TERMINAL_PROMPT=0",
            "GIT_ASKPASS=true",
            "GIT_ALLOW_PROTOCOL=git:http:https:ssh",
            "GIT_PROTOCOL_FROM_USER=0",
            // Hosts are those that the user knows; his configuration could name programs.
            "GIT_SSH_COMMAND=ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes",
        ]
        .map(OsString::from)
        .into();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                let mut pair = OsString::from(format!("{name}="));
                pair.push(value);
                environment.push(pair);
            }
        }
        if let Some(agent) = self.agent {
            let mut pair = OsString::from("SSH_AUTH_SOCK=");
            pair.push(agent);
            environment.push(pair);
        }
        let own = self.authorization.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let settings: Vec<(&str, &str)> = CONFIG.into_iter().chain(own).collect();
        environment.push(format!("GIT_CONFIG_COUNT={}", settings.len()).into());
        for (number, (key, value)) in settings.iter().enumerate() {
            environment.push(format!("GIT_CONFIG_KEY_{number}={key}").into());
            environment.push(format!("GIT_CONFIG_VALUE_{number}={value}").into());
        }
        environment
    }

    /// Runs a command in the folder; answers what it prints.
    fn run(&self, words: &[&str]) -> Result<String, BuildError> {
        let own = |error: std::io::Error| BuildError::io("run", &self.program)(error);
        let (out, err) = (memory().map_err(own)?, memory().map_err(own)?);
        let text = |word: &[u8]| {
            CString::new(word).map_err(|_| self.failed("a word has a zero byte in it".into()))
        };
        // The files' modes must not depend on the caller's mask.
        let script = c"umask 022 && exec \"$0\" -C \"$@\"";
        let mut args = vec![c"sh".to_owned(), c"-c".to_owned(), script.to_owned()];
        args.push(text(self.program.as_os_str().as_bytes())?);
        args.push(text(self.folder.as_os_str().as_bytes())?);
        for word in words {
            args.push(text(word.as_bytes())?);
        }
        let environment: Vec<CString> = self
            .environment()
            .iter()
            .map(|pair| text(pair.as_bytes()))
            .collect::<Result<_, _>>()?;
        let args: Vec<_> = args.iter().map(CString::as_c_str).collect();
        let environment: Vec<_> = environment.iter().map(CString::as_c_str).collect();
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let null = rustix::fs::openat(CWD, c"/dev/null", flags, Mode::empty())
            .map_err(|errno| own(errno.into()))?;
        let child = sys::process::spawn(&Spawn {
            program: Program::Path(c"/bin/sh"),
            args: &args,
            env: &environment,
            fds: &[(null.as_fd(), 0), (out.as_fd(), 1), (err.as_fd(), 2)],
            new_session: true,
            death_signal: Some(Signal::KILL),
        })
        .map_err(own)?;
        let status = self.wait(child.pidfd.as_fd()).map_err(own)?;
        if self.stop.load(Ordering::Relaxed) {
            return Err(BuildError::Canceled);
        }
        match status {
            0 => Ok(read(out)),
            _ => {
                let mut message = redacted(read(err).trim());
                // git shows it in its own words too.
                if let Some(user) = user_of(words) {
                    message = message.replace(user, "xxxxx");
                }
                Err(self.failed(format!("git {} failed: {message}", words[0])))
            }
        }
    }

    /// Waits for the end, and brings it about when the build stops.
    fn wait(&self, pidfd: std::os::fd::BorrowedFd<'_>) -> std::io::Result<i32> {
        let tick = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        loop {
            match poll(&mut [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)], Some(&tick)) {
                Ok(0) if self.stop.load(Ordering::Relaxed) => {
                    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
                }
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        let status = rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)?;
        Ok(status.and_then(|status| status.exit_status()).unwrap_or(255))
    }
}

/// A file in memory for what a program prints: it never waits for us to read.
fn memory() -> std::io::Result<File> {
    Ok(rustix::fs::memfd_create("git", MemfdFlags::CLOEXEC)?.into())
}

fn read(mut file: File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind();
    let _ = file.take(MAX_OUTPUT).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::SecretSource;

    /// Shown with a setting for all servers, `http.extraHeader`.
    #[test]
    fn a_token_is_for_the_repositorys_own_server() {
        let temp = tempfile::tempdir().unwrap();
        let secret = |id: &str, text: &str| {
            let path = temp.path().join(id);
            std::fs::write(&path, text).unwrap();
            Secret { id: id.into(), source: SecretSource::File(path) }
        };
        let secrets = [secret("GIT_AUTH_TOKEN", "any\n"), secret("GIT_AUTH_TOKEN.a.b", "own")];
        let of = |url: &str| authorization(url, &secrets).unwrap();
        let (key, value) = of("https://u:p@a.b:8443/r.git").unwrap();
        assert_eq!(key, "http.https://a.b:8443/.extraHeader");
        assert_eq!(value, "Authorization: basic eC1hY2Nlc3MtdG9rZW46b3du");
        assert!(of("https://c/r.git").unwrap().1.ends_with("eC1hY2Nlc3MtdG9rZW46YW55"));
        assert_eq!(of("git://a.b/r"), None);
        assert_eq!(of("git@a.b:r"), None);
        let bad = [secret("GIT_AUTH_HEADER", "bearer x\nHost: y")];
        assert!(authorization("https://c/r.git", &bad).is_err());
    }
}
