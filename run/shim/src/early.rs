//! What a shim is told on its command line: things to make while its launch is still being
//! worked out. They save a container's start the time that the kernel takes for them.

use std::ffi::{CString, OsString};

/// Things to make early. What turns out not to be wanted is thrown away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Early {
    /// A network namespace: the container will have one of its own, and no user namespace.
    pub network: bool,
    /// A cgroup, below the root of each hierarchy. Nobody else may know its name yet: one that is
    /// there already is left alone, and made later, by the rules for that.
    pub cgroup: Option<String>,
}

const NETWORK: &str = "network";
const CGROUP: &str = "cgroup=";

impl Early {
    /// The words that follow [`crate::NAME`].
    pub(crate) fn to_words(&self) -> Vec<CString> {
        let network = self.network.then(|| NETWORK.to_owned());
        let cgroup = self.cgroup.as_ref().map(|path| format!("{CGROUP}{path}"));
        // A path with a zero byte is none, which whoever makes the cgroup will say.
        network.into_iter().chain(cgroup).filter_map(|word| CString::new(word).ok()).collect()
    }

    /// From this process's own words.
    pub(crate) fn from_words(words: impl Iterator<Item = OsString>) -> Self {
        let mut early = Self::default();
        for word in words {
            match word.to_str() {
                Some(NETWORK) => early.network = true,
                Some(word) => early.cgroup = word.strip_prefix(CGROUP).map(str::to_owned),
                None => {}
            }
        }
        early
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_was_meant() {
        for network in [false, true] {
            for cgroup in [None, Some("kista/a b".to_owned())] {
                let early = Early { network, cgroup };
                let words = early
                    .to_words()
                    .into_iter()
                    .map(|word| OsString::from(word.into_string().unwrap()));
                assert_eq!(Early::from_words(words), early);
            }
        }
    }
}
