//! What must hold of names and records.

use std::collections::BTreeSet;
use std::fs;

use content::sha256;
use oci::{Descriptor, Index, Platform, Timestamp, media_type};
use proptest::prelude::*;

use super::*;

fn store() -> (tempfile::TempDir, Images) {
    let temp = tempfile::tempdir().unwrap();
    let images = Images::open(temp.path()).unwrap();
    (temp, images)
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn image(seed: &str) -> ImageRecord {
    let manifest = sha256(format!("manifest of {seed}").as_bytes());
    let layer = sha256(format!("layer of {seed}").as_bytes());
    ImageRecord {
        id: sha256(seed.as_bytes()),
        manifest: Descriptor::new(media_type::OCI_MANIFEST, manifest, 7),
        platform: Platform::host(),
        created: None,
        size_bytes: 5,
        stored_at: Timestamp::from_unix(seed.len() as i64, 0),
        layers: vec![Descriptor::new(media_type::OCI_LAYER, layer.clone(), 9)],
        diff_ids: vec![layer],
        referrers: Vec::new(),
    }
}

fn index(images: &Images) -> Vec<(Digest, Option<String>)> {
    let bytes = fs::read(images.inner.path.join("index.json")).unwrap();
    let index: Index = serde_json::from_slice(&bytes).unwrap();
    let name = "org.opencontainers.image.ref.name";
    index.manifests.into_iter().map(|m| (m.digest, m.annotations.get(name).cloned())).collect()
}

#[test]
fn a_name_that_reads_as_an_id_is_not_given() {
    let (_temp, images) = store();
    let (victim, other) = (image("one"), image("two"));
    images.record(&victim).unwrap();
    images.record(&other).unwrap();
    let prefix = &victim.id.hex()[..12];
    for text in [format!("sha256:{prefix}"), format!("docker.io/library/sha256:{prefix}")] {
        let error = images.tag(&reference(&text), &other.id).unwrap_err();
        assert!(matches!(error, ImagesError::LikeId { .. }), "{error:?}");
    }
    assert_eq!(images.resolve(&format!("sha256:{prefix}")).unwrap().id, victim.id);
    images.tag(&reference("somebody/sha256:1"), &other.id).unwrap();
}

#[test]
fn an_image_is_found_by_name_digest_and_id() {
    let (_temp, images) = store();
    let record = image("one");
    images.record(&record).unwrap();
    assert_eq!(images.tag(&reference("debian:12"), &record.id).unwrap(), None);
    assert_eq!(images.tag(&reference("host:5000/app"), &record.id).unwrap(), None);
    let hex = record.id.hex();
    for text in [
        "debian:12",
        "docker.io/library/debian:12",
        "host:5000/app",
        "host:5000/app:latest",
        &format!("debian@{}", record.manifest.digest),
        &format!("debian:12@{}", record.manifest.digest),
        hex,
        &hex[..1],
        &hex[..12],
        &format!("sha256:{hex}"),
        &format!("sha256:{}", &hex[..7]),
    ] {
        assert_eq!(images.resolve(text).unwrap(), record, "{text}");
    }
    for text in [
        "debian",
        "debian:13",
        "",
        "sha256:",
        "other",
        "../x",
        &"0".repeat(64),
        &format!("ubuntu@{}", record.manifest.digest),
        &format!("debian@sha256:{}", "0".repeat(64)),
    ] {
        let error = images.resolve(text).unwrap_err();
        assert!(matches!(&error, ImagesError::NotFound { text: quoted } if quoted == text));
    }
}

#[test]
fn an_id_prefix_of_two_images_is_ambiguous_and_a_name_wins_over_a_prefix() {
    let (_temp, images) = store();
    let mut records: Vec<ImageRecord> = (0..17).map(|n| image(&"x".repeat(n))).collect();
    for record in &records {
        images.record(record).unwrap();
    }
    records.sort_by(|a, b| a.id.cmp(&b.id));
    let twins = records.windows(2).find(|w| w[0].id.hex()[..1] == w[1].id.hex()[..1]).unwrap();
    let prefix = &twins[0].id.hex()[..1];
    assert!(matches!(images.resolve(prefix).unwrap_err(), ImagesError::Ambiguous { .. }));
    images.tag(&reference(prefix), &records[0].id).unwrap();
    assert_eq!(images.resolve(prefix).unwrap(), records[0]);
}

#[test]
fn a_name_moves_and_the_image_that_had_it_stays() {
    let (_temp, images) = store();
    let (old, new) = (image("old"), image("newer"));
    images.record(&old).unwrap();
    images.record(&new).unwrap();
    let name = reference("app");
    assert_eq!(images.tag(&name, &old.id).unwrap(), None);
    assert_eq!(images.tag(&name, &new.id).unwrap(), Some(old.id.clone()));
    assert_eq!(images.tag(&name, &new.id).unwrap(), Some(new.id.clone()));
    let listed = images.list().unwrap();
    assert_eq!(listed, [(new.clone(), vec![reference("app:latest")]), (old.clone(), vec![])]);
    assert_eq!(images.names_of(&old.id).unwrap(), []);
    assert_eq!(images.untag(&name).unwrap(), new.id);
    assert!(matches!(images.untag(&name).unwrap_err(), ImagesError::NotFound { .. }));
    assert_eq!(images.list().unwrap().len(), 2);
}

#[test]
fn only_a_recorded_image_gets_a_name() {
    let (_temp, images) = store();
    let error = images.tag(&reference("app"), &image("absent").id).unwrap_err();
    assert!(matches!(error, ImagesError::NoRecord { .. }));
    assert!(images.list().unwrap().is_empty());
}

#[test]
fn the_index_lists_every_manifest_with_its_names() {
    let (_temp, images) = store();
    let (named, bare) = (image("named"), image("bare"));
    images.record(&named).unwrap();
    images.record(&bare).unwrap();
    images.tag(&reference("a:1"), &named.id).unwrap();
    images.tag(&reference("b:2"), &named.id).unwrap();
    let want = |names: &[Option<&str>], record: &ImageRecord| -> Vec<(Digest, Option<String>)> {
        let digest = &record.manifest.digest;
        names.iter().map(|name| (digest.clone(), name.map(str::to_owned))).collect()
    };
    let mut expected =
        want(&[Some("docker.io/library/a:1"), Some("docker.io/library/b:2")], &named);
    expected.extend(want(&[None], &bare));
    let mut found = index(&images);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);

    assert_eq!(images.remove_record(&named.id).unwrap().len(), 2);
    assert_eq!(index(&images), want(&[None], &bare));
    assert!(matches!(images.get(&named.id).unwrap_err(), ImagesError::NotFound { .. }));
    assert!(images.remove_record(&named.id).is_err());
}

