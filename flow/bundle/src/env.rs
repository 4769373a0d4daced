//! Environment variables: merging lists of `NAME=value`.

use dockerapi::ContainerConfig;

use crate::BundleError;

/// What the kernel's execvp looks through if nobody says otherwise.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The name of an entry; all of it if there is no `=`.
pub(crate) fn name(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// Name and value of an entry that has both; the value may be empty, the name not.
pub(crate) fn split(entry: &str) -> Option<(&str, &str)> {
    entry.split_once('=').filter(|(name, _)| !name.is_empty() && !entry.contains('\0'))
}

/// Refuses what can be no entry: one without a name, or with a NUL byte.
pub(crate) fn check(entry: &str) -> Result<(), BundleError> {
    if name(entry).is_empty() || entry.contains('\0') {
        return Err(BundleError::invalid(format!("invalid environment variable: {entry}")));
    }
    Ok(())
}

/// Lays `changes` over `env`: a name that is there already is replaced where it stands, a new one
/// appended, and one without `=` taken away. Later changes win.
pub(crate) fn apply<'a>(env: &mut Vec<String>, changes: impl IntoIterator<Item = &'a String>) {
    for change in changes {
        let at = env.iter().position(|entry| name(entry) == name(change));
        match (at, split(change)) {
            (Some(at), Some(_)) => env[at].clone_from(change),
            (None, Some(_)) => env.push(change.clone()),
            // A NUL byte or a missing name cannot get here past `check`; drop it all the same.
            (Some(at), None) if !change.contains('=') => {
                env.remove(at);
            }
            (_, None) => {}
        }
    }
}

/// The environment of a container's process, but for `HOME`.
pub(crate) fn base(config: &ContainerConfig, hostname: &str, tty: bool) -> Vec<String> {
    let mut env = vec![format!("PATH={DEFAULT_PATH}"), format!("HOSTNAME={hostname}")];
    if tty {
        env.push("TERM=xterm".into());
    }
    apply(&mut env, &config.env);
    env
}

/// Sets `HOME` unless it is there.
pub(crate) fn set_home(env: &mut Vec<String>, home: &str) {
    if !env.iter().any(|entry| name(entry) == "HOME") {
        env.push(format!("HOME={home}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn the_container_replaces_defaults_in_place() {
        let config =
            ContainerConfig { env: list("A=1 PATH=/bin A=2 HOSTNAME B"), ..Default::default() };
        assert_eq!(base(&config, "box", true), list("PATH=/bin TERM=xterm A=2"));
    }

    #[test]
    fn a_terminal_and_a_home_are_only_defaults() {
        let config = ContainerConfig { env: list("TERM=dumb HOME=/h"), ..Default::default() };
        let mut env = base(&config, "box", true);
        set_home(&mut env, "/root");
        assert!(env.contains(&"TERM=dumb".into()) && env.contains(&"HOME=/h".into()));
        assert_eq!(env.len(), 4);
    }

    #[test]
    fn entries_without_a_name_are_refused() {
        for bad in ["", "=x", "A=\0"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        for good in ["A", "A=", "A=b=c", "A=line\nline"] {
            check(good).unwrap();
        }
    }

    proptest! {
        #[test]
        fn no_name_comes_twice_and_all_have_a_value(changes in proptest::collection::vec("[AB]?=?[ab=]?", 0..8)) {
            let mut env = list("A=0 C=0");
            apply(&mut env, &changes);
            let mut names: Vec<_> = env.iter().map(|entry| name(entry).to_owned()).collect();
            prop_assert!(env.iter().all(|entry| split(entry).is_some()));
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), env.len());
        }
    }
}
