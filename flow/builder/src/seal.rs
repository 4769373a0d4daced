//! A directory in overlay form to a layer's tar, and so to its DiffID.
//!
//! The same files give the same bytes: names in byte order, times in whole seconds, numbers for
//! owners, only attributes that mean something in another place. What overlayfs wrote for itself
//! (`trusted.overlay.*`) stays out; its whiteouts become those of the image-spec.

use std::collections::HashMap;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, major, minor, utimensat,
};
use snapshots::LayerUsage;
use unpack::tar::{Entry as TarEntry, Kind, Time, Writer};

use crate::BuildError;
use crate::digests::attributes;
use crate::tree::{Entry, Everything, Found, walk};

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) usage: LayerUsage,
}

/// Writes a layer's directory as a tar.
///
/// With `epoch`, in seconds, whatever is younger becomes as old as that, also in the directory.
/// Without `overlay` the directory is a plain one and devices 0:0 are devices.
pub(crate) fn write(
    folder: BorrowedFd<'_>,
    epoch: Option<i64>,
    overlay: bool,
    out: impl Write,
) -> Result<Sealed, BuildError> {
    let failed = |error| BuildError::io("write", "the layer")(error);
    let top = Found {
        file: folder.try_clone_to_owned().map_err(failed)?,
        stat: rustix::fs::fstat(folder).map_err(|errno| failed(errno.into()))?,
        real: Vec::new(),
    };
    let mut writer = Sealer {
        tar: Writer::new(out),
        epoch,
        overlay,
        links: HashMap::new(),
        usage: LayerUsage::default(),
    };
    walk(&top, &Everything, &mut |folder, name, entry| {
        writer.add(folder, name, &entry).map_err(|source| BuildError::Io {
            action: "read",
            path: String::from_utf8_lossy(&entry.path).into_owned().into(),
            source,
        })
    })?;
    let usage = writer.usage;
    writer.tar.finish().and_then(|mut out| out.flush()).map_err(failed)?;
    Ok(Sealed { usage })
}

struct Sealer<W> {
    tar: Writer<W>,
    epoch: Option<i64>,
    overlay: bool,
    /// The first name of a file with several.
    links: HashMap<(u64, u64), Vec<u8>>,
    usage: LayerUsage,
}

impl<W: Write> Sealer<W> {
    fn add(&mut self, folder: BorrowedFd<'_>, name: &CString, entry: &Entry) -> io::Result<()> {
        let stat = &entry.stat;
        self.usage.entries += 1;
        if self.overlay && is_whiteout(stat) {
            return self.tar.append(&whiteout(&entry.path, entry.name()), io::empty());
        }
        let mut tar = TarEntry {
            path: entry.path.clone(),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Time { seconds: self.time(folder, name, stat)?, nanoseconds: 0 },
            ..TarEntry::default()
        };
        tar.kind = match entry.kind() {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => {
                Kind::CharDevice { major: major(stat.st_rdev), minor: minor(stat.st_rdev) }
            }
            FileType::BlockDevice => {
                Kind::BlockDevice { major: major(stat.st_rdev), minor: minor(stat.st_rdev) }
            }
            FileType::RegularFile => Kind::File,
            // A socket means nothing without the process that listened.
            _ => return Ok(()),
        };
        match tar.kind {
            Kind::Directory => {
                tar.path.push(b'/');
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(folder, name, flags, Mode::empty())?;
                tar.xattrs = named(attributes(opened.as_fd())?);
                self.tar.append(&tar, io::empty())?;
                let mark = sys::overlay::opaque();
                if self.overlay
                    && sys::fs::get_xattr(opened.as_fd(), mark)?.as_deref() == Some(b"y")
                {
                    tar.path.extend_from_slice(b".wh..wh..opq");
                    let opaque = TarEntry { path: tar.path, ..TarEntry::default() };
                    self.tar.append(&opaque, io::empty())?;
                }
                Ok(())
            }
            Kind::Symlink => {
                tar.link.clone_from(&entry.link);
                tar.mode = 0o777;
                self.tar.append(&tar, io::empty())
            }
            Kind::File => {
                let inode = (stat.st_dev, stat.st_ino);
                if stat.st_nlink > 1 {
                    if let Some(first) = self.links.get(&inode) {
                        tar.kind = Kind::HardLink;
                        tar.link.clone_from(first);
                        return self.tar.append(&tar, io::empty());
                    }
                    self.links.insert(inode, entry.path.clone());
                }
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
                tar.xattrs = named(attributes(file.as_fd())?);
                tar.size = u64::try_from(stat.st_size).unwrap_or(0);
                self.usage.bytes += tar.size;
                self.tar.append(&tar, Buffered::new(file, tar.size))
            }
            _ => self.tar.append(&tar, io::empty()),
        }
    }

    /// When it was changed, in seconds; never later than the epoch.
    #[expect(clippy::unnecessary_cast, reason = "the fields' types differ by architecture")]
    fn time(&self, folder: BorrowedFd<'_>, name: &CString, stat: &Stat) -> io::Result<i64> {
        let seconds = stat.st_mtime as i64;
        match self.epoch {
            Some(epoch) if (seconds, stat.st_mtime_nsec as i64) > (epoch, 0) => {
                let time = Timespec { tv_sec: epoch, tv_nsec: 0 };
                let times = Timestamps { last_access: time, last_modification: time };
                utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
                Ok(epoch)
            }
            _ => Ok(seconds),
        }
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn whiteout(path: &[u8], name: &[u8]) -> TarEntry {
    let folder = &path[..path.len() - name.len()];
    TarEntry { path: [folder, b".wh.", name].concat(), ..TarEntry::default() }
}

fn named(attributes: Vec<(CString, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    attributes.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect()
}

/// A file in large pieces: the tar's own copying reads in small ones.
struct Buffered {
    file: io::BufReader<std::fs::File>,
}

impl Buffered {
    fn new(file: std::os::fd::OwnedFd, size: u64) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX).clamp(1, 256 << 10);
        Self { file: io::BufReader::with_capacity(size, file.into()) }
    }
}

impl Read for Buffered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}
