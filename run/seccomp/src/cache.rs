//! Compiled filters on disk, by digest.
//!
//! One file a filter, named by 64 hexadecimal digits and `.bpf`:
//!
//! ```text
//! magic 8 | key 32 | flags u32 le | listener u8, 0, 0, 0 | instructions, 8 bytes each | sha256 32
//! ```
//!
//! The key is the SHA-256 of the filter, of the architecture and of the compiler's own source, and
//! is the file's name too; the sum at the end is over all before it. Whatever is not exactly so is
//! compiled anew and written again: a damaged file is never loaded.
//!
//! It pays a little for a profile of Docker's size (8 us against 19 for compiling; `cargo run
//! --release -p seccomp --example cost`), and more for one with thousands of conditions. The
//! profiles that come with Kista need none: from their tables they take 4 to 10 us.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci::runtime::Seccomp;
use rustix::fs::{CWD, Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::bpf::MAX_INSTRUCTIONS;
use crate::{Arch, Program, SeccompError, compile};

/// A directory of compiled filters.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

const MAGIC: [u8; 8] = *b"kistabpf";
const SUM_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + SUM_BYTES;
/// A program without instructions, between header and sum.
const EMPTY_BYTES: usize = 8;
const MAX_BYTES: usize = HEADER_BYTES + EMPTY_BYTES + MAX_INSTRUCTIONS * 8 + SUM_BYTES;

impl Cache {
    /// Uses `dir`, which is made (0700) when it is first needed. Nobody else may write there.
    pub fn open(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The compiled form of a filter, from the directory or made and kept there.
    ///
    /// A file that is damaged or cannot be read is compiled anew; one that cannot be written is
    /// done without. Fails only as [`compile`] does.
    pub fn get_or_compile(&self, filter: &Seccomp, native: Arch) -> Result<Program, SeccompError> {
        let key = key(filter, native);
        let path = self.dir.join(file_name(&key));
        if let Some(program) = read(&path).ok().and_then(|bytes| decode(&bytes, &key)) {
            return Ok(program);
        }
        let program = compile(filter, native)?;
        // The filter is there; that the next one has to be compiled too is no reason to fail.
        let _ = self.write(&key, &program);
        Ok(program)
    }

    fn write(&self, key: &[u8; SUM_BYTES], program: &Program) -> io::Result<()> {
        let open = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, &self.dir, flags, Mode::empty())
        };
        let dir = match open() {
            Err(rustix::io::Errno::NOENT) => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
                open()?
            }
            other => other?,
        };
        let bytes = encode(key, program);
        // No sync: what a power cut leaves is found to be damaged.
        sys::fs::replace_file(dir.as_fd(), &file_name(key), &bytes, false)
    }
}

