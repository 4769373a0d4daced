//! One repository of a registry: its manifests, blobs and tags.

use std::sync::Arc;

use content::Hasher;
use http1::{Scheme, Url};
use oci::{Algorithm, Descriptor, Digest, Reference};
use serde::Deserialize;

use crate::auth::denied;
use crate::document::{ACCEPT, Fetched, MAX_BYTES};
use crate::request::{Payload, Request};
use crate::response::Response;
use crate::server::Server;
use crate::{Client, TransferError};

/// A repository as one asks for it.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) client: Client,
    /// Mirrors first, the registry last.
    pub(crate) servers: Vec<Arc<Server>>,
    /// Below the registry: `library/debian`.
    pub(crate) path: String,
    /// `registry/repository`, for errors.
    pub(crate) name: String,
    /// As Docker shows it.
    pub(crate) familiar: String,
}

/// One page of tags.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tags {
    tags: Option<Vec<String>>,
}

/// Tags that are asked for at once.
const PAGE: &str = "1000";
/// More tags than this are not listed.
const MAX_TAGS: usize = 1_000_000;

impl Client {
    /// The repository that a reference names. Asks nobody, unless the scheme must be found out.
    pub fn repository(&self, reference: &Reference) -> Result<Repository, TransferError> {
        let mut servers = self.servers(reference.domain(), reference.path())?;
        servers.retain(|server| !server.is_mirror || server.serves(reference.digest().is_some()));
        Ok(Repository {
            client: self.clone(),
            servers,
            path: reference.path().to_owned(),
            name: reference.repository(),
            familiar: reference.familiar_repository(),
        })
    }
}

impl Repository {
    /// `registry/repository`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The registry itself, which alone is written to.
    pub(crate) fn own_server(&self) -> &Server {
        self.servers.last().expect("a registry has itself as its last server")
    }

