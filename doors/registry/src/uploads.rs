//! Uploads: in one piece, in chunks, or taken from another repository.
//!
//! A session lives in memory, its bytes in the store's `ingest`, hashed as they come. It ends with
//! the server: a client then begins anew, which all of them do.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use content::Ingest;
use oci::{Algorithm, Digest};

use crate::access::Principal;
use crate::conversation::Request;
use crate::names::Name;
use crate::reply::{Answer, Refusal, Reply, with_causes};
use crate::{Registry, Verb};

/// The sessions.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

#[derive(Debug)]
struct Session {
    name: Name,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once the session has ended.
    ingest: Option<Ingest>,
    used: Instant,
}

/// Sessions at once. Each holds a descriptor and a file, and no memory between two chunks.
const MAX_SESSIONS: usize = 4096;
/// How long nobody may go on with one.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

impl Uploads {
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Ends the sessions that nobody goes on with.
    pub(crate) fn forget_old(&self) {
        self.lock().retain(|_, session| match session.state.try_lock() {
            Ok(state) => state.used.elapsed() < MAX_AGE,
            // Somebody is just sending.
            Err(_) => true,
        });
    }

    fn begin(&self, name: &Name, ingest: Ingest) -> Result<String, Refusal> {
        let mut sessions = self.lock();
        if sessions.len() >= MAX_SESSIONS {
            return Err(Refusal::new(429, "TOOMANYREQUESTS", "too many uploads are in progress")
                .with("Retry-After", "5"));
        }
        let id = sys::names::random_hex::<16>();
        let state = Mutex::new(State { ingest: Some(ingest), used: Instant::now() });
        sessions.insert(id.clone(), Arc::new(Session { name: name.clone(), state }));
        Ok(id)
    }

    fn get(&self, name: &Name, id: &str) -> Result<Arc<Session>, Refusal> {
        let found = self.lock().get(id).filter(|session| session.name == *name).cloned();
        found.ok_or_else(unknown)
    }

    fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Registry {
    /// `POST`: a mount, a blob in one piece, or a new session.
    pub(crate) fn start_upload(
        &self,
        request: &mut Request<'_>,
        name: &Name,
        who: &Principal,
    ) -> Answer {
        let parameter = |key| digest_parameter(request, key);
        if let Some(mount) = parameter("mount")? {
            if self.mount(request, name, who, &mount)? {
                return Ok(created(name, &mount));
            }
        } else if let Some(digest) = parameter("digest")? {
            let mut ingest = self.shelf.content.ingest_with(digest.algorithm())?;
            receive(request, &mut ingest)?;
            return self.store(name, ingest, &digest);
        }
        let algorithm = match request.head.parameter("digest-algorithm").as_deref() {
            None | Some("sha256") => Algorithm::Sha256,
            Some("sha512") => Algorithm::Sha512,
            Some(_) => {
                return Err(Refusal::new(400, "DIGEST_INVALID", "the algorithm is not supported"));
            }
        };
        let ingest = self.shelf.content.ingest_with(algorithm)?;
        let id = self.uploads.begin(name, ingest)?;
        Ok(progress(202, name, &id, 0))
    }

    /// Whether the repository has a blob now that another one has, and that he may read there:
    /// the one that he names, or any.
    fn mount(
        &self,
        request: &Request<'_>,
        name: &Name,
        who: &Principal,
        digest: &Digest,
    ) -> Result<bool, Refusal> {
        let sources = match request.head.parameter("from") {
            None => self.shelf.names()?,
            Some(from) => match Name::parse(&from) {
                Some(from) => vec![from],
                None => return Err(Refusal::new(400, "NAME_INVALID", "invalid repository name")),
            },
        };
        let _lock = self.shelf.lock()?;
        let is_readable = |from: &Name| {
            self.shelf.has_blob(from, digest) && self.gate.may(who, Verb::Pull, from.as_str())
        };
        if !self.shelf.content.contains(digest)? || !sources.iter().any(is_readable) {
            return Ok(false);
        }
        self.shelf
            .link_blob(name, digest)
            .map_err(|error| Refusal::internal(with_causes(&error)))?;
        Ok(true)
    }

    /// `GET`: how far it is.
    pub(crate) fn upload_status(&self, name: &Name, id: &str) -> Answer {
        let session = self.uploads.get(name, id)?;
        let state = lock(&session)?;
        let size = state.ingest.as_ref().ok_or_else(unknown)?.size();
        Ok(progress(204, name, id, size))
    }

    /// `PATCH`: the next chunk.
    pub(crate) fn add_to_upload(&self, request: &mut Request<'_>, name: &Name, id: &str) -> Answer {
        let session = self.uploads.get(name, id)?;
        let mut state = lock(&session)?;
        let ingest = state.ingest.as_mut().ok_or_else(unknown)?;
        self.check_range(request, name, id, ingest.size())?;
        let received = receive(request, ingest).and_then(|()| Ok(ingest.rest()?));
        let size = ingest.size();
        if let Err(refusal) = received {
            // What came is hashed, but nobody knows how much the client thinks that it sent.
            state.ingest = None;
            drop(state);
            self.uploads.end(id);
            return Err(refusal);
        }
        state.used = Instant::now();
        Ok(progress(202, name, id, size))
    }

    /// `PUT`: the last chunk, if any, and what all of them are.
    pub(crate) fn finish_upload(&self, request: &mut Request<'_>, name: &Name, id: &str) -> Answer {
        let digest = digest_parameter(request, "digest")?
            .ok_or_else(|| Refusal::new(400, "DIGEST_INVALID", "the digest is missing"))?;
        let session = self.uploads.get(name, id)?;
        let mut state = lock(&session)?;
        let size = state.ingest.as_ref().ok_or_else(unknown)?.size();
        self.check_range(request, name, id, size)?;
        let mut ingest = state.ingest.take().ok_or_else(unknown)?;
        drop(state);
        self.uploads.end(id);
        if size == 0 && ingest.algorithm() != digest.algorithm() {
            // Nothing was hashed yet: do it in the way that is asked for.
            ingest = self.shelf.content.ingest_with(digest.algorithm())?;
        }
        receive(request, &mut ingest)?;
        self.store(name, ingest, &digest)
    }

    /// `DELETE`: forget it.
    pub(crate) fn cancel_upload(&self, name: &Name, id: &str) -> Answer {
        let session = self.uploads.get(name, id)?;
        lock(&session)?.ingest = None;
        self.uploads.end(id);
        Ok(Reply::new(204))
    }

    fn store(&self, name: &Name, ingest: Ingest, digest: &Digest) -> Answer {
        let staged = match ingest.algorithm() == digest.algorithm() {
            true => ingest.stage(Some(digest), None)?,
            false => ingest.stage(None, None)?.named_by(digest)?,
        };
        self.shelf
            .add_blob(name, staged)
            .map_err(|error| Refusal::internal(with_causes(&error)))?;
        Ok(created(name, digest))
    }

    /// A chunk must begin where the last one ended. Without a range it is the next one.
    fn check_range(
        &self,
        request: &Request<'_>,
        name: &Name,
        id: &str,
        size: u64,
    ) -> Result<(), Refusal> {
        let Some(text) = request.head.fields.get("content-range") else { return Ok(()) };
        let text = text.trim().trim_start_matches("bytes").trim_start_matches(['=', ' ']);
        let text = text.split('/').next().unwrap_or_default();
        let range = text.split_once('-').and_then(|(first, last)| {
            Some((first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?))
        });
        let refuse = || {
            let mut refusal = Refusal::new(
                416,
                "BLOB_UPLOAD_INVALID",
                format!("the upload has {size} bytes, and the chunk begins elsewhere"),
            );
            for (field, value) in progress(416, name, id, size).head.fields.iter() {
                match field {
                    "Location" => refusal = refusal.with("Location", value),
                    "Range" => refusal = refusal.with("Range", value),
                    _ => {}
                }
            }
            refusal
        };
        let (first, last) = range.ok_or_else(|| {
            Refusal::new(400, "BLOB_UPLOAD_INVALID", "the Content-Range is malformed")
        })?;
        let length = request.length();
        let fits = first == size
            && last.checked_sub(first).is_some_and(|count| {
                length.is_none_or(|length| Some(length) == count.checked_add(1))
            });
        // An empty last chunk is written by some as a range that ends where it begins.
        let is_empty = length == Some(0) && first == size;
        if fits || is_empty { Ok(()) } else { Err(refuse()) }
    }
}

/// Reads the body into the blob.
fn receive(request: &mut Request<'_>, ingest: &mut Ingest) -> Result<(), Refusal> {
    loop {
        match ingest.fill(|room| request.read(room))? {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Refusal::new(400, "BLOB_UPLOAD_INVALID", error.to_string()));
            }
        }
    }
}

fn digest_parameter(request: &Request<'_>, key: &str) -> Result<Option<Digest>, Refusal> {
    let Some(text) = request.head.parameter(key) else { return Ok(None) };
    match text.parse() {
        Ok(digest) => Ok(Some(digest)),
        Err(error) => Err(Refusal::new(
            400,
            "DIGEST_INVALID",
            format!("the parameter {key} is no digest: {error}"),
        )),
    }
}

/// Two who go on with one session at the same time: the second is told so.
fn lock(session: &Session) -> Result<std::sync::MutexGuard<'_, State>, Refusal> {
    session.state.try_lock().map_err(|_| {
        Refusal::new(409, "BLOB_UPLOAD_INVALID", "somebody else is sending to this upload")
    })
}

fn unknown() -> Refusal {
    Refusal::new(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
}

fn created(name: &Name, digest: &Digest) -> Reply {
    Reply::new(201)
        .with("Location", format!("/v2/{name}/blobs/{digest}"))
        .with("Docker-Content-Digest", digest.to_string())
}

fn progress(status: u16, name: &Name, id: &str, size: u64) -> Reply {
    Reply::new(status)
        .with("Location", format!("/v2/{name}/blobs/uploads/{id}"))
        .with("Docker-Upload-Uuid", id)
        // The last byte that is here; the standard has no way to say "none".
        .with("Range", format!("0-{}", size.saturating_sub(1)))
}
