//! `search`: finds repositories in a registry.

use std::io;

use engine::{FoundRepository, SearchRegistry};
use serde_json::Value;

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, Integer, Switch, Text, flags, long};
use crate::render::{Format, Row, print_rows};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `search`.
    SearchArgs {
        /// Only those that match (is-official=true, stars=3)
        filter: Filter = long("filter").short('f'),
        /// Print as `table`, `table TEMPLATE`, `json` or a Go template
        format: Text = long("format"),
        /// How many at most, 1 to 100; 25 if not given
        limit: Integer<i64> = long("limit"),
        /// Do not cut descriptions
        no_trunc: Switch = long("no-trunc"),
    }
}

const HEADS: [(&str, &str); 5] = [
    ("Description", "DESCRIPTION"),
    ("IsAutomated", "AUTOMATED"),
    ("IsOfficial", "OFFICIAL"),
    ("Name", "NAME"),
    ("StarCount", "STARS"),
];

/// How long a description is shown.
const SHOWN: usize = 45;

impl Command for SearchArgs {
    const PATH: &'static str = "search";
    const USAGE: &'static str = "[OPTIONS] TERM";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let request = SearchRegistry {
            term: args.into_iter().next().unwrap_or_default(),
            limit: self.limit.0,
            filters: self.filter.0,
        };
        let found = match call.registries().search(&request) {
            Ok(found) => found,
            Err(error) => return ui.report(&error),
        };
        let table = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";
        let format = Format::parse(self.format.text(), table);
        let whole = self.no_trunc.is_on();
        let rows = found.iter().map(|found| row(found, whole)).collect();
        let printed = print_rows(&format, "*search.searchContext", &HEADS, rows, &mut ui.out())?;
        match printed {
            Ok(()) => Ok(Exit::Success),
            Err(text) => ui.fail(text),
        }
    }
}

fn row(found: &FoundRepository, whole: bool) -> Row {
    let line = found.description.replace(['\n', '\r'], " ");
    let description = match whole || line.chars().count() <= SHOWN {
        true => line,
        false => line.chars().take(SHOWN - 1).chain(['…']).collect(),
    };
    let ok = |is: bool| if is { "[OK]".to_owned() } else { String::new() };
    let texts: [(&str, String); 5] = [
        ("Description", description),
        ("IsAutomated", ok(found.is_automated)),
        ("IsOfficial", ok(found.is_official)),
        ("Name", found.name.clone()),
        ("StarCount", found.stars.to_string()),
    ];
    texts.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect()
}
