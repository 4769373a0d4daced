//! What is asked of a server.

use std::fs::File;
use std::io;

use http1::Url;

use crate::server::Server;

/// What is asked, and how an error calls it.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    /// `manifest 12`, `layer sha256:...`.
    pub(crate) what: &'a str,
    /// `registry/repository`, or the registry alone.
    pub(crate) repository: &'a str,
    pub(crate) method: &'static str,
    pub(crate) url: Url,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) payload: Payload<'a>,
    /// What a token must be good for; `None` never authenticates.
    pub(crate) scope: Option<&'a str>,
    /// Whether it may be sent again when nobody knows if it arrived.
    pub(crate) is_repeatable: bool,
}

/// What goes with a request.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// A file that can be opened again, and who is told how much of it has gone.
    File {
        open: &'a (dyn Fn() -> io::Result<File> + Sync),
        length: u64,
        tell: &'a (dyn Fn(u64) + Sync),
    },
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} bytes", self.length())
    }
}

impl Payload<'_> {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}

/// A request to the version endpoint, for login.
pub(crate) fn version_request<'a>(server: &Server, registry: &'a str) -> Request<'a> {
    Request {
        what: "the version check",
        repository: registry,
        method: "GET",
        url: server.origin.at(format!("{}/", server.base)),
        fields: Vec::new(),
        payload: Payload::None,
        scope: Some(""),
        is_repeatable: true,
    }
}
