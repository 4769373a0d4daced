//! The members of an image archive: spooled as blobs, found by name.

use std::collections::HashMap;
use std::io::Read;

use content::{Content, ContentError};
use oci::{Algorithm, Digest};
use unpack::tar::{Entry, Kind, Reader};
use unpack::{Limits, decompress};

use crate::ArchiveError;
use crate::blobs::Blobs;

/// Everything that an archive holds, and nothing that it means.
#[derive(Debug)]
pub(crate) struct Members {
    names: HashMap<String, Target>,
    name_bytes: usize,
    pub(crate) blobs: Blobs,
}

#[derive(Debug)]
enum Target {
    File(Digest),
    /// Another member's name.
    Link(String),
}

/// How many members an archive may have; an old one has four a layer.
const MAX_MEMBERS: usize = 1 << 16;
/// How long their names may be together.
const MAX_NAME_BYTES: usize = 8 << 20;
/// How many links may follow each other; docker 20 writes one.
const MAX_LINKS: usize = 8;

impl Members {
    /// Reads the whole archive, of any compression.
    pub(crate) fn spool(reader: impl Read, content: &Content) -> Result<Self, ArchiveError> {
        let read = |source| ArchiveError::Read { source };
        let limits = Limits::default();
        let mut stream = decompress(reader, &limits).map_err(read)?;
        let mut members = Self { names: HashMap::new(), name_bytes: 0, blobs: Blobs::new(content) };
        let mut tar = Reader::with_limits(&mut stream, &limits);
        let mut entry = Entry::default();
        while tar.next_entry(&mut entry)? {
            members.add(&mut tar, &entry)?;
        }
        tar.drain()?;
        stream.finish().map_err(read)?;
        Ok(members)
    }

    /// The digest of the member with this name, links followed; `None` if there is none.
    ///
    /// A name that leads out of the archive is none.
    pub(crate) fn find(&self, name: &str) -> Option<&Digest> {
        let mut name = normalise(name)?;
        for _ in 0..=MAX_LINKS {
            match self.names.get(&name)? {
                Target::File(digest) => return Some(digest),
                Target::Link(target) => name.clone_from(target),
            }
        }
        None
    }

    /// As [`Members::find`], where `by` needs the member.
    pub(crate) fn need(&self, name: &str, by: &str) -> Result<&Digest, ArchiveError> {
        self.find(name).ok_or_else(|| ArchiveError::Missing {
            what: printable(name.as_bytes()),
            by: by.to_owned(),
        })
    }

    /// The names of all members that are files or links.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    fn add<R: Read>(&mut self, tar: &mut Reader<R>, entry: &Entry) -> Result<(), ArchiveError> {
        let refuse = |why| ArchiveError::Member { name: printable(&entry.path), why };
        let name = std::str::from_utf8(&entry.path).ok();
        let Some(name) = name.and_then(normalise) else {
            if matches!(entry.path.as_slice(), b"." | b"./") && entry.kind == Kind::Directory {
                return Ok(());
            }
            return Err(refuse("its name is no plain relative path"));
        };
        let target = match entry.kind {
            Kind::Directory => return Ok(()),
            Kind::File if entry.sparse.is_some() => {
                return Err(refuse("it is a sparse file, which no image archive has"));
            }
            Kind::File => {
                let expected = blob_name(&name);
                let algorithm = expected.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
                let digest = self.blobs.read_from(tar.contents(entry), entry.size, algorithm)?;
                if let Some(expected) = expected.filter(|expected| *expected != digest) {
                    let (actual, size) = (digest, entry.size);
                    return Err(ContentError::Mismatch { expected, actual, size }.into());
                }
                Target::File(digest)
            }
            Kind::Symlink | Kind::HardLink => {
                let base = match entry.kind {
                    Kind::Symlink => name.rsplit_once('/').map_or("", |(parent, _)| parent),
                    _ => "",
                };
                let link = std::str::from_utf8(&entry.link).ok();
                let target = link.and_then(|link| resolve(base, link));
                Target::Link(target.ok_or_else(|| refuse("it links out of the archive"))?)
            }
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {
                return Err(refuse("it is a device, which no image archive has"));
            }
        };
        self.name_bytes += name.len();
        if self.names.len() >= MAX_MEMBERS || self.name_bytes > MAX_NAME_BYTES {
            return Err(refuse("the archive has too many members"));
        }
        match (self.names.get(&name), &target) {
            // Which of two different ones counts is what two readers would not agree on.
            (Some(Target::File(first)), Target::File(second)) if first == second => {}
            (Some(_), _) => return Err(refuse("there is another one of that name")),
            (None, _) => {
                self.names.insert(name, target);
            }
        }
        Ok(())
    }
}

/// The digest that a member of this name must have.
fn blob_name(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// A member's name without `./` in front; `None` if it is empty, absolute, or has `..` in it.
fn normalise(name: &str) -> Option<String> {
    resolve("", name).filter(|_| !name.split('/').any(|part| part == ".."))
}

/// Where `link` leads from the directory `base`; `None` if that is nowhere in the archive.
fn resolve(base: &str, link: &str) -> Option<String> {
    if link.starts_with('/') || link.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

pub(crate) fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_links_stay_inside() {
        for (base, link, want) in [
            ("", "manifest.json", Some("manifest.json")),
            ("", "./a//b/.", Some("a/b")),
            ("abc", "../def/layer.tar", Some("def/layer.tar")),
            ("", "../x", None),
            ("a/b", "../../../x", None),
            ("a", "/etc/passwd", None),
            ("", ".", None),
            ("a", "..", None),
        ] {
            assert_eq!(resolve(base, link).as_deref(), want, "{base} {link}");
        }
        assert_eq!(normalise("./manifest.json").as_deref(), Some("manifest.json"));
        assert_eq!(normalise("a/../b"), None);
        assert_eq!(normalise(""), None);
    }

    #[test]
    fn blob_members_are_known_by_their_names() {
        let hex = "0".repeat(64);
        assert!(blob_name(&format!("blobs/sha256/{hex}")).is_some());
        for other in [format!("blobs/sha256/{hex}/x"), format!("{hex}.json"), "blobs/x".into()] {
            assert!(blob_name(&other).is_none(), "{other}");
        }
    }
}
