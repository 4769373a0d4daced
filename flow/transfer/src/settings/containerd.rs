//! containerd's `hosts.toml`: hosts to ask before the registry itself.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Settings, read_optional};
use crate::TransferError;
use crate::server::{Server, docker_host};

/// The servers of a registry by its `hosts.toml`, or by that of `_default`; `None` without one.
pub(super) fn servers(
    settings: &Settings,
    domain: &str,
) -> Result<Option<Vec<Server>>, TransferError> {
    for directory in &settings.hosts_dirs {
        // containerd takes a port behind an underscore too, where a colon is unwelcome.
        for name in [domain.to_owned(), domain.replace(':', "_") + "_", "_default".to_owned()] {
            let folder = directory.join(&name);
            let path = folder.join("hosts.toml");
            if let Some(text) = read_optional(&path)? {
                return parse(settings, domain, &text, &folder, &path).map(Some);
            }
        }
    }
    Ok(None)
}

fn parse(
    settings: &Settings,
    domain: &str,
    text: &str,
    folder: &Path,
    path: &Path,
) -> Result<Vec<Server>, TransferError> {
    let refuse = |why: String| TransferError::Settings { path: path.to_owned(), why };
    let table: Table = text.parse().map_err(|error: toml::de::Error| refuse(error.to_string()))?;
    let mut servers = Vec::new();
    if let Some(hosts) = table.get("host") {
        let hosts = hosts.as_table().ok_or_else(|| refuse("host is no table".into()))?;
        for (url, host) in hosts {
            let host =
                host.as_table().ok_or_else(|| refuse(format!("host.{url:?} is no table")))?;
            if !can_pull(host) {
                continue;
            }
            let mut server = settings.server_at(domain, url, path)?;
            server.is_mirror = true;
            apply(&mut server, host, folder).map_err(&refuse)?;
            servers.push(server);
        }
    }
    let mut own = match table.get("server").map(|server| server.as_str()) {
        Some(Some(url)) => settings.server_at(domain, url, path)?,
        Some(None) => return Err(refuse("server is no text".into())),
        None => settings.plain_server(domain, docker_host(domain), false)?,
    };
    apply(&mut own, &table, folder).map_err(&refuse)?;
    servers.push(own);
    Ok(servers)
}

/// Without a list a host can do everything.
fn can_pull(host: &Table) -> bool {
    match host.get("capabilities").and_then(Value::as_array) {
        Some(list) => list.iter().any(|word| word.as_str() == Some("pull")),
        None => true,
    }
}

fn apply(server: &mut Server, table: &Table, folder: &Path) -> Result<(), String> {
    let at = |text: &str| -> PathBuf { folder.join(text) };
    let one_or_more = |value: &Value| match value {
        Value::String(text) => Ok(vec![at(text)]),
        Value::Array(list) => list
            .iter()
            .map(|item| item.as_str().map(at).ok_or_else(|| "ca holds no text".to_owned()))
            .collect(),
        _ => Err("ca is neither a text nor a list".to_owned()),
    };
    if let Some(value) = table.get("ca") {
        server.trust.authorities.extend(one_or_more(value)?);
    }
    if let Some(value) = table.get("client") {
        let pairs = match value {
            Value::Array(list) => list.clone(),
            other => vec![other.clone()],
        };
        for pair in pairs {
            let pair = match &pair {
                Value::String(file) => (at(file), at(file)),
                Value::Array(files) => match files.as_slice() {
                    [Value::String(certificate), Value::String(key)] => (at(certificate), at(key)),
                    _ => return Err("client is no pair of certificate and key".into()),
                },
                _ => return Err("client is no pair of certificate and key".into()),
            };
            server.trust.clients.push(pair);
        }
    }
    if table.get("skip_verify").and_then(Value::as_bool) == Some(true) {
        server.trust.verify = false;
    }
    if table.get("override_path").and_then(Value::as_bool) == Some(true) {
        // The URL's path is taken as it is, without `/v2` behind it.
        server.base = server.base.trim_end_matches("/v2").to_owned();
    }
    if let Some(fields) = table.get("header").and_then(Value::as_table) {
        for (name, value) in fields {
            let values = match value {
                Value::String(text) => vec![text.clone()],
                Value::Array(list) => {
                    list.iter().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
                }
                _ => return Err(format!("header.{name} is no text")),
            };
            server.fields.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
    }
    Ok(())
}
