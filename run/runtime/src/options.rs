//! Mount options, in the words of mount(8) and of the runtime-spec, taken apart.
//!
//! A pure function: nothing is mounted here. runtime-spec 1.3.0, config.md, "Linux mount options".

use sys::mount::{
    ATIME, NO_ATIME, NO_DEV, NO_DIR_ATIME, NO_EXEC, NO_SUID, NO_SYMFOLLOW, Propagation, READ_ONLY,
    RELATIME, STRICT_ATIME,
};

/// What a mount's options ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// `bind` or `rbind`.
    pub(crate) bind: Option<Bind>,
    /// Attributes of the mount itself.
    pub(crate) own: Attributes,
    /// Whether there was a word about those, if only one that changes nothing.
    pub(crate) about_own: bool,
    /// Attributes of the mount and of all below it.
    pub(crate) recursive: Attributes,
    /// Propagation, and whether of all below it too; one after the other.
    pub(crate) propagation: Vec<(Propagation, bool)>,
    /// `idmap` or `ridmap`; for the latter `true`.
    pub(crate) id_map: Option<bool>,
    /// `tmpcopyup`: a tmpfs begins with what it hides.
    pub(crate) copy_up: bool,
    /// `remount`: what is mounted there already is changed.
    pub(crate) remount: bool,
    /// What the file system itself understands, in order; a key without `=` has no value.
    pub(crate) data: Vec<(String, Option<String>)>,
}

/// How much a bind mount takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bind {
    /// One mount.
    One,
    /// What is mounted below it too.
    Recursive,
}

/// `MOUNT_ATTR_` bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Attributes {
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// The last word counts: a bit that is cleared is not set any more, and the other way round.
    fn change(&mut self, bits: u64, on: bool) {
        if on {
            self.set |= bits;
            self.clear &= !bits;
        } else {
            self.set &= !bits;
            self.clear |= bits;
        }
    }

    /// Access times are one choice out of three, so that the others are cleared with each.
    fn access_time(&mut self, choice: u64) {
        self.set = (self.set & !ATIME) | choice;
        self.clear |= ATIME;
    }

    /// Of one mount, what negates a choice of access times undoes that choice and makes no other.
    fn take_back(&mut self, word: &str) -> bool {
        let choice = match word {
            "atime" => NO_ATIME,
            "norelatime" => RELATIME,
            "nostrictatime" => STRICT_ATIME,
            _ => return false,
        };
        if self.clear & ATIME != 0 && self.set & ATIME == choice {
            self.set &= !ATIME;
            self.clear &= !ATIME;
        }
        true
    }

    fn apply(&mut self, word: &str) -> bool {
        match word {
            "ro" => self.change(READ_ONLY, true),
            "rw" => self.change(READ_ONLY, false),
            "nosuid" => self.change(NO_SUID, true),
            "suid" => self.change(NO_SUID, false),
            "nodev" => self.change(NO_DEV, true),
            "dev" => self.change(NO_DEV, false),
            "noexec" => self.change(NO_EXEC, true),
            "exec" => self.change(NO_EXEC, false),
            "nodiratime" => self.change(NO_DIR_ATIME, true),
            "diratime" => self.change(NO_DIR_ATIME, false),
            "nosymfollow" => self.change(NO_SYMFOLLOW, true),
            "symfollow" => self.change(NO_SYMFOLLOW, false),
            "noatime" => self.access_time(NO_ATIME),
            "strictatime" => self.access_time(STRICT_ATIME),
            // What takes one choice back falls to the kernel's default.
            "relatime" | "atime" | "norelatime" | "nostrictatime" => self.access_time(RELATIME),
            _ => return false,
        }
        true
    }
}

/// Takes options apart. Cannot fail: what no table knows is the file system's to refuse.
pub(crate) fn parse(options: &[String]) -> MountOptions {
    let mut parsed = MountOptions::default();
    for option in options {
        if parsed.own.take_back(option) || parsed.own.apply(option) {
            parsed.about_own = true;
            continue;
        }
        if let Some(word) = option.strip_prefix('r')
            && RECURSIVE.contains(&option.as_str())
        {
            parsed.recursive.apply(word);
            continue;
        }
        match option.as_str() {
            "" | "defaults" | "loud" | "silent" => {}
            "remount" => parsed.remount = true,
            "bind" => parsed.bind = Some(Bind::One),
            "rbind" => parsed.bind = Some(Bind::Recursive),
            "idmap" => parsed.id_map = Some(false),
            "ridmap" => parsed.id_map = Some(true),
            "tmpcopyup" => parsed.copy_up = true,
            // The absence of a flag of the file system, which is how each begins.
            "async" => parsed.forget("sync"),
            "noiversion" => parsed.forget("iversion"),
            "nolazytime" => parsed.forget("lazytime"),
            "nomand" => parsed.forget("mand"),
            word => match propagation(word) {
                Some(propagation) => parsed.propagation.push(propagation),
                None => parsed.data.push(match word.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (word.to_owned(), None),
                }),
            },
        }
    }
    parsed
}

