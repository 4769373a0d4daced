//! Against others: archives of GNU tar read by Python's tarfile and by this reader alike, and
//! archives of this writer read by GNU tar. Skipped by name where the programs are not there.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use proptest::collection::vec;
use proptest::prelude::*;
use unpack::tar::{Entry, Kind, Reader, Time, Writer};

use crate::properties::{mend_checksum, sample};

const LISTING: &str = r"
import sys, tarfile, hashlib
for m in tarfile.open(sys.argv[1]):
    kind = {b'0': 'f', b'\0': 'f', b'7': 'f', b'S': 'f', b'1': 'h', b'2': 'l', b'3': 'c',
            b'4': 'b', b'5': 'd', b'6': 'p'}[m.type]
    if m.issparse(): kind = 'f'
    data = hashlib.sha256(tarfile.open(sys.argv[1]).extractfile(m).read()).hexdigest() if kind == 'f' else ''
    name = m.name.encode('utf-8', 'surrogateescape').hex()
    link = m.linkname.encode('utf-8', 'surrogateescape').hex() if kind in 'hl' else ''
    print(kind, name, link, '%o' % (m.mode & 0o7777), m.uid, m.gid, int(m.mtime // 1), m.size if kind == 'f' else 0, data)
";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As `LISTING` prints it.
fn listing(archive: &Path) -> Vec<String> {
    let mut reader = Reader::new(File::open(archive).unwrap());
    let mut entry = Entry::default();
    let mut lines = Vec::new();
    while reader.next_entry(&mut entry).unwrap() {
        let kind = match entry.kind {
            Kind::File => 'f',
            Kind::HardLink => 'h',
            Kind::Symlink => 'l',
            Kind::CharDevice { .. } => 'c',
            Kind::BlockDevice { .. } => 'b',
            Kind::Directory => 'd',
            Kind::Fifo => 'p',
        };
        let mut data = Vec::new();
        reader.contents(&entry).read_to_end(&mut data).unwrap();
        let digest =
            if kind == 'f' { content::sha256(&data).hex().to_owned() } else { String::new() };
        // tarfile takes the closing slash off.
        let path = entry.path.strip_suffix(b"/").unwrap_or(&entry.path);
        lines.push(format!(
            "{kind} {} {} {:o} {} {} {} {} {digest}",
            hex(path),
            hex(&entry.link),
            entry.mode,
            entry.uid,
            entry.gid,
            entry.mtime.seconds,
            entry.size,
        ));
    }
    lines
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: no {program}");
    }
    found
}

fn run(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn tree(root: &Path) {
    let deep = root.join("a-directory-with-a-long-name/".repeat(4));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("block"), [7; 512]).unwrap();
    fs::write(root.join("more"), [8; 5000]).unwrap();
    fs::set_permissions(root.join("more"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::hard_link(root.join("more"), root.join("more-hard")).unwrap();
    symlink("more", root.join("link")).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), fifo, mode, 0).unwrap();
    for (name, regions, size) in
        [("sparse", 3, 3_000_000), ("many-regions", 60, 9_000_000), ("hole", 0, 800_000)]
    {
        let file = File::create(root.join(name)).unwrap();
        file.set_len(size).unwrap();
        for region in 0..regions {
            file.write_all_at(name.as_bytes(), region * 131_072 + 65_536).unwrap();
        }
    }
}

fn long_names(root: &Path) {
    fs::write(root.join("n".repeat(250)), "x").unwrap();
    symlink("t".repeat(300), root.join("long-link")).unwrap();
    fs::write(root.join("ümlaut \u{1f980} 'quote'"), "x").unwrap();
}

#[test]
fn archives_of_gnu_tar_read_as_others_read_them() {
    if !has("tar") || !has("python3") {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("tree");
    fs::create_dir(&root).unwrap();
    tree(&root);
    for (index, options) in [
        &["--format=v7", "--exclude=fifo", "--exclude=a-dir*"][..],
        &["--format=ustar"],
        &["--format=oldgnu"],
        &["--format=gnu"],
        &["--format=posix"],
        &["--format=oldgnu", "--sparse"],
        &["--format=gnu", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=1.0"],
        &["--format=gnu", "--owner=:3000000", "--group=:4000000000", "--mtime=@-100"],
        &["--format=posix", "--owner=:3000000", "--group=:4000000000", "--mtime=@99999999999"],
        &["--format=posix", "--pax-option=globexthdr.comment:=x,comment=y"],
    ]
    .into_iter()
    .enumerate()
    {
        // v7 and ustar, which come first, have no form for these.
        if index == 2 {
            long_names(&root);
        }
        let archive = temp.path().join(format!("{index}.tar"));
        run(Command::new("tar")
            .args(options)
            .arg("-C")
            .arg(temp.path())
            .arg("-cf")
            .arg(&archive)
            .arg("tree"));
        let theirs = run(Command::new("python3").args(["-c", LISTING]).arg(&archive));
        let theirs: Vec<_> = theirs.lines().map(str::to_owned).collect();
        assert!(theirs.len() > 8, "{theirs:?}");
        assert_eq!(listing(&archive), theirs, "{options:?}");
    }
}

#[test]
fn archives_of_this_writer_are_taken_by_gnu_tar() {
    if !has("tar") {
        return;
    }
    let entry = |path: &str, kind, link: &str, size| Entry {
        path: path.into(),
        kind,
        link: link.into(),
        mode: 0o640,
        uid: 4_000_000_000,
        gid: 12,
        mtime: Time { seconds: 1_600_000_000, nanoseconds: 500_000_000 },
        size,
        ..Entry::default()
    };
    let long = format!("dir/{}", "n".repeat(200));
    let mut writer = Writer::new(Vec::new());
    writer.append(&entry("dir/", Kind::Directory, "", 0), &b""[..]).unwrap();
    writer.append(&entry(&long, Kind::File, "", 3), &b"abc"[..]).unwrap();
    writer.append(&entry("hard", Kind::HardLink, &long, 0), &b""[..]).unwrap();
    writer
        .append(&entry("device", Kind::CharDevice { major: 1, minor: 3 }, "", 0), &b""[..])
        .unwrap();
    let temp = tempfile::tempdir().unwrap();
    let archive = temp.path().join("own.tar");
    fs::write(&archive, writer.finish().unwrap()).unwrap();
    let list = run(Command::new("tar")
        .args(["--utc", "--full-time", "--numeric-owner", "-tvf"])
        .arg(&archive)
        .env("LC_ALL", "C"));
    let lines: Vec<Vec<&str>> =
        list.lines().map(|line| line.split_whitespace().collect()).collect();
    let time = ["2020-09-13", "12:26:40.5"];
    assert_eq!(lines[0], ["drw-r-----", "4000000000/12", "0", time[0], time[1], "dir/"]);
    assert_eq!(lines[1], ["-rw-r-----", "4000000000/12", "3", time[0], time[1], &long]);
    assert_eq!(&lines[2][5..], ["hard", "link", "to", &long]);
    assert_eq!(lines[3][2], "1,3");
}

/// Names as `tar -t` prints them; `None` if the archive is refused.
fn names(archive: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(archive);
    let mut entry = Entry::default();
    let mut names = Vec::new();
    while reader.next_entry(&mut entry).ok()? {
        names.extend_from_slice(&entry.path);
        names.push(b'\n');
    }
    Some(names)
}

fn tar_list(archive: &[u8]) -> std::process::Output {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(archive).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--quoting-style=literal", "-tf"]).arg(file.path()).env("LC_ALL", "C");
    tar.output().unwrap()
}

#[test]
fn the_archive_that_is_damaged_below_is_good() {
    if !has("tar") {
        return;
    }
    let theirs = tar_list(&sample());
    assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
    assert_eq!(Some(theirs.stdout), names(&sample()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// An archive that shows one list here and another to GNU tar could smuggle files past a
    /// scanner: where both accept it, both see the same.
    #[test]
    fn a_damaged_archive_is_refused_or_read_as_gnu_tar_reads_it(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        prop_assume!(has("tar"));
        let mut archive = sample();
        for (at, byte) in changes {
            let at = at.index(archive.len());
            archive[at] = byte;
            mend_checksum(&mut archive, at / 512 * 512);
        }
        let Some(ours) = names(&archive) else { return Ok(()) };
        let theirs = tar_list(&archive);
        if theirs.status.success() {
            prop_assert!(
                theirs.stdout == ours,
                "ours:\n{}theirs:\n{}{}",
                String::from_utf8_lossy(&ours),
                String::from_utf8_lossy(&theirs.stdout),
                String::from_utf8_lossy(&theirs.stderr)
            );
        }
    }
}
