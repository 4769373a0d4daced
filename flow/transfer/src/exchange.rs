//! One request and its answer: authentication, redirects, repetition.
//!
//! ```text
//! exchange   401 -> token or password, once
//!   follow     3xx -> the next URL, without credentials if it is another origin's
//!     persist    429, 5xx, broken connection -> the same again, later
//!       once       one connection, one head, one body
//! ```

use std::io;
use std::time::Duration;

use http1::{Challenge, Fields, HttpError, RequestHead, ResponseHead, Scheme, Url};

use crate::auth::Authorization;
use crate::certificate::explain;
use crate::connect::{Connection, Peer, stalled};
use crate::reach::{Reach, is_refusal};
use crate::request::{Payload, Request};
use crate::response::Response;
use crate::server::{Server, Trust};
use crate::{Client, TransferError};

/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// A longer wait than this is not what a registry may ask for.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// "Go on" and the like, of which one is usual.
const MAX_INTERIM: usize = 16;

/// Why one attempt failed.
pub(crate) enum Failure {
    /// There was no connection.
    Connect(io::Error),
    /// The connection broke. Trying again may help.
    Broken(io::Error),
    /// The answer is no HTTP.
    Protocol(HttpError),
    /// It is ours: a file that cannot be read.
    Own(io::Error),
}

impl Client {
    /// Sends a request and gives the answer, whatever its status is; authenticates if asked to.
    pub(crate) fn exchange(
        &self,
        server: &Server,
        request: &Request<'_>,
    ) -> Result<Response, TransferError> {
        let known = request.scope.and_then(|scope| self.known_authorization(server, scope));
        let response = self.follow(server, request, known.as_ref())?;
        let (Some(scope), 401) = (request.scope, response.status) else { return Ok(response) };
        if response.url.origin != server.origin {
            // Whoever we were sent to is not whom our credentials are for.
            return Ok(response);
        }
        let challenges = Challenge::all(&response.fields);
        drop(response);
        let fresh = self.authenticate(server, request, scope, &challenges)?;
        self.follow(server, request, Some(&fresh))
    }

    /// Sends a request with what the server was shown before, and answers no challenge.
    pub(crate) fn exchange_known(
        &self,
        server: &Server,
        request: &Request<'_>,
    ) -> Result<Response, TransferError> {
        let known = request.scope.and_then(|scope| self.known_authorization(server, scope));
        self.follow(server, request, known.as_ref())
    }

    /// Sends a request with what it is authorized by, if anything: for token servers.
    pub(crate) fn exchange_with(
        &self,
        server: &Server,
        request: &Request<'_>,
        authorization: Option<&Authorization>,
    ) -> Result<Response, TransferError> {
        self.follow(server, request, authorization)
    }

    /// Follows redirects.
    fn follow(
        &self,
        server: &Server,
        request: &Request<'_>,
        authorization: Option<&Authorization>,
    ) -> Result<Response, TransferError> {
        let mut seen = vec![request.url.clone()];
        loop {
            let url = seen.last().expect("it begins with one and only grows");
            let response = self.persist(server, request, url, authorization)?;
            let is_read = matches!(request.method, "GET" | "HEAD");
            if !is_read || !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.fields.get("location").unwrap_or_default().to_owned();
            let refuse = |location: String, why| TransferError::Redirect {
                what: request.what.to_owned(),
                repository: request.repository.to_owned(),
                location,
                why,
            };
            let next = match url.resolve(&location) {
                Ok(next) if !location.is_empty() => next,
                _ => return Err(refuse("nowhere".into(), "it is no http or https URL")),
            };
            if url.origin.scheme == Scheme::Https && next.origin.scheme == Scheme::Http {
                return Err(refuse(next.to_string(), "it leaves the encryption"));
            }
            if seen.contains(&next) {
                return Err(refuse(next.to_string(), "it goes in a circle"));
            }
            if seen.len() > MAX_REDIRECTS {
                return Err(refuse(next.to_string(), "it is one of too many"));
            }
            let _ = response.drain();
            seen.push(next);
        }
    }

    /// Tries again what fails in passing.
    fn persist(
        &self,
        server: &Server,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&Authorization>,
    ) -> Result<Response, TransferError> {
        let timeouts = &self.inner.settings.timeouts;
        let retries = if request.is_repeatable { timeouts.retries } else { 0 };
        let mut attempt = 0;
        loop {
            let wait = match self.once(server, request, url, authorization) {
                Ok(response) if is_passing(response.status) && attempt < retries => {
                    let asked = retry_after(&response.fields);
                    let _ = response.drain();
                    asked
                }
                Ok(response) => return Ok(response),
                Err(Failure::Connect(source) | Failure::Broken(source))
                    if explain(&source, &url.origin).is_some() =>
                {
                    return Err(TransferError::Untrusted {
                        registry: server.registry.clone(),
                        origin: url.origin.to_string(),
                        why: explain(&source, &url.origin).unwrap_or_default(),
                        source,
                    });
                }
                Err(Failure::Connect(source)) if is_refusal(&source) => {
                    return Err(TransferError::Redirect {
                        what: request.what.to_owned(),
                        repository: request.repository.to_owned(),
                        location: url.to_string(),
                        why: "it is an address of this machine or its network, and the registry \
                              is a public one",
                    });
                }
                Err(Failure::Connect(source)) => {
                    return Err(TransferError::Connect {
                        registry: server.registry.clone(),
                        origin: url.origin.to_string(),
                        source,
                    });
                }
                Err(Failure::Protocol(source)) => {
                    let registry = server.registry.clone();
                    return Err(TransferError::Protocol { registry, source });
                }
                Err(Failure::Broken(source) | Failure::Own(source)) if attempt >= retries => {
                    return Err(TransferError::Broken {
                        what: request.what.to_owned(),
                        repository: request.repository.to_owned(),
                        times: attempt + 1,
                        source,
                    });
                }
                Err(Failure::Broken(_)) => None,
                Err(Failure::Own(source)) => {
                    let (what, repository) = (request.what.into(), request.repository.into());
                    return Err(TransferError::Broken { what, repository, times: 1, source });
                }
            };
            std::thread::sleep(wait.unwrap_or_else(|| self.backoff(attempt)));
            attempt += 1;
        }
    }