fn file_name(key: &[u8; SUM_BYTES]) -> String {
    let mut name = String::with_capacity(68);
    for byte in key {
        for digit in [byte >> 4, byte & 15] {
            name.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    name + ".bpf"
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    let mut bytes = Vec::with_capacity(8 * 1024);
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn encode(key: &[u8; SUM_BYTES], program: &Program) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAX_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&program.to_bytes());
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

fn decode(bytes: &[u8], key: &[u8; SUM_BYTES]) -> Option<Program> {
    let (head, body) = bytes.split_at_checked(HEADER_BYTES)?;
    let (body, sum) = body.split_at_checked(body.len().checked_sub(SUM_BYTES)?)?;
    let intact = head[..MAGIC.len()] == MAGIC
        && head[MAGIC.len()..] == *key
        && Sha256::digest(&bytes[..bytes.len() - SUM_BYTES])[..] == *sum;
    let program = intact.then(|| Program::from_bytes(body))??;
    let length = program.instructions().len();
    (1..=MAX_INSTRUCTIONS).contains(&length).then_some(program)
}

/// A number that changes with the source of the compiler, so that none of its mistakes survives
/// its repair in a cache. (FNV-1a.)
const COMPILER: u64 = {
    const SOURCES: [&[u8]; 8] = [
        include_bytes!("arch.rs"),
        include_bytes!("bpf.rs"),
        include_bytes!("compile.rs"),
        include_bytes!("policy.rs"),
        include_bytes!("rules.rs"),
        include_bytes!("syscalls.rs"),
        include_bytes!("tree.rs"),
        include_bytes!("wire.rs"),
    ];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut source = 0;
    while source < SOURCES.len() {
        let mut at = 0;
        while at < SOURCES[source].len() {
            hash = (hash ^ SOURCES[source][at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        source += 1;
    }
    hash
};

/// The digest of everything that a program depends on.
fn key(filter: &Seccomp, native: Arch) -> [u8; SUM_BYTES] {
    // Every text with its length before it, every list with its count: no two filters are the
    // same bytes. The listener's path and metadata are not the program's business.
    let mut feed = Feed(Vec::with_capacity(16 * 1024));
    feed.number(COMPILER);
    feed.text(native.oci_name());
    feed.text(&filter.default_action);
    feed.option(filter.default_errno_ret);
    feed.texts(&filter.architectures);
    // No list and an empty one are two things.
    feed.number(filter.flags.is_some().into());
    feed.texts(filter.flags.as_deref().unwrap_or_default());
    feed.number(filter.syscalls.len() as u64);
    for rule in &filter.syscalls {
        feed.texts(&rule.names);
        feed.text(&rule.action);
        feed.option(rule.errno_ret);
        feed.number(rule.args.len() as u64);
        for argument in &rule.args {
            feed.number(argument.index.into());
            feed.number(argument.value);
            feed.number(argument.value_two);
            feed.text(&argument.op);
        }
    }
    Sha256::digest(&feed.0).into()
}

struct Feed(Vec<u8>);

impl Feed {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }

    fn option(&mut self, number: Option<u32>) {
        self.number(number.map_or(u64::MAX, u64::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;
    use std::fs;

    fn filter() -> Seccomp {
        profile::docker(profile::Capabilities::NONE)
    }

    fn only_file(dir: &Path) -> PathBuf {
        let mut files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let file = files.next().unwrap();
        assert_eq!(files.next(), None, "one file a filter, and nothing temporary");
        file
    }

    #[test]
    fn the_second_time_it_comes_from_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        let cache = Cache::open(&dir);
        let compiled = cache.get_or_compile(&filter(), Arch::NATIVE).unwrap();
        assert_eq!(compiled, compile(&filter(), Arch::NATIVE).unwrap());
        // Another program under the same key shows where the answer comes from.
        let other = Program::new(vec![[6, 0, 0, 0, 0, 0, 0xff, 0x7f]], 4, false);
        let key = key(&filter(), Arch::NATIVE);
        fs::write(only_file(&dir), encode(&key, &other)).unwrap();
        assert_eq!(cache.get_or_compile(&filter(), Arch::NATIVE).unwrap(), other);
    }

    #[test]
    fn a_damaged_file_is_compiled_anew_and_mended() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path());
        let compiled = cache.get_or_compile(&filter(), Arch::NATIVE).unwrap();
        let path = only_file(temp.path());
        let good = fs::read(&path).unwrap();
        let mut damaged: Vec<Vec<u8>> = vec![Vec::new(), vec![0; 200_000], good[..40].to_vec()];
        damaged.extend([1, 8, 31, 32, 100].map(|cut| good[..good.len() - cut].to_vec()));
        for at in (0..good.len()).step_by(97).chain([good.len() - 1]) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            damaged.push(bytes);
        }
        damaged.push([good.clone(), vec![0]].concat());
        for bytes in damaged {
            fs::write(&path, &bytes).unwrap();
            assert_eq!(cache.get_or_compile(&filter(), Arch::NATIVE).unwrap(), compiled);
            assert_eq!(fs::read(&path).unwrap(), good, "mended");
        }
    }

    #[test]
    fn a_whole_file_of_another_filter_is_not_taken() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(temp.path());
        let strict = profile::strict(profile::Capabilities::NONE);
        cache.get_or_compile(&filter(), Arch::NATIVE).unwrap();
        let loose = only_file(temp.path());
        let name = file_name(&key(&strict, Arch::NATIVE));
        fs::rename(loose, temp.path().join(name)).unwrap();
        let got = cache.get_or_compile(&strict, Arch::NATIVE).unwrap();
        assert_eq!(got, compile(&strict, Arch::NATIVE).unwrap());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_done_without() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Cache::open(&file.join("below")).get_or_compile(&filter(), Arch::NATIVE).is_ok());
    }

    #[test]
    fn each_part_of_a_filter_changes_the_key() {
        let key = |change: fn(&mut Seccomp)| {
            let mut filter = filter();
            change(&mut filter);
            key(&filter, Arch::X86_64)
        };
        let keys = [
            key(|_| {}),
            key(|f| f.default_errno_ret = None),
            key(|f| f.architectures.clear()),
            key(|f| f.flags = Some(Vec::new())),
            key(|f| f.flags = Some(vec!["SECCOMP_FILTER_FLAG_LOG".to_owned()])),
            key(|f| drop(f.syscalls.pop())),
            key(|f| drop(f.syscalls[0].names.pop())),
            key(|f| f.syscalls[0].action.push('X')),
            key(|f| f.syscalls.swap(0, 1)),
        ];
        for (place, one) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(one), "{place}");
        }
    }
}
