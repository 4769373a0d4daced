//! What a shim is told on its command line: things to make while its launch is still being
//! worked out. They save a container's start the time that the kernel takes for them.
//! [`crate::client::Pending::make_cgroup`] is another such thing.

use std::ffi::{CString, OsString};

/// Things to make early. What turns out not to be wanted is thrown away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Early {
    /// A network namespace: the container will have one of its own, and no user namespace.
    pub network: bool,
}

const NETWORK: &str = "network";

impl Early {
    /// The words that follow [`crate::NAME`].
    pub(crate) fn to_words(self) -> Vec<CString> {
        self.network.then(|| CString::new(NETWORK).expect("has no zero byte")).into_iter().collect()
    }

    /// From this process's own words.
    pub(crate) fn from_words(mut words: impl Iterator<Item = OsString>) -> Self {
        Self { network: words.any(|word| word == NETWORK) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_was_meant() {
        for network in [false, true] {
            let early = Early { network };
            let words = early.to_words().into_iter();
            let words = words.map(|word| OsString::from(word.into_string().unwrap()));
            assert_eq!(Early::from_words(words), early);
        }
    }
}
