//! The reading side: entries of all files in order, from the end, by time, and as they come.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{CWD, Dir, Mode, OFlags, inotify};
use rustix::io::Errno;

use super::lines::find_line_feed;
use super::{Driver, Entry, FILE_NAME, Stream, json_file, local, rotation, tail};
use crate::ShimError;

/// What is wanted of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// Nothing before this time.
    pub since: Option<Timestamp>,
    /// Nothing after this time.
    pub until: Option<Timestamp>,
    /// Only the last so many entries of all, before anything else is left out.
    pub tail: Option<u64>,
    /// Wait for more for as long as the container lives.
    pub follow: bool,
    /// Entries of standard output.
    pub stdout: bool,
    /// Entries of standard error.
    pub stderr: bool,
}

impl Default for ReadOptions {
    /// Everything that is there.
    fn default() -> Self {
        Self { since: None, until: None, tail: None, follow: false, stdout: true, stderr: true }
    }
}

/// Reads a container's log, of the drivers json-file and local.
///
/// Rotation while it reads loses nothing that was not dropped before it was read.
pub struct Reader<'a> {
    path: PathBuf,
    dir: OwnedFd,
    driver: Driver,
    options: ReadOptions,
    is_alive: Box<dyn FnMut() -> bool + 'a>,
    /// What is still to be read, the next one last; each with the place to start at.
    files: Vec<(File, u64)>,
    current: Option<Current>,
    events: Option<OwnedFd>,
    is_last_look: bool,
}

/// The file that is being read.
#[derive(Debug)]
struct Current {
    file: File,
    identity: (u64, u64),
    /// Where in the file the buffer's end is.
    position: u64,
    buffer: Vec<u8>,
    start: usize,
}

/// How much is read at once.
const BLOCK: usize = 64 * 1024;
/// The longest line of JSON: all of a line's bytes escaped, and attributes.
const MAX_RECORD: usize = 1024 * 1024;
/// How long a reader that follows sleeps at most: what ends it need not touch the log.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

impl<'a> Reader<'a> {
    /// Opens the log in a container's directory; one that was never written to is empty.
    ///
    /// `is_alive` tells whether the container may still write: whether its life lock is held. It
    /// is only asked when following. [`ShimError::NotReadable`] for drivers that keep nothing.
    pub fn open(
        container_dir: &Path,
        driver: Driver,
        options: ReadOptions,
        is_alive: impl FnMut() -> bool + 'a,
    ) -> Result<Self, ShimError> {
        if !matches!(driver, Driver::JsonFile | Driver::Local) {
            return Err(ShimError::NotReadable);
        }
        let failed = |source| ShimError::Log {
            action: "open the log in",
            path: container_dir.to_owned(),
            source,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, container_dir, flags, Mode::empty())
            .map_err(|errno| failed(errno.into()))?;
        let mut reader = Self {
            path: container_dir.join(FILE_NAME),
            dir,
            driver,
            options,
            is_alive: Box::new(is_alive),
            files: Vec::new(),
            current: None,
            events: None,
            is_last_look: false,
        };
        if reader.options.follow {
            // Before the first look, so that nothing comes unseen. Without (there are few of
            // them for each user) the directory is looked at once a second.
            reader.events = watch(&reader.dir).ok();
        }
        reader.files = reader.choose().map_err(failed)?;
        Ok(reader)
    }

    /// The next entry; `None` at the end, or when following, when the container has ended.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ShimError> {
        loop {
            let next = self.read();
            let path = self.path.clone();
            let entry = next.map_err(|source| ShimError::Log { action: "read", path, source })?;
            let Some(entry) = entry else { return Ok(None) };
            let wanted = match entry.stream {
                Stream::Stdout => self.options.stdout,
                Stream::Stderr => self.options.stderr,
            };
            if self.options.until.is_some_and(|until| entry.time > until) {
                return Ok(None);
            }
            if wanted && self.options.since.is_none_or(|since| entry.time >= since) {
                return Ok(Some(entry));
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(entry) = current.next(self.driver)?
            {
                self.is_last_look = false;
                return Ok(Some(entry));
            }
            if let Some((file, position)) = self.files.pop() {
                self.current = Some(Current::new(file, position)?);
                continue;
            }
            if !self.options.follow {
                return Ok(None);
            }
            if self.find_newer()? {
                continue;
            }
            if self.is_last_look || self.is_over() {
                return Ok(None);
            }
            if (self.is_alive)() {
                self.wait()?;
            } else {
                // What was written between the last read and the end.
                self.is_last_look = true;
            }
        }
    }

    /// Whether the clock has passed the last time that is wanted.
    fn is_over(&self) -> bool {
        self.options.until.is_some_and(|until| Timestamp::now() > until)
    }

