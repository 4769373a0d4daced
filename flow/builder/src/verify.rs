//! Whether two builds of the same plan gave the same, and what differs if not.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::AsFd;

use content::Hasher;
use oci::{Algorithm, Digest};
use rustix::fs::{CWD, Mode, OFlags};
use unpack::tar::{Entry, Kind, Reader, TarError};

use crate::plan::Plan;
use crate::request::Stores;
use crate::solve::Solved;
use crate::{BuildError, StepId, seal};

/// A step that gave something else the second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is called.
    pub step: String,
    /// The files that differ, and in what.
    pub files: Vec<FileDifference>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDifference {
    /// Its path in the image.
    pub path: String,
    /// `type`, `content`, `link`, `mode`, `owner`, `attributes`, `time`; `only in one` if the
    /// other has no such file.
    pub what: Vec<&'static str>,
}

/// The steps of a plan that gave two different layers over the same ones.
///
/// A step above one that differs is not looked at: it may differ on account of that.
pub fn differences(
    plan: &Plan,
    first: &Solved,
    second: &Solved,
    stores: &Stores,
) -> Result<Vec<Difference>, BuildError> {
    let mut found = Vec::new();
    for (id, step) in plan.steps.iter().enumerate() {
        let (Some(one), Some(two)) = (&first.results[id], &second.results[id]) else { continue };
        let same_before =
            |needed: &StepId| first.layers(Some(*needed)) == second.layers(Some(*needed));
        if one.own == two.own || !step.needs().iter().all(same_before) {
            continue;
        }
        let (one, two) = (files(stores, &one.own)?, files(stores, &two.own)?);
        found.push(Difference { step: step.name.clone(), files: compare(&one, &two) });
    }
    Ok(found)
}

/// What is compared of a file.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    kind: Kind,
    link: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    time: i64,
    content: Option<Digest>,
}

fn files(stores: &Stores, layer: &Option<Digest>) -> Result<BTreeMap<Vec<u8>, Facts>, BuildError> {
    let mut files = BTreeMap::new();
    let Some(layer) = layer else { return Ok(files) };
    let path = stores.snapshots.path_of(layer);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(CWD, &path, flags, Mode::empty())
        .map_err(BuildError::io("open", &path))?;
    let (reader, writer) = io::pipe().map_err(BuildError::io("open", "a pipe"))?;
    std::thread::scope(|scope| {
        let sealing = scope.spawn(move || {
            seal::write(folder.as_fd(), None, true, io::BufWriter::new(writer)).map(drop)
        });
        let mut tar = Reader::new(reader);
        let mut entry = Entry::default();
        let failed = |error: TarError| BuildError::io("read", "a layer")(io::Error::other(error));
        while tar.next_entry(&mut entry).map_err(failed)? {
            let content = match entry.kind {
                Kind::File => Some(digest(&mut tar).map_err(failed)?),
                _ => None,
            };
            let facts = Facts {
                kind: entry.kind,
                mode: entry.mode,
                link: entry.link.clone(),
                owner: (entry.uid, entry.gid),
                attributes: entry.xattrs.clone(),
                time: entry.mtime.seconds,
                content,
            };
            files.insert(entry.path.to_vec(), facts);
        }
        sealing.join().unwrap_or_else(|_| Err(BuildError::Fault { message: "a panic".into() }))
    })?;
    Ok(files)
}

/// The digest of the file that a reader stands at.
fn digest(tar: &mut Reader<impl Read>) -> Result<Digest, TarError> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    loop {
        let data = tar.data()?;
        if data.is_empty() {
            return Ok(hasher.finish());
        }
        hasher.update(data);
        let count = data.len();
        tar.consume(count);
    }
}

fn compare(one: &BTreeMap<Vec<u8>, Facts>, two: &BTreeMap<Vec<u8>, Facts>) -> Vec<FileDifference> {
    let paths: std::collections::BTreeSet<&Vec<u8>> = one.keys().chain(two.keys()).collect();
    let mut found = Vec::new();
    for path in paths {
        let mut what = Vec::new();
        match (one.get(path), two.get(path)) {
            (Some(one), Some(two)) => {
                let parts = [
                    ("type", one.kind != two.kind),
                    ("content", one.content != two.content),
                    ("link", one.link != two.link),
                    ("mode", one.mode != two.mode),
                    ("owner", one.owner != two.owner),
                    ("attributes", one.attributes != two.attributes),
                    ("time", one.time != two.time),
                ];
                what.extend(parts.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name));
            }
            _ => what.push("only in one"),
        }
        if !what.is_empty() {
            let path = format!("/{}", String::from_utf8_lossy(path));
            found.push(FileDifference { path, what });
        }
    }
    found
}
