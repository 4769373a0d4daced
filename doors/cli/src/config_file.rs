//! Docker's client configuration, `~/.docker/config.json`: the keys that matter here.
//!
//! A file that is missing or is not JSON counts as empty; nothing is written to it here. The
//! credentials in it are the engine's to read and write.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The keys that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConfigFile {
    /// What leaves an attached container.
    pub(crate) detach_keys: String,
    /// `ps --format`.
    pub(crate) ps_format: String,
    /// `images --format`.
    pub(crate) images_format: String,
    /// `network ls --format`.
    pub(crate) networks_format: String,
    /// `volume ls --format`.
    pub(crate) volumes_format: String,
    /// Filters of every prune.
    pub(crate) prune_filters: Vec<String>,
    /// Proxies that containers are told about, by daemon address; `default` for all.
    proxies: BTreeMap<String, Proxy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Proxy {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

/// The folder of the client's configuration: `given`, else `DOCKER_CONFIG`, else `~/.docker`.
pub(crate) fn directory(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(|| {
        let named = |name| std::env::var_os(name).filter(|path: &OsString| !path.is_empty());
        let home = || named("HOME").map(|home| Path::new(&home).join(".docker"));
        named("DOCKER_CONFIG").map(PathBuf::from).or_else(home)
    })
}

impl ConfigFile {
    /// Reads the file in `given`, else in `DOCKER_CONFIG`, else in `~/.docker`.
    pub(crate) fn load(given: Option<&Path>) -> Self {
        let bytes = directory(given).and_then(|path| std::fs::read(path.join("config.json")).ok());
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// `NAME=value` for each proxy variable that `env` does not set, in both cases of letters.
    pub(crate) fn proxy_env(&self, env: &[String]) -> Vec<String> {
        let Some(proxy) = self.proxies.get("default") else { return Vec::new() };
        let set = |name: &str| {
            env.iter().any(|pair| pair.split_once('=').map_or(pair.as_str(), |p| p.0) == name)
        };
        let mut variables = Vec::new();
        for (name, value) in [
            ("HTTP_PROXY", &proxy.http_proxy),
            ("HTTPS_PROXY", &proxy.https_proxy),
            ("NO_PROXY", &proxy.no_proxy),
            ("FTP_PROXY", &proxy.ftp_proxy),
            ("ALL_PROXY", &proxy.all_proxy),
        ] {
            for name in [name.to_owned(), name.to_ascii_lowercase()] {
                if !value.is_empty() && !set(&name) {
                    variables.push(format!("{name}={value}"));
                }
            }
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_yield_to_the_command_line() {
        let config: ConfigFile = serde_json::from_str(
            r#"{"auths": {}, "detachKeys": "ctrl-a,d",
                "proxies": {"default": {"httpProxy": "http://p:1"}}}"#,
        )
        .unwrap();
        assert_eq!(config.detach_keys, "ctrl-a,d");
        assert_eq!(config.proxy_env(&["HTTP_PROXY=x".into()]), ["http_proxy=http://p:1"]);
    }

    #[test]
    fn a_missing_or_broken_file_counts_as_empty() {
        let directory = tempfile::tempdir().unwrap();
        assert!(ConfigFile::load(Some(directory.path())).ps_format.is_empty());
        std::fs::write(directory.path().join("config.json"), "{").unwrap();
        assert!(ConfigFile::load(Some(directory.path())).ps_format.is_empty());
    }
}
