//! `volume ls`: lists volumes.

use std::io;

use dockerapi::Volume;
use serde_json::Value;

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, RefusedSwitch, Switch, Text, flags, long};
use crate::refused;
use crate::render::{Format, LABELS_BY_KEY, Row, print_rows};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `volume ls`.
    ListArgs {
        /// Only cluster volumes
        cluster: RefusedSwitch = long("cluster").refused(refused::SWARM, &["false"]),
        /// Only those that match (dangling=true, label=KEY, name=...)
        filter: Filter = long("filter").short('f'),
        /// Print as `table`, `table TEMPLATE`, `json` or a Go template
        format: Text = long("format"),
        /// Only names
        quiet: Switch = long("quiet").short('q'),
    }
}

const HEADS: [(&str, &str); 10] = [
    ("Availability", "AVAILABILITY"),
    ("Driver", "DRIVER"),
    ("Group", "GROUP"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];

impl Command for ListArgs {
    const PATH: &'static str = "volume ls";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let volumes = match call.engine().and_then(|engine| engine.list_volumes(&self.filter.0)) {
            Ok(volumes) => volumes,
            Err(error) => return ui.report(&error),
        };
        let quiet = self.quiet.is_on();
        let text = match self.format.text() {
            "" if quiet => String::new(),
            "" => call.config().volumes_format,
            text => text.to_owned(),
        };
        let format = match (quiet, text.as_str()) {
            (true, "" | "table") => Format::Template("{{.Name}}".into()),
            _ => Format::parse(&text, "{{.Driver}}\t{{.Name}}"),
        };
        let rows = volumes.iter().map(row).collect();
        let printed = print_rows(&format, "*formatter.volumeContext", &HEADS, rows, &mut ui.out())?;
        match printed {
            Ok(()) => Ok(Exit::Success),
            Err(text) => ui.fail(text),
        }
    }
}

fn row(volume: &Volume) -> Row {
    let labels: Vec<String> =
        volume.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = labels.join(",");
    let texts: [(&str, &str); 10] = [
        ("Availability", "N/A"),
        ("Driver", &volume.driver),
        ("Group", "N/A"),
        ("Labels", &labels),
        ("Links", "N/A"),
        ("Mountpoint", &volume.mountpoint),
        ("Name", &volume.name),
        ("Scope", &volume.scope),
        ("Size", "N/A"),
        ("Status", "N/A"),
    ];
    let mut row: Row =
        texts.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
    row.insert(LABELS_BY_KEY.into(), serde_json::to_value(&volume.labels).unwrap_or_default());
    row
}
