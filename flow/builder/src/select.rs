//! What a `COPY` takes: its paths and patterns as files, and the digest over all of them.

use std::os::fd::AsFd;

use dockerfile::ignore::{Above, Patterns};
use oci::Digest;
use rustix::fs::FileType;

use crate::BuildError;
use crate::digests::Digests;
use crate::key::KeyHasher;
use crate::plan::SourcePath;
use crate::survey::survey;
use crate::tree::{Entry, Filter, Found, Tree};

/// One thing to copy.
#[derive(Debug)]
pub(crate) struct Item {
    /// The open file or folder.
    pub(crate) found: Found,
    /// What it is called at the destination, if that is a folder.
    pub(crate) name: Vec<u8>,
    /// Folders to make first, by their path at the destination.
    pub(crate) parents: Vec<(Vec<u8>, Entry)>,
    /// Itself, and what is in it.
    pub(crate) entries: Vec<Entry>,
}

impl Item {
    pub(crate) fn is_directory(&self) -> bool {
        self.found.is_directory()
    }
}

/// Finds everything that the paths mean. A pattern may mean nothing, a plain path may not.
pub(crate) fn select(
    tree: &Tree<'_>,
    paths: &[SourcePath],
    excludes: &Patterns,
    digests: &mut Digests,
) -> Result<Vec<Item>, BuildError> {
    let mut items = Vec::new();
    for source in paths {
        let path = dockerfile::ignore::clean(&format!("/{}", source.path));
        let is_pattern = dockerfile::has_wildcard(&path);
        let found = match is_pattern {
            true => tree.glob(&path)?,
            false => vec![path.replace('\\', "")],
        };
        for path in found {
            match tree.find(&path)? {
                Some(found) => {
                    items.extend(item(tree, &path, source, found, excludes, digests)?);
                }
                None if is_pattern => {}
                None => return Err(BuildError::NoSource { path }),
            }
        }
    }
    Ok(items)
}

/// One path that was found; `None` if it is left out.
fn item(
    tree: &Tree<'_>,
    path: &str,
    source: &SourcePath,
    found: Found,
    excludes: &Patterns,
    digests: &mut Digests,
) -> Result<Option<Item>, BuildError> {
    let name = path.rsplit('/').next().unwrap_or_default().as_bytes().to_vec();
    if !found.is_directory() && excludes.matches(&String::from_utf8_lossy(&name)) {
        return Ok(None);
    }
    let stat = |stat| Entry {
        path: Vec::new(),
        stat,
        link: Vec::new(),
        digest: None,
        only_entered: false,
    };
    let mut item = Item { name, parents: Vec::new(), entries: vec![stat(found.stat)], found };
    if let Some(kept) = &source.kept {
        // As many names of the found path as the kept part has.
        let count = kept.split('/').filter(|part| !matches!(*part, "" | ".")).count();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let from = parts.len().saturating_sub(count);
        for end in from + 1..parts.len() {
            let parent = format!("/{}", parts[..end].join("/"));
            if let Some(folder) = tree.find(&parent)? {
                item.parents.push((parts[from..end].join("/").into_bytes(), stat(folder.stat)));
            }
        }
        item.name = parts[from..].join("/").into_bytes();
    }
    if item.is_directory() {
        let filter = Taken::new(tree.ignore, excludes, &item.found.real);
        let mut entries = with_needed_folders(survey(&item.found, filter)?);
        digests.of_all(&item.found, &mut entries)?;
        item.entries.append(&mut entries);
    } else {
        let entry = &mut item.entries[0];
        if entry.kind() == FileType::RegularFile {
            let (folder, name) = parent_of(tree, &item.found)?;
            let shown = String::from_utf8_lossy(name.to_bytes()).into_owned();
            entry.digest =
                Some(digests.of(folder.as_fd(), name.to_bytes(), &entry.stat, &shown)?);
        }
    }
    Ok(Some(item))
}

