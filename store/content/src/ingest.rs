//! Blobs on their way in: write, stage, publish.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use oci::{Algorithm, Digest};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sys::bulk;

use crate::{Content, ContentError, Durability, Hasher, SHA512, failed, open_directory};

/// A blob that is being written, hashed on the way. Dropping it removes the file.
#[derive(Debug)]
pub struct Ingest {
    file: Temporary,
    writer: bulk::Writer,
    hasher: Hasher,
    size: u64,
}

/// A whole blob with a known digest, not yet published. Dropping it removes the file.
#[derive(Debug)]
pub struct Staged {
    file: Temporary,
    digest: Digest,
    size: u64,
}

/// A file below `ingest`, locked for as long as it is open.
#[derive(Debug)]
struct Temporary {
    content: Content,
    file: OwnedFd,
    name: String,
    /// Whether the name is still ours to remove.
    named: bool,
}

impl Ingest {
    pub(crate) fn create(content: &Content, algorithm: Algorithm) -> Result<Self, ContentError> {
        let file = Temporary::create(content)?;
        let (writer, hasher) = (bulk::Writer::default(), Hasher::new(algorithm));
        Ok(Self { file, writer, hasher, size: 0 })
    }

    /// Adds bytes. After an error the blob is good for nothing but to be dropped.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        let written = self.writer.write(self.file.file.as_fd(), bytes);
        written.map_err(|source| self.file.cannot_write(source))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Adds what `read` puts into the memory that it is given, from where it is written: no copy is
    /// made of it. `Ok(Ok(0))` if it put nothing there.
    ///
    /// The inner error is `read`'s, after which the blob is as it was.
    pub fn fill(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> Result<io::Result<usize>, ContentError> {
        let count = match read(self.writer.room()) {
            Ok(count) => count,
            Err(error) => return Ok(Err(error)),
        };
        let (file, hasher) = (self.file.file.as_fd(), &mut self.hasher);
        let written = self.writer.advance(file, count, |bytes| hasher.update(bytes));
        written.map_err(|source| self.file.cannot_write(source))?;
        self.size += count as u64;
        Ok(Ok(count))
    }

    /// Says that nothing more comes for a while: what takes memory is given back.
    pub fn rest(&mut self) -> Result<(), ContentError> {
        let rested = self.writer.rest(self.file.file.as_fd());
        rested.map_err(|source| self.file.cannot_write(source))
    }

    /// How many bytes were added so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// By which algorithm its digest is made.
    pub fn algorithm(&self) -> Algorithm {
        self.hasher.algorithm()
    }

    /// Ends the blob and compares it with what was announced. `None` announces nothing.
    ///
    /// [`ContentError::Size`] or [`ContentError::Mismatch`] if it is something else; nothing is
    /// left of it then. An expected digest is computed by its own algorithm only if the blob was
    /// begun with it ([`Content::ingest_with`]); otherwise it is a mismatch.
    pub fn stage(
        self,
        expected: Option<&Digest>,
        expected_size: Option<u64>,
    ) -> Result<Staged, ContentError> {
        let (digest, size) = (self.hasher.finish(), self.size);
        if let Some(expected) = expected_size.filter(|expected| *expected != size) {
            return Err(ContentError::Size { expected, actual: size });
        }
        match expected {
            Some(expected) if *expected != digest => {
                Err(ContentError::Mismatch { expected: expected.clone(), actual: digest, size })
            }
            _ => {
                let finished = self.writer.finish(self.file.file.as_fd());
                finished.map_err(|source| self.file.cannot_write(source))?;
                Ok(Staged { file: self.file, digest, size })
            }
        }
    }

    /// Ends the blob, compares it with what was announced, makes it durable and names it.
    ///
    /// Returns digest and size. Errors as for [`Ingest::stage`].
    pub fn commit(
        self,
        expected: Option<&Digest>,
        expected_size: Option<u64>,
    ) -> Result<(Digest, u64), ContentError> {
        let staged = self.stage(expected, expected_size)?;
        let (digest, size) = (staged.digest.clone(), staged.size);
        staged.file.content.clone().publish([staged], Durability::Power)?;
        Ok((digest, size))
    }
}

/// For decoders and copies. The error carries a [`ContentError`], which names the file.
impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.append(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(ContentError::Io { action, path, source }) => {
                let kind = source.kind();
                Err(io::Error::new(kind, ContentError::Io { action, path, source }))
            }
            Err(other) => Err(io::Error::other(other)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Staged {
    /// The digest of the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes, to be read once: a large blob is not in the page cache and does not get there.
    pub fn reader(&self) -> Result<Box<dyn Read + Send>, ContentError> {
        let file = self.open()?;
        match self.size >= bulk::LARGE_BYTES {
            true => Ok(Box::new(bulk::Reader::new(file.into()))),
            false => Ok(Box::new(file)),
        }
    }

    /// The same bytes under a digest of another algorithm, for which they are read again.
    ///
    /// [`ContentError::Mismatch`] if they are others; nothing is left of them then.
    pub fn named_by(self, digest: &Digest) -> Result<Self, ContentError> {
        let mut hasher = Hasher::new(digest.algorithm());
        let mut file = self.reader()?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(failed("read", &self.file.path(), source)),
            }
        }
        let actual = hasher.finish();
        if actual != *digest {
            let (expected, size) = (digest.clone(), self.size);
            return Err(ContentError::Mismatch { expected, actual, size });
        }
        Ok(Self { digest: actual, ..self })
    }

    /// Opens the bytes for reading, from the start and with an offset of its own.
    pub fn open(&self) -> Result<File, ContentError> {
        let ingest = self.file.content.ingest_directory()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(ingest, &self.file.name, flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| failed("open", &self.file.path(), errno))
    }
}

impl Content {
    /// Names staged blobs: syncs each, renames all, syncs the folder.
    ///
    /// With [`Durability::Process`] nothing is synced, and the caller answers for calling
    /// [`Content::sync`] before anything that needs these blobs gets a name, or for losing them
    /// with the power. A blob that is there already is replaced by the same bytes, which mends it
    /// should it have been damaged. After an error some of them may have been published; they are
    /// whole, and garbage until something names them.
    pub fn publish(
        &self,
        staged: impl IntoIterator<Item = Staged>,
        durability: Durability,
    ) -> Result<(), ContentError> {
        let staged: Vec<Staged> = staged.into_iter().collect();
        if durability == Durability::Power {
            for blob in &staged {
                rustix::fs::fdatasync(&blob.file.file)
                    .map_err(|errno| failed("sync", &blob.file.path(), errno))?;
            }
        }
        let ingest = self.ingest_directory()?;
        let mut sha512 = None;
        for mut blob in staged {
            let folder = match blob.digest.algorithm() {
                Algorithm::Sha256 => self.inner.sha256.as_fd(),
                Algorithm::Sha512 => {
                    if sha512.is_none() {
                        sha512 = Some(self.make_sha512()?);
                    }
                    sha512.as_ref().expect("it was set above").as_fd()
                }
            };
            rustix::fs::renameat(&ingest, &blob.file.name, folder, blob.digest.hex())
                .map_err(|errno| failed("rename a file to", &self.path_of(&blob.digest), errno))?;
            blob.file.named = false;
        }
        if durability == Durability::Power {
            for folder in [Some(&self.inner.sha256), sha512.as_ref()].into_iter().flatten() {
                rustix::fs::fsync(folder)
                    .map_err(|errno| failed("sync", &self.inner.path.join("blobs"), errno))?;
            }
        }
        Ok(())
    }

