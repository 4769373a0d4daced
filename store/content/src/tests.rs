//! What must hold of blobs, whatever happens to their writers.

use std::collections::HashSet;
use std::fs;
use std::io::Write;

use super::*;

fn store() -> (tempfile::TempDir, Content) {
    let temp = tempfile::tempdir().unwrap();
    let content = Content::open(temp.path().join("root")).unwrap();
    (temp, content)
}

fn files_below(path: &Path) -> usize {
    fs::read_dir(path).map_or(0, |entries| entries.count())
}

#[test]
fn a_blob_comes_back_as_it_went_in() {
    let (_temp, content) = store();
    let mut ingest = content.ingest().unwrap();
    ingest.write_all(b"hello ").unwrap();
    ingest.write_all(b"world").unwrap();
    let (digest, size) = ingest.commit(Some(&sha256(b"hello world")), Some(11)).unwrap();
    assert_eq!(size, 11);
    assert_eq!(content.read(&digest, 11).unwrap(), b"hello world");
    assert_eq!(content.size(&digest).unwrap(), 11);
    assert_eq!(content.list().unwrap(), [(digest.clone(), 11)]);
    assert_eq!(content.put(b"hello world").unwrap(), digest);
    assert_eq!(files_below(&content.root().join("ingest")), 0);
}

#[test]
fn wrong_digest_or_size_is_refused_and_leaves_nothing() {
    let (_temp, content) = store();
    let begin = || {
        let mut ingest = content.ingest().unwrap();
        ingest.append(b"data").unwrap();
        ingest
    };
    let wrong = begin().commit(Some(&sha256(b"other")), Some(4)).unwrap_err();
    assert!(matches!(wrong, ContentError::Mismatch { size: 4, .. }), "{wrong}");
    let short = begin().commit(Some(&sha256(b"data")), Some(5)).unwrap_err();
    assert!(matches!(short, ContentError::Size { expected: 5, actual: 4 }), "{short}");
    drop(begin());
    assert_eq!(files_below(&content.root().join("ingest")), 0);
    assert_eq!(content.list().unwrap(), []);
}

#[test]
fn blobs_may_be_named_by_sha512() {
    let (_temp, content) = store();
    let expected = hash::digest(Algorithm::Sha512, b"x");
    assert!(!content.contains(&expected).unwrap());
    let mut ingest = content.ingest_with(Algorithm::Sha512).unwrap();
    ingest.append(b"x").unwrap();
    ingest.commit(Some(&expected), None).unwrap();
    assert_eq!(content.read(&expected, 10).unwrap(), b"x");
    assert_eq!(content.list().unwrap().len(), 1);
    content.remove(&expected).unwrap();
    assert!(!content.contains(&expected).unwrap());
}

#[test]
fn reading_is_bounded_and_sees_damage() {
    let (_temp, content) = store();
    let digest = content.put(b"0123456789").unwrap();
    let error = content.read(&digest, 9).unwrap_err();
    assert!(matches!(error, ContentError::TooLarge { size: 10, limit: 9, .. }), "{error}");

    fs::write(content.path_of(&digest), b"0123456780").unwrap();
    assert!(matches!(content.read(&digest, 99).unwrap_err(), ContentError::Corrupt { .. }));
    assert!(matches!(content.verify(&digest).unwrap_err(), ContentError::Corrupt { .. }));
    assert_eq!(content.put(b"0123456789").unwrap(), digest);
    content.verify(&digest).unwrap();
}

#[test]
fn what_is_no_regular_file_is_no_blob() {
    let (temp, content) = store();
    let digest = sha256(b"secret");
    fs::write(temp.path().join("secret"), b"secret").unwrap();
    std::os::unix::fs::symlink("../../../secret", content.path_of(&digest)).unwrap();
    assert!(matches!(content.read(&digest, 99).unwrap_err(), ContentError::Io { .. }));
    fs::remove_file(content.path_of(&digest)).unwrap();
    rustix::fs::mknodat(
        CWD,
        content.path_of(&digest),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(matches!(content.read(&digest, 99).unwrap_err(), ContentError::Io { .. }));
}

#[test]
fn staged_blobs_are_readable_and_unnamed_until_published() {
    let (_temp, content) = store();
    let staged = [content.stage(b"one").unwrap(), content.stage(b"two").unwrap()];
    assert_eq!(content.list().unwrap(), []);
    let mut text = String::new();
    staged[0].open().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "one");
    content.publish(staged, Durability::Process).unwrap();
    content.sync().unwrap();
    assert_eq!(content.list().unwrap().len(), 2);
    drop(content.stage(b"three").unwrap());
    assert_eq!(files_below(&content.root().join("ingest")), 0);
}

