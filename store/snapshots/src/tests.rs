//! What must hold of layers, whatever happens to their unpackers.

use std::collections::HashSet;
use std::fs;

use content::{StoreLock, sha256};

use super::*;

fn store() -> (tempfile::TempDir, Snapshots) {
    let temp = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(temp.path()).unwrap();
    (temp, snapshots)
}

fn layer(snapshots: &Snapshots, text: &str) -> Digest {
    let new = snapshots.begin().unwrap();
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let file = rustix::fs::openat(new.dir(), "file", flags, Mode::from_raw_mode(0o644)).unwrap();
    rustix::io::write(file, text.as_bytes()).unwrap();
    let diff_id = sha256(text.as_bytes());
    assert!(new.commit(&diff_id, LayerUsage { entries: 1, bytes: text.len() as u64 }).unwrap());
    diff_id
}

fn names(snapshots: &Snapshots) -> usize {
    fs::read_dir(&snapshots.inner.path).unwrap().count()
}

#[test]
fn a_layer_exists_from_its_commit_on() {
    let (_temp, snapshots) = store();
    let diff_id = sha256(b"text");
    assert!(!snapshots.contains(&diff_id).unwrap());
    assert_eq!(snapshots.missing(&[diff_id.clone(), diff_id.clone()]).unwrap().len(), 1);
    layer(&snapshots, "text");
    assert!(snapshots.contains(&diff_id).unwrap());
    assert_eq!(snapshots.usage(&diff_id).unwrap(), LayerUsage { entries: 1, bytes: 4 });
    assert_eq!(fs::read(snapshots.path_of(&diff_id).join("file")).unwrap(), b"text");
    assert_eq!(snapshots.list().unwrap(), [diff_id]);
}

#[test]
fn the_second_unpacker_of_a_layer_succeeds_and_leaves_nothing() {
    let (temp, snapshots) = store();
    let second = snapshots.begin().unwrap();
    let diff_id = layer(&snapshots, "text");
    assert!(!second.commit(&diff_id, LayerUsage::default()).unwrap());
    assert_eq!(snapshots.usage(&diff_id).unwrap().entries, 1);
    assert_eq!(names(&snapshots), 1);
    assert_eq!(fs::read_dir(temp.path().join("trash")).map_or(0, Iterator::count), 0);
}

#[test]
fn a_dropped_layer_leaves_nothing() {
    let (temp, snapshots) = store();
    let new = snapshots.begin().unwrap();
    rustix::fs::mkdirat(new.dir(), "sub", Mode::from_raw_mode(0o755)).unwrap();
    drop(new);
    assert_eq!(names(&snapshots), 0);
    assert_eq!(fs::read_dir(temp.path().join("trash")).map_or(0, Iterator::count), 0);
}

#[test]
fn a_layer_that_the_power_cut_caught_unsynced_is_unpacked_again() {
    let (_temp, snapshots) = store();
    let (lost, kept) = (layer(&snapshots, "lost"), layer(&snapshots, "kept"));
    snapshots.sync(std::slice::from_ref(&kept)).unwrap();
    for diff_id in [&lost, &kept] {
        // As the next boot would see it.
        let file = snapshots.inner.path.join(diff_id.hex()).join("layer.json");
        let mut record: layer::Record = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        record.boot_id = "another".into();
        fs::write(&file, serde_json::to_vec(&record).unwrap()).unwrap();
    }
    assert!(snapshots.contains(&kept).unwrap());
    assert!(!snapshots.contains(&lost).unwrap());
    assert!(matches!(snapshots.usage(&lost).unwrap_err(), SnapshotError::NotFound { .. }));

    layer(&snapshots, "lost");
    assert!(snapshots.contains(&lost).unwrap());
    fs::write(snapshots.inner.path.join(lost.hex()).join("layer.json"), b"").unwrap();
    assert!(!snapshots.contains(&lost).unwrap());
}

