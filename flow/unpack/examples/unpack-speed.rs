//! Measures unpacking: `unpack-speed DIRECTORY ARCHIVE [RUNS]`.
//!
//! Unpacks the archive, compressed or not, as a layer into a store in a new directory below
//! DIRECTORY, RUNS times, and prints for each run seconds, entries per second and megabytes per
//! second of the uncompressed archive's files. `unpack-speed make small|large ARCHIVE` writes the
//! archives that the figures in the commits are about: 20,000 files of 0 to 4 KiB in 1,000
//! directories, or 300 MB in six files that compress about three to one.
#![allow(clippy::print_stdout, reason = "it is a program")]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

use snapshots::Snapshots;
use unpack::Expected;
use unpack::tar::{Entry, Kind, Time, Writer};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", "small", path] => small(path),
        ["make", "large", path] => large(path),
        [directory, archive] => run(directory, archive, 5),
        [directory, archive, runs] => run(directory, archive, runs.parse()?),
        _ => Err("usage: unpack-speed DIRECTORY ARCHIVE [RUNS] | make small|large ARCHIVE".into()),
    }
}

fn run(directory: &str, archive: &str, runs: usize) -> Result<(), Box<dyn Error>> {
    for _ in 0..runs {
        let root = tempfile::tempdir_in(directory)?;
        let snapshots = Snapshots::open(root.path())?;
        let source = File::open(archive)?;
        // What earlier runs left to be written is not this one's cost.
        rustix::fs::sync();
        let begin = Instant::now();
        let unpacked = unpack::layer(source, Expected::default(), &snapshots)?;
        let seconds = begin.elapsed().as_secs_f64();
        let applied = unpacked.applied;
        println!(
            "{seconds:.3} s  {:.0} entries/s  {:.0} MB/s  ({} entries, {} bytes, {:?})",
            applied.entries as f64 / seconds,
            applied.bytes as f64 / seconds / 1e6,
            applied.entries,
            applied.bytes,
            unpacked.compression,
        );
    }
    Ok(())
}

/// Repeatable bytes: xorshift, so that nothing depends on a crate's generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Text of words out of 4,096, which compresses as programs do.
    fn text(&mut self, length: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(length + 16);
        while text.len() < length {
            let word = (self.next() % 4096).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            text.extend_from_slice(&word.to_le_bytes()[2..]);
        }
        text.truncate(length);
        text
    }
}

fn entry(path: String, kind: Kind, size: usize) -> Entry {
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    let mtime = Time { seconds: 1_700_000_000, nanoseconds: 0 };
    Entry { path: path.into_bytes(), kind, mode, mtime, size: size as u64, ..Entry::default() }
}

fn small(path: &str) -> Result<(), Box<dyn Error>> {
    let mut tar = Writer::new(BufWriter::new(File::create_new(path)?));
    let mut random = Random(1);
    for outer in 0..1000 {
        tar.append(&entry(format!("usr/share/d{outer}/"), Kind::Directory, 0), &b""[..])?;
        for inner in 0..20 {
            let size = (random.next() % 4096) as usize;
            let file = entry(format!("usr/share/d{outer}/file-{inner}"), Kind::File, size);
            tar.append(&file, &random.text(size)[..])?;
        }
    }
    Ok(tar.finish()?.flush()?)
}

fn large(path: &str) -> Result<(), Box<dyn Error>> {
    let mut tar = Writer::new(BufWriter::new(File::create_new(path)?));
    let mut random = Random(2);
    for index in 0..6 {
        let text = random.text(50_000_000);
        tar.append(&entry(format!("opt/blob-{index}"), Kind::File, text.len()), &text[..])?;
    }
    Ok(tar.finish()?.flush()?)
}
