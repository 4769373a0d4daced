//! `manifest referrers`: what a registry has about an image: signatures, bills of material and the
//! like. Docker has no such command.

use std::io;

use oci::Descriptor;
use serde_json::Value;

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, Text, flags, long};
use crate::render::{Format, Row, human_size, print_rows};
use crate::ui::{Exit, Ui, chain};

flags! {
    /// Flags of `manifest referrers`.
    ReferrersArgs {
        /// Only artifacts of this type
        artifact_type: Text = long("artifact-type"),
        /// Those of the image that is here, without asking a registry
        local: Switch = long("local"),
        /// Print as `table`, `table TEMPLATE`, `json` or a Go template
        format: Text = long("format"),
        /// Only digests
        quiet: Switch = long("quiet").short('q'),
    }
}

const HEADS: [(&str, &str); 5] = [
    ("Annotations", "ANNOTATIONS"),
    ("ArtifactType", "ARTIFACT TYPE"),
    ("Digest", "DIGEST"),
    ("MediaType", "MEDIA TYPE"),
    ("Size", "SIZE"),
];

impl Command for ReferrersArgs {
    const PATH: &'static str = "manifest referrers";
    const USAGE: &'static str = "[OPTIONS] NAME[:TAG|@DIGEST]";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let image = args.into_iter().next().unwrap_or_default();
        let wanted = Some(self.artifact_type.text()).filter(|kind| !kind.is_empty());
        let found = match self.local.is_on() {
            true => call.engine().and_then(|engine| engine.referrers(&image, wanted)),
            false => call.registries().referrers(&image, wanted),
        };
        let found = match found {
            Ok((_, found)) => found,
            Err(error) => return ui.fail(chain(&error)),
        };
        let format = match (self.quiet.is_on(), self.format.text()) {
            (true, "" | "table") => Format::Template("{{.Digest}}".into()),
            (_, text) => Format::parse(text, "{{.Digest}}\t{{.ArtifactType}}\t{{.Size}}"),
        };
        let rows = found.iter().map(row).collect();
        let type_name = "*referrers.referrerContext";
        let printed = print_rows(&format, type_name, &HEADS, rows, &mut ui.out())?;
        match printed {
            Ok(()) => Ok(Exit::Success),
            Err(text) => ui.fail(text),
        }
    }
}

fn row(found: &Descriptor) -> Row {
    let annotations: Vec<String> =
        found.annotations.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let texts: [(&str, String); 5] = [
        ("Annotations", annotations.join(",")),
        ("ArtifactType", found.artifact_type.clone().unwrap_or_default()),
        ("Digest", found.digest.to_string()),
        ("MediaType", found.media_type.clone()),
        ("Size", human_size(found.size_bytes, 3)),
    ];
    texts.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect()
}
