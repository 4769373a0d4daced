//! The files of one log: the newest is written, older ones are kept or dropped.
//!
//! `container.log`, then `container.log.1` and so on, older with each number. A file is renamed
//! when it has reached its size; with one file in all it is emptied instead.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Driver, FILE_NAME, tail};

/// The newest file, once something was written.
#[derive(Debug)]
pub(super) struct Files {
    dir: OwnedFd,
    driver: Driver,
    max_bytes: u64,
    max_files: u32,
    file: Option<OwnedFd>,
    /// The size of the newest file, as far as it holds whole entries.
    size: u64,
}

/// The name of a file that was renamed `age` times.
pub(super) fn name(age: u32) -> String {
    match age {
        0 => FILE_NAME.to_owned(),
        age => format!("{FILE_NAME}.{age}"),
    }
}

impl Files {
    pub(super) fn new(
        dir: OwnedFd,
        driver: Driver,
        max_bytes: Option<u64>,
        max_files: u32,
    ) -> Self {
        let max_bytes = max_bytes.unwrap_or(u64::MAX);
        Self { dir, driver, max_bytes, max_files, file: None, size: 0 }
    }

    /// Whether the newest file, with `more` bytes in it, has reached its size.
    pub(super) fn is_full(&self, more: usize) -> bool {
        self.size.saturating_add(more as u64) >= self.max_bytes
    }

    /// Opens the newest file, as it was left.
    pub(super) fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        // Never through a link: the directory is ours, and what is not a file of ours is not
        // written to.
        let flags =
            OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, FILE_NAME, flags, Mode::from_raw_mode(0o640))?;
        let size = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        // A shim that was killed while it wrote left a torn entry, after which nothing would be
        // understood.
        self.size = tail::whole_bytes(file.as_fd(), self.driver, size)?;
        if self.size < size {
            rustix::fs::ftruncate(&file, self.size)?;
        }
        self.file = Some(file);
        Ok(())
    }

    /// Appends whole entries: all of them or nothing.
    pub(super) fn append(&mut self, entries: &[u8]) -> io::Result<()> {
        self.open()?;
        let Some(file) = &self.file else { return Ok(()) };
        match write_all(file.as_fd(), entries) {
            Ok(()) => {
                self.size += entries.len() as u64;
                Ok(())
            }
            Err(errno) => {
                // What a full disk took of them would be a torn entry.
                let _ = rustix::fs::ftruncate(file, self.size);
                Err(errno.into())
            }
        }
    }

    /// Starts a new file.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        self.open()?;
        if self.max_files <= 1 {
            if let Some(file) = &self.file {
                rustix::fs::ftruncate(file, 0)?;
            }
            self.size = 0;
            return Ok(());
        }
        for age in (0..self.max_files - 1).rev() {
            match rustix::fs::renameat(&self.dir, name(age), &self.dir, name(age + 1)) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.file = None;
        self.open()
    }
}

fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
