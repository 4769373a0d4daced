//! The files that hold names.

use oci::{Descriptor, Digest, Reference};
use rustix::fs::Dir;
use serde::{Deserialize, Serialize};

use crate::{Images, ImagesError, failed, open_directory};

/// What a name stands for: an image, or its variants for several platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The image that who names no platform gets.
    pub id: Digest,
    /// Its variants for other platforms, as far as they are here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Digest>,
    /// The index that lists them all, here or not; its bytes are kept. `None` if the name came
    /// with no index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Descriptor>,
}

impl Named {
    /// One image alone.
    pub fn one(id: Digest) -> Self {
        Self { id, others: Vec::new(), index: None }
    }

    /// All images, the one for those who name no platform first.
    pub fn ids(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.id).chain(&self.others)
    }

    /// The same without an image; `None` if there is no other one.
    pub(crate) fn without(&self, id: &Digest) -> Option<Self> {
        let mut left = self.ids().filter(|one| *one != id).cloned();
        let first = left.next()?;
        Some(Self { id: first, others: left.collect(), index: self.index.clone() })
    }
}

/// What a name's file says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NameFile {
    pub(crate) name: Reference,
    #[serde(flatten)]
    pub(crate) named: Named,
}

/// The longest file name that is spelled out. The file system takes 255 bytes; the rest is for the
/// temporary names that are made of it.
const MAX_BYTES: usize = 200;

/// The form in which a name is kept: never without tag or digest, never with both.
pub(crate) fn canonical(name: &Reference) -> Reference {
    match name.digest() {
        Some(digest) => name.with_digest(digest.clone()),
        None => name.clone().with_default_tag(),
    }
}

/// A name's file, as one safe component: see [`Images::tag`]. Different names have different ones.
pub(crate) fn escape(name: &Reference) -> String {
    let text = name.to_string();
    let mut escaped = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'@' | b':' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    // No escape begins with `%h`, so that a hash is never taken for a name. A domain begins with
    // a letter, a digit or a bracket, so that nothing here begins with a dot.
    if escaped.len() > MAX_BYTES {
        escaped = format!("%h{}", content::sha256(text.as_bytes()).hex());
    }
    escaped
}

/// Where a name is, below `images`.
pub(crate) fn file_name(name: &Reference) -> String {
    format!("names/{}", escape(name))
}

impl Images {
    /// What stands under exactly this name (`latest` if it has neither tag nor digest).
    pub fn named(&self, name: &Reference) -> Result<Option<Named>, ImagesError> {
        let name = canonical(name);
        let found = self.read_name(&file_name(&name))?;
        Ok(found.filter(|file| file.name == name).map(|file| file.named))
    }

    /// All names with what they stand for, in no particular order.
    pub fn names(&self) -> Result<Vec<(Reference, Named)>, ImagesError> {
        let path = self.inner.file("names");
        let list = |errno| failed("list", &path, errno);
        let folder = open_directory(&self.inner.images, "names").map_err(list)?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder).map_err(list)? {
            let entry = entry.map_err(list)?;
            // What begins with a dot is the folder itself or a writer's temporary file.
            let Some(name) = entry.file_name().to_str().ok().filter(|name| !name.starts_with('.'))
            else {
                continue;
            };
            // One that goes away while we read is not there.
            if let Some(file) = self.read_name(&format!("names/{name}"))? {
                names.push((file.name, file.named));
            }
        }
        Ok(names)
    }

    fn read_name(&self, file: &str) -> Result<Option<NameFile>, ImagesError> {
        let Some(bytes) = self.inner.read(file)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| ImagesError::Damaged { path: self.inner.file(file), source })
    }
}
