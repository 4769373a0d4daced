//! What is said of results: while they are written, and in files.

use std::io::{self, Write};

use engine::{BuiltDescriptor, Exported};

use super::progress::{Kind, Printer};
use crate::flags::Text;
use crate::ui::{Exit, Ui};

/// Tells what was done with a result.
pub(super) fn tell(exported: &Exported, printer: &Printer<'_>) {
    match exported {
        Exported::Stored(image, names) => {
            let mut lines = vec![
                "exporting layers done".to_owned(),
                format!("writing image {} done", image.id),
            ];
            lines.extend(names.iter().map(|name| format!("naming to {name} done")));
            printer.internal("exporting to image", &lines.join("\n"));
        }
        Exported::Pushed(name, digest) => printer.internal(
            &format!("pushing {name}"),
            &format!("pushing manifest for {name}@{digest} done"),
        ),
        Exported::Archived => printer.internal("exporting to oci image format", "done"),
        Exported::Directory(path) => {
            printer.internal("exporting to client directory", &path.display().to_string());
        }
        Exported::Cache => printer.internal("exporting cache", "done"),
        Exported::NoCache(why) => {
            printer.internal("exporting cache", &format!("WARNING: it was not written: {why}"));
        }
        Exported::NotAttested(why) => printer.internal(
            "exporting attestation manifest",
            &format!("WARNING: the registry did not take it: {why}"),
        ),
        Exported::Tar => printer.internal("exporting to client tarball", "done"),
    }
}

/// Writes the files that were asked for, and the id if that is all that is wanted.
pub(super) fn write(
    images: &[BuiltDescriptor],
    iidfile: &Text,
    metadata_file: &Text,
    kind: Kind,
    ui: &mut Ui,
) -> io::Result<Exit> {
    let image = images.first();
    if let Some(image) = image {
        // Images for several platforms have no id but that of their index.
        let id = image.id.as_ref().unwrap_or(&image.descriptor.digest);
        if let Some(path) = iidfile.as_deref()
            && let Err(error) = std::fs::write(path, id.to_string())
        {
            return ui.fail(crate::files::failed("write", path, &error));
        }
        if kind == Kind::Quiet {
            writeln!(ui.out(), "{id}")?;
        }
    }
    if let Some(path) = metadata_file.as_deref() {
        let mut facts = serde_json::Map::new();
        if let Some(image) = image {
            if let Some(id) = &image.id {
                facts.insert("containerimage.config.digest".into(), id.to_string().into());
            }
            let descriptor = &image.descriptor;
            facts.insert(
                "containerimage.descriptor".into(),
                serde_json::to_value(descriptor).unwrap_or_default(),
            );
            facts.insert("containerimage.digest".into(), descriptor.digest.to_string().into());
            let names: Vec<String> = image.names.iter().map(ToString::to_string).collect();
            if !names.is_empty() {
                facts.insert("image.name".into(), names.join(",").into());
            }
        }
        let text = serde_json::to_string_pretty(&facts).unwrap_or_default();
        if let Err(error) = std::fs::write(path, text) {
            return ui.fail(crate::files::failed("write", path, &error));
        }
    }
    Ok(Exit::Success)
}
