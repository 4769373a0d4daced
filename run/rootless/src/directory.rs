//! Where an ordinary user's data lies, and whether it is that user's alone.
//!
//! Everything is in the data directory, run state included, and nothing in `XDG_RUNTIME_DIR`:
//! sessions of one user (a login, cron, `sudo -u`) do not agree on that, and two that disagree
//! would not find each other's containers.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{RootlessError, User};

/// The data directory of `user`: `named` if somebody named one; else `kista` in `XDG_DATA_HOME`, in
/// `$HOME/.local/share`, or in that of the home directory in `/etc/passwd`.
///
/// What the environment says counts only where it is the user's own: `sudo -u` and `su` leave it
/// as it was for another. A directory that is there must be the user's, and no other may write
/// to it.
pub fn data_directory(named: Option<&Path>, user: &User) -> Result<PathBuf, RootlessError> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let path = match named {
        Some(path) => path.to_owned(),
        None => choose(variable("XDG_DATA_HOME"), variable("HOME"), user)?,
    };
    check(&path, user)?;
    Ok(path)
}

fn choose(
    data_home: Option<PathBuf>,
    home: Option<PathBuf>,
    user: &User,
) -> Result<PathBuf, RootlessError> {
    let own = |path: &PathBuf| path.is_absolute() && owner_above(path) == Some(user.uid);
    let share = |home: PathBuf| home.join(".local").join("share");
    let homes = [home, user.home.clone()].into_iter().flatten().filter(own);
    let mut choices = data_home.into_iter().filter(own).chain(homes.map(share));
    let chosen = choices.next().ok_or(RootlessError::NoHome { uid: user.uid })?;
    Ok(chosen.join("kista"))
}

/// Whose a directory is, or would be: that of the nearest one above it that is there.
fn owner_above(path: &Path) -> Option<u32> {
    path.ancestors().find_map(|path| std::fs::metadata(path).ok()).map(|facts| facts.uid())
}

/// Refuses a directory in which somebody else has a say; one that is not there yet is fine.
fn check(path: &Path, user: &User) -> Result<(), RootlessError> {
    let facts = match std::fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(RootlessError::Io { action: "look at", path: path.to_owned(), source });
        }
    };
    if facts.uid() != user.uid {
        return Err(RootlessError::Foreign {
            path: path.to_owned(),
            owner: facts.uid(),
            uid: user.uid,
            hint: "a data directory is used by the one user that it belongs to",
        });
    }
    match facts.mode() & 0o022 {
        0 => Ok(()),
        _ => Err(RootlessError::Open { path: path.to_owned(), mode: facts.mode() & 0o7777 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn user(home: Option<&Path>) -> User {
        User {
            uid: rustix::process::geteuid().as_raw(),
            gid: 0,
            name: None,
            home: home.map(Path::to_owned),
        }
    }

    #[test]
    fn only_what_is_the_users_own_is_believed() {
        let own = tempfile::tempdir().unwrap();
        let own = own.path();
        let me = user(Some(own));
        let other = User { uid: me.uid + 1, ..user(Some(own)) };
        let choose = |data: Option<&Path>, home: Option<&Path>, user: &User| {
            super::choose(data.map(Path::to_owned), home.map(Path::to_owned), user)
        };
        let data = own.join("data");
        assert_eq!(choose(Some(&data), None, &me).unwrap(), data.join("kista"));
        let share = own.join(".local/share/kista");
        assert_eq!(choose(None, Some(own), &me).unwrap(), share);
        // As after `sudo -u me`, with the environment of somebody whose directories are not ours.
        let strange = Path::new("/proc/1");
        let strange = (me.uid != 0).then_some(strange);
        assert_eq!(choose(strange, strange, &me).unwrap(), share);
        assert_eq!(choose(Some(Path::new("relative")), None, &me).unwrap(), share);
        let error = choose(Some(&data), Some(own), &other).unwrap_err();
        assert!(matches!(error, RootlessError::NoHome { .. }), "{error}");
    }

    #[test]
    fn directories_of_others_or_for_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let me = user(None);
        let path = directory.path();
        assert_eq!(data_directory(Some(path), &me).unwrap(), path);
        assert!(data_directory(Some(&path.join("new")), &me).is_ok());
        let other = User { uid: me.uid + 1, ..me.clone() };
        let error = data_directory(Some(path), &other).unwrap_err();
        assert!(matches!(error, RootlessError::Foreign { .. }), "{error}");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o770)).unwrap();
        let error = data_directory(Some(path), &me).unwrap_err();
        assert!(matches!(error, RootlessError::Open { mode: 0o770, .. }), "{error}");
    }
}