#[test]
fn a_killed_writers_leftovers_go_with_the_next_change() {
    let (_temp, images) = store();
    let record = image("one");
    images.record(&record).unwrap();
    drop(images.change().unwrap()); // as if killed: the index is as before
    fs::write(images.inner.file("names/.x.0123.tmp"), b"{").unwrap();
    fs::write(images.inner.file("records/.y.0123.tmp"), b"").unwrap();
    assert_eq!(images.list().unwrap().len(), 1);
    images.reindex().unwrap();
    assert!(!images.inner.file("names/.x.0123.tmp").exists());
    assert!(!images.inner.file("records/.y.0123.tmp").exists());
}

#[test]
fn a_damaged_record_is_named() {
    let (_temp, images) = store();
    let record = image("one");
    images.record(&record).unwrap();
    let path = images.inner.file(&record::file_name(&record.id));
    fs::write(&path, b"{}").unwrap();
    let error = images.get(&record.id).unwrap_err();
    assert!(matches!(&error, ImagesError::Damaged { path: named, .. } if *named == path));
}

#[test]
fn many_writers_at_once_lose_no_name() {
    let (_temp, images) = store();
    let records: Vec<ImageRecord> = ["a", "bb", "ccc"].map(image).into();
    for record in &records {
        images.record(record).unwrap();
    }
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (images, records) = (&images, &records);
            scope.spawn(move || {
                for round in 0..10 {
                    let own = reference(&format!("own/{thread}:{round}"));
                    images.tag(&own, &records[round % 3].id).unwrap();
                    images.tag(&reference("shared"), &records[(round + thread) % 3].id).unwrap();
                    images.resolve("shared").unwrap();
                    if round % 2 == 0 {
                        images.untag(&own).unwrap();
                    }
                }
            });
        }
    });
    let names: usize = images.list().unwrap().iter().map(|(_, names)| names.len()).sum();
    assert_eq!(names, 4 * 5 + 1);
    assert_eq!(index(&images).iter().filter(|(_, name)| name.is_some()).count(), names);
}

