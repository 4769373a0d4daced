//! `network ls`: lists networks.

use std::io;

use dockerapi::NetworkInspect;
use serde_json::Value;

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, Switch, Text, flags, long};
use crate::render::{Format, LABELS_BY_KEY, Row, print_rows};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `network ls`.
    ListArgs {
        /// Only those that match (driver=bridge, name=..., label=KEY, dangling=true)
        filter: Filter = long("filter").short('f'),
        /// Print as `table`, `table TEMPLATE`, `json` or a Go template
        format: Text = long("format"),
        /// Do not cut ids
        no_trunc: Switch = long("no-trunc"),
        /// Only ids
        quiet: Switch = long("quiet").short('q'),
    }
}

const HEADS: [(&str, &str); 9] = [
    ("CreatedAt", "CREATED AT"),
    ("Driver", "DRIVER"),
    ("ID", "NETWORK ID"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("Name", "NAME"),
    ("Scope", "SCOPE"),
];

impl Command for ListArgs {
    const PATH: &'static str = "network ls";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let networks = match call.engine().and_then(|engine| engine.list_networks(&self.filter.0)) {
            Ok(networks) => networks,
            Err(error) => return ui.report(&error),
        };
        let quiet = self.quiet.is_on();
        let text = match self.format.text() {
            "" if quiet => String::new(),
            "" => call.config().networks_format,
            text => text.to_owned(),
        };
        let format = match (quiet, text.as_str()) {
            (true, "" | "table") => Format::Template("{{.ID}}".into()),
            _ => Format::parse(&text, "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"),
        };
        let whole = self.no_trunc.is_on();
        let rows = networks.iter().map(|network| row(network, whole)).collect();
        let kind = "*formatter.networkContext";
        let printed = print_rows(&format, kind, &HEADS, rows, &mut ui.out())?;
        match printed {
            Ok(()) => Ok(Exit::Success),
            Err(text) => ui.fail(text),
        }
    }
}

fn row(network: &NetworkInspect, whole: bool) -> Row {
    let labels: Vec<String> =
        network.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let id = if whole { &network.id[..] } else { network.id.get(..12).unwrap_or(&network.id) };
    let flag = |is: bool| if is { "true" } else { "false" };
    let labels = labels.join(",");
    // As Go shows a time, of which the answer has the ISO form.
    let created = network.created.replace('T', " ").replace('Z', " +0000 UTC");
    let texts: [(&str, &str); 9] = [
        ("CreatedAt", &created),
        ("Driver", &network.driver),
        ("ID", id),
        ("IPv4", flag(network.enable_ipv4)),
        ("IPv6", flag(network.enable_ipv6)),
        ("Internal", flag(network.internal)),
        ("Labels", &labels),
        ("Name", &network.name),
        ("Scope", &network.scope),
    ];
    let mut row: Row =
        texts.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect();
    row.insert(LABELS_BY_KEY.into(), serde_json::to_value(&network.labels).unwrap_or_default());
    row
}
