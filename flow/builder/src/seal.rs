//! A directory in overlay form to a layer's tar, and so to its DiffID.
//!
//! The same files give the same bytes: names in byte order, times in whole seconds, numbers for
//! owners, only attributes that mean something in another place. What overlayfs wrote for itself
//! (`trusted.overlay.*`) stays out; its whiteouts become those of the image-spec.

use std::collections::HashMap;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::Timestamp;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps, major, minor, utimensat,
};
use rustix::io::Errno;
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
    write_as(folder, epoch, overlay, false, out)
}

/// As [`write`], of a directory in overlay form in which somebody writes meanwhile: a file that is
/// gone or is none any more is left out, and one that has become shorter is filled with zeros.
pub(crate) fn write_changing(
    folder: BorrowedFd<'_>,
    out: impl Write,
) -> Result<Sealed, BuildError> {
    write_as(folder, None, true, true, out)
}

/// Writes a plain directory as a tar, with files beside it, which are as old as `time` says or are
/// new.
pub(crate) fn write_beside(
    folder: BorrowedFd<'_>,
    time: Option<Timestamp>,
    beside: &[(String, Vec<u8>)],
    out: impl Write,
) -> Result<Sealed, BuildError> {
    let seconds = time.unwrap_or_else(Timestamp::now).unix_seconds();
    write_all(folder, None, false, false, out, |tar| {
        for (name, bytes) in beside {
            let entry = TarEntry {
                path: name.as_bytes().to_vec(),
                mode: 0o600,
                size: bytes.len() as u64,
                mtime: Time { seconds, nanoseconds: 0 },
                ..TarEntry::default()
            };
            tar.append(&entry, bytes.as_slice())?;
        }
        Ok(())
    })
}

fn write_as(
    folder: BorrowedFd<'_>,
    epoch: Option<i64>,
    overlay: bool,
    changing: bool,
    out: impl Write,
) -> Result<Sealed, BuildError> {
    write_all(folder, epoch, overlay, changing, out, |_| Ok(()))
}

fn write_all<W: Write>(
    folder: BorrowedFd<'_>,
    epoch: Option<i64>,
    overlay: bool,
    changing: bool,
    out: W,
    last: impl FnOnce(&mut Writer<W>) -> io::Result<()>,
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
        changing,
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
    last(&mut writer.tar).map_err(failed)?;
    writer.tar.finish().and_then(|mut out| out.flush()).map_err(failed)?;
    Ok(Sealed { usage })
}

struct Sealer<W> {
    tar: Writer<W>,
    epoch: Option<i64>,
    overlay: bool,
    changing: bool,
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
                let Some((file, stat)) = open_plain(folder, name)? else {
                    return match self.changing {
                        true => Ok(()),
                        false => Err(io::Error::other("it was replaced while it was read")),
                    };
                };
                let inode = (stat.st_dev, stat.st_ino);
                if stat.st_nlink > 1 {
                    if let Some(first) = self.links.get(&inode) {
                        tar.kind = Kind::HardLink;
                        tar.link.clone_from(first);
                        return self.tar.append(&tar, io::empty());
                    }
                    self.links.insert(inode, entry.path.clone());
                }
                tar.xattrs = named(attributes(file.as_fd())?);
                tar.size = u64::try_from(stat.st_size).unwrap_or(0);
                self.usage.bytes += tar.size;
                let content = Buffered::new(file, tar.size);
                match self.changing {
                    true => self.tar.append(&tar, content.chain(io::repeat(0)).take(tar.size)),
                    false => self.tar.append(&tar, content),
                }
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

/// Opens a regular file; `None` if it is another thing by now, or gone. A device that somebody has
/// put in its place is not opened.
fn open_plain(folder: BorrowedFd<'_>, name: &CString) -> io::Result<Option<(OwnedFd, Stat)>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        found => found?,
    };
    let stat = rustix::fs::fstat(&found)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let path = sys::fs::fd_path(found.as_fd());
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Some((file, stat)))
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
    fn new(file: OwnedFd, size: u64) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX).clamp(1, 256 << 10);
        Self { file: io::BufReader::with_capacity(size, file.into()) }
    }
}

impl Read for Buffered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_what_is_a_file_is_opened() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("file"), "text").unwrap();
        std::os::unix::fs::symlink("file", temp.path().join("link")).unwrap();
        let folder = fs::File::open(temp.path()).unwrap();
        let fifo = c"fifo";
        rustix::fs::mknodat(&folder, fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let open = |name: &std::ffi::CStr| open_plain(folder.as_fd(), &name.to_owned()).unwrap();
        let (file, stat) = open(c"file").unwrap();
        assert_eq!(
            (io::read_to_string(fs::File::from(file)).unwrap(), stat.st_size),
            ("text".into(), 4)
        );
        for name in [c"link", c"gone", fifo, c"."] {
            assert!(open(name).is_none(), "{name:?}");
        }
    }
}
