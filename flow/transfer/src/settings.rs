//! What the machine's configuration says about registries.
//!
//! Files of Docker, containerd and Podman are read as they are, so that a machine that was set up
//! for one of them needs nothing more:
//!
//! ```text
//! /etc/docker/certs.d/HOST[:PORT]/*.crt, *.cert + *.key          authorities and client certificates
//! /etc/containers/certs.d/...                                    the same
//! /etc/docker/daemon.json        insecure-registries, registry-mirrors
//! /etc/containerd/certs.d/HOST[:PORT]/hosts.toml, _default/      mirrors, authorities, skip_verify
//! /etc/containers/registries.conf, registries.conf.d/*.conf      [[registry]]: registries and
//!                                                                repositories, with mirrors
//! ```
//!
//! A user has his own below `~/.config`: `docker/certs.d` and `containers/certs.d` count beside the
//! machine's, `docker/daemon.json` and `containers/registries.conf` in their place, as with
//! rootless Docker and Podman.
//!
//! Short names are resolved as Docker does, whatever `registries.conf` says about them.

mod containerd;
mod containers;
mod daemon;

use std::path::PathBuf;
use std::time::Duration;

use crate::TransferError;
use crate::server::{Server, Serves, Trust, docker_host};
use http1::{Origin, Scheme};

/// Where the configuration is, and how patient to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The directory of Docker's client configuration, `config.json`, for credentials; none if
    /// `None`.
    pub docker_config: Option<PathBuf>,
    /// Docker's `daemon.json`.
    pub daemon_json: PathBuf,
    /// Directories with a folder of certificates for each registry.
    pub certs_dirs: Vec<PathBuf>,
    /// Directories with a folder and a `hosts.toml` for each registry.
    pub hosts_dirs: Vec<PathBuf>,
    /// Podman's `registries.conf`; what is in the folder `registries.conf.d` beside comes after.
    pub registries_conf: PathBuf,
    /// Whether `HTTPS_PROXY` and `NO_PROXY` count.
    pub heeds_environment: bool,
    /// How patient to be.
    pub timeouts: Timeouts,
}

/// How patient to be.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection to come to be.
    pub connect: Duration,
    /// For the next byte.
    pub idle: Duration,
    /// Before the first repetition; doubled for each further one.
    pub backoff: Duration,
    /// How often something is tried again.
    pub retries: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            backoff: Duration::from_millis(250),
            retries: 5,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            docker_config: None,
            daemon_json: "/etc/docker/daemon.json".into(),
            certs_dirs: vec!["/etc/docker/certs.d".into(), "/etc/containers/certs.d".into()],
            hosts_dirs: vec!["/etc/containerd/certs.d".into()],
            registries_conf: "/etc/containers/registries.conf".into(),
            heeds_environment: true,
            timeouts: Timeouts::default(),
        }
    }
}