    /// Makes everything durable that was written to the data root's file system until now.
    ///
    /// syncfs(2): one call for any number of files, but also for those of strangers.
    pub fn sync(&self) -> Result<(), ContentError> {
        rustix::fs::syncfs(&self.inner.root)
            .map_err(|errno| failed("sync", &self.inner.path, errno))
    }

    pub(crate) fn ingest_directory(&self) -> Result<OwnedFd, ContentError> {
        let open = || open_directory(self.inner.root.as_fd(), c"ingest");
        match open() {
            Err(Errno::NOENT) => {
                crate::make_directory(&self.inner.path, &self.inner.root, c"ingest")?;
                open()
            }
            other => other,
        }
        .map_err(|errno| failed("open", &self.inner.path.join("ingest"), errno))
    }

    fn make_sha512(&self) -> Result<OwnedFd, ContentError> {
        crate::make_directory(&self.inner.path, &self.inner.root, c"blobs/sha512")?;
        self.sha512().map_err(|errno| failed("open", &self.inner.path.join(SHA512), errno))
    }
}

impl Temporary {
    /// A new file with its lock held.
    ///
    /// Between its creation and the lock a sweep may take it for garbage, so that the name is
    /// looked at again under the lock; from then on no sweep touches it.
    fn create(content: &Content) -> Result<Self, ContentError> {
        let ingest = content.ingest_directory()?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = sys::names::random_hex::<16>();
            let path = content.inner.path.join("ingest").join(&name);
            let file = rustix::fs::openat(&ingest, &name, flags, Mode::from_raw_mode(0o644))
                .map_err(|errno| failed("create", &path, errno))?;
            let mut temporary = Self { content: content.clone(), file, name, named: true };
            temporary.lock().map_err(|errno| failed("lock", &path, errno))?;
            let stat =
                rustix::fs::fstat(&temporary.file).map_err(|errno| failed("lock", &path, errno))?;
            if stat.st_nlink > 0 {
                return Ok(temporary);
            }
            temporary.named = false;
        }
    }

    fn lock(&self) -> Result<(), Errno> {
        loop {
            match rustix::fs::flock(&self.file, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    fn cannot_write(&self, source: io::Error) -> ContentError {
        ContentError::Io { action: "write", path: self.path(), source }
    }

    fn path(&self) -> PathBuf {
        self.content.inner.path.join("ingest").join(&self.name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.named {
            return;
        }
        // What cannot be removed now is garbage without a lock, and the next sweep's.
        if let Ok(ingest) = self.content.ingest_directory() {
            let _ = rustix::fs::unlinkat(ingest, &self.name, AtFlags::empty());
        }
    }
}
