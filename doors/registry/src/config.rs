//! What a registry is to be: flags of the command line, and a file with the rules of access.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::RegistryError;

/// What a registry is to be.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it keeps everything.
    pub root: PathBuf,
    /// How it shows who it is; in clear if `None`.
    pub tls: Option<TlsFiles>,
    /// Whether it may be in clear on an address that others reach.
    pub plain_http: bool,
    /// Users and their passwords, as `htpasswd -B` writes them.
    pub htpasswd: Option<PathBuf>,
    /// Whether nothing can be changed.
    pub read_only: bool,
    /// Whether tags, manifests and blobs can be deleted.
    pub delete: bool,
    /// The registry that this one is a cache of.
    pub proxy: Option<String>,
    /// Who may do what; the built-in rules if empty.
    pub access: Vec<Access>,
    /// How often garbage is collected; never if zero.
    pub gc_interval: Duration,
    /// How long a blob that no manifest names is kept.
    pub gc_grace: Duration,
    /// Connections at once.
    pub max_connections: usize,
}

/// PEM files. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificates, its own first.
    pub certificate: PathBuf,
    /// The key of the first.
    pub key: PathBuf,
    /// Who signs certificates of clients; nobody is asked for one if `None`.
    pub client_ca: Option<PathBuf>,
}

/// What somebody may do with repositories whose name begins like this. The first rule that fits a
/// user and a repository decides.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// A user's name, `*` for everybody who is known, `anonymous` for everybody else as well.
    pub user: String,
    /// The beginning of repositories' names, up to a slash or the end; all if empty.
    #[serde(default)]
    pub prefix: String,
    /// What he may do.
    pub allow: Vec<Verb>,
}

/// What can be done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Read it.
    Pull,
    /// Add to it.
    Push,
    /// Take from it.
    Delete,
}

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    access: Vec<Access>,
}

impl RegistryConfig {
    /// A registry below `root`, on the loopback, with the defaults.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            root: root.into(),
            tls: None,
            plain_http: false,
            htpasswd: None,
            read_only: false,
            delete: false,
            proxy: None,
            access: Vec::new(),
            gc_interval: Duration::from_secs(3600),
            gc_grace: Duration::from_secs(3600),
            max_connections: 1024,
        }
    }

    /// Reads the rules of access from a TOML file; unknown keys are refused.
    pub fn read_access(path: &Path) -> Result<Vec<Access>, RegistryError> {
        let text = std::fs::read_to_string(path).map_err(RegistryError::io("read", path))?;
        let file: File = toml::from_str(&text).map_err(|error| RegistryError::File {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        Ok(file.access)
    }

    /// Refuses what would be open by mistake.
    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        let refuse = |why: &str| Err(RegistryError::Config { why: why.to_owned() });
        let is_local = self.listen.ip().is_loopback();
        if !is_local && self.tls.is_none() && !self.plain_http {
            return refuse(
                "a registry that others reach needs --tls-cert and --tls-key, or --plain-http if \
                 something before it encrypts",
            );
        }
        if self.proxy.is_some() && self.delete {
            return refuse("--delete and --proxy exclude each other: a cache only follows");
        }
        if self.read_only && self.delete {
            return refuse("--delete and --read-only exclude each other");
        }
        let needs_users = |rule: &Access| rule.user != "anonymous";
        if self.htpasswd.is_none() && self.access.iter().any(needs_users) {
            return refuse("the rules of access name users, and there is no --htpasswd");
        }
        Ok(())
    }
}

impl Access {
    /// Whether it speaks of this repository.
    pub(crate) fn covers(&self, repository: &str) -> bool {
        let prefix = self.prefix.trim_end_matches('/');
        match repository.strip_prefix(prefix) {
            Some(rest) => prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let rule = |prefix: &str| Access { user: "*".into(), prefix: prefix.into(), allow: vec![] };
        for (prefix, repository, want) in [
            ("", "a/b", true),
            ("a", "a", true),
            ("a", "a/b", true),
            ("a/", "a/b", true),
            ("a", "ab", false),
            ("a/b", "a", false),
        ] {
            assert_eq!(rule(prefix).covers(repository), want, "{prefix} {repository}");
        }
    }

    #[test]
    fn what_would_be_open_by_mistake_is_refused() {
        let config = RegistryConfig::new("/x");
        config.check().unwrap();
        let open = RegistryConfig { listen: "0.0.0.0:5000".parse().unwrap(), ..config.clone() };
        assert!(open.check().is_err());
        RegistryConfig { plain_http: true, ..open }.check().unwrap();
        assert!(
            RegistryConfig { proxy: Some("x".into()), delete: true, ..config }.check().is_err()
        );
    }

    #[test]
    fn a_file_with_a_typo_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registry.toml");
        std::fs::write(&path, "[[access]]\nuser = \"*\"\nallow = [\"pull\"]\n").unwrap();
        assert_eq!(RegistryConfig::read_access(&path).unwrap()[0].allow, [Verb::Pull]);
        std::fs::write(&path, "[[access]]\nuser = \"*\"\nallows = [\"pull\"]\n").unwrap();
        assert!(RegistryConfig::read_access(&path).is_err());
    }
}