impl MountOptions {
    /// Takes a flag of the file system back.
    fn forget(&mut self, flag: &str) {
        self.data.retain(|(key, _)| key != flag);
    }
}

/// The words that say of a whole tree what the same words without the `r` say of one mount.
const RECURSIVE: [&str; 18] = [
    "rro",
    "rrw",
    "rnosuid",
    "rsuid",
    "rnodev",
    "rdev",
    "rnoexec",
    "rexec",
    "rnodiratime",
    "rdiratime",
    "rrelatime",
    "rnorelatime",
    "rnoatime",
    "ratime",
    "rstrictatime",
    "rnostrictatime",
    "rnosymfollow",
    "rsymfollow",
];

/// The words that mean the same on every file system. runtime-spec 1.3.0, features.md.
pub const MOUNT_OPTIONS: [&str; 62] = [
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

/// A propagation by its name, and whether it goes for all mounts below.
pub(crate) fn propagation(word: &str) -> Option<(Propagation, bool)> {
    Some(match word {
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "private" => (Propagation::Private, false),
        "rprivate" => (Propagation::Private, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_understood() {
        // Flags of the file system's: the kernel takes them by these names.
        let of_the_file_system = ["dirsync", "iversion", "lazytime", "mand", "sync"];
        for word in MOUNT_OPTIONS {
            let data = parse(&[word.to_owned()]).data;
            assert_eq!(!data.is_empty(), of_the_file_system.contains(&word), "{word}: {data:?}");
        }
    }

    fn parsed(words: &str) -> MountOptions {
        parse(&words.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn attributes_and_data_are_told_apart() {
        let found = parsed("nosuid strictatime mode=755 size=65536k newinstance");
        assert_eq!(found.own, Attributes { set: NO_SUID | STRICT_ATIME, clear: ATIME });
        let data: Vec<_> =
            found.data.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let wanted = [("mode", Some("755")), ("size", Some("65536k")), ("newinstance", None)];
        assert_eq!(data, wanted);
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(parsed("ro rw").own, Attributes { set: 0, clear: READ_ONLY });
        assert_eq!(parsed("rw ro").own, Attributes { set: READ_ONLY, clear: 0 });
        assert_eq!(parsed("noatime relatime").own, Attributes { set: 0, clear: ATIME });
        assert_eq!(parsed("noatime atime").own, Attributes::default());
        assert_eq!(parsed("strictatime atime").own.set, STRICT_ATIME);
        assert!(parsed("atime").about_own && !parsed("rprivate bind rro").about_own);
        assert_eq!(parsed("sync lazytime async nolazytime").data, []);
        assert_eq!(parsed("async sync").data, [("sync".to_owned(), None)]);
    }

    #[test]
    fn words_that_only_begin_with_an_r_are_not_recursive() {
        for (words, own, recursive) in [
            ("rro", 0, READ_ONLY),
            ("ro", READ_ONLY, 0),
            ("rnosuid nodev", NO_DEV, NO_SUID),
            ("relatime", 0, 0),
            ("rnoatime", 0, NO_ATIME),
        ] {
            let found = parsed(words);
            assert_eq!((found.own.set, found.recursive.set), (own, recursive), "{words}");
            assert_eq!(found.data, [], "{words}");
        }
    }

    #[test]
    fn binds_propagation_and_id_maps_are_found() {
        let found = parsed("rbind rprivate ridmap tmpcopyup");
        assert_eq!(found.bind, Some(Bind::Recursive));
        assert_eq!(found.propagation, [(Propagation::Private, true)]);
        assert_eq!((found.id_map, found.copy_up), (Some(true), true));
        assert_eq!(parsed("bind slave shared").propagation.len(), 2);
    }
}
