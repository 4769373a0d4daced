//! The configuration file: `/etc/kista/config.toml`, or what `KISTA_CONFIG` names. For ordinary users
//! what `kista/config.toml` in `XDG_CONFIG_HOME` or `~/.config` says counts before that.
//!
//! Lines `key = "value"`, comments and blank lines: the part of TOML that the keys need. A key that
//! is not known is an error, so that a mistyped one is not taken for a wish that was heard.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::EngineError;

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `default_publish_address`: the address of the host at which ports are published that name
    /// none. All of them if it is not set; `127.0.0.1` keeps them from other hosts.
    pub(crate) default_publish_address: Option<IpAddr>,
    /// `default_network`: the network of containers that name none; `bridge` if it is not set.
    /// `none` is for hosts whose kernel has no bridges.
    pub(crate) default_network: Option<String>,
}

impl Settings {
    /// Reads what there is; a file that is not there says nothing.
    pub(crate) fn load() -> Result<Self, EngineError> {
        if let Some(path) = std::env::var_os("KISTA_CONFIG").filter(|path| !path.is_empty()) {
            return Self::read(PathBuf::from(path));
        }
        let system = Self::read(PathBuf::from("/etc/kista/config.toml"))?;
        let Some(own) = own_file() else { return Ok(system) };
        let own = Self::read(own)?;
        Ok(Self {
            default_publish_address: own.default_publish_address.or(system.default_publish_address),
            default_network: own.default_network.or(system.default_network),
        })
    }

    fn read(path: PathBuf) -> Result<Self, EngineError> {
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).map_err(|(line, problem)| EngineError::Invalid {
                message: format!("{}, line {line}: {problem}", path.display()),
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(EngineError::io("read", path)(error)),
        }
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut settings = Self::default();
        for (index, line) in text.lines().enumerate() {
            let fail = |problem: String| (index + 1, problem);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| fail(format!("{line:?} is no `key = \"value\"`")))?;
            let value = quoted(value.trim())
                .ok_or_else(|| fail(format!("the value of {} is no text in quotes", key.trim())))?;
            match key.trim() {
                "default_publish_address" => {
                    let address = value.parse().map_err(|_| {
                        fail(format!("default_publish_address {value:?} is no address"))
                    })?;
                    settings.default_publish_address = Some(address);
                }
                "default_network" if value.is_empty() => {
                    return Err(fail("default_network is empty".to_owned()));
                }
                "default_network" => settings.default_network = Some(value.to_owned()),
                other => return Err(fail(format!("there is no setting {other:?}"))),
            }
        }
        Ok(settings)
    }
}

/// The file of an ordinary user. What the environment names counts if it is the user's own: `sudo -u`
/// leaves that of somebody else.
fn own_file() -> Option<PathBuf> {
    if sys::namespace::is_initial_user() {
        return None;
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = || Some(variable("HOME")?.join(".config"));
    let own = rustix::process::geteuid().as_raw();
    let is_own = |path: &PathBuf| {
        path.is_absolute() && std::fs::metadata(path).is_ok_and(|facts| facts.uid() == own)
    };
    let chosen = variable("XDG_CONFIG_HOME").or_else(home).filter(is_own)?;
    Some(chosen.join("kista").join("config.toml"))
}

/// A text in quotes, without escapes, and perhaps a comment.
fn quoted(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('"')?;
    let (value, rest) = rest.split_once('"')?;
    let rest = rest.trim_start();
    (!value.contains('\\') && (rest.is_empty() || rest.starts_with('#'))).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_others_refused() {
        let text = "# where\n\ndefault_publish_address = \"127.0.0.1\" # only here\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.default_publish_address, Some(IpAddr::from([127, 0, 0, 1])));
        let settings = Settings::parse("default_network = \"none\"").unwrap();
        assert_eq!(settings.default_network.as_deref(), Some("none"));
        for (text, line, want) in [
            ("\nfoo = \"x\"", 2, "no setting"),
            ("default_publish_address = \"here\"", 1, "no address"),
            ("default_publish_address = 127.0.0.1", 1, "quotes"),
            ("default_publish_address = \"::1\" x", 1, "quotes"),
            ("[section]", 1, "no `key"),
        ] {
            let (at, problem) = Settings::parse(text).unwrap_err();
            assert!(at == line && problem.contains(want), "{text}: {at} {problem}");
        }
    }
}