    /// A request that only reads, for those who may do what `scope` says.
    pub(crate) fn get<'r>(&'r self, what: &'r str, url: Url, scope: &'r str) -> Request<'r> {
        Request {
            what,
            repository: &self.name,
            method: "GET",
            url,
            fields: Vec::new(),
            payload: Payload::None,
            scope: Some(scope),
            is_repeatable: true,
        }
    }

    /// Under which path a server has it.
    pub(crate) fn path_at<'r>(&'r self, server: &'r Server) -> &'r str {
        server.path.as_deref().unwrap_or(&self.path)
    }

    pub(crate) fn pull_scope(&self, server: &Server) -> String {
        format!("repository:{}:pull", self.path_at(server))
    }

    pub(crate) fn url(&self, server: &Server, rest: &str) -> Url {
        server.origin.at(format!("{}/{}/{rest}", server.base, self.path_at(server)))
    }

    /// Asks each server until one has it; the last one's error counts.
    fn first<T>(
        &self,
        mut ask: impl FnMut(&Server) -> Result<T, TransferError>,
    ) -> Result<T, TransferError> {
        let mut servers = self.servers.iter().peekable();
        loop {
            let server = servers.next().expect("a registry has itself as its last server");
            match ask(server) {
                Err(error) if error.is_elsewhere() && servers.peek().is_some() => {}
                other => return other,
            }
        }
    }

    /// The manifest that a reference of this repository names, by digest if it has one.
    ///
    /// Verified: a digest names these bytes and no others, whoever gave them.
    pub fn manifest(&self, reference: &Reference) -> Result<Fetched, TransferError> {
        let digest = reference.digest();
        let wanted = match (digest, reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.to_owned(),
            (None, None) => "latest".to_owned(),
        };
        let what = format!("manifest {wanted}");
        self.first(|server| self.manifest_from(server, &what, &wanted, reference))
    }

    fn manifest_from(
        &self,
        server: &Server,
        what: &str,
        wanted: &str,
        reference: &Reference,
    ) -> Result<Fetched, TransferError> {
        let scope = self.pull_scope(server);
        let mut request = self.get(what, self.url(server, &format!("manifests/{wanted}")), &scope);
        request.fields.extend(ACCEPT.map(|kind| ("Accept", kind.to_owned())));
        let response = self.client.exchange(server, &request)?;
        match response.status {
            200 => {}
            404 => {
                return Err(TransferError::NoManifest {
                    reference: reference.familiar(),
                    message: response.message(),
                });
            }
            _ => return Err(self.refusal(&request, response)),
        }
        if response.is_html() {
            return Err(self.html(what));
        }
        let content_type = response.fields.media_type();
        let announced = response.fields.get("docker-content-digest").map(str::to_owned);
        let refuse = |why: String| TransferError::Document {
            what: what.to_owned(),
            repository: self.name.clone(),
            why,
        };
        let bytes = response.into_bytes(MAX_BYTES).map_err(|source| TransferError::Broken {
            what: what.to_owned(),
            repository: self.name.clone(),
            times: 1,
            source,
        })?;
        let bytes = bytes.ok_or_else(|| refuse(format!("it has more than {MAX_BYTES} bytes")))?;
        // By tag the registry's own word for the digest is compared, if it gives one.
        let expected = match reference.digest() {
            Some(digest) => Some(digest.clone()),
            None => announced.and_then(|text| text.parse().ok()),
        };
        let algorithm = expected.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let actual = hasher.finish();
        if let Some(digest) = expected.filter(|digest| *digest != actual) {
            return Err(TransferError::Mismatch {
                what: "manifest",
                repository: self.name.clone(),
                digest,
                actual: actual.to_string(),
            });
        }
        Fetched::new(bytes, actual, content_type.as_deref()).map_err(refuse)
    }

    /// A small blob as bytes, verified.
    pub(crate) fn blob(
        &self,
        what: &'static str,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, TransferError> {
        if descriptor.size_bytes > limit {
            return Err(TransferError::Document {
                what: format!("{what} {}", descriptor.digest),
                repository: self.name.clone(),
                why: format!("it has {} bytes, more than {limit}", descriptor.size_bytes),
            });
        }
        self.first(|server| {
            let response = self.open_blob(server, &descriptor.digest, 0)?;
            let bytes = response.into_bytes(limit).map_err(|source| TransferError::Broken {
                what: format!("{what} {}", descriptor.digest),
                repository: self.name.clone(),
                times: 1,
                source,
            })?;
            let mismatch = |actual: String| TransferError::Mismatch {
                what,
                repository: self.name.clone(),
                digest: descriptor.digest.clone(),
                actual,
            };
            let bytes = bytes.ok_or_else(|| mismatch(format!("more than {limit} bytes")))?;
            let mut hasher = Hasher::new(descriptor.digest.algorithm());
            hasher.update(&bytes);
            match hasher.finish() {
                actual if actual != descriptor.digest => Err(mismatch(actual.to_string())),
                _ if bytes.len() as u64 != descriptor.size_bytes => {
                    Err(mismatch(format!("{} bytes", bytes.len())))
                }
                _ => Ok(bytes),
            }
        })
    }

    /// A blob's bytes from `offset` on; the answer is 200 or 206.
    pub(crate) fn open_blob(
        &self,
        server: &Server,
        digest: &Digest,
        offset: u64,
    ) -> Result<Response, TransferError> {
        let scope = self.pull_scope(server);
        let what = format!("blob {digest}");
        let request = self.get(&what, self.url(server, &format!("blobs/{digest}")), &scope);
        self.bytes(server, request, offset, |response| match response.status {
            404 => Some(TransferError::NoBlob {
                repository: self.name.clone(),
                digest: digest.clone(),
            }),
            _ => None,
        })
    }

    /// The bytes that `request` is for, from `offset` on. `known` says what an answer without them
    /// means, if it means something of its own.
    fn bytes(
        &self,
        server: &Server,
        mut request: Request<'_>,
        offset: u64,
        known: impl FnOnce(&Response) -> Option<TransferError>,
    ) -> Result<Response, TransferError> {
        if offset > 0 {
            request.fields.push(("Range", format!("bytes={offset}-")));
        }
        let response = self.client.exchange(server, &request)?;
        match response.status {
            200 | 206 if response.is_html() => Err(self.html(request.what)),
            200 | 206 => Ok(response),
            _ => Err(known(&response).unwrap_or_else(|| self.refusal(&request, response))),
        }
    }

    /// A blob's bytes from `offset` on, from a place that its descriptor names.
    ///
    /// The registry's certificates and credentials are for the registry alone.
    pub(crate) fn open_url(
        &self,
        descriptor: &Descriptor,
        url: &str,
        offset: u64,
    ) -> Result<Response, TransferError> {
        let what = format!("blob {}", descriptor.digest);
        let server = self.own_server();
        let refuse = |why| TransferError::Redirect {
            what: what.clone(),
            repository: self.name.clone(),
            location: url.chars().take(200).collect(),
            why,
        };
        let url = Url::parse(url).map_err(|_| refuse("it is no http or https URL"))?;
        if server.origin.scheme == Scheme::Https && url.origin.scheme == Scheme::Http {
            return Err(refuse("it leaves the encryption"));
        }
        let request = Request { scope: None, ..self.get(&what, url, "") };
        self.bytes(server, request, offset, |_| None)
    }

    /// How many bytes a blob has, by its head.
    pub(crate) fn blob_size(&self, digest: &Digest) -> Result<u64, TransferError> {
        let what = format!("blob {digest}");
        self.first(|server| {
            let scope = self.pull_scope(server);
            let url = self.url(server, &format!("blobs/{digest}"));
            let request = Request { method: "HEAD", ..self.get(&what, url, &scope) };
            let response = self.client.exchange(server, &request)?;
            let size = response.fields.content_length().ok().flatten();
            match (response.status, size) {
                (200, Some(size)) => Ok(size),
                (200, None) => Err(TransferError::Document {
                    what: what.clone(),
                    repository: self.name.clone(),
                    why: "the registry does not say how long it is".into(),
                }),
                (404, _) => Err(TransferError::NoBlob {
                    repository: self.name.clone(),
                    digest: digest.clone(),
                }),
                _ => Err(self.refusal(&request, response)),
            }
        })
    }

    /// All tags, page after page, in the registry's order.
    pub fn tags(&self) -> Result<Vec<String>, TransferError> {
        let url = self.url(self.own_server(), "tags/list").with("n", PAGE);
        let mut tags: Vec<String> = Vec::new();
        let listed = self.pages("the list of tags", url, "application/json", |page: Tags| {
            // What is no tag cannot be asked for either.
            let is_tag = |tag: &String| format!("x:{tag}").parse::<Reference>().is_ok();
            tags.extend(page.tags.unwrap_or_default().into_iter().filter(is_tag));
            tags.len() <= MAX_TAGS
        })?;
        match listed {
            None => Ok(tags),
            Some(response) => Err(TransferError::NoManifest {
                reference: self.familiar.clone(),
                message: response.message(),
            }),
        }
    }

    pub(crate) fn html(&self, what: &str) -> TransferError {
        TransferError::Html { what: what.to_owned(), repository: self.name.clone() }
    }

    /// What an answer that is no success means.
    pub(crate) fn refusal(&self, request: &Request<'_>, response: Response) -> TransferError {
        if response.is_html() {
            return self.html(request.what);
        }
        match response.status {
            401 | 403 => denied(request, &response.message()),
            status => TransferError::Status {
                what: request.what.to_owned(),
                repository: self.name.clone(),
                status,
                message: response.message(),
            },
        }
    }
}
