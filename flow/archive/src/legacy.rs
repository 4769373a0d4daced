//! `repositories`: what `docker save` wrote before 1.10.
//!
//! ```text
//! repositories          {"debian": {"8": "<id>"}}; absent if an image was saved by its id
//! <id>/json             one layer's record: {"id", "parent", "created", "config", ...}
//! <id>/layer.tar        its files, plain
//! <id>/VERSION          1.0
//! ```
//!
//! Ids are random and name layers, not contents. The configuration is made from the records, from
//! the top layer down to the one without a parent, and only its digest counts as the image's id.

use std::collections::{BTreeMap, HashSet};

use oci::{
    Algorithm, ContainerDefaults, Descriptor, Digest, History, ImageConfig, Platform, Reference,
    RootFs, Timestamp, media_type,
};
use serde::Deserialize;

use crate::docker::null_default;
use crate::load::name;
use crate::members::Members;
use crate::store::{Image, Name};
use crate::{ArchiveError, CONFIG_LIMIT, MANIFEST_LIMIT};

const REPOSITORIES: &str = "repositories";
/// overlayfs stacks no more.
const MAX_LAYERS: usize = 500;

/// One layer's record.
#[derive(Debug, Deserialize)]
struct Record {
    #[serde(default)]
    parent: String,
    created: Option<Timestamp>,
    #[serde(default, deserialize_with = "null_default")]
    author: String,
    #[serde(default, deserialize_with = "null_default")]
    comment: String,
    #[serde(default, deserialize_with = "null_default")]
    architecture: String,
    #[serde(default, deserialize_with = "null_default")]
    os: String,
    #[serde(default, deserialize_with = "null_default")]
    config: ContainerDefaults,
    #[serde(default, deserialize_with = "null_default")]
    container_config: ContainerDefaults,
}

/// The images of the archive; none if it is no such archive.
pub(crate) fn images(members: &mut Members) -> Result<Vec<Image>, ArchiveError> {
    let heads = heads(members)?;
    let mut images = Vec::new();
    for (id, names) in heads {
        let mut image = image(members, &id)?;
        image.names = names.into_iter().map(Name::of).collect();
        images.push(image);
    }
    Ok(images)
}

/// The top layers of all images, with the images' names.
fn heads(members: &Members) -> Result<BTreeMap<String, Vec<Reference>>, ArchiveError> {
    let mut heads: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    if let Some(digest) = members.find(REPOSITORIES) {
        let bytes = members.blobs.read(digest, REPOSITORIES, MANIFEST_LIMIT)?;
        let repositories: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_slice(&bytes)
                .map_err(|source| ArchiveError::Syntax { what: REPOSITORIES.into(), source })?;
        for (repository, tags) in repositories {
            for (tag, id) in tags {
                check_id(&id)?;
                heads.entry(id).or_default().push(name(&format!("{repository}:{tag}"))?);
            }
        }
        return Ok(heads);
    }
    let ids: Vec<&str> = members
        .names()
        .filter_map(|name| name.strip_suffix("/json"))
        .filter(|id| is_id(id))
        .collect();
    let mut parents = HashSet::new();
    for id in &ids {
        parents.insert(record(members, id, "the archive")?.0.parent);
    }
    for id in ids.into_iter().filter(|id| !parents.contains(*id)) {
        heads.insert(id.to_owned(), Vec::new());
    }
    Ok(heads)
}

fn image(members: &mut Members, head: &str) -> Result<Image, ArchiveError> {
    let mut chain = Vec::new();
    let mut seen = HashSet::new();
    let mut by = REPOSITORIES.to_owned();
    let mut next = head.to_owned();
    while !next.is_empty() {
        check_id(&next)?;
        if !seen.insert(next.clone()) || chain.len() >= MAX_LAYERS {
            let why = format!("its parents lead in a circle, or are more than {MAX_LAYERS}");
            return Err(ArchiveError::Document { what: format!("{head}/json"), why });
        }
        let (record, layer) = record(members, &next, &by)?;
        by = format!("{next}/json");
        next.clone_from(&record.parent);
        chain.push((record, layer));
    }
    chain.reverse(); // lowest first
    let mut layers = Vec::new();
    let mut history = Vec::new();
    for (record, layer) in &chain {
        let kind = members.blobs.layer_type(layer);
        if kind != media_type::OCI_LAYER {
            let why = "a layer of an archive of this age is a plain tar".into();
            return Err(ArchiveError::Document { what: format!("{head}/json"), why });
        }
        let size = members.blobs.size(layer).unwrap_or(0);
        layers.push(Descriptor::new(kind, layer.clone(), size));
        history.push(History {
            created: record.created,
            created_by: record.container_config.cmd.join(" "),
            author: record.author.clone(),
            comment: record.comment.clone(),
            empty_layer: false,
        });
    }
    let config = config(chain, history);
    let bytes = serde_json::to_vec(&config)
        .map_err(|source| ArchiveError::Syntax { what: "the configuration".into(), source })?;
    let size = bytes.len() as u64;
    let digest = members.blobs.insert_bytes(bytes, Algorithm::Sha256);
    let descriptor = Descriptor::new(media_type::OCI_CONFIG, digest, size);
    Image::new(&members.blobs, descriptor, layers, &format!("the image of {head}"))
}

/// The configuration of the image whose layers these are, lowest first.
fn config(chain: Vec<(Record, Digest)>, history: Vec<History>) -> ImageConfig {
    // A plain tar's digest is its DiffID.
    let diff_ids = chain.iter().map(|(_, layer)| layer.clone()).collect();
    let mut config = ImageConfig {
        rootfs: RootFs { diff_ids, ..RootFs::default() },
        history,
        platform: Platform::host(),
        ..ImageConfig::default()
    };
    if let Some((top, _)) = chain.into_iter().next_back() {
        config.created = top.created;
        config.author = Some(top.author).filter(|author| !author.is_empty());
        config.config = top.config;
        if !top.architecture.is_empty() {
            config.platform.architecture = top.architecture;
        }
        if !top.os.is_empty() {
            config.platform.os = top.os;
        }
    }
    config
}

fn record(members: &Members, id: &str, by: &str) -> Result<(Record, Digest), ArchiveError> {
    let what = format!("{id}/json");
    let digest = members.need(&what, by)?;
    let bytes = members.blobs.read(digest, &what, CONFIG_LIMIT)?;
    let record = serde_json::from_slice(&bytes)
        .map_err(|source| ArchiveError::Syntax { what: what.clone(), source })?;
    let layer = members.need(&format!("{id}/layer.tar"), &what)?;
    Ok((record, layer.clone()))
}

fn is_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn check_id(id: &str) -> Result<(), ArchiveError> {
    if is_id(id) {
        return Ok(());
    }
    let why = format!("{id:?} is no id of a layer");
    Err(ArchiveError::Document { what: REPOSITORIES.into(), why })
}
