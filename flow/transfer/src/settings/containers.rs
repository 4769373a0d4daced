//! Podman's `registries.conf`, version 2: registries and repositories by prefix, with mirrors.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::daemon::Daemon;
use super::{Settings, read_optional};
use crate::TransferError;
use crate::server::{Server, Serves, docker_host};

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
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

/// The servers of a repository, or of a registry itself if `path` is empty; `None` if no file has
/// something to say about it.
///
/// The longest prefix that fits counts. A location replaces it in the repository's name.
/// containers-registries.conf(5), "Choosing a [[registry]] TOML table".
pub(super) fn servers(
    settings: &Settings,
    domain: &str,
    path: &str,
    daemon: &Daemon,
) -> Result<Option<Vec<Server>>, TransferError> {
    let mut found: Option<(Registry, PathBuf)> = None;
    for file_path in files(&settings.registries_conf) {
        let Some(text) = read_optional(&file_path)? else { continue };
        let refuse = |why: String| TransferError::Settings { path: file_path.clone(), why };
        let file: File = toml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        for registry in file.registry {
            let (prefix, is_of_one_image) = without_tag(registry.prefix());
            if is_of_one_image {
                if rest_below(prefix, domain, path) == Some("") {
                    return Err(refuse(format!(
                        "the prefix {} is that of a single image; name its repository instead",
                        registry.prefix()
                    )));
                }
                continue;
            }
            // A later file has the last word.
            let is_longer = found
                .as_ref()
                .is_none_or(|(best, _)| registry.prefix().len() >= best.prefix().len());
            if is_longer && rest_below(registry.prefix(), domain, path).is_some() {
                found = Some((registry, file_path.clone()));
            }
        }
    }
    let Some((registry, file_path)) = found else { return Ok(None) };
    let rest = rest_below(registry.prefix(), domain, path).unwrap_or_default();
    if registry.blocked {
        let registry = [domain, path].join("/").trim_end_matches('/').to_owned();
        return Err(TransferError::Blocked { registry, path: file_path });
    }
    let at = |location: &str, insecure: bool| {
        let (host, folder) = location.split_once('/').unwrap_or((location, ""));
        let refuse = |why: String| TransferError::Settings {
            path: file_path.clone(),
            why: format!("the location {location:?} is no HOST[:PORT][/PATH]: {why}"),
        };
        if location.contains("://") || host.is_empty() {
            return Err(refuse("it stands without a scheme".into()));
        }
        let mut server = settings.plain_server(domain, docker_host(host), insecure).map_err(
            |error| match error {
                TransferError::Protocol { source, .. } => refuse(source.to_string()),
                other => other,
            },
        )?;
        let joint = if folder.is_empty() || rest.is_empty() { "" } else { "/" };
        let moved = format!("{folder}{joint}{rest}");
        server.path = (moved != path).then_some(moved);
        Ok::<_, TransferError>(server)
    };
    let mut servers = Vec::new();
    for mirror in &registry.mirror {
        let refuse = |why: String| TransferError::Settings { path: file_path.clone(), why };
        let mut server = at(&mirror.location, mirror.insecure)?;
        server.is_mirror = true;
        server.serves = match mirror.pull_from_mirror.as_str() {
            "" if registry.mirror_by_digest_only => Serves::Digests,
            "" | "all" => Serves::All,
            "digest-only" => Serves::Digests,
            "tag-only" => Serves::Tags,
            other => {
                return Err(refuse(format!(
                    "pull-from-mirror is {other}, and not all, digest-only or tag-only"
                )));
            }
        };
        servers.push(server);
    }
    let insecure = registry.insecure || daemon.is_insecure(domain);
    servers.push(match registry.location.as_str() {
        "" => settings.plain_server(domain, docker_host(domain), insecure)?,
        location => at(location, insecure)?,
    });
    Ok(Some(servers))
}

impl Registry {
    fn prefix(&self) -> &str {
        if self.prefix.is_empty() { &self.location } else { &self.prefix }
    }
}

/// A prefix without the tag or digest that it ends with, and whether it has one.
fn without_tag(prefix: &str) -> (&str, bool) {
    let host = prefix.find('/').unwrap_or(prefix.len());
    match prefix[host..].find([':', '@']) {
        Some(at) => (&prefix[..host + at], true),
        None => (prefix, false),
    }
}

/// What of a repository's path is below a prefix: `HOST`, `*.HOST`, or either with a path.
/// `None` if the prefix is not its.
fn rest_below<'a>(prefix: &str, domain: &str, path: &'a str) -> Option<&'a str> {
    let (host, folder) = prefix.split_once('/').unwrap_or((prefix, ""));
    let fits = match host.strip_prefix('*') {
        Some(suffix) => suffix.starts_with('.') && domain.ends_with(suffix),
        None => host == domain,
    };
    let rest = path.strip_prefix(folder).filter(|_| fits && !prefix.is_empty())?;
    match (folder, rest) {
        ("", rest) | (_, rest @ "") => Some(rest),
        (_, rest) => rest.strip_prefix('/'),
    }
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
