//! Blobs and manifests on their way out.
//!
//! distribution-spec 1.1.1, "Push": a blob is looked for, mounted from another repository, or
//! posted and put. A manifest comes last, when all that it names is there.

use std::io;

use content::Content;
use http1::{Url, encode_component};
use oci::{Descriptor, Digest};

use crate::document::{Document, Fetched};
use crate::request::{Payload, Request};
use crate::response::Response;
use crate::server::Server;
use crate::{LayerState, Progress, Repository, TransferError};

/// A blob that a repository shall have.
pub(crate) struct Upload<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) content: &'a Content,
    pub(crate) blob: &'a Descriptor,
    /// Another repository of the registry that may have it.
    pub(crate) mount_from: Option<&'a str>,
    pub(crate) progress: &'a dyn Progress,
}

impl Repository {
    pub(crate) fn push_scope(&self, from: Option<&str>) -> String {
        let own = format!("repository:{}:pull,push", self.path_at(self.own_server()));
        match from {
            Some(from) => format!("{own} repository:{from}:pull"),
            None => own,
        }
    }

    /// Gives `target`, of the same registry, a manifest of this repository, by its digest.
    ///
    /// Its blobs are mounted; [`TransferError::Status`] if the registry does not do that.
    pub fn copy_to(&self, target: &Self, fetched: &Fetched) -> Result<(), TransferError> {
        let blobs: Vec<&Descriptor> = match &fetched.document {
            Document::Manifest(manifest) => {
                std::iter::once(&manifest.config).chain(&manifest.layers).collect()
            }
            // Its entries are manifests, and the caller's to copy.
            Document::Index(_) => Vec::new(),
        };
        let server = target.own_server();
        let from = self.path_at(self.own_server());
        let scope = target.push_scope(Some(from));
        for blob in blobs {
            let what = format!("mount of blob {}", blob.digest);
            let url = target.url(server, "blobs/uploads/");
            let request = Request {
                what: &what,
                repository: &target.name,
                method: "POST",
                url: url.with("mount", &blob.digest.to_string()).with("from", from),
                fields: Vec::new(),
                payload: Payload::None,
                scope: Some(&scope),
                is_repeatable: true,
            };
            let response = target.client.exchange(server, &request)?;
            if response.status != 201 {
                return Err(target.refusal(&request, response));
            }
        }
        let digest = &fetched.descriptor.digest;
        let kind = &fetched.descriptor.media_type;
        target.put_manifest(&digest.to_string(), kind, &fetched.bytes, digest)
    }

