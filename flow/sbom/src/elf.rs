//! Sections of programs by their names. elf(5); 64 bits, lowest byte first, as on all machines that
//! Kista runs on.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The most that is read of a program at once.
const LARGEST: usize = 16 << 20;

/// The sections of a program.
pub(crate) struct Sections {
    file: File,
    headers: Vec<u8>,
    names: Vec<u8>,
}

const HEADER: usize = 64;
const SECTION: usize = 64;

impl Sections {
    /// `None` if the file is no program of this kind.
    pub(crate) fn of(file: File) -> Option<Self> {
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).ok()?;
        if !header.starts_with(b"\x7fELF\x02\x01\x01") {
            return None;
        }
        let offset = number(&header, 40, 8)?;
        let (size, count) = (number(&header, 58, 2)?, number(&header, 60, 2)?);
        let names = usize::try_from(number(&header, 62, 2)?).ok()?;
        if size != SECTION as u64 {
            return None;
        }
        let headers = read(&file, offset, count * size)?;
        let mut sections = Self { file, headers, names: Vec::new() };
        let at = sections.place(names)?;
        sections.names = read(&sections.file, at.0, at.1)?;
        Some(sections)
    }

    /// What a section holds, if it is there and has at most `limit` bytes.
    pub(crate) fn find(&self, name: &str, limit: u64) -> Option<Vec<u8>> {
        let count = self.headers.len() / SECTION;
        let at = (0..count).find(|at| self.name(*at) == Some(name.as_bytes()))?;
        let (offset, size) = self.place(at)?;
        (size <= limit).then(|| read(&self.file, offset, size))?
    }

    fn name(&self, at: usize) -> Option<&[u8]> {
        let start = usize::try_from(number(&self.headers, at * SECTION, 4)?).ok()?;
        self.names.get(start..)?.split(|byte| *byte == 0).next()
    }

    /// Offset and size.
    fn place(&self, at: usize) -> Option<(u64, u64)> {
        let start = at * SECTION;
        Some((number(&self.headers, start + 24, 8)?, number(&self.headers, start + 32, 8)?))
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let mut wide = [0; 8];
    wide[..length].copy_from_slice(bytes.get(at..at + length)?);
    Some(u64::from_le_bytes(wide))
}

fn read(file: &File, offset: u64, size: u64) -> Option<Vec<u8>> {
    let size = usize::try_from(size).ok().filter(|size| *size <= LARGEST)?;
    // A size that no file has is not allocated.
    if offset.checked_add(size as u64)? > file.metadata().ok()?.len() {
        return None;
    }
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}
