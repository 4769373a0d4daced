//! Podman's `registries.conf`, version 2: registries by prefix, with mirrors.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::daemon::Daemon;
use super::{Settings, read_optional};
use crate::TransferError;
use crate::server::{Server, docker_host};

/// The keys that matter here; short names are resolved as Docker does.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    registry: Vec<Registry>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Registry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Mirror {
    location: String,
    insecure: bool,
}

/// The servers of a registry; `None` if no file has it.
///
/// Only entries for whole registries are understood; one whose prefix or location names a
/// repository below it is passed over.
pub(super) fn servers(
    settings: &Settings,
    domain: &str,
    daemon: &Daemon,
) -> Result<Option<Vec<Server>>, TransferError> {
    let mut found: Option<(Registry, PathBuf)> = None;
    for path in files(&settings.registries_conf) {
        let Some(text) = read_optional(&path)? else { continue };
        let file: File = toml::from_str(&text).map_err(|error| TransferError::Settings {
            path: path.clone(),
            why: error.to_string(),
        })?;
        for registry in file.registry {
            let prefix = [&registry.prefix, &registry.location]
                .into_iter()
                .find(|text| !text.is_empty())
                .cloned()
                .unwrap_or_default();
            let fits = match prefix.strip_prefix("*.") {
                Some(suffix) => domain.ends_with(&format!(".{suffix}")),
                None => prefix == domain,
            };
            if fits {
                // A later file has the last word.
                found = Some((registry, path.clone()));
            }
        }
    }
    let Some((registry, path)) = found else { return Ok(None) };
    if registry.blocked {
        return Err(TransferError::Blocked { registry: domain.to_owned(), path });
    }
    let mut servers = Vec::new();
    for mirror in &registry.mirror {
        let mut server = settings.server_at(domain, &mirror.location, &path)?;
        server.is_mirror = true;
        server.may_be_clear = mirror.insecure || server.is_loopback;
        server.trust.verify = !mirror.insecure;
        servers.push(server);
    }
    let insecure = registry.insecure || daemon.is_insecure(domain);
    let host = match registry.location.as_str() {
        "" => docker_host(domain),
        location if location.contains('/') => {
            let mut server = settings.server_at(domain, location, &path)?;
            server.may_be_clear = insecure;
            server.trust.verify = !insecure;
            servers.push(server);
            return Ok(Some(servers));
        }
        location => docker_host(location),
    };
    servers.push(settings.plain_server(domain, host, insecure)?);
    Ok(Some(servers))
}

/// The file, and those of the folder beside it in the order of their names.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    let mut folder = path.as_os_str().to_owned();
    folder.push(".d");
    if let Ok(entries) = std::fs::read_dir(folder) {
        let mut more: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
            .collect();
        more.sort();
        files.extend(more);
    }
    files
}
