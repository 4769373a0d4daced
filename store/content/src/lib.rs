//! Blobs by digest: written once, verified while they are written, read-only from then on.
//!
//! ```text
//! <root>/oci-layout                 image-spec 1.1.1, image-layout.md: other tools read it in place
//! <root>/blobs/sha256/<hex>         the bytes with this digest
//! <root>/blobs/sha512/<hex>         the same; only there if somebody uses it
//! <root>/ingest/<32 random digits>  being written, under its writer's flock(2); without one: garbage
//! <root>/store.lock                 between adders and collectors: [`StoreLock`]
//! <root>/leases/<32 random digits>  what adders need who take long: [`Lease`]
//! ```
//!
//! [`Content::ingest`] hashes what is written to it. [`Ingest::stage`] compares digest and size and
//! closes the file; [`Content::publish`] makes one or many staged files durable and then names them.
//! A blob with the wrong digest or size is refused and leaves nothing behind, and nothing has a
//! name below `blobs` before its bytes are on the disk.
//!
//! What a blob means (a manifest, a layer) is nobody's business here.

mod collect;
mod hash;
mod ingest;
mod lease;
mod lock;

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Algorithm, Digest};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

pub use collect::{Collected, Swept};
pub use hash::{Hasher, sha256};
pub use ingest::{Ingest, Staged};
pub use lease::{Lease, Leased};
pub use lock::{ExclusiveLock, SharedLock, StoreLock};

/// Why a blob could not be stored, found or read.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// There is no such blob.
    #[error("no blob {digest}")]
    NotFound {
        /// What was asked for.
        digest: Digest,
    },
    /// The bytes that arrived are not those that were announced.
    #[error("blob {expected} arrived as {actual} after {size} bytes")]
    Mismatch {
        /// What was announced.
        expected: Digest,
        /// What the bytes hash to.
        actual: Digest,
        /// How many arrived.
        size: u64,
    },
    /// More or fewer bytes arrived than were announced.
    #[error("blob of {expected} bytes arrived with {actual}")]
    Size {
        /// What was announced.
        expected: u64,
        /// How many arrived.
        actual: u64,
    },
    /// Larger than the reader bears.
    #[error("blob {digest} has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Which blob.
        digest: Digest,
        /// How large it is.
        size: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The stored bytes no longer hash to their name.
    #[error("blob {digest} in {path} is damaged: its bytes hash to {actual}", path = path.display())]
    Corrupt {
        /// Which blob.
        digest: Digest,
        /// What its bytes hash to now.
        actual: Digest,
        /// Its file.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// What a finished write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Loss of power: everything is synced before the call returns.
    #[default]
    Power,
    /// The death of any process. After a loss of power a file may be absent, old, or empty.
    Process,
}

/// The blobs of a data root. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Content {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    root: OwnedFd,
    sha256: OwnedFd,
}

