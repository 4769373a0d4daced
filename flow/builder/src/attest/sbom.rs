//! What is in an image: listed by Kista, or by a program of somebody else's.
//!
//! The other's program is a step of the plan (`plan/scan.rs`), so that it is confined as each
//! command and known when nothing has changed. What it has left in its layer is read here, as a
//! stranger's.

use std::io::Read;
use std::os::fd::AsFd;

use attestation::spdx;
use rustix::fs::{Mode, OFlags};
use sbom::Described;
use serde_json::Value;

use super::{Said, Sbom};
use crate::BuildError;
use crate::plan::Plan;
use crate::request::{Request, Stores};
use crate::solve::Solved;
use crate::tree::list as names;

/// Where a generator finds what it shall list.
pub(crate) const SOURCE: &str = "/run/src/core/sbom";
/// Where it writes its lists.
pub(crate) const OUT: &str = "/run/out";
/// The largest list. BuildKit's.
const MAX_BYTES: u64 = 40 << 20;
/// More lists than this are no generator's.
const MAX_LISTS: usize = 100;

pub(super) fn list(
    plan: &Plan,
    solved: &Solved,
    request: &Request,
    stores: &Stores,
    name: &str,
) -> Result<Vec<Said>, BuildError> {
    match (&request.attest.sbom, plan.scan) {
        (None, _) => Ok(Vec::new()),
        (Some(Sbom::Generator { image, .. }), Some(step)) => {
            let lists = generated(solved, step, stores)?;
            match lists.is_empty() {
                true => Err(BuildError::Invalid(format!(
                    "the SBOM generator {image} wrote nothing to {OUT}"
                ))),
                false => Ok(lists),
            }
        }
        (Some(_), _) => Ok(vec![built_in(plan, solved, stores, name)?]),
    }
}

fn built_in(plan: &Plan, solved: &Solved, stores: &Stores, name: &str) -> Result<Said, BuildError> {
    let mounts = stores.snapshots.mounts(solved.layers(plan.target), None, true)?;
    let root = runtime::mount_detached(&mounts)?;
    let tool = concat!("kista-", env!("CARGO_PKG_VERSION"));
    let created = plan.epoch.unwrap_or_else(oci::Timestamp::now);
    let document = sbom::scan(root.as_fd(), &Described { name, tool, created })?;
    let predicate = serde_json::to_value(document).map_err(super::failed)?;
    Ok(said(predicate, "sbom.spdx.json"))
}

fn said(predicate: Value, file: &str) -> Said {
    Said { predicate_type: spdx::PREDICATE.to_owned(), predicate, file: Some(file.to_owned()) }
}

/// The lists that a generator has written, that of the image first.
fn generated(solved: &Solved, step: usize, stores: &Stores) -> Result<Vec<Said>, BuildError> {
    let own = solved.results[step].as_ref().and_then(|result| result.own.as_ref());
    let Some(layer) = own else { return Ok(Vec::new()) };
    let path = stores.snapshots.path_of(layer);
    let failed = || BuildError::io::<std::io::Error>("read", OUT);
    let layer = std::fs::File::open(&path).map_err(BuildError::io("open", &path))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let folder =
        sys::fs::open_in_root(layer.as_fd(), &OUT[1..], flags, Mode::empty()).map_err(failed())?;
    let mut lists = Vec::new();
    for name in names(folder.as_fd()).map_err(failed())?.into_iter().take(MAX_LISTS) {
        let shown = name.to_string_lossy().into_owned();
        let bad = |why: &str| BuildError::Invalid(format!("the SBOM {shown}: {why}"));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, &name, flags, Mode::empty())
            .map_err(BuildError::io("open", &shown))?;
        let file = std::fs::File::from(file);
        if !file.metadata().is_ok_and(|facts| facts.is_file()) {
            return Err(bad("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed())?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(bad("it is larger than 40 MiB"));
        }
        let document: Value =
            serde_json::from_slice(&bytes).map_err(|error| bad(&error.to_string()))?;
        lists.push(said(predicate(document).map_err(bad)?, &shown));
    }
    // The list of the image itself has the name of what was to be listed.
    lists.sort_by_key(|one| !one.file.as_deref().is_some_and(|file| file.starts_with("sbom.")));
    Ok(lists)
}

/// A list as it is, or as a statement about it.
fn predicate(mut document: Value) -> Result<Value, &'static str> {
    let is_statement = |document: &Value| {
        let kind = document.get("_type").and_then(Value::as_str).unwrap_or_default();
        kind.starts_with("https://in-toto.io/Statement/")
    };
    if is_statement(&document) {
        if document["predicateType"] != spdx::PREDICATE {
            return Err("it is a statement of another type than https://spdx.dev/Document");
        }
        return Ok(document["predicate"].take());
    }
    match document.get("spdxVersion") {
        Some(Value::String(_)) => Ok(document),
        _ => Err("it is no SPDX document in JSON"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_come_bare_or_in_a_statement() {
        let bare = json!({"spdxVersion": "SPDX-2.3"});
        assert_eq!(predicate(bare.clone()), Ok(bare.clone()));
        let kind = "https://in-toto.io/Statement/v0.1";
        let stated = json!({"_type": kind, "predicateType": spdx::PREDICATE, "predicate": bare});
        assert_eq!(predicate(stated), Ok(bare));
        for bad in [
            json!({"_type": kind, "predicateType": "https://slsa.dev/provenance/v1"}),
            json!({"bomFormat": "CycloneDX"}),
            json!([]),
        ] {
            assert!(predicate(bad.clone()).is_err(), "{bad}");
        }
    }
}