#[test]
fn a_sweep_takes_what_dead_unpackers_left_and_nothing_else() {
    let (temp, snapshots) = store();
    let diff_id = layer(&snapshots, "whole");
    let alive = snapshots.begin().unwrap();
    fs::create_dir_all(snapshots.inner.path.join(".new-dead/fs/usr")).unwrap();
    fs::create_dir_all(temp.path().join("trash/old/fs")).unwrap();

    assert_eq!(snapshots.sweep().unwrap().entries, 5);

    assert!(alive.commit(&sha256(b"alive"), LayerUsage::default()).unwrap());
    assert!(snapshots.contains(&diff_id).unwrap());
    assert_eq!(names(&snapshots), 2);
}

#[test]
fn unpackers_and_sweepers_do_not_lose_each_others_directories() {
    let (_temp, snapshots) = store();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                snapshots.sweep().unwrap();
            }
        });
        for number in 0..100 {
            layer(&snapshots, &number.to_string());
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(snapshots.list().unwrap().len(), 100);
}

#[test]
fn collection_removes_exactly_what_is_not_live() {
    let (temp, snapshots) = store();
    let (keep, gone) = (layer(&snapshots, "keep"), layer(&snapshots, "gone"));
    let lock = StoreLock::exclusive(temp.path()).unwrap();
    let collected = snapshots.collect(&HashSet::from([keep.clone()]), &lock).unwrap();
    assert_eq!(collected.removed, [gone]);
    assert_eq!(collected.freed_bytes, 4);
    assert_eq!(snapshots.list().unwrap(), [keep]);
    assert_eq!(fs::read_dir(temp.path().join("trash")).unwrap().count(), 1);
    drop(lock);
    snapshots.sweep().unwrap();
    assert_eq!(fs::read_dir(temp.path().join("trash")).unwrap().count(), 0);
}

#[test]
fn the_data_root_may_be_a_link() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", temp.path().join("link")).unwrap();
    let snapshots = Snapshots::open(temp.path().join("link")).unwrap();
    let diff_id = layer(&snapshots, "text");
    snapshots.remove(&diff_id).unwrap();
}

#[test]
fn mounts_put_the_top_layer_first_and_a_double_once() {
    let (temp, snapshots) = store();
    let ids = ["a", "b", "a", "c"].map(|text| sha256(text.as_bytes()));
    let container = temp.path().join("container");
    let writable = Writable { container_dir: &container, volatile: true };

    let mounts = snapshots.mounts(&ids, Some(writable), false).unwrap();

    let root = temp.path().display();
    let lower = |id: &Digest| format!("lowerdir+={root}/layers/{}/fs", id.hex());
    assert_eq!(mounts.len(), 1);
    assert_eq!((mounts[0].destination.as_str(), mounts[0].kind.as_deref()), ("/", Some("overlay")));
    assert_eq!(
        mounts[0].options,
        [
            lower(&ids[3]),
            lower(&ids[2]),
            lower(&ids[1]),
            format!("upperdir={root}/container/upper"),
            format!("workdir={root}/container/work"),
            "volatile".into(),
        ]
    );
}

#[test]
fn an_image_without_layers_has_an_empty_lower_directory() {
    let (temp, snapshots) = store();
    let mounts = snapshots.mounts(&[], None, true).unwrap();
    let path = |name: &str| temp.path().join("layers/.empty").join(name);
    let lower = |name: &str| format!("lowerdir+={}", path(name).display());
    // Two: overlayfs wants as many where there is nothing to write to.
    assert_eq!(mounts[0].options, [lower("fs"), lower("under"), "ro".into()]);
    assert!(path("fs").is_dir() && path("under").is_dir());
    let one = snapshots.mounts(&[sha256(b"x")], None, true).unwrap();
    assert_eq!(one[0].options.len(), 3, "{:?}", one[0].options);
    assert_eq!(snapshots.list().unwrap(), []);
}

#[test]
fn more_layers_than_overlayfs_stacks_are_refused() {
    let (_temp, snapshots) = store();
    let ids: Vec<Digest> = (0..501_u32).map(|n| sha256(&n.to_le_bytes())).collect();
    let error = snapshots.mounts(&ids, None, true).unwrap_err();
    assert!(matches!(error, SnapshotError::TooManyLayers { layers: 501 }));
}
