//! `images`: lists images.

use std::io::{self, Write};

use engine::{ImageSummary, ListImages};
use oci::Timestamp;
use serde_json::Value;

use crate::command::{Arity, Call, Command};
use crate::flags::{Filter, RefusedSwitch, Switch, Text, flags, long};
use crate::refused;
use crate::render::{Format, Row, ago, human_size, local_time, print_rows};
use crate::text::{quote, short_id};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `images`.
    ListArgs {
        /// Without effect: no intermediate images are kept
        all: Switch = long("all").short('a'),
        /// Show digests
        digests: Switch = long("digests"),
        /// Only those that match (dangling=true, label=KEY, before=IMAGE...)
        filter: Filter = long("filter").short('f'),
        /// Print as `table`, `table TEMPLATE`, `json` or a Go template
        format: Text = long("format"),
        /// Cut nothing off
        no_trunc: Switch = long("no-trunc"),
        /// Only ids
        quiet: Switch = long("quiet").short('q'),
        /// Show the variants for each platform
        tree: RefusedSwitch = long("tree").refused(refused::TREE, &["false"]),
    }
}

const TABLE: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const TABLE_WITH_DIGESTS: &str =
    "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

const HEADS: [(&str, &str); 10] = [
    ("Containers", "CONTAINERS"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedSince", "CREATED"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("SharedSize", "SHARED SIZE"),
    ("Size", "SIZE"),
    ("Tag", "TAG"),
    ("UniqueSize", "UNIQUE SIZE"),
];

/// Commands that somebody who typed `kista images ls` may have meant.
const MEANT: [&str; 13] = [
    "build", "history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm",
    "save", "tag",
];

impl Command for ListArgs {
    const PATH: &'static str = "image ls";
    const USAGE: &'static str = "[OPTIONS] [REPOSITORY[:TAG]]";
    const ARGS: Arity = Arity::AtMost(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let reference = args.into_iter().next().filter(|name| !name.is_empty());
        let request = ListImages {
            all: self.all.is_on(),
            reference: reference.clone(),
            filters: self.filter.0,
        };
        let images = match call.engine().and_then(|engine| engine.list_images(&request)) {
            Ok(images) => images,
            Err(error) => return ui.report(&error),
        };
        let (quiet, digests) = (self.quiet.is_on(), self.digests.is_on());
        let text = match self.format.text() {
            "" if quiet => String::new(),
            "" => call.config().images_format,
            text => text.to_owned(),
        };
        let format = match (quiet, text.as_str()) {
            (true, "" | "table") => Format::Template("{{.ID}}".into()),
            _ => Format::parse(&text, if digests { TABLE_WITH_DIGESTS } else { TABLE }),
        };
        let now = Timestamp::now();
        let show_digests = digests || crate::render::uses_field(&format, "Digest");
        let rows: Vec<Row> = images
            .iter()
            .flat_map(|image| rows(image, show_digests, !self.no_trunc.is_on(), now))
            .collect();
        let is_empty = rows.is_empty();
        let type_name = "*formatter.imageContext";
        let printed = print_rows(&format, type_name, &HEADS, rows, &mut ui.out())?;
        if let Err(text) = printed {
            return ui.fail(text);
        }
        if let Some(name) = reference.filter(|name| is_empty && MEANT.contains(&name.as_str())) {
            writeln!(
                ui.err(),
                "No images found matching {}: did you mean \"kista image {name}\"?",
                quote(&name)
            )?;
        }
        Ok(Exit::Success)
    }
}

/// A line for each name of an image, or one without a name.
fn rows(image: &ImageSummary, digests: bool, cut: bool, now: Timestamp) -> Vec<Row> {
    const NONE: &str = "<none>";
    let row = |repository: &str, tag: &str, digest: &str| {
        let id = image.id.to_string();
        let since = match image.created.is_never() {
            true => "N/A".to_owned(),
            false => ago(image.created, now),
        };
        let texts: [(&str, String); 10] = [
            ("Containers", image.containers.to_string()),
            ("CreatedAt", local_time(image.created)),
            ("CreatedSince", since),
            ("Digest", digest.to_owned()),
            ("ID", if cut { short_id(&id).to_owned() } else { id }),
            ("Repository", repository.to_owned()),
            ("SharedSize", "N/A".to_owned()),
            ("Size", human_size(image.size_bytes, 3)),
            ("Tag", tag.to_owned()),
            ("UniqueSize", "N/A".to_owned()),
        ];
        texts.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect::<Row>()
    };
    let digests_of = |repository: &str| -> Vec<&str> {
        let of =
            |text: &'_ String| text.split_once('@').is_some_and(|(name, _)| name == repository);
        image
            .repo_digests
            .iter()
            .filter(|text| of(text))
            .filter_map(|text| text.split_once('@').map(|(_, digest)| digest))
            .collect()
    };
    let mut rows = Vec::new();
    let mut named: Vec<&str> = Vec::new();
    for name in &image.repo_tags {
        let Some((repository, tag)) = name.rsplit_once(':') else { continue };
        named.push(repository);
        match digests_of(repository).as_slice() {
            found if digests && !found.is_empty() => {
                rows.extend(found.iter().map(|digest| row(repository, tag, digest)));
            }
            _ => rows.push(row(repository, tag, NONE)),
        }
    }
    // A name by digest alone has a line only where the repository has no tag.
    for (repository, digest) in image.repo_digests.iter().filter_map(|text| text.split_once('@')) {
        if repository != NONE && !named.contains(&repository) {
            rows.push(row(repository, NONE, if digests { digest } else { "" }));
            if !digests {
                named.push(repository);
            }
        }
    }
    if rows.is_empty() {
        rows.push(row(NONE, NONE, NONE));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tags: &[&str], digests: &[&str]) -> ImageSummary {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ImageSummary {
            id: format!("sha256:{}", "ab".repeat(32)).parse().unwrap(),
            repo_tags: texts(tags),
            repo_digests: texts(digests),
            created: Timestamp::from_unix(1000, 0),
            size_bytes: 117_600_000,
            labels: Default::default(),
            containers: 2,
            platform: oci::Platform::host(),
        }
    }

    fn lines(image: &ImageSummary, digests: bool) -> Vec<String> {
        let text = |row: &Row, name: &str| row[name].as_str().unwrap().to_owned();
        rows(image, digests, true, Timestamp::from_unix(1120, 0))
            .iter()
            .map(|row| {
                format!("{} {} {}", text(row, "Repository"), text(row, "Tag"), text(row, "Digest"))
            })
            .collect()
    }

    #[test]
    fn every_name_has_a_line() {
        let digest = format!("sha256:{}", "c".repeat(64));
        let pinned = format!("debian@{digest}");
        let other = format!("other@{digest}");
        let named = image(&["debian:12", "localhost:5000/x:1"], &[&pinned, &other]);
        assert_eq!(
            lines(&named, false),
            ["debian 12 <none>", "localhost:5000/x 1 <none>", "other <none> "]
        );
        assert_eq!(
            lines(&named, true),
            [
                format!("debian 12 {digest}"),
                "localhost:5000/x 1 <none>".into(),
                format!("other <none> {digest}"),
            ]
        );
        assert_eq!(lines(&image(&[], &[]), false), ["<none> <none> <none>"]);
    }

    #[test]
    fn the_table_is_dockers() {
        let rows = rows(&image(&["bb:latest"], &[]), false, true, Timestamp::from_unix(1120, 0));
        let mut out = Vec::new();
        print_rows(&Format::parse("", TABLE), "", &HEADS, rows, &mut out).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "REPOSITORY   TAG       IMAGE ID       CREATED         SIZE\n\
             bb           latest    abababababab   2 minutes ago   118MB\n"
        );
    }
}