    /// How long to wait before repetition number `attempt`: twice as long each time, and a little
    /// different for each client, so that those who failed together do not come back together.
    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        let base = self.inner.settings.timeouts.backoff * 2_u32.saturating_pow(attempt.min(8));
        let noise = sys::names::random_hex::<2>();
        let noise = u32::from_str_radix(&noise, 16).unwrap_or(0) & 0xff;
        (base + base * noise / 512).min(MAX_WAIT)
    }

    pub(crate) fn once(
        &self,
        server: &Server,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let head = head(server, request, url, authorization);
        let is_own = url.origin == server.origin;
        let peer = Peer {
            origin: url.origin.clone(),
            trust: if is_own { server.trust.clone() } else { Trust::default() },
            reach: match (&server.sent_by, is_own) {
                (None, true) => Reach::Anywhere,
                (None, false) => self.reach_of(&server.origin),
                (Some(registry), _) => self.reach_of(registry),
            },
        };
        let (pool, timeouts) = (&self.inner.pool, &self.inner.settings.timeouts);
        let mut connection = pool.connection(&peer, timeouts).map_err(Failure::Connect)?;
        let was_used = connection.is_used;
        let answered = match converse(&mut connection, &head, request) {
            // Closed by the other side while it was idle, which says nothing about this request.
            Err(Failure::Broken(_)) if was_used => {
                connection = pool.fresh(&peer, timeouts).map_err(Failure::Connect)?;
                converse(&mut connection, &head, request)
            }
            other => other,
        }?;
        Response::new(answered, request.method, url, connection, self).map_err(Failure::Protocol)
    }
}

fn head(
    server: &Server,
    request: &Request<'_>,
    url: &Url,
    authorization: Option<&Authorization>,
) -> Vec<u8> {
    let mut head = RequestHead::new(request.method, url.target.clone());
    head.fields.set("Host", url.origin.authority());
    head.fields.set("User-Agent", concat!("kista/", env!("CARGO_PKG_VERSION")));
    // Layers are compressed as it is, and a digest is that of the bytes as they are.
    head.fields.set("Accept-Encoding", "identity");
    if url.origin == server.origin {
        for (name, value) in &server.fields {
            head.fields.append(name, value.clone());
        }
    }
    for (name, value) in &request.fields {
        head.fields.append(name, value.clone());
    }
    if let Some(value) = authorization.and_then(|known| known.for_origin(&url.origin)) {
        head.fields.set("Authorization", value);
    }
    if !matches!(request.method, "GET" | "HEAD" | "DELETE") {
        head.fields.set("Content-Length", request.payload.length().to_string());
    }
    head.to_bytes()
}

/// Sends, and reads the head of the answer.
fn converse(
    connection: &mut Connection,
    head: &[u8],
    request: &Request<'_>,
) -> Result<ResponseHead, Failure> {
    let sent = match request.payload {
        Payload::None => connection.send(head, &[]),
        Payload::Bytes(bytes) => connection.send(head, bytes),
        Payload::File { open, length, tell } => {
            let mut file = open().map_err(Failure::Own)?;
            connection.send(head, &[]).and_then(|()| connection.send_file(&mut file, length, tell))
        }
    };
    // A server that refuses what comes may say so and hang up before it has all of it.
    let answer = read_answer(connection);
    match (sent, answer) {
        (_, Ok(head)) => Ok(head),
        (Err(error), Err(_)) => Err(Failure::Broken(stalled(error))),
        (Ok(()), Err(failure)) => Err(failure),
    }
}

fn read_answer(connection: &mut Connection) -> Result<ResponseHead, Failure> {
    for _ in 0..MAX_INTERIM {
        let bytes = http1::read_head(connection.reader()).map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<HttpError>());
            match inner {
                Some(inner) => Failure::Protocol(inner.clone()),
                None => Failure::Broken(stalled(error)),
            }
        })?;
        let Some(bytes) = bytes else {
            return Err(Failure::Broken(stalled(io::ErrorKind::UnexpectedEof.into())));
        };
        let head = ResponseHead::parse(&bytes).map_err(Failure::Protocol)?;
        if head.status == 101 || head.status >= 200 {
            return Ok(head);
        }
    }
    Err(Failure::Protocol(HttpError::TooLong))
}

/// Statuses that say "not now".
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long the server wants us to wait: seconds only, and not for ever.
fn retry_after(fields: &Fields) -> Option<Duration> {
    let seconds = fields.get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}
