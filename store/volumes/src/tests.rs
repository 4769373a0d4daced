//! What must hold of volumes.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

use super::*;

fn store() -> (tempfile::TempDir, Volumes) {
    let temp = tempfile::tempdir().unwrap();
    let volumes = Volumes::open(temp.path()).unwrap();
    (temp, volumes)
}

fn named(name: &str) -> NewVolume {
    NewVolume { name: Some(name.parse().unwrap()), ..NewVolume::default() }
}

fn needs_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    let promised = std::env::var("TEST_PROMISED").is_ok_and(|needs| needs.contains("root"));
    assert!(root || !promised, "root was promised and is missing");
    root
}

#[test]
fn a_volume_is_made_listed_and_removed() {
    let (temp, volumes) = store();
    let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let data = volumes.create(NewVolume { labels: labels.clone(), ..named("data") }).unwrap();
    let anonymous = volumes.create(NewVolume::default()).unwrap();
    assert!(anonymous.anonymous && !data.anonymous);
    assert_eq!(volumes.get(&data.name).unwrap().labels, labels);
    assert_eq!(volumes.create(named("data")).unwrap(), data);
    assert_eq!(volumes.list().unwrap().len(), 2);
    fs::write(volumes.path(&data.name).join("file"), [1; 9000]).unwrap();
    assert!(volumes.usage(&data.name).unwrap() >= 9000);

    assert!(volumes.remove(&data.name).unwrap() >= 9000);
    let error = volumes.remove(&data.name).unwrap_err();
    assert_eq!(error.to_string(), "get data: no such volume");
    assert_eq!(volumes.list().unwrap(), [anonymous]);
    assert_eq!(fs::read_dir(temp.path().join("trash")).unwrap().count(), 0);
}

#[test]
fn an_existing_volume_keeps_its_options() {
    let (_temp, volumes) = store();
    let options = |text: &str| BTreeMap::from([("type".to_owned(), text.to_owned())]);
    let tmpfs = volumes.create(NewVolume { options: options("tmpfs"), ..named("v") }).unwrap();
    assert!(matches!(volumes.source(&tmpfs).unwrap(), Source::Tmpfs(_)));
    assert!(!volumes.path(&tmpfs.name).exists());
    assert_eq!(volumes.usage(&tmpfs.name).unwrap(), 0);
    assert_eq!(volumes.create(named("v")).unwrap(), tmpfs);
    volumes.create(named("w")).unwrap();
    let error = volumes.create(NewVolume { options: options("tmpfs"), ..named("w") }).unwrap_err();
    assert!(matches!(error, VolumeError::Conflict { .. }));
    assert!(volumes.create(NewVolume { options: options("nfs"), ..named("x") }).is_err());
    assert_eq!(volumes.list().unwrap().len(), 2);
}

