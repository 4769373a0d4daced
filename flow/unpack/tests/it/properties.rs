//! For all archives: what is written is read, and what is damaged harms nobody.

use std::io::{self, Read};

use proptest::collection::vec;
use proptest::prelude::*;
use unpack::tar::{Entry, Kind, Reader, TarError, Time, Writer};
use unpack::{Limits, decompress};

use crate::forge::Forge;
use crate::sandbox::Sandbox;

fn name() -> impl Strategy<Value = Vec<u8>> {
    let component = prop_oneof![
        4 => "[a-z.]{1,12}".prop_map(String::into_bytes),
        1 => vec(any::<u8>().prop_map(|byte| if matches!(byte, 0 | b'/') { b'-' } else { byte }), 1..255),
    ];
    vec(component, 1..14).prop_map(|components| components.join(&b'/'))
}

fn kind() -> impl Strategy<Value = Kind> {
    let device = (0_u32..4096, 0_u32..1 << 20);
    prop_oneof![
        Just(Kind::File),
        Just(Kind::HardLink),
        Just(Kind::Symlink),
        Just(Kind::Directory),
        Just(Kind::Fifo),
        device.clone().prop_map(|(major, minor)| Kind::CharDevice { major, minor }),
        device.prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
    ]
}

prop_compose! {
    fn entry()(
        path in name(),
        kind in kind(),
        link in name(),
        mode in 0_u32..0o10000,
        uid in 0..u32::MAX,
        gid in prop_oneof![0_u32..3000, 0..u32::MAX],
        seconds in prop_oneof![0_i64..2_000_000_000, -(1_i64 << 40)..1 << 40],
        nanoseconds in prop_oneof![Just(0_u32), 0_u32..1_000_000_000],
        data in vec(any::<u8>(), 0..1500),
        xattrs in proptest::collection::btree_map("user\\.[a-z%]{1,9}", vec(any::<u8>(), 0..60), 0..3),
    ) -> (Entry, Vec<u8>) {
        let is_link = matches!(kind, Kind::HardLink | Kind::Symlink);
        let data = if kind == Kind::File { data } else { Vec::new() };
        let entry = Entry {
            path,
            kind,
            link: if is_link { link } else { Vec::new() },
            mode,
            uid,
            gid,
            mtime: Time { seconds, nanoseconds },
            size: data.len() as u64,
            xattrs: xattrs.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect(),
            sparse: None,
        };
        (entry, data)
    }
}

fn write(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.append(entry, &data[..]).unwrap();
    }
    writer.finish().unwrap()
}

fn read(archive: &[u8], limits: &Limits) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut reader = Reader::with_limits(archive, limits);
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    while reader.next_entry(&mut entry)? {
        let mut data = Vec::new();
        let most = 1 << 20;
        reader
            .contents(&entry)
            .take(most)
            .read_to_end(&mut data)
            .map_err(|source| TarError::Read { source })?;
        entries.push((entry.clone(), data));
    }
    Ok(entries)
}

/// An archive with something of everything, to be damaged.
pub(crate) fn sample() -> Vec<u8> {
    Forge::new()
        .dir("dir")
        .pax(&[("path", b"dir/pax"), ("SCHILY.xattr.user.x", b"y"), ("mtime", b"1.5")])
        .file("x", "some content")
        .gnu_long(b'L', &"dir/long".repeat(20))
        .file("x", "more")
        .symlink("dir/link", "../dir")
        .hard_link("hard", "dir/pax")
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"9000"),
        ])
        .entry(b'0', "x", "", &[&b"1\n8192\n3\n"[..], &[0; 503], b"end"].concat())
        .pax(&[
            ("GNU.sparse.size", b"100"),
            ("GNU.sparse.numblocks", b"1"),
            ("GNU.sparse.map", b"50,3"),
        ])
        .file("older", "end")
        .extended(b'g', &[("comment", b"text")])
        .file("dir/.wh.gone", "")
        .fifo("pipe")
        .finish()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(entries in vec(entry(), 0..6)) {
        let archive = write(&entries);
        prop_assert_eq!(archive.len() % 512, 0);
        prop_assert_eq!(&archive, &write(&entries), "the same bytes each time");
        prop_assert_eq!(read(&archive, &Limits::default()).unwrap(), entries);
    }

    #[test]
    fn a_damaged_archive_is_read_or_refused(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
        mend in any::<bool>(),
    ) {
        let mut archive = sample();
        for (at, byte) in changes {
            let at = at.index(archive.len());
            archive[at] = byte;
            if mend {
                mend_checksum(&mut archive, at / 512 * 512);
            }
        }
        if let Some(cut) = cut {
            archive.truncate(cut.index(archive.len()));
        }
        let limits = Limits { file_bytes: 1 << 30, ..Limits::default() };
        if let Ok(entries) = read(&archive, &limits) {
            prop_assert!(entries.len() <= archive.len() / 512);
        }
        // And in a root: the canary beside it is compared.
        let options = unpack::ApplyOptions { limits, ..unpack::ApplyOptions::default() };
        let _ = Sandbox::new().apply_with(&archive, &options);
    }

    #[test]
    fn any_bytes_are_decompressed_or_refused(
        magic in 0_usize..4,
        bytes in vec(any::<u8>(), 0..600),
    ) {
        let magic: &[u8] = [&b""[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0"][magic];
        let bytes = [magic, &bytes].concat();
        let limits = Limits { bytes: 1 << 20, ..Limits::default() };
        if let Ok(mut stream) = decompress(&bytes[..], &limits) {
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    }
}

/// Makes a block that looks like a header valid again.
pub(crate) fn mend_checksum(archive: &mut [u8], at: usize) {
    let block = &mut archive[at..at + 512];
    if &block[257..262] == b"ustar" {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