/// What `oci-layout` holds: image-spec 1.1.1, image-layout.md, "oci-layout file".
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Content {
    /// Opens the blobs of the data root `path`; makes the folders if they are not there.
    ///
    /// Two system calls when they are. The root becomes 0700 when the store is first made in it,
    /// whatever it was before: layers hold set-user-id files that other users must not reach.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, ContentError> {
        let path = path.into();
        let root = match open_directory(CWD, &path) {
            Err(Errno::NOENT) => make_root(&path)?,
            other => other.map_err(|errno| failed("open", &path, errno))?,
        };
        let blobs = path.join(SHA256);
        let sha256 = match open_directory(root.as_fd(), SHA256) {
            Err(Errno::NOENT) => {
                make_layout(&path, &root)?;
                open_directory(root.as_fd(), SHA256)
            }
            other => other,
        }
        .map_err(|errno| failed("open", &blobs, errno))?;
        Ok(Self { inner: Arc::new(Inner { path, root, sha256 }) })
    }

    /// The data root.
    pub fn root(&self) -> &Path {
        &self.inner.path
    }

    /// Begins a blob of unknown digest; SHA-256 will be its name.
    pub fn ingest(&self) -> Result<Ingest, ContentError> {
        self.ingest_with(Algorithm::Sha256)
    }

    /// Begins a blob that will be named by a digest of `algorithm`.
    pub fn ingest_with(&self, algorithm: Algorithm) -> Result<Ingest, ContentError> {
        Ingest::create(self, algorithm)
    }

    /// Stores `bytes` and returns their SHA-256 digest. Durable; writes nothing if they are there.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ContentError> {
        let digest = hash::digest(Algorithm::Sha256, bytes);
        if self.holds(&digest, bytes) {
            return Ok(digest);
        }
        self.publish([self.stage(bytes)?], Durability::Power)?;
        Ok(digest)
    }

    /// Writes `bytes` as a blob to be published later, with others.
    pub fn stage(&self, bytes: &[u8]) -> Result<Staged, ContentError> {
        let mut ingest = self.ingest()?;
        ingest.append(bytes)?;
        ingest.stage(None, None)
    }

    /// Opens a blob for reading. Its bytes are as they were verified when they came; who needs
    /// more certainty than the disk gives reads them with [`Content::read`].
    pub fn open_blob(&self, digest: &Digest) -> Result<File, ContentError> {
        self.open_sized(digest).map(|(file, _)| file)
    }

    /// Reads a whole blob and verifies it again; [`ContentError::TooLarge`] beyond `limit` bytes.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, ContentError> {
        let (file, size) = self.open_sized(digest)?;
        let too_large = |size| ContentError::TooLarge { digest: digest.clone(), size, limit };
        if size > limit {
            return Err(too_large(size));
        }
        // One more than the size, so that a file that grew is seen and the last read finds the end.
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| self.failed("read", digest, source))?;
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64));
        }
        let actual = hash::digest(digest.algorithm(), &bytes);
        if actual != *digest {
            let path = self.path_of(digest);
            return Err(ContentError::Corrupt { digest: digest.clone(), actual, path });
        }
        Ok(bytes)
    }

    /// How many bytes a blob has.
    pub fn size(&self, digest: &Digest) -> Result<u64, ContentError> {
        self.open_sized(digest).map(|(_, size)| size)
    }

    /// Whether there is such a blob.
    pub fn contains(&self, digest: &Digest) -> Result<bool, ContentError> {
        match self.open_sized(digest) {
            Ok(_) => Ok(true),
            Err(ContentError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a whole blob of any size and compares it with its name.
    pub fn verify(&self, digest: &Digest) -> Result<(), ContentError> {
        let mut file = self.open_blob(digest)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed("read", digest, source)),
            }
        }
        let actual = hasher.finish();
        if actual == *digest {
            return Ok(());
        }
        let path = self.path_of(digest);
        Err(ContentError::Corrupt { digest: digest.clone(), actual, path })
    }

    /// Where a blob is, for messages and for programs that take a path.
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        self.inner.path.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    fn open_sized(&self, digest: &Digest) -> Result<(File, u64), ContentError> {
        // A blob is a regular file of ours. Should somebody have put a link or a FIFO in its
        // place, O_NOFOLLOW refuses the one and O_NONBLOCK does not hang on the other.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match digest.algorithm() {
            Algorithm::Sha256 => {
                rustix::fs::openat(&self.inner.sha256, digest.hex(), flags, Mode::empty())
            }
            Algorithm::Sha512 => self.sha512().and_then(|directory| {
                rustix::fs::openat(directory, digest.hex(), flags, Mode::empty())
            }),
        };
        let file = match opened {
            Ok(file) => file,
            Err(Errno::NOENT) => {
                return Err(ContentError::NotFound { digest: digest.clone() });
            }
            Err(errno) => return Err(self.failed("open", digest, errno.into())),
        };
        let stat =
            rustix::fs::fstat(&file).map_err(|errno| self.failed("open", digest, errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let source = io::Error::new(io::ErrorKind::InvalidData, "it is no regular file");
            return Err(self.failed("open", digest, source));
        }
        Ok((File::from(file), u64::try_from(stat.st_size).unwrap_or(0)))
    }

    fn holds(&self, digest: &Digest, bytes: &[u8]) -> bool {
        self.read(digest, bytes.len() as u64).is_ok_and(|stored| stored == bytes)
    }

    /// The folder of the SHA-512 blobs, or `NOENT`.
    fn sha512(&self) -> Result<OwnedFd, Errno> {
        open_directory(self.inner.root.as_fd(), SHA512)
    }

    fn failed(&self, action: &'static str, digest: &Digest, source: io::Error) -> ContentError {
        ContentError::Io { action, path: self.path_of(digest), source }
    }
}

const SHA256: &str = "blobs/sha256";
const SHA512: &str = "blobs/sha512";

fn failed(action: &'static str, path: &Path, source: impl Into<io::Error>) -> ContentError {
    ContentError::Io { action, path: path.to_owned(), source: source.into() }
}

fn open_directory(at: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

fn make_root(path: &Path) -> Result<OwnedFd, ContentError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| failed("create", path, source))?;
    open_directory(CWD, path).map_err(|errno| failed("open", path, errno))
}

/// Makes folders and `oci-layout`. `blobs/sha256` comes last: its presence says that all is there.
fn make_layout(path: &Path, root: &OwnedFd) -> Result<(), ContentError> {
    rustix::fs::fchmod(root, Mode::from_raw_mode(0o700))
        .map_err(|errno| failed("set the mode of", path, errno))?;
    make_directory(path, root, c"ingest")?;
    sys::fs::replace_file(root.as_fd(), "oci-layout", LAYOUT, true)
        .map_err(|source| failed("write", &path.join("oci-layout"), source))?;
    make_directory(path, root, c"blobs")?;
    make_directory(path, root, c"blobs/sha256")
}

fn make_directory(path: &Path, root: &OwnedFd, name: &CStr) -> Result<(), ContentError> {
    match rustix::fs::mkdirat(root, name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => {
            let name = name.to_str().expect("the names are literals");
            Err(failed("create", &path.join(name), errno))
        }
    }
}

#[cfg(test)]
mod tests;