#[test]
fn a_sweep_takes_what_dead_writers_left_and_nothing_else() {
    let (_temp, content) = store();
    let mut alive = content.ingest().unwrap();
    alive.append(b"alive").unwrap();
    let staged = content.stage(b"staged").unwrap();
    fs::write(content.root().join("ingest/0123"), b"dead").unwrap();

    assert_eq!(content.sweep().unwrap(), Swept { entries: 1, freed_bytes: 4 });

    alive.commit(None, None).unwrap();
    content.publish([staged], Durability::Power).unwrap();
    assert_eq!(content.list().unwrap().len(), 2);
}

#[test]
fn writers_and_sweepers_do_not_lose_each_others_files() {
    let (_temp, content) = store();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                content.sweep().unwrap();
            }
        });
        for writer in 0..200_u32 {
            let staged = content.stage(&writer.to_le_bytes()).unwrap();
            content.publish([staged], Durability::Process).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(content.list().unwrap().len(), 200);
}

#[test]
fn collection_removes_exactly_what_is_not_live() {
    let (_temp, content) = store();
    let keep = content.put(b"keep").unwrap();
    let drop = content.put(b"drop me").unwrap();
    fs::write(content.root().join("blobs/sha256/README"), b"not ours").unwrap();
    let lock = StoreLock::exclusive(content.root()).unwrap();
    let collected = content.collect(&HashSet::from([keep.clone()]), &lock).unwrap();
    assert_eq!(collected, Collected { removed: vec![drop], freed_bytes: 7 });
    assert_eq!(content.list().unwrap(), [(keep, 4)]);
    assert!(content.root().join("blobs/sha256/README").exists());
}

#[test]
fn a_new_root_is_private_and_an_oci_layout() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    Content::open(&root).unwrap();
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read(root.join("oci-layout")).unwrap(), LAYOUT);
    Content::open(&root).unwrap();
}

/// A tmpfs of `size` that is mounted nowhere: only its descriptor leads there.
fn detached_tmpfs(size: &str, flags: rustix::mount::MountAttrFlags) -> OwnedFd {
    use rustix::mount::{FsMountFlags, FsOpenFlags, fsconfig_create, fsconfig_set_string};
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    fsconfig_set_string(context.as_fd(), "size", size).unwrap();
    fsconfig_create(context.as_fd()).unwrap();
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags).unwrap()
}

fn needs_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    let promised = std::env::var("TEST_PROMISED").is_ok_and(|needs| needs.contains("root"));
    assert!(root || !promised, "root was promised and is missing");
    root
}

#[test]
fn a_full_disk_is_named_and_leaves_the_store_as_it_was() {
    use std::os::fd::AsRawFd;
    if !needs_root() {
        return;
    }
    let disk = detached_tmpfs("256k", rustix::mount::MountAttrFlags::empty());
    let content = Content::open(format!("/proc/self/fd/{}", disk.as_raw_fd())).unwrap();
    let kept = content.put(&[1; 1000]).unwrap();

    let error = content.put(&[2; 1 << 20]).unwrap_err();

    let ContentError::Io { action: "write", path, source } = error else { panic!("{error}") };
    assert!(path.starts_with(content.root().join("ingest")), "{path:?}");
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
    assert_eq!(files_below(&content.root().join("ingest")), 0);
    assert_eq!(content.list().unwrap(), [(kept, 1000)]);
}

#[test]
fn a_read_only_store_can_be_read() {
    use rustix::mount::FsPickFlags;
    use std::os::fd::AsRawFd;
    if !needs_root() {
        return;
    }
    let disk = detached_tmpfs("256k", rustix::mount::MountAttrFlags::empty());
    let path = format!("/proc/self/fd/{}", disk.as_raw_fd());
    let blob = Content::open(&path).unwrap().put(b"blob").unwrap();
    drop(StoreLock::shared(Path::new(&path)).unwrap());
    let context = rustix::mount::fspick(
        &disk,
        "",
        FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC,
    )
    .unwrap();
    rustix::mount::fsconfig_set_flag(context.as_fd(), "ro").unwrap();
    rustix::mount::fsconfig_reconfigure(context.as_fd()).unwrap();

    let content = Content::open(&path).unwrap();

    assert_eq!(content.read(&blob, 99).unwrap(), b"blob");
    assert_eq!(content.put(b"blob").unwrap(), blob);
    drop(StoreLock::shared(content.root()).unwrap());
    let error = content.put(b"new").unwrap_err();
    let ContentError::Io { action: "create", path, source } = error else { panic!("{error}") };
    assert!(path.starts_with(content.root().join("ingest")), "{path:?}");
    assert_eq!(source.kind(), io::ErrorKind::ReadOnlyFilesystem);
}