    /// The files to read, the oldest last, with the places to start at.
    fn choose(&self) -> io::Result<Vec<(File, u64)>> {
        let mut chosen = Vec::new();
        let mut left = self.options.tail;
        for file in self.newest_first()? {
            if left == Some(0) && !chosen.is_empty() {
                break;
            }
            let stat = rustix::fs::fstat(&file)?;
            // Nothing in the file is later than its last write.
            let is_early = |since: Timestamp| Timestamp::from_unix(stat.st_mtime, u32::MAX) < since;
            if !chosen.is_empty() && self.options.since.is_some_and(is_early) {
                break;
            }
            let mut start = 0;
            if let Some(count) = left {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                let found;
                (start, found) = tail::last_entries(file.as_fd(), self.driver, size, count)?;
                left = Some(count - found);
            }
            chosen.push((file, start));
        }
        Ok(chosen)
    }

    /// Every file, each once although a rotation may go on meanwhile: whoever is opened second
    /// can only have become older.
    fn newest_first(&self) -> io::Result<Vec<File>> {
        let mut files: Vec<(File, (u64, u64))> = Vec::new();
        for age in self.ages()? {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let name = rotation::name(age);
            match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
                Ok(fd) => {
                    let file = File::from(fd);
                    let identity = identity(&file)?;
                    if files.iter().all(|(_, known)| *known != identity) {
                        files.push((file, identity));
                    }
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(files.into_iter().map(|(file, _)| file).collect())
    }

    /// How often each of the files was renamed, the newest first.
    fn ages(&self) -> io::Result<Vec<u32>> {
        let mut ages = vec![0];
        for entry in Dir::read_from(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            let age = name.strip_prefix(FILE_NAME).and_then(|rest| rest.strip_prefix('.'));
            ages.extend(age.and_then(|age| age.parse::<u32>().ok()).filter(|age| *age > 0));
        }
        // One more than are there: a rotation may be under way.
        ages.sort_unstable();
        let oldest = ages.last().map_or(0, |age| age.saturating_add(1));
        ages.push(oldest);
        Ok(ages)
    }

    /// Whether there are newer files than the one that was read to its end, or it was emptied.
    fn find_newer(&mut self) -> io::Result<bool> {
        let Some(current) = &mut self.current else {
            self.files = self.newest_first()?.into_iter().map(|file| (file, 0)).collect();
            return Ok(!self.files.is_empty());
        };
        let size = current.file.metadata()?.len();
        if size < current.position {
            current.rewind(0)?;
            return Ok(size > 0);
        }
        if size > current.position {
            return Ok(true);
        }
        let newest = rustix::fs::statat(&self.dir, FILE_NAME, rustix::fs::AtFlags::empty());
        match newest {
            Ok(stat) if (stat.st_dev, stat.st_ino) == current.identity => return Ok(false),
            Err(Errno::NOENT) => return Ok(false),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let identity = current.identity;
        let mut newer = Vec::new();
        for file in self.newest_first()? {
            if self::identity(&file)? == identity {
                break;
            }
            newer.push((file, 0));
        }
        // What came into the old file after its end was read and before it was renamed.
        self.files = newer;
        if let Some(current) = &mut self.current
            && current.file.metadata()?.len() > current.position
        {
            self.files.clear();
        }
        Ok(true)
    }

    /// Waits until something may have happened.
    fn wait(&self) -> io::Result<()> {
        let Some(events) = &self.events else {
            std::thread::sleep(Duration::from_millis(250));
            return Ok(());
        };
        let mut fds = [PollFd::new(events, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&LOOK_AGAIN)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        // What they say is found out by looking.
        let mut buffer = [0; 4096];
        match rustix::io::read(events, &mut buffer) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Everything that a shim does to the log, and its end: it closes the file, and the engine
/// writes the status.
fn watch(dir: &OwnedFd) -> io::Result<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let flags = WatchFlags::MODIFY
        | WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::DELETE_SELF;
    inotify::add_watch(&events, sys::fs::fd_path(dir.as_fd()), flags)?;
    Ok(events)
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

impl Current {
    fn new(file: File, position: u64) -> io::Result<Self> {
        let identity = identity(&file)?;
        let mut current = Self { file, identity, position, buffer: Vec::new(), start: 0 };
        current.rewind(position)?;
        Ok(current)
    }

    fn rewind(&mut self, position: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(position))?;
        self.position = position;
        self.buffer.clear();
        self.start = 0;
        Ok(())
    }

    /// The next entry that is whole. Damaged ones are passed over.
    fn next(&mut self, driver: Driver) -> io::Result<Option<Entry>> {
        loop {
            let unread = &self.buffer[self.start..];
            let (entry, size) = match driver {
                Driver::Local => match local::decode(unread) {
                    Some((entry, size)) => (Some(entry), size),
                    None => (None, 0),
                },
                _ => match find_line_feed(unread) {
                    Some(end) => (json_file::decode(&unread[..end]), end + 1),
                    None => (None, 0),
                },
            };
            self.start += size;
            if entry.is_some() {
                return Ok(entry);
            }
            if size == 0 && !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads more; `false` at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.len() > MAX_RECORD {
            self.buffer.clear(); // nothing of ours
        }
        let old = self.buffer.len();
        self.buffer.resize(old + BLOCK, 0);
        let count = self.file.read(&mut self.buffer[old..]);
        self.buffer.truncate(old + *count.as_ref().unwrap_or(&0));
        let count = count?;
        self.position += count as u64;
        Ok(count > 0)
    }
}
