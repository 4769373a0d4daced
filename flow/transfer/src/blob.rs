//! A blob on its way in: a stream that goes on where it was cut.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use content::Ingest;
use http1::content_range;
use oci::Descriptor;

use crate::push::is_foreign;
use crate::response::Response;
use crate::server::Server;
use crate::{LayerState, Progress, Repository, TransferError};

/// The bytes of a blob, as many as its descriptor says and not one more.
///
/// A connection that is cut or falls silent is made anew, from the byte where it stopped, and from
/// the next server if one gives up. An error of the transfer is kept in `failed`: through the
/// reader only a sign of it goes, since what decompresses and unpacks has errors of its own.
pub(crate) struct Download<'a> {
    repository: &'a Repository,
    descriptor: &'a Descriptor,
    progress: &'a dyn Progress,
    stop: &'a AtomicBool,
    servers: std::slice::Iter<'a, Arc<Server>>,
    server: Option<&'a Arc<Server>>,
    response: Option<Response>,
    position: u64,
    told: u64,
    /// Failures since something came.
    failures: u32,
    pub(crate) failed: Option<TransferError>,
}

/// How many bytes pass before somebody is told.
const TELL_EVERY: u64 = 1 << 20;

impl<'a> Download<'a> {
    pub(crate) fn new(
        repository: &'a Repository,
        descriptor: &'a Descriptor,
        progress: &'a dyn Progress,
        stop: &'a AtomicBool,
    ) -> Self {
        let mut servers = repository.servers.iter();
        let server = servers.next();
        Self {
            repository,
            descriptor,
            progress,
            stop,
            servers,
            server,
            response: None,
            position: 0,
            told: 0,
            failures: 0,
            failed: None,
        }
    }

    /// Opens the rest, at the first server that has it.
    fn open(&mut self) -> Result<Response, TransferError> {
        loop {
            let server = self.server.expect("there is one until the last has failed");
            match self.open_at(server) {
                Err(error) if error.is_elsewhere() => match self.servers.next() {
                    Some(next) => self.server = Some(next),
                    None => return self.open_foreign(error),
                },
                other => return other,
            }
        }
    }

    /// What may not be distributed is fetched from where its descriptor says, if the registry does
    /// not have it: with no credentials, and compared like everything else.
    fn open_foreign(&self, error: TransferError) -> Result<Response, TransferError> {
        let is_missing = matches!(error, TransferError::NoBlob { .. });
        if !is_missing || !is_foreign(self.descriptor) {
            return Err(error);
        }
        let mut last = error;
        for url in &self.descriptor.urls {
            let opened = self.repository.open_url(self.descriptor, url, self.position);
            match opened.and_then(|response| self.at_position(response)) {
                Ok(response) => return Ok(response),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn open_at(&self, server: &Server) -> Result<Response, TransferError> {
        let digest = &self.descriptor.digest;
        self.at_position(self.repository.open_blob(server, digest, self.position)?)
    }

    /// The answer, once it is where we are.
    fn at_position(&self, mut response: Response) -> Result<Response, TransferError> {
        let (digest, size) = (&self.descriptor.digest, self.descriptor.size_bytes);
        let mismatch = |actual: String| TransferError::Mismatch {
            what: "layer",
            repository: self.repository.name.clone(),
            digest: digest.clone(),
            actual,
        };
        if response.status == 206 {
            let range = response.fields.get("content-range").and_then(content_range);
            let fits = range.is_some_and(|range| {
                range.first == self.position
                    && range.last + 1 == size
                    && range.total.is_none_or(|total| total == size)
            });
            return match fits {
                true => Ok(response),
                false => Err(mismatch(format!("another part than that from {}", self.position))),
            };
        }
        if let Some(length) = response.length().filter(|length| *length != size) {
            return Err(mismatch(format!("{length} bytes instead of {size}")));
        }
        // The range was not heeded: pass over what is here already.
        let passed = io::copy(&mut (&mut response).take(self.position), &mut io::sink());
        match passed {
            Ok(passed) if passed == self.position => Ok(response),
            Ok(_) => Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, source: io::Error) -> TransferError {
        TransferError::Broken {
            what: format!("layer {}", self.descriptor.digest),
            repository: self.repository.name.clone(),
            times: self.failures + 1,
            source,
        }
    }

    /// Waits before the next attempt, or gives up.
    fn again(&mut self, error: io::Error) -> Result<(), TransferError> {
        self.response = None;
        if self.failures >= self.repository.client.inner.settings.timeouts.retries {
            return Err(self.broken(error));
        }
        self.progress.layer(&self.descriptor.digest, LayerState::Retrying);
        std::thread::sleep(self.repository.client.backoff(self.failures));
        self.failures += 1;
        Ok(())
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, TransferError> {
        let size = self.descriptor.size_bytes;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(TransferError::Stopped);
            }
            if self.position == size {
                return self.end();
            }
            if self.response.is_none() {
                self.response = Some(self.open()?);
            }
            let response = self.response.as_mut().expect("it was opened above");
            let most = usize::try_from(size - self.position).unwrap_or(usize::MAX);
            let most = most.min(buffer.len());
            match response.read(&mut buffer[..most]) {
                Ok(0) => self.again(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the connection was closed too early",
                ))?,
                Ok(count) => {
                    self.position += count as u64;
                    self.tell();
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.again(error)?,
            }
        }
    }

    /// All bytes came: there must not be another one.
    fn end(&mut self) -> Result<usize, TransferError> {
        let Some(mut response) = self.response.take() else { return Ok(0) };
        match response.read(&mut [0; 1]) {
            // A connection that breaks behind the last byte has done its work.
            Ok(0) | Err(_) => Ok(0),
            Ok(_) => Err(TransferError::Mismatch {
                what: "layer",
                repository: self.repository.name.clone(),
                digest: self.descriptor.digest.clone(),
                actual: format!("more than {} bytes", self.descriptor.size_bytes),
            }),
        }
    }

    fn tell(&mut self) {
        if self.position - self.told < TELL_EVERY && self.position != self.descriptor.size_bytes {
            return;
        }
        // Something came: what fails from here on fails anew.
        self.failures = 0;
        self.told = self.position;
        let (current, total) = (self.position, self.descriptor.size_bytes);
        self.progress.layer(&self.descriptor.digest, LayerState::Downloading { current, total });
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.failed.is_some() {
            return Ok(0);
        }
        self.next(buffer).map_err(|error| {
            let text = error.to_string();
            self.failed = Some(error);
            io::Error::other(text)
        })
    }
}

/// Writes what is read through it into a blob, which hashes it.
pub(crate) struct Tee<'a, 'd> {
    pub(crate) source: Download<'d>,
    pub(crate) ingest: &'a mut Ingest,
}

impl Read for Tee<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if let Err(error) = self.ingest.append(&buffer[..count]) {
            let text = error.to_string();
            self.source.failed = Some(error.into());
            return Err(io::Error::other(text));
        }
        Ok(count)
    }
}
