//! `manifest create`, `annotate`, `push`, `rm`: lists of manifests, made here and sent.

use std::io::{self, Write};

use engine::AnnotateManifest;

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, Text, Words, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `manifest create`.
    CreateListArgs {
        /// Add to a list that was begun
        amend: Switch = long("amend").short('a'),
        /// Without effect: what may be spoken to in clear, the configuration says
        insecure: Switch = long("insecure"),
    }
}

flags! {
    /// Flags of `manifest annotate`.
    AnnotateListArgs {
        /// Processor
        arch: Text = long("arch"),
        /// Operating system
        os: Text = long("os"),
        /// Features of the operating system
        os_features: Words = long("os-features"),
        /// Version of the operating system
        os_version: Text = long("os-version"),
        /// Variant of the processor
        variant: Text = long("variant"),
    }
}

flags! {
    /// Flags of `manifest push`.
    PushListArgs {
        /// Without effect: what may be spoken to in clear, the configuration says
        insecure: Switch = long("insecure"),
        /// Forget the list here
        purge: Switch = long("purge").short('p'),
    }
}

flags! {
    /// Flags of `manifest rm`.
    RemoveListArgs {}
}

impl Command for CreateListArgs {
    const PATH: &'static str = "manifest create";
    const USAGE: &'static str = "MANIFEST_LIST MANIFEST [MANIFEST...]";
    const ARGS: Arity = Arity::AtLeast(2);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let (list, manifests) = args.split_first().expect("two arguments were asked for");
        match call.registries().create_list(list, manifests, self.amend.is_on()) {
            Ok(name) => {
                writeln!(ui.out(), "Created manifest list {name}")?;
                Ok(Exit::Success)
            }
            Err(error) => ui.fail(crate::ui::chain(&error)),
        }
    }
}

impl Command for AnnotateListArgs {
    const PATH: &'static str = "manifest annotate";
    const USAGE: &'static str = "[OPTIONS] MANIFEST_LIST MANIFEST";
    const ARGS: Arity = Arity::Exactly(2);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let mut args = args.into_iter();
        let request = AnnotateManifest {
            list: args.next().unwrap_or_default(),
            manifest: args.next().unwrap_or_default(),
            architecture: self.arch.0,
            os: self.os.0,
            variant: self.variant.0,
            os_version: self.os_version.0,
            os_features: self.os_features.0,
        };
        match call.registries().annotate_list(&request) {
            Ok(()) => Ok(Exit::Success),
            Err(error) => ui.fail(crate::ui::chain(&error)),
        }
    }
}

impl Command for PushListArgs {
    const PATH: &'static str = "manifest push";
    const USAGE: &'static str = "[OPTIONS] MANIFEST_LIST";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let list = args.into_iter().next().unwrap_or_default();
        match call.registries().push_list(&list, self.purge.is_on()) {
            Ok(digest) => {
                writeln!(ui.out(), "{digest}")?;
                Ok(Exit::Success)
            }
            Err(error) => ui.fail(crate::ui::chain(&error)),
        }
    }
}

impl Command for RemoveListArgs {
    const PATH: &'static str = "manifest rm";
    const USAGE: &'static str = "MANIFEST_LIST [MANIFEST_LIST...]";
    const ARGS: Arity = Arity::AtLeast(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let registries = call.registries();
        let mut exit = Exit::Success;
        for list in args {
            if let Err(error) = registries.remove_list(&list) {
                exit = ui.fail(crate::ui::chain(&error))?;
            }
        }
        Ok(exit)
    }
}
