//! Searching a registry: Docker Hub's way, from before the distribution-spec, which has none.

use std::sync::Arc;

use serde::Deserialize;

use crate::request::{Payload, Request};
use crate::server::Server;
use crate::{Client, TransferError};

/// One repository that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FoundRepository {
    /// As one would pull it.
    pub name: String,
    /// What its owner says.
    pub description: String,
    /// How many people like it.
    #[serde(rename = "star_count")]
    pub stars: u64,
    /// Whether Docker looks after it.
    pub is_official: bool,
    /// Whether it is built by the registry; no registry says so any more.
    pub is_automated: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    results: Option<Vec<FoundRepository>>,
}

/// The most bytes of an answer.
const MAX_BYTES: u64 = 4 << 20;
/// Where Docker Hub answers searches, and nothing else.
const HUB: &str = "index.docker.io";

impl Client {
    /// Searches a registry (`docker.io`, `localhost:5000`) for repositories; at most `limit`.
    ///
    /// Needs no credentials, and shows none. [`TransferError::NoSearch`] if the registry does not
    /// have it, which is so for all but Docker Hub and a few others.
    pub fn search(
        &self,
        registry: &str,
        term: &str,
        limit: u32,
    ) -> Result<Vec<FoundRepository>, TransferError> {
        let servers = self.servers(registry, "")?;
        let own = servers.last().expect("a registry has itself as its last server");
        let mut server = Server::clone(Arc::as_ref(own));
        if server.origin.host == "registry-1.docker.io" {
            server.origin.host = HUB.into();
        }
        let url = server.origin.at("/v1/search");
        let request = Request {
            what: "the search",
            repository: registry,
            method: "GET",
            url: url.with("q", term).with("n", &limit.to_string()),
            fields: vec![("Accept", "application/json".into())],
            payload: Payload::None,
            scope: None,
            is_repeatable: true,
        };
        let response = self.exchange(&server, &request)?;
        let none = || TransferError::NoSearch { registry: registry.to_owned() };
        match response.status {
            200 if response.is_html() => return Err(none()),
            200 => {}
            400 | 401 | 403 | 404 | 405 | 410 => return Err(none()),
            status => {
                return Err(TransferError::Status {
                    what: request.what.into(),
                    repository: registry.to_owned(),
                    status,
                    message: response.message(),
                });
            }
        }
        let bytes = response.into_bytes(MAX_BYTES).ok().flatten().ok_or_else(none)?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| none())?;
        let mut found = answer.results.ok_or_else(none)?;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }
}