#[test]
fn many_makers_of_one_name_get_one_volume() {
    let (_temp, volumes) = store();
    let made: Vec<Volume> = std::thread::scope(|scope| {
        let makers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| volumes.create(named("v")).unwrap())).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    assert!(made.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(fs::read_dir(&volumes.inner.path).unwrap().count(), 1);
}

#[test]
fn a_sweep_takes_what_dead_makers_left() {
    let (_temp, volumes) = store();
    let volume = volumes.create(named("v")).unwrap();
    fs::create_dir_all(volumes.inner.path.join(".new-dead/_data")).unwrap();
    fs::create_dir_all(volumes.inner.path.join("v/.new-dead/x")).unwrap();
    volumes.sweep().unwrap();
    assert_eq!(fs::read_dir(&volumes.inner.path).unwrap().count(), 1);
    assert_eq!(fs::read_dir(volumes.inner.path.join("v")).unwrap().count(), 2);
    assert_eq!(volumes.list().unwrap(), [volume]);
}

/// An image's directory with one of everything.
fn image_directory(temp: &Path) -> PathBuf {
    let from = temp.join("image");
    fs::create_dir_all(from.join("sub/deep")).unwrap();
    fs::write(from.join("sub/file"), "text").unwrap();
    fs::hard_link(from.join("sub/file"), from.join("other-name")).unwrap();
    fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o4750)).unwrap();
    fs::set_permissions(&from, fs::Permissions::from_mode(0o1770)).unwrap();
    symlink("/etc/passwd", from.join("link")).unwrap();
    let holes = fs::File::create(from.join("holes")).unwrap();
    holes.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&holes, b"end", (5 << 20) + 7).unwrap();
    rustix::fs::mknodat(CWD, from.join("fifo"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    std::os::unix::fs::chown(from.join("sub"), Some(1234), Some(5678)).unwrap();
    std::os::unix::fs::lchown(from.join("link"), Some(99), Some(98)).unwrap();
    from
}

#[test]
fn a_new_volume_becomes_what_the_image_has_there() {
    if !needs_root() {
        return;
    }
    let (temp, volumes) = store();
    let from = image_directory(temp.path());
    let volume = volumes.create(named("v")).unwrap();
    let source = fs::File::open(&from).unwrap();

    assert!(volumes.populate(&volume.name, source.as_fd()).unwrap());

    let data = volumes.path(&volume.name);
    let meta = |name: &str| fs::symlink_metadata(data.join(name)).unwrap();
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o7777, 0o1770);
    assert_eq!(fs::read_to_string(data.join("sub/file")).unwrap(), "text");
    assert_eq!(meta("sub/file").mode() & 0o7777, 0o4750);
    assert_eq!(meta("sub/file").ino(), meta("other-name").ino());
    assert_eq!((meta("sub").uid(), meta("sub").gid()), (1234, 5678));
    assert_eq!((meta("link").uid(), meta("link").gid()), (99, 98));
    assert_eq!(fs::read_link(data.join("link")).unwrap(), Path::new("/etc/passwd"));
    assert!(meta("fifo").file_type().is_fifo());
    assert_eq!(fs::read(data.join("holes")).unwrap(), fs::read(from.join("holes")).unwrap());
    assert!(meta("holes").blocks() * 512 < 1 << 20, "holes stay holes");
    let time = |path: PathBuf| fs::symlink_metadata(path).unwrap().mtime_nsec();
    assert_eq!(time(data.join("sub")), time(from.join("sub")));

    fs::write(from.join("later"), "").unwrap();
    assert!(!volumes.populate(&volume.name, source.as_fd()).unwrap());
    assert!(!data.join("later").exists());
    assert_eq!(fs::read_dir(volumes.inner.path.join("v")).unwrap().count(), 2);
}

#[test]
fn what_a_user_has_in_a_volume_is_never_touched() {
    if !needs_root() {
        return;
    }
    let (temp, volumes) = store();
    let from = image_directory(temp.path());
    let volume = volumes.create(named("v")).unwrap();
    let data = volumes.path(&volume.name);
    fs::write(data.join("sub"), "mine").unwrap();
    let source = fs::File::open(&from).unwrap();
    assert!(!volumes.populate(&volume.name, source.as_fd()).unwrap());
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);

    // A crash in the middle of moving in: the mark is there, and one entry already.
    fs::write(volumes.inner.path.join("v/.populating"), "").unwrap();
    assert!(volumes.populate(&volume.name, source.as_fd()).unwrap());
    assert_eq!(fs::read_to_string(data.join("sub")).unwrap(), "mine");
    assert!(data.join("holes").exists());
    assert!(!volumes.inner.path.join("v/.populating").exists());
}

#[test]
fn an_empty_place_in_the_image_leaves_the_volume_alone() {
    let (temp, volumes) = store();
    let from = temp.path().join("empty");
    fs::create_dir(&from).unwrap();
    let volume = volumes.create(named("v")).unwrap();
    let source = fs::File::open(&from).unwrap();
    assert!(!volumes.populate(&volume.name, source.as_fd()).unwrap());
}