/// The folder that holds a file, and the file's name in it.
pub(crate) fn parent_of(
    tree: &Tree<'_>,
    found: &Found,
) -> Result<(std::os::fd::OwnedFd, std::ffi::CString), BuildError> {
    use rustix::fs::{Mode, OFlags};
    let shown = String::from_utf8_lossy(&found.real).into_owned();
    let at = found.real.iter().rposition(|byte| *byte == b'/');
    let (folder, name) = match at {
        Some(at) => (&found.real[..at], &found.real[at + 1..]),
        None => (&b"."[..], found.real.as_slice()),
    };
    let name = std::ffi::CString::new(name).expect("a path of the kernel has no zero");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = sys::fs::open_beneath(tree.root, folder, flags, Mode::empty())
        .map_err(BuildError::io("open", shown))?;
    Ok((folder, name))
}

/// Drops folders that were only entered for what might be taken back in them, and was not.
fn with_needed_folders(mut entries: Vec<Entry>) -> Vec<Entry> {
    let mut keep = vec![true; entries.len()];
    for place in (0..entries.len()).rev().filter(|place| entries[*place].only_entered) {
        let depth = entries[place].depth();
        keep[place] = entries[place + 1..]
            .iter()
            .zip(&keep[place + 1..])
            .take_while(|(next, _)| next.depth() > depth)
            .any(|(_, kept)| *kept);
    }
    let mut kept = keep.into_iter();
    entries.retain(|_| kept.next().unwrap_or(true));
    entries
}

/// What the ignore file and `--exclude` leave.
struct Taken<'a> {
    ignore: Option<(&'a Patterns, Above, Vec<u8>)>,
    excludes: &'a Patterns,
    above: Above,
}

impl<'a> Taken<'a> {
    /// `real` is where the walk begins, from the root of the context.
    fn new(ignore: Option<&'a Patterns>, excludes: &'a Patterns, real: &[u8]) -> Self {
        let ignore = ignore.filter(|ignore| !ignore.is_empty()).map(|ignore| {
            let mut above = Above::default();
            if !real.is_empty() {
                (_, above) = ignore.matches_below(&String::from_utf8_lossy(real), &above);
            }
            (ignore, above, real.to_vec())
        });
        Self { ignore, excludes, above: Above::default() }
    }
}

impl Filter for Taken<'_> {
    fn below(&self, path: &[u8], is_directory: bool) -> (bool, Option<Self>) {
        let shown = String::from_utf8_lossy(path);
        let mut taken = true;
        let mut entered = is_directory;
        let mut next = Self { ignore: None, excludes: self.excludes, above: Above::default() };
        if let Some((ignore, above, real)) = &self.ignore {
            let whole = match real.is_empty() {
                true => shown.clone(),
                false => format!("{}/{shown}", String::from_utf8_lossy(real)).into(),
            };
            let (ignored, above) = ignore.matches_below(&whole, above);
            taken &= !ignored;
            entered &= !ignored || ignore.may_take_back_below(&whole);
            next.ignore = Some((ignore, above, real.clone()));
        }
        if !self.excludes.is_empty() {
            let (excluded, above) = self.excludes.matches_below(&shown, &self.above);
            taken &= !excluded;
            entered &= !excluded || self.excludes.may_take_back_below(&shown);
            next.above = above;
        }
        (taken, entered.then_some(next))
    }
}

/// The digest over all that is taken: names, kinds, modes, owners, links, content. No times.
pub(crate) fn digest(items: &[Item], owners: bool) -> Digest {
    let mut key = KeyHasher::new("files");
    for item in items {
        key.part(&item.name).number(item.parents.len() as u64);
        for (path, entry) in &item.parents {
            key.part(path);
            add_entry(&mut key, entry, owners);
        }
        key.number(item.entries.len() as u64);
        for entry in &item.entries {
            key.part(&entry.path);
            add_entry(&mut key, entry, owners);
        }
    }
    key.finish()
}

fn add_entry(key: &mut KeyHasher, entry: &Entry, owners: bool) {
    let stat = &entry.stat;
    key.number(u64::from(stat.st_mode));
    if owners {
        key.number(u64::from(stat.st_uid)).number(u64::from(stat.st_gid));
    }
    match entry.kind() {
        FileType::RegularFile => drop(key.part(entry.digest.unwrap_or_default())),
        FileType::Symlink => drop(key.part(&entry.link)),
        FileType::CharacterDevice | FileType::BlockDevice => drop(key.number(stat.st_rdev)),
        _ => {}
    }
}