impl Settings {
    /// The machine's settings with those of the user whose environment this is.
    pub fn of_user(docker_config: Option<PathBuf>) -> Self {
        let variable = |name| std::env::var_os(name).filter(|text| !text.is_empty());
        let own = variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| {
            let home = variable("HOME").map(PathBuf::from);
            home.map(|home| home.join(".config"))
        });
        let mut settings = Self { docker_config, ..Self::default() };
        // Relative ones would change with the working directory.
        let Some(own) = own.filter(|folder| folder.is_absolute()) else { return settings };
        for kind in ["docker", "containers"] {
            settings.certs_dirs.push(own.join(kind).join("certs.d"));
        }
        let instead = |machines: &mut PathBuf, users: PathBuf| {
            if users.exists() {
                *machines = users;
            }
        };
        instead(&mut settings.daemon_json, own.join("docker/daemon.json"));
        instead(&mut settings.registries_conf, own.join("containers/registries.conf"));
        settings
    }

    /// Settings that read no file of this machine, for tests.
    pub fn isolated() -> Self {
        let nowhere = PathBuf::from("/nonexistent");
        Self {
            docker_config: None,
            daemon_json: nowhere.clone(),
            certs_dirs: Vec::new(),
            hosts_dirs: Vec::new(),
            registries_conf: nowhere,
            heeds_environment: false,
            timeouts: Timeouts::default(),
        }
    }

    /// Whom to ask for the repository `path` of the registry `domain`, or for the registry itself
    /// if that is empty: mirrors first, the registry last.
    ///
    /// Of the files that have something to say about it the first wins: `hosts.toml`,
    /// `registries.conf`, `daemon.json`.
    pub(crate) fn servers(&self, domain: &str, path: &str) -> Result<Vec<Server>, TransferError> {
        let daemon = daemon::read(&self.daemon_json)?;
        if let Some(servers) = containerd::servers(self, domain)? {
            return Ok(servers);
        }
        if let Some(servers) = containers::servers(self, domain, path, &daemon)? {
            return Ok(servers);
        }
        let mut servers = Vec::new();
        if domain == "docker.io" {
            for url in &daemon.mirrors {
                let mut server = self.server_at(domain, url, &self.daemon_json)?;
                server.is_mirror = true;
                servers.push(server);
            }
        }
        servers.push(self.plain_server(domain, docker_host(domain), daemon.is_insecure(domain))?);
        Ok(servers)
    }

    /// The registry itself, at `host` or `host:port`.
    pub(crate) fn plain_server(
        &self,
        domain: &str,
        host: &str,
        insecure: bool,
    ) -> Result<Server, TransferError> {
        let origin = Origin::parse(Scheme::Https, host)
            .map_err(|source| TransferError::Protocol { registry: domain.to_owned(), source })?;
        let mut trust = self.trust_for(host)?;
        let has_certificates = !trust.authorities.is_empty() || !trust.clients.is_empty();
        trust.verify = !insecure;
        Ok(Server {
            registry: domain.to_owned(),
            // Its certificates say that it has TLS.
            may_be_clear: insecure || (is_loopback(&origin.host) && !has_certificates),
            origin,
            base: "/v2".into(),
            trust,
            sent_by: None,
            is_mirror: false,
            fields: Vec::new(),
            path: None,
            serves: Serves::All,
        })
    }

    /// A server that a file names by its URL.
    pub(crate) fn server_at(
        &self,
        domain: &str,
        url: &str,
        path: &std::path::Path,
    ) -> Result<Server, TransferError> {
        let refuse = |why: String| TransferError::Settings { path: path.to_owned(), why };
        let text = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
        let url = http1::Url::parse(&text).map_err(|error| refuse(error.to_string()))?;
        let base = url.path().trim_end_matches('/');
        let base = if base.ends_with("/v2") { base.to_owned() } else { format!("{base}/v2") };
        Ok(Server {
            registry: domain.to_owned(),
            may_be_clear: false,
            trust: self.trust_for(&url.origin.authority())?,
            origin: url.origin,
            base,
            sent_by: None,
            is_mirror: false,
            fields: Vec::new(),
            path: None,
            serves: Serves::All,
        })
    }

    /// The certificates that Docker's and Podman's folders have for a host.
    fn trust_for(&self, host: &str) -> Result<Trust, TransferError> {
        let mut trust = Trust::default();
        for folder in &self.certs_dirs {
            let folder = folder.join(host);
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            let mut files: Vec<PathBuf> =
                entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.sort();
            for file in files {
                match file.extension().and_then(std::ffi::OsStr::to_str) {
                    Some("crt") => trust.authorities.push(file),
                    Some("cert") => {
                        let key = file.with_extension("key");
                        if !key.exists() {
                            let why = format!("there is no {} beside it", key.display());
                            return Err(TransferError::Settings { path: file, why });
                        }
                        trust.clients.push((file, key));
                    }
                    _ => {}
                }
            }
        }
        Ok(trust)
    }
}

/// Whether a *name* is that of this machine. What it resolves to does not matter: a stranger who
/// answers for the DNS must not be able to take the encryption away.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads a file; `None` if it is not there.
fn read_optional(path: &std::path::Path) -> Result<Option<String>, TransferError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TransferError::Io { action: "read", path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
