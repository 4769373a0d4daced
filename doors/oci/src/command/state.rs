//! `state`: what a container is now. runtime-spec 1.3.0, runtime.md, "State".

use std::collections::BTreeMap;
use std::io::Write as _;

use oci::Timestamp;
use serde::Serialize;

use crate::Context;
use crate::args::Parsed;
use crate::command::Command;
use crate::error::{OciError, Step};
use crate::exit::Exit;
use crate::status;
use crate::store::Entry;

pub(crate) const STATE: Command = Command::plain("state", "output the state of a container", run);

/// The state, with what runc adds to it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    pub(crate) oci_version: String,
    pub(crate) id: String,
    /// 0 if there is none.
    pub(crate) pid: i32,
    pub(crate) status: &'static str,
    pub(crate) bundle: String,
    pub(crate) rootfs: String,
    pub(crate) created: Timestamp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// A name, or `#` and a number; empty in `state`.
    pub(crate) owner: String,
}

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let shown = look(&context.store.open(parsed.id())?)?;
    let mut text = serde_json::to_vec_pretty(&shown)
        .map_err(|error| OciError::State(format!("cannot write the state: {error}")))?;
    text.push(b'\n');
    std::io::stdout().write_all(&text).to(|| "write the state".into())?;
    Ok(Exit::SUCCESS)
}

pub(crate) fn look(entry: &Entry) -> Result<Shown, OciError> {
    let record = entry.record()?;
    let (status, alive) = status::look(entry, record.as_ref())?;
    // A maker that was killed left no record: that is a container too, if only to be deleted.
    let record = record.unwrap_or_default();
    Ok(Shown {
        oci_version: match record.oci_version.is_empty() {
            true => oci::runtime::VERSION.into(),
            false => record.oci_version,
        },
        id: entry.id.clone(),
        pid: alive.map_or(0, |alive| alive.pid.as_raw_nonzero().get()),
        status: status.word(),
        bundle: record.bundle,
        rootfs: record.rootfs,
        created: record.created,
        annotations: record.annotations,
        owner: String::new(),
    })
}
