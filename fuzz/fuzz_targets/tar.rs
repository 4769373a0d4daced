//! tar: every archive ends, what it shows keeps its promises, and what is read can be written
//! so that it reads back as the same.
#![no_main]

use std::io::Read;

use unpack::tar::{Entry, Kind, MAX_NAME_BYTES, MAX_PATH_BYTES, Reader, Writer};

/// Enough for what a few kilobytes of archive describe, holes left out.
const MAX_CONTENT_BYTES: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits =
        unpack::Limits { file_bytes: 1 << 24, sparse_regions: 1 << 10, ..Default::default() };
    let mut reader = Reader::with_limits(bytes, &limits);
    let mut entry = Entry::default();
    let mut writer = Writer::new(Vec::new());
    let mut kept = Vec::new();
    while let Ok(true) = reader.next_entry(&mut entry) {
        assert!(!entry.path.is_empty() && entry.path.len() <= MAX_PATH_BYTES);
        assert!(!entry.path.contains(&0) && !entry.link.contains(&0));
        assert!(entry.path.split(|byte| *byte == b'/').all(|name| name.len() <= MAX_NAME_BYTES));
        assert!(entry.mode & !0o7777 == 0 && entry.uid != u32::MAX && entry.gid != u32::MAX);
        assert!(entry.mtime.nanoseconds < 1_000_000_000 && entry.size <= limits.file_bytes);
        let mut content = Vec::new();
        let mut contents = reader.contents(&entry).take(MAX_CONTENT_BYTES);
        if contents.read_to_end(&mut content).is_err() {
            break;
        }
        if entry.sparse.is_some() || u64::try_from(content.len()) != Ok(entry.size) {
            continue;
        }
        if writer.append(&entry, content.as_slice()).is_ok() {
            kept.push((entry.clone(), content));
        }
    }
    let Ok(written) = writer.finish() else { return };
    let mut again = Reader::new(written.as_slice());
    for (expected, content) in kept {
        assert!(again.next_entry(&mut entry).expect("our own archive"));
        assert_eq!(entry, expected);
        let mut found = Vec::new();
        again.contents(&entry).read_to_end(&mut found).expect("our own archive");
        assert!(found == content || entry.kind != Kind::File);
    }
    assert!(!again.next_entry(&mut entry).expect("our own archive"));
});
