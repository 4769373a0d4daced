//! `system df`: what takes how much space.

use std::io::{self, Write};

use engine::{ContainerUsage, DiskUsage, ImageUsage, VolumeUsage};
use oci::Timestamp;
use serde_json::Value;

use crate::command::{Arity, Call, Command};
use crate::flags::{Switch, Text, flags, long};
use crate::render::{Format, Row, ago, human_size, print_rows};
use crate::text::short_id;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `system df`.
    UsageArgs {
        /// Print as `table`, `table TEMPLATE`, `json` or a Go template
        format: Text = long("format"),
        /// Show each image, container and volume
        verbose: Switch = long("verbose").short('v'),
    }
}

const TABLE: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const HEADS: [(&str, &str); 5] = [
    ("Active", "ACTIVE"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Size", "SIZE"),
    ("TotalCount", "TOTAL"),
    ("Type", "TYPE"),
];

impl Command for UsageArgs {
    const PATH: &'static str = "system df";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let text = self.format.text();
        if self.verbose.is_on() && !text.is_empty() && text != "table" {
            return ui.fail("the verbose and the format options conflict");
        }
        let usage = match call.engine().and_then(|engine| engine.disk_usage()) {
            Ok(usage) => usage,
            Err(error) => return ui.report(&error),
        };
        if self.verbose.is_on() {
            return verbose(&usage, ui);
        }
        let format = Format::parse(text, TABLE);
        let type_name = "*formatter.diskUsageImagesContext";
        let printed = print_rows(&format, type_name, &HEADS, summary(&usage), &mut ui.out())?;
        match printed {
            Ok(()) => Ok(Exit::Success),
            Err(text) => ui.fail(text),
        }
    }
}

/// A line for each kind of thing.
fn summary(usage: &DiskUsage) -> Vec<Row> {
    let row = |kind: &str, total: usize, active: usize, size: u64, reclaimable: u64| {
        // Docker shows a share of images, containers and volumes, not of the build cache.
        let share = match (size, kind) {
            (0, _) | (_, "Build Cache") => human_size(reclaimable, 4),
            _ => format!("{} ({}%)", human_size(reclaimable, 4), reclaimable * 100 / size),
        };
        let texts = [
            ("Active", active.to_string()),
            ("Reclaimable", share),
            ("Size", human_size(size, 4)),
            ("TotalCount", total.to_string()),
            ("Type", kind.to_owned()),
        ];
        texts.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect::<Row>()
    };
    let active_images = usage.images.iter().filter(|usage| usage.image.containers > 0).count();
    let (up, down): (Vec<&ContainerUsage>, Vec<&ContainerUsage>) =
        usage.containers.iter().partition(|usage| DiskUsage::is_active(usage));
    let written = |list: &[&ContainerUsage]| list.iter().map(|u| u.written_bytes).sum::<u64>();
    let (used, unused): (Vec<&VolumeUsage>, Vec<&VolumeUsage>) =
        usage.volumes.iter().partition(|usage| usage.links > 0);
    let held = |list: &[&VolumeUsage]| list.iter().map(|usage| usage.size_bytes).sum::<u64>();
    vec![
        row(
            "Images",
            usage.images.len(),
            active_images,
            usage.layers_bytes,
            usage.reclaimable_image_bytes(),
        ),
        row(
            "Containers",
            usage.containers.len(),
            up.len(),
            written(&up) + written(&down),
            written(&down),
        ),
        row(
            "Local Volumes",
            usage.volumes.len(),
            used.len(),
            held(&used) + held(&unused),
            held(&unused),
        ),
        row("Build Cache", 0, 0, 0, 0),
    ]
}

/// A table for each kind of thing.
fn verbose(usage: &DiskUsage, ui: &mut Ui) -> io::Result<Exit> {
    let now = Timestamp::now();
    let images = usage.images.iter().map(|usage| image_row(usage, now)).collect();
    let containers = usage.containers.iter().map(|usage| container_row(usage, now)).collect();
    let volumes = usage.volumes.iter().map(volume_row).collect();
    let table = |title: &str, columns: &[(&str, &str)], rows: Vec<Row>, ui: &mut Ui| {
        writeln!(ui.out(), "{title} space usage:\n")?;
        let template: Vec<String> =
            columns.iter().map(|(name, _)| format!("{{{{.{name}}}}}")).collect();
        let format = Format::Table(template.join("\t"));
        // The templates are ours, and have no mistakes.
        print_rows(&format, "", columns, rows, &mut ui.out()).map(drop)
    };
    table("Images", &IMAGE_COLUMNS, images, ui)?;
    writeln!(ui.out())?;
    table("Containers", &CONTAINER_COLUMNS, containers, ui)?;
    writeln!(ui.out())?;
    table("Local Volumes", &VOLUME_COLUMNS, volumes, ui)?;
    writeln!(ui.out(), "\nBuild cache usage: 0B\n")?;
    Ok(Exit::Success)
}

const IMAGE_COLUMNS: [(&str, &str); 8] = [
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("Size", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
];
const CONTAINER_COLUMNS: [(&str, &str); 8] = [
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Size", "SIZE"),
    ("RunningFor", "CREATED"),
    ("State", "STATUS"),
    ("Names", "NAMES"),
];
const VOLUME_COLUMNS: [(&str, &str); 3] =
    [("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")];

fn cells(texts: &[(&str, String)]) -> Row {
    let cell = |(name, text): &(&str, String)| ((*name).to_owned(), Value::from(text.as_str()));
    texts.iter().map(cell).collect()
}

fn image_row(usage: &ImageUsage, now: Timestamp) -> Row {
    let image = &usage.image;
    let none = || ("<none>".to_owned(), "<none>".to_owned());
    let split = |name: &String| {
        let (repository, tag) = name.rsplit_once(':')?;
        Some((repository.to_owned(), tag.to_owned()))
    };
    let (repository, tag) = image.repo_tags.first().and_then(split).unwrap_or_else(none);
    cells(&[
        ("Repository", repository),
        ("Tag", tag),
        ("ID", short_id(&image.id.to_string()).to_owned()),
        ("CreatedSince", ago(image.created, now)),
        ("Size", human_size(image.size_bytes, 3)),
        ("SharedSize", human_size(usage.shared_bytes, 3)),
        ("UniqueSize", human_size(usage.unique_bytes, 3)),
        ("Containers", image.containers.to_string()),
    ])
}

fn container_row(usage: &ContainerUsage, now: Timestamp) -> Row {
    let container = &usage.container;
    let volumes = container.mounts.iter().filter(|source| !source.starts_with('/')).count();
    cells(&[
        ("ID", short_id(&container.id).to_owned()),
        ("Image", container.image.clone()),
        ("Command", crate::text::quote(&crate::text::ellipsis(&container.command, 20))),
        ("LocalVolumes", volumes.to_string()),
        ("Size", human_size(usage.written_bytes, 3)),
        ("RunningFor", ago(container.created, now)),
        ("State", format!("{:?}", container.state).to_lowercase()),
        ("Names", container.name.clone()),
    ])
}

fn volume_row(usage: &VolumeUsage) -> Row {
    cells(&[
        ("Name", usage.volume.name.clone()),
        ("Links", usage.links.to_string()),
        ("Size", human_size(usage.size_bytes, 3)),
    ])
}
