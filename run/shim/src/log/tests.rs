//! Writing and reading together: what goes in comes out, over rotation, crashes and full disks.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oci::Timestamp;

use super::*;

fn plan(driver: Driver, max_size_bytes: Option<u64>, max_files: u32) -> LogPlan {
    LogPlan { driver, max_size_bytes, max_files, attributes: Vec::new() }
}

fn writer(dir: &Path, plan: &LogPlan) -> LogWriter {
    LogWriter::new(plan, OwnedFd::from(fs::File::open(dir).unwrap()))
}

fn read(dir: &Path, driver: Driver, options: ReadOptions) -> Vec<Entry> {
    let mut reader = Reader::open(dir, driver, options, || false).unwrap();
    std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
}

fn text(entries: &[Entry]) -> String {
    let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.line.clone()).collect();
    String::from_utf8(bytes).unwrap()
}

const BOTH: [Driver; 2] = [Driver::JsonFile, Driver::Local];

#[test]
fn nothing_exists_before_the_first_output() {
    let dir = tempfile::tempdir().unwrap();
    for driver in BOTH {
        let mut log = writer(dir.path(), &plan(driver, None, 1));
        log.finish();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(read(dir.path(), driver, ReadOptions::default()), []);
    }
    let mut log = writer(dir.path(), &LogPlan::none());
    log.write(Stream::Stdout, b"text\n");
    log.finish();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_file_looks_as_dockers() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan(Driver::JsonFile, None, 1);
    plan.attributes = vec![("tag".to_owned(), "t".to_owned())];
    let mut log = writer(dir.path(), &plan);
    log.write(Stream::Stdout, b"one\ntw");
    log.write(Stream::Stderr, b"<err>\n");
    log.write(Stream::Stdout, b"o\nthree");
    log.finish();
    let file = fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
    let without_times: Vec<&str> =
        file.lines().map(|line| line.split_once(",\"time\":\"20").unwrap().0).collect();
    let wanted = [
        r#"{"log":"one\n","stream":"stdout","attrs":{"tag":"t"}"#,
        r#"{"log":"\u003cerr\u003e\n","stream":"stderr","attrs":{"tag":"t"}"#,
        r#"{"log":"two\n","stream":"stdout","attrs":{"tag":"t"}"#,
        r#"{"log":"three","stream":"stdout","attrs":{"tag":"t"}"#,
    ];
    assert_eq!(without_times, wanted);
    assert!(file.lines().all(|line| line.ends_with("Z\"}")));
}

#[test]
fn rotation_bounds_what_is_kept_and_loses_nothing_in_between() {
    for driver in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let mut log = writer(dir.path(), &plan(driver, Some(5_000), 3));
        let lines: Vec<String> = (0..1_000).map(|number| format!("line {number}\n")).collect();
        for some in lines.chunks(7) {
            log.write(Stream::Stdout, some.concat().as_bytes());
        }
        log.finish();
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["container.log", "container.log.1", "container.log.2"]);
        for name in &names[1..] {
            let size = fs::metadata(dir.path().join(name)).unwrap().len();
            assert!((5_000..5_200).contains(&size), "{size}");
        }
        let got = text(&read(dir.path(), driver, ReadOptions::default()));
        assert!(lines.concat().ends_with(&got) && got.lines().count() > 100);
        for count in [0, 1, 30, 60, 100, 120] {
            let options = ReadOptions { tail: Some(count), ..ReadOptions::default() };
            let last = text(&read(dir.path(), driver, options));
            assert_eq!(last, lines[1_000 - usize::try_from(count).unwrap()..].concat());
        }
    }
}

#[test]
fn one_file_is_emptied_when_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = writer(dir.path(), &plan(Driver::JsonFile, Some(1_000), 1));
    for number in 0..100 {
        log.write(Stream::Stdout, format!("line {number}\n").as_bytes());
    }
    assert!(fs::metadata(dir.path().join(FILE_NAME)).unwrap().len() < 1_100);
    let got = text(&read(dir.path(), Driver::JsonFile, ReadOptions::default()));
    assert!(got.ends_with("line 99\n") && fs::read_dir(dir.path()).unwrap().count() == 1);
}

#[test]
fn a_torn_entry_does_not_spoil_the_next() {
    for driver in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let plan = plan(driver, None, 1);
        let mut log = writer(dir.path(), &plan);
        log.write(Stream::Stdout, b"before\n");
        drop(log); // as after a kill
        let path = dir.path().join(FILE_NAME);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
        assert_eq!(text(&read(dir.path(), driver, ReadOptions::default())), "before\n");
        writer(dir.path(), &plan).write(Stream::Stdout, b"after\n");
        assert_eq!(text(&read(dir.path(), driver, ReadOptions::default())), "before\nafter\n");
    }
}

