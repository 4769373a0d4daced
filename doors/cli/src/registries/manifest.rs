//! `manifest inspect`: prints a list in the making, or what a registry has under a name.

use std::io::{self, Write};

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `manifest inspect`.
    ManifestInspectArgs {
        /// Without effect: what may be spoken to in clear, the configuration says
        insecure: Switch = long("insecure"),
        /// Print descriptors too
        verbose: Switch = long("verbose").short('v'),
    }
}

impl Command for ManifestInspectArgs {
    const PATH: &'static str = "manifest inspect";
    const USAGE: &'static str = "[OPTIONS] MANIFEST";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let name = args.into_iter().next().unwrap_or_default();
        let registries = call.registries();
        match registries.inspect_list(&name) {
            Ok(Some(bytes)) => {
                ui.out().write_all(&bytes)?;
                writeln!(ui.out())?;
                return Ok(Exit::Success);
            }
            Ok(None) => {}
            Err(error) => return ui.report(&error),
        }
        let found = match registries.manifest(&name) {
            Ok(found) => found,
            Err(error) => return ui.report(&error),
        };
        let document: serde_json::Value = serde_json::from_slice(&found.bytes)?;
        let shown = match self.verbose.is_on() {
            false => document,
            true => serde_json::json!({
                "Ref": found.name,
                "Descriptor": found.descriptor,
                "Manifest": document,
            }),
        };
        let mut bytes = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, tabs);
        serde::Serialize::serialize(&shown, &mut serializer)?;
        bytes.push(b'\n');
        ui.out().write_all(&bytes)?;
        Ok(Exit::Success)
    }
}
