//! A connection's bytes, in clear or over TLS, for either end of it; and the files of TLS.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::path::Path;

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

/// What a handshake may take: more round trips than TLS has mean that somebody plays with us.
const MAX_ROUNDS: usize = 64;

impl<C, S> Wire<C>
where
    C: DerefMut + Deref<Target = ConnectionCommon<S>>,
    S: SideData,
{
    /// Makes the handshake over a socket. The cause of a failure is a [`rustls::Error`] inside,
    /// where TLS has one to tell.
    pub fn encrypt(connection: C, socket: TcpStream) -> io::Result<Self> {
        let mut tls = StreamOwned::new(connection, socket);
        for _ in 0..MAX_ROUNDS {
            if !tls.conn.is_handshaking() {
                return Ok(Self::Tls(Box::new(tls)));
            }
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the handshake has no end"))
    }

    /// Sends `length` bytes of a file from where it stands. In clear the kernel moves them, and
    /// they never come here.
    ///
    /// `UnexpectedEof` if the file has fewer.
    pub fn send_file(&mut self, file: &mut File, length: u64) -> io::Result<()> {
        let sent = match self {
            // sendfile(2).
            Self::Clear(socket) => io::copy(&mut file.take(length), socket)?,
            Self::Tls(tls) => {
                let mut buffer = vec![0; PIECE.min(usize::try_from(length).unwrap_or(PIECE))];
                let mut sent = 0;
                while sent < length {
                    let most = usize::try_from(length - sent).unwrap_or(PIECE).min(buffer.len());
                    match file.read(&mut buffer[..most]) {
                        Ok(0) => break,
                        Ok(count) => {
                            tls.write_all(&buffer[..count])?;
                            sent += count as u64;
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                tls.flush()?;
                sent
            }
        };
        match sent == length {
            true => Ok(()),
            false => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a blob is shorter than it was"))
            }
        }
    }
}

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