#[test]
fn what_cannot_be_written_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    for driver in BOTH {
        let path = dir.path().join(FILE_NAME);
        // A name that cannot be opened stands for a disk that takes nothing.
        fs::create_dir(&path).unwrap();
        let mut log = writer(dir.path(), &plan(driver, None, 1));
        log.write(Stream::Stdout, b"lost\nlost too\n");
        fs::remove_dir(&path).unwrap();
        log.write(Stream::Stdout, b"kept\n");
        log.write(Stream::Stdout, b"kept too\n");
        log.finish();
        let got = text(&read(dir.path(), driver, ReadOptions::default()));
        let (mark, rest) = got.split_once('\n').unwrap();
        assert!(mark.starts_with("[kista: 14 bytes of output are not in this log: "), "{mark}");
        assert_eq!(rest, "kept\nkept too\n");
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_full_disk_leaves_whole_entries() {
    testkit::needs!(Root);
    for driver in BOTH {
        let disk = small_disk();
        let dir = sys::fs::fd_path(disk.as_fd());
        let filler = Path::new(&dir).join("filler");
        fs::write(&filler, vec![0; 40_000]).unwrap();
        let mut log = LogWriter::new(&plan(driver, None, 1), disk.try_clone().unwrap());
        let lines: Vec<String> = (0..2_000).map(|number| format!("line {number}\n")).collect();
        lines.iter().for_each(|line| log.write(Stream::Stdout, line.as_bytes()));
        let before = text(&read(Path::new(&dir), driver, ReadOptions::default()));
        assert!(lines.concat().starts_with(&before) && before.ends_with('\n'));
        let lost = lines.concat().len() - before.len();
        assert!(lost > 0);

        fs::remove_file(filler).unwrap();
        log.write(Stream::Stdout, b"space again\n");
        log.finish();
        let after = text(&read(Path::new(&dir), driver, ReadOptions::default()));
        let rest = after.strip_prefix(&before).unwrap();
        let mark = format!("[kista: {lost} bytes of output are not in this log: No space left");
        assert!(rest.starts_with(&mark) && rest.ends_with("]\nspace again\n"), "{rest}");
    }
}

/// 64 KiB that nobody else sees.
fn small_disk() -> OwnedFd {
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
    rustix::mount::fsconfig_set_string(&context, "size", "64k").unwrap();
    rustix::mount::fsconfig_create(&context).unwrap();
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let mount = rustix::mount::fsmount(&context, flags, MountAttrFlags::empty()).unwrap();
    // Opened anew: what fsmount gives cannot be listed.
    let open = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
    rustix::fs::openat(&mount, ".", open, rustix::fs::Mode::empty()).unwrap()
}

#[test]
fn entries_are_chosen_by_time_and_stream() {
    for driver in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let mut log = writer(dir.path(), &plan(driver, None, 1));
        let mut times = Vec::new();
        for number in 0..4 {
            let stream = if number % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
            log.write(stream, format!("{number}\n").as_bytes());
            std::thread::sleep(Duration::from_millis(2));
            times.push(Timestamp::now());
            std::thread::sleep(Duration::from_millis(2));
        }
        let check = |options: ReadOptions, wanted: &str| {
            assert_eq!(text(&read(dir.path(), driver, options)).replace('\n', ""), wanted);
        };
        let all = ReadOptions::default();
        check(all.clone(), "0123");
        check(ReadOptions { since: Some(times[1]), ..all.clone() }, "23");
        check(ReadOptions { until: Some(times[1]), ..all.clone() }, "01");
        check(ReadOptions { since: Some(times[3]), ..all.clone() }, "");
        check(ReadOptions { stderr: false, ..all.clone() }, "02");
        check(ReadOptions { stdout: false, ..all.clone() }, "13");
        check(ReadOptions { tail: Some(3), stdout: false, ..all }, "13");
    }
}

#[test]
fn a_reader_follows_over_rotation_until_the_end() {
    for driver in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let is_alive = AtomicBool::new(true);
        let count = 2_000;
        let mut log = writer(dir.path(), &plan(driver, Some(20_000), 100));
        log.write(Stream::Stdout, b"line 0\n");
        let started = Instant::now();
        std::thread::scope(|scope| {
            let follower = scope.spawn(|| {
                let options = ReadOptions { follow: true, ..ReadOptions::default() };
                let alive = || is_alive.load(Ordering::SeqCst);
                let mut reader = Reader::open(dir.path(), driver, options, alive).unwrap();
                let mut all = Vec::new();
                while let Some(entry) = reader.next_entry().unwrap() {
                    all.push(entry);
                }
                text(&all)
            });
            for number in 1..count {
                log.write(Stream::Stdout, format!("line {number}\n").as_bytes());
                if number % 100 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            is_alive.store(false, Ordering::SeqCst);
            log.finish();
            let wanted: String = (0..count).map(|number| format!("line {number}\n")).collect();
            assert!(follower.join().unwrap() == wanted, "{driver:?}");
        });
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_log_that_is_not_kept_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    for driver in [Driver::None, Driver::Journald] {
        let error = Reader::open(dir.path(), driver, ReadOptions::default(), || false).err();
        assert!(matches!(error, Some(crate::ShimError::NotReadable)));
    }
}
