//! `save`, read back by ourselves.

use std::collections::BTreeMap;

use archive::{ArchiveError, For, ImageToSave, Layout, Stores};
use content::ContentError;
use oci::Digest;
use serde_json::json;

use crate::fixture::*;

/// Loads an image of these layers, the last one compressed, and returns its id.
pub(crate) fn loaded(stores: &Stores, layers: &[&[u8]], name: &str) -> Digest {
    let mut tar = Tar::default();
    let mut names: Vec<String> = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let last = number + 1 == layers.len();
        let bytes = if last { gzip(layer) } else { layer.to_vec() };
        tar = tar.file(&number.to_string(), bytes);
        names.push(number.to_string());
    }
    let manifest = json!([{"Config": "c", "RepoTags": [name], "Layers": names}]).to_string();
    let archive = tar.file("c", config(layers)).file("manifest.json", manifest).bytes();
    load(stores, &archive).unwrap().images.remove(0).id
}

pub(crate) fn to_save(stores: &Stores, id: &Digest, names: &[&str]) -> ImageToSave {
    let record = stores.images.get(id).unwrap();
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    ImageToSave { record, annotations: BTreeMap::new(), names }
}

fn save(out: &mut Vec<u8>, stores: &Stores, images: &[ImageToSave]) -> Result<(), ArchiveError> {
    archive::save(out, stores, &Layout::new(images, For::All))
}

#[test]
fn what_is_saved_is_loaded_again_as_the_same() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let (base, top) = (layer("a", "one"), layer("b", "two"));
    let one = loaded(&stores, &[&base, &top], "app:1");
    let two = loaded(&stores, &[&base], "other");
    let images = [to_save(&stores, &one, &["app:1", "host:5000/app"]), to_save(&stores, &two, &[])];
    let mut archive = Vec::new();
    save(&mut archive, &stores, &images).unwrap();
    let mut again = Vec::new();
    save(&mut again, &stores, &images).unwrap();
    assert_eq!(archive, again);

    let (_temp, other) = crate::fixture::stores();
    let loaded = load(&other, &archive).unwrap();
    assert_eq!(
        loaded.lines(),
        [
            "Loaded image: app:1".to_owned(),
            "Loaded image: host:5000/app:latest".to_owned(),
            format!("Loaded image ID: {two}"),
        ]
    );
    let manifest = |stores: &Stores, id| stores.images.get(id).unwrap().manifest;
    assert_eq!(manifest(&other, &one), manifest(&stores, &one));
    check(&other);
}

#[test]
fn a_damaged_blob_is_not_saved() {
    if !needs_root() {
        return;
    }
    let (_temp, stores) = stores();
    let base = layer("a", "one");
    let id = loaded(&stores, &[&base], "app");
    let blob = stores.images.get(&id).unwrap().layers[0].digest.clone();
    let path = stores.content.path_of(&blob);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let images = [to_save(&stores, &id, &[])];
    let error = save(&mut Vec::new(), &stores, &images).unwrap_err();
    assert!(matches!(error, ArchiveError::Content(ContentError::Corrupt { .. })), "{error}");
}