fn any_reference() -> impl Strategy<Value = Reference> {
    let domain = "([a-z]{1,8}\\.[a-z]{1,3}|[a-z0-9]{1,9}:[0-9]{1,5}|\\[[0-9a-f:]{2,9}\\]:5000)/";
    let path = "[a-z0-9]{1,40}((/|_|__|-|\\.)[a-z0-9]{1,40}){0,4}";
    let tag = "(:[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127})?";
    (proptest::option::of(domain), path, tag, any::<bool>()).prop_filter_map(
        "outside the grammar",
        |(domain, path, tag, by_digest)| {
            let digest = if by_digest { format!("@{}", sha256(b"")) } else { String::new() };
            format!("{}{path}{tag}{digest}", domain.unwrap_or_default()).parse().ok()
        },
    )
}

proptest! {
    #[test]
    fn every_name_is_one_safe_file_name_of_its_own(
        references in proptest::collection::vec(any_reference(), 1..40)
    ) {
        let canonical: BTreeSet<Reference> = references.iter().map(names::canonical).collect();
        let files: BTreeSet<String> = canonical.iter().map(names::escape).collect();
        prop_assert_eq!(files.len(), canonical.len());
        for file in files {
            prop_assert!(file.len() <= 200 && !file.starts_with('.'));
            prop_assert!(!file.contains(['/', '\0']));
        }
    }
}

#[test]
fn a_name_stands_for_variants_and_goes_with_the_last() {
    let (_temp, images) = store();
    let platform = |text: &str| Platform::parse(text).unwrap();
    let variant = |seed: &str, text: &str| ImageRecord { platform: platform(text), ..image(seed) };
    let (host, arm) = (variant("host", "linux/amd64"), variant("arm", "linux/arm64"));
    let other = variant("other", "linux/s390x");
    let mut change = images.change().unwrap();
    for record in [&host, &arm, &other] {
        change.record(record).unwrap();
    }
    let name = reference("debian:12");
    let list = Descriptor::new(media_type::OCI_INDEX, sha256(b"index"), 5);
    let named = Named { id: host.id.clone(), others: vec![arm.id.clone()], index: Some(list) };
    assert_eq!(change.name(&name, &named).unwrap(), None);
    change.finish().unwrap();

    assert_eq!(images.resolve("debian:12").unwrap(), host);
    assert_eq!(images.variants("debian:12").unwrap(), [host.clone(), arm.clone()]);
    assert_eq!(images.variants(host.id.hex()).unwrap(), std::slice::from_ref(&host));
    let fit = |text: &str| match images.resolve_for("debian:12", &platform(text)).unwrap() {
        Ok(record) => (true, record.id),
        Err(record) => (false, record.id),
    };
    assert_eq!(fit("linux/arm64"), (true, arm.id.clone()));
    assert_eq!(fit("linux/amd64"), (true, host.id.clone()));
    assert_eq!(fit("linux/s390x"), (false, host.id.clone()));
    assert_eq!(images.names_of(&arm.id).unwrap(), std::slice::from_ref(&name));
    // Whoever reads the layout in place finds the first under the name.
    let listed: Vec<Digest> = index(&images)
        .into_iter()
        .filter_map(|(digest, of)| of.is_some().then_some(digest))
        .collect();
    assert_eq!(listed, [host.manifest.digest.clone(), arm.manifest.digest.clone()]);

    assert_eq!(images.remove_record(&host.id).unwrap(), []);
    let left = images.named(&name).unwrap().unwrap();
    assert_eq!((left.id, left.others), (arm.id.clone(), vec![]));
    let mut change = images.change().unwrap();
    assert!(!change.remove_variant(&name, &host.id).unwrap());
    assert!(change.remove_variant(&name, &arm.id).unwrap());
    change.finish().unwrap();
    assert_eq!(images.named(&name).unwrap(), None);
    assert_eq!(images.list().unwrap().len(), 2);
}