    /// Puts a manifest under a tag or its digest.
    pub fn put_manifest(
        &self,
        tag: &str,
        media_type: &str,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<(), TransferError> {
        let server = self.own_server();
        let scope = self.push_scope(None);
        let what = format!("manifest {tag}");
        let request = Request {
            what: &what,
            repository: &self.name,
            method: "PUT",
            url: self.url(server, &format!("manifests/{tag}")),
            fields: vec![("Content-Type", media_type.to_owned())],
            payload: Payload::Bytes(bytes),
            scope: Some(&scope),
            is_repeatable: true,
        };
        let response = self.client.exchange(server, &request)?;
        if !matches!(response.status, 200..=202) {
            return Err(self.refusal(&request, response));
        }
        match response.fields.get("docker-content-digest").map(str::parse::<Digest>) {
            Some(Ok(actual)) if actual != *digest => Err(TransferError::Mismatch {
                what: "manifest",
                repository: self.name.clone(),
                digest: digest.clone(),
                actual: actual.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

impl Upload<'_> {
    /// Brings it there, if it is not.
    pub(crate) fn bring(&self) -> Result<(), TransferError> {
        let digest = &self.blob.digest;
        let server = self.repository.own_server();
        if self.is_there(server)? {
            self.progress.layer(digest, LayerState::Exists);
            return Ok(());
        }
        let mut attempt = 0;
        loop {
            match self.upload(server) {
                Ok(state) => {
                    self.progress.layer(digest, state);
                    return Ok(());
                }
                // Neither the answer nor the session is there any more: a new one is begun, unless
                // the registry has the blob by now.
                Err(error @ TransferError::Broken { .. })
                    if attempt < self.repository.client.inner.settings.timeouts.retries =>
                {
                    self.progress.layer(digest, LayerState::Retrying);
                    std::thread::sleep(self.repository.client.backoff(attempt));
                    attempt += 1;
                    match self.is_there(server) {
                        Ok(true) => {
                            self.progress.layer(digest, LayerState::Pushed);
                            return Ok(());
                        }
                        Ok(false) => {}
                        Err(_) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn is_there(&self, server: &Server) -> Result<bool, TransferError> {
        let scope = self.repository.push_scope(None);
        let what = format!("blob {}", self.blob.digest);
        let mut request = self.request(&what, &scope);
        request.method = "HEAD";
        request.url = self.repository.url(server, &format!("blobs/{}", self.blob.digest));
        let response = self.repository.client.exchange(server, &request)?;
        match response.status {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.repository.refusal(&request, response)),
        }
    }

    fn request<'r>(&'r self, what: &'r str, scope: &'r str) -> Request<'r> {
        let server = self.repository.own_server();
        Request {
            what,
            repository: &self.repository.name,
            method: "POST",
            url: self.repository.url(server, "blobs/uploads/"),
            fields: Vec::new(),
            payload: Payload::None,
            scope: Some(scope),
            is_repeatable: true,
        }
    }

    fn upload(&self, server: &Server) -> Result<LayerState, TransferError> {
        let digest = &self.blob.digest;
        let what = format!("upload of blob {digest}");
        let scope = self.repository.push_scope(self.mount_from);
        let mut request = self.request(&what, &scope);
        if let Some(from) = self.mount_from {
            request.url = request.url.with("mount", &digest.to_string()).with("from", from);
        }
        let mut response = self.repository.client.exchange(server, &request)?;
        if self.mount_from.is_some() && matches!(response.status, 401 | 403) {
            // Not allowed to read there: no reason not to write here.
            let scope = self.repository.push_scope(None);
            let plain = self.request(&what, &scope);
            response = self.repository.client.exchange(server, &plain)?;
        }
        match response.status {
            201 => return Ok(LayerState::Mounted),
            202 => {}
            _ => return Err(self.repository.refusal(&request, response)),
        }
        let location = self.location(&request, &response)?;
        drop(response.drain());
        self.put(server, &what, location)?;
        Ok(LayerState::Pushed)
    }

    /// Where the bytes go to. It may be another server, which is shown nothing.
    fn location(&self, request: &Request<'_>, response: &Response) -> Result<Url, TransferError> {
        let text = response.fields.get("location").unwrap_or_default();
        let refuse = |why| TransferError::Redirect {
            what: request.what.to_owned(),
            repository: self.repository.name.clone(),
            location: text.split('?').next().unwrap_or_default().to_owned(),
            why,
        };
        let url = response.url.resolve(text).map_err(|_| refuse("it is no http or https URL"))?;
        if text.is_empty() {
            return Err(refuse("the registry does not say where the bytes go"));
        }
        let leaves_tls = response.url.origin.scheme == http1::Scheme::Https
            && url.origin.scheme == http1::Scheme::Http;
        if leaves_tls && url.origin.bare_host() == response.url.origin.bare_host() {
            // A registry behind a proxy that does not tell it so: the same host, over TLS.
            return Ok(response.url.origin.at(url.target));
        }
        match leaves_tls {
            true => Err(refuse("it leaves the encryption")),
            false => Ok(url),
        }
    }

    fn put(&self, server: &Server, what: &str, location: Url) -> Result<(), TransferError> {
        let (digest, size) = (&self.blob.digest, self.blob.size_bytes);
        let open = || self.content.open_blob(digest).map_err(io::Error::other);
        let tell = |sent| {
            let state = LayerState::Uploading { current: sent, total: size };
            self.progress.layer(digest, state);
        };
        let joint = if location.target.contains('?') { '&' } else { '?' };
        let target =
            format!("{}{joint}digest={}", location.target, encode_component(&digest.to_string()));
        let scope = self.repository.push_scope(None);
        let request = Request {
            what,
            repository: &self.repository.name,
            method: "PUT",
            url: location.origin.at(target),
            fields: vec![("Content-Type", "application/octet-stream".into())],
            payload: Payload::File { open: &open, length: size, tell: &tell },
            scope: Some(&scope),
            is_repeatable: false,
        };
        let response = self.repository.client.exchange(server, &request)?;
        match response.status {
            200 | 201 | 204 => Ok(()),
            // The session is gone, or the registry was not able to: worth a new one.
            404 | 416 | 429 | 500 | 502 | 503 | 504 => Err(TransferError::Broken {
                what: what.to_owned(),
                repository: self.repository.name.clone(),
                times: 1,
                source: io::Error::other(response.message()),
            }),
            _ => Err(self.repository.refusal(&request, response)),
        }
    }
}
