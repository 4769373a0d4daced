//! Names: which containers answer to one, and at which addresses.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;

use crate::{NAMES, Networks, NetworksError, failed};

/// A container that answers to a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The container's id.
    pub id: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// The directory of a name: letters in lower case, since names are the same in either, and what
/// cannot be in the name of a file as `%` and two digits. `None` for what no query can ask for.
fn folder(name: &str) -> Option<String> {
    let name = name.trim_end_matches('.');
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    let mut folder = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte.to_ascii_lowercase() {
            byte if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) => {
                folder.push(char::from(byte));
            }
            b'.' if at > 0 => folder.push('.'),
            byte => folder.push_str(&format!("%{byte:02x}")),
        }
    }
    (folder.len() <= 255).then_some(folder)
}

impl Networks {
    /// Makes a container answer to names of a network. Those that no query can ask for are passed
    /// over.
    pub fn announce(
        &self,
        network: &str,
        id: &str,
        names: &[String],
        addresses: &[IpAddr],
    ) -> Result<(), NetworksError> {
        let all = self.open_part(network, NAMES)?;
        let text: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let text = text.join(" ");
        for folder in names.iter().filter_map(|name| folder(name)) {
            let path = || self.path.join(network).join(NAMES).join(&folder);
            // Whoever takes the last one out of a directory removes that.
            for attempt in 0.. {
                match mkdirat(&all, &folder, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(failed("create", &path())(errno)),
                }
                let link = format!("{folder}/{id}");
                match symlinkat(&text, &all, &link) {
                    Ok(()) => break,
                    Err(Errno::NOENT) if attempt < 100 => {}
                    Err(Errno::EXIST) if attempt < 100 => {
                        let _ = unlinkat(&all, &link, AtFlags::empty());
                    }
                    Err(errno) => return Err(failed("create", &path())(errno)),
                }
            }
        }
        Ok(())
    }

    /// Makes a container no longer answer to names. A network that is gone is fine.
    pub fn withdraw(&self, network: &str, id: &str, names: &[String]) -> Result<(), NetworksError> {
        let all = match self.open_part(network, NAMES) {
            Err(NetworksError::NotFound { .. }) => return Ok(()),
            all => all?,
        };
        for folder in names.iter().filter_map(|name| folder(name)) {
            match unlinkat(&all, format!("{folder}/{id}"), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => {
                    let path = self.path.join(network).join(NAMES).join(&folder);
                    return Err(failed("remove", &path)(errno));
                }
            }
            // It stays as long as others answer to the name.
            let _ = unlinkat(&all, &folder, AtFlags::REMOVEDIR);
        }
        Ok(())
    }

    /// The containers of a network that answer to a name, by id.
    pub fn resolve(&self, network: &str, name: &str) -> Result<Vec<Named>, NetworksError> {
        let Some(folder) = folder(name) else { return Ok(Vec::new()) };
        let Some(dir) = self.open_name(network, &folder)? else { return Ok(Vec::new()) };
        let path = self.path.join(network).join(NAMES).join(&folder);
        let mut found = Vec::new();
        for id in self.names_in(&dir, &path)? {
            // One that is withdrawn while we look is not there.
            let Ok(text) = readlinkat(&dir, &id, Vec::new()) else { continue };
            let text = text.to_string_lossy();
            let addresses = text.split(' ').filter_map(|word| word.parse().ok()).collect();
            found.push(Named { id, addresses });
        }
        found.sort();
        Ok(found)
    }

    fn open_name(&self, network: &str, folder: &str) -> Result<Option<OwnedFd>, NetworksError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let relative = format!("{network}/{NAMES}/{folder}");
        match openat(&self.dir, relative, flags, Mode::empty()) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => {
                Err(failed("open", &self.path.join(network).join(NAMES).join(folder))(errno))
            }
        }
    }

    /// All names of a network, with the ids of those who answer to them.
    pub fn all_names(&self, network: &str) -> Result<Vec<(String, Vec<String>)>, NetworksError> {
        let all = match self.open_part(network, NAMES) {
            Err(NetworksError::NotFound { .. }) => return Ok(Vec::new()),
            all => all?,
        };
        let path = self.path.join(network).join(NAMES);
        let mut names = Vec::new();
        for folder in self.names_in(&all, &path)? {
            let Some(dir) = self.open_name(network, &folder)? else { continue };
            let ids = self.names_in(&dir, &path)?;
            names.push((folder, ids));
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::folder;

    #[test]
    fn any_name_has_a_directory_of_its_own() {
        for (name, want) in [
            ("web", Some("web")),
            ("Web.Example.", Some("web.example")),
            ("..", None),
            (".", None),
            ("", None),
            (".hidden", Some("%2ehidden")),
            ("a/b", Some("a%2fb")),
            ("a b%", Some("a%20b%25")),
            ("é", Some("%c3%a9")),
        ] {
            assert_eq!(folder(name).as_deref(), want, "{name:?}");
        }
        assert_eq!(folder(&"a".repeat(254)), None);
        assert_eq!(folder(&"/".repeat(200)), None);
    }
}
