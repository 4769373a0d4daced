//! A connection's bytes, in clear or over TLS, for either end of it; and the files of TLS.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ConnectionCommon, SideData, StreamOwned};

/// A socket, in clear or over TLS; `C` is rustls' connection of the client or of the server.
#[derive(Debug)]
pub enum Wire<C> {
    /// As it is.
    Clear(TcpStream),
    /// Encrypted.
    Tls(Box<StreamOwned<C, TcpStream>>),
}

/// How much of a file is encrypted at once.
const PIECE: usize = 256 << 10;

impl<C, S> Wire<C>
where
    C: DerefMut + Deref<Target = ConnectionCommon<S>>,
    S: SideData,
{
    /// Makes the handshake over a socket, in no more than `limit`, and one more wait of the socket's.
    ///
    /// The cause of a failure is a [`rustls::Error`] inside, where TLS has one to tell.
    pub fn encrypt(connection: C, socket: TcpStream, limit: Duration) -> io::Result<Self> {
        let began = Instant::now();
        let mut tls = StreamOwned::new(connection, socket);
        while tls.conn.is_handshaking() {
            if began.elapsed() > limit {
                let text = "the handshake takes too long";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            while tls.conn.wants_write() {
                tls.conn.write_tls(&mut tls.sock)?;
            }
            if !tls.conn.is_handshaking() || !tls.conn.wants_read() {
                continue;
            }
            if tls.conn.read_tls(&mut tls.sock)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Err(error) = tls.conn.process_new_packets() {
                // The other side is told why, if it still listens.
                let _ = tls.conn.write_tls(&mut tls.sock);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
        while tls.conn.wants_write() {
            tls.conn.write_tls(&mut tls.sock)?;
        }
        Ok(Self::Tls(Box::new(tls)))
    }

    /// Sends `length` bytes of a file from where it stands. In clear the kernel moves them, and
    /// they never come here.
    ///
    /// `UnexpectedEof` if the file has fewer.
    pub fn send_file(&mut self, file: &mut File, length: u64) -> io::Result<()> {
        let moved = match self {
            Self::Clear(socket) => move_file(socket, file, length)?,
            Self::Tls(_) => 0,
        };
        // Over TLS, and from a file system that the kernel does not send from.
        let mut left = length - moved;
        let mut buffer = Vec::new();
        while left > 0 {
            if buffer.is_empty() {
                buffer.resize(usize::try_from(left).unwrap_or(PIECE).min(PIECE), 0);
            }
            let most = usize::try_from(left).unwrap_or(PIECE).min(buffer.len());
            match file.read(&mut buffer[..most]) {
                Ok(0) => {
                    let text = "a blob is shorter than it was";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                Ok(count) => {
                    self.write_all(&buffer[..count])?;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.flush()
    }
}

/// Has the kernel move a part of a file into a socket; how much, which is less than `length` only
/// where it cannot, or where the file ends. The file's position goes along.
///
/// sendfile(2) itself: the standard library's copy reads and writes 8 KiB at a time here, which
/// takes a server six times the processor's time.
fn move_file(socket: &TcpStream, file: &File, length: u64) -> io::Result<u64> {
    let mut moved = 0;
    while moved < length {
        let most = usize::try_from(length - moved).unwrap_or(usize::MAX).min(MOST);
        match rustix::fs::sendfile(socket, file, None, most) {
            Ok(0) | Err(Errno::INVAL | Errno::NOSYS) => break,
            Ok(count) => moved += count as u64,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(moved)
}

/// What the kernel moves in one call.
const MOST: usize = 1 << 30;

impl<C, S> Read for Wire<C>
where
    C: DerefMut + Deref<Target = ConnectionCommon<S>>,
    S: SideData,
{
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl<C, S> Write for Wire<C>
where
    C: DerefMut + Deref<Target = ConnectionCommon<S>>,
    S: SideData,
{
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// Reads with a pace: whoever sends next to nothing is silent, however often he does it.
///
/// A socket's timeout counts from byte to byte, so that a byte now and then would hold a thread for
/// ever.
#[derive(Debug)]
pub struct Paced<R> {
    inner: R,
    window: Duration,
    /// When the present window began, and what came in it; `None` until something comes.
    began: Option<Instant>,
    bytes: u64,
}

/// What must come in a window, unless all has come.
const MIN_BYTES: u64 = 1 << 10;

impl<R> Paced<R> {
    /// Wants more than a few bytes in each `window`.
    pub fn new(inner: R, window: Duration) -> Self {
        Self { inner, window, began: None, bytes: 0 }
    }

    /// What is read from, and written to; a new message is waited for from here on, and the time
    /// until it begins does not count.
    pub fn turn(&mut self) -> &mut R {
        self.began = None;
        self.bytes = 0;
        &mut self.inner
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let began = *self.began.get_or_insert_with(Instant::now);
        self.bytes += count as u64;
        if began.elapsed() >= self.window {
            // Also the end of it is good, whenever it comes.
            if self.bytes < MIN_BYTES && count > 0 {
                let text = "next to nothing is sent";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            self.began = Some(Instant::now());
            self.bytes = 0;
        }
        Ok(count)
    }
}

/// The certificates in a PEM file; the error names it.
pub fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| in_file(path, error))
}

/// The first private key in a PEM file; the error names it.
pub fn private_key(path: &Path) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| in_file(path, error))
}

/// An error about a file.
pub(crate) fn in_file(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte each time, after a pause.
    struct Drops(Duration);

    impl Read for Drops {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            std::thread::sleep(self.0);
            buffer[0] = b'x';
            Ok(1)
        }
    }

    #[test]
    fn the_kernel_moves_a_file_from_where_it_stands() {
        use std::io::{Seek, SeekFrom};

        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            other.read_to_end(&mut got).unwrap();
            got
        });
        file.seek(SeekFrom::Start(10)).unwrap();
        assert_eq!(move_file(&socket, &file, 2_000_000).unwrap(), 2_000_000);
        // The rest is less than is asked for.
        assert_eq!(move_file(&socket, &file, 2_000_000).unwrap(), 999_990);
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut wire: Wire<rustls::ClientConnection> = Wire::Clear(socket);
        wire.send_file(&mut file, 10).unwrap();
        let error = wire.send_file(&mut file, 3_000_000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        drop(wire);
        let want = [&bytes[10..], &bytes[..10], &bytes[10..]].concat();
        assert!(reader.join().unwrap() == want);
    }

    #[test]
    fn drops_are_silence_and_a_turn_begins_anew() {
        let window = Duration::from_millis(50);
        let mut drops = Paced::new(Drops(Duration::from_millis(10)), window);
        let mut buffer = [0; 8];
        let error = std::iter::repeat_with(|| drops.read(&mut buffer)).find_map(Result::err);
        assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut);
        // The first byte may be late.
        drops.turn().0 = window * 3;
        assert_eq!(drops.read(&mut buffer).unwrap(), 1);
        let mut plenty = Paced::new(io::repeat(7), Duration::ZERO);
        let mut buffer = [0; 2048];
        for _ in 0..10 {
            assert_eq!(plenty.read(&mut buffer).unwrap(), 2048);
        }
    }
}
