//! The registry that this one is a cache of.
//!
//! A tag is asked for upstream each time, and answered from here if nobody answers there; what has
//! a digest is fetched once.

use oci::{Digest, Reference};
use transfer::{Client, Settings, TransferError};

use crate::RegistryError;
use crate::names::{Name, Tag, Target};
use crate::reply::{Refusal, with_causes};
use crate::shelf::Shelf;

/// The upstream registry.
#[derive(Debug)]
pub(crate) struct Upstream {
    client: Client,
    /// `docker.io`, `ghcr.io`, `localhost:5000`.
    registry: String,
}

impl Upstream {
    /// `text` is a registry's name, or its URL.
    pub(crate) fn new(text: &str) -> Result<Self, RegistryError> {
        let host = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
        let registry = match host {
            "registry-1.docker.io" | "index.docker.io" => "docker.io",
            host => host,
        };
        if format!("{registry}/x").parse::<Reference>().is_err() || registry.contains('/') {
            let why = format!("{text:?} is no registry: --proxy takes its name, such as docker.io");
            return Err(RegistryError::Config { why });
        }
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let docker_config = std::env::var_os("DOCKER_CONFIG")
            .map(std::path::PathBuf::from)
            .or_else(|| home.map(|home| std::path::Path::new(&home).join(".docker")));
        Ok(Self {
            client: Client::new(Settings::of_user(docker_config)),
            registry: registry.to_owned(),
        })
    }

    /// Brings a manifest here, if it has to be.
    pub(crate) fn bring_manifest(
        &self,
        shelf: &Shelf,
        name: &Name,
        target: &Target,
    ) -> Result<(), Refusal> {
        let (reference, tag) = match target {
            Target::Digest(digest) => {
                if shelf.manifest(name, digest)?.is_some() {
                    return Ok(());
                }
                (self.reference(name).with_digest(digest.clone()), None)
            }
            Target::Tag(tag) => (self.tagged(name, tag), Some(tag.clone())),
        };
        let fetched =
            self.client.repository(&reference).and_then(|found| found.manifest(&reference));
        let fetched = match fetched {
            Ok(fetched) => fetched,
            // Nobody is there: what is here is better than nothing.
            Err(TransferError::Connect { .. } | TransferError::Broken { .. })
                if tag.as_ref().is_some_and(|tag| matches!(shelf.tag(name, tag), Ok(Some(_)))) =>
            {
                return Ok(());
            }
            Err(TransferError::NoManifest { .. }) => return Err(Refusal::manifest_unknown()),
            Err(error) => return Err(bad_gateway(&error)),
        };
        let digest = fetched.descriptor.digest;
        let _lock = shelf.lock()?;
        let mut ingest = shelf.content.ingest_with(digest.algorithm())?;
        ingest.append(&fetched.bytes)?;
        let staged = ingest.stage(Some(&digest), None)?;
        shelf.content.publish([staged], content::Durability::Power)?;
        shelf
            .add_manifest(name, &digest, &fetched.descriptor.media_type, tag.as_slice(), None)
            .map_err(|error| Refusal::internal(with_causes(&error)))
    }

    /// Brings a blob here.
    pub(crate) fn bring_blob(
        &self,
        shelf: &Shelf,
        name: &Name,
        digest: &Digest,
    ) -> Result<(), Refusal> {
        let reference = self.reference(name).with_digest(digest.clone());
        let repository = self.client.repository(&reference).map_err(|error| bad_gateway(&error))?;
        loop {
            let fetched = match repository.fetch_blob(&shelf.content, digest) {
                Ok(fetched) => fetched,
                Err(TransferError::NoBlob { .. }) => return Err(Refusal::blob_unknown()),
                Err(error) => return Err(bad_gateway(&error)),
            };
            // Only now: a collection does not wait for the network.
            let _lock = shelf.lock()?;
            if fetched.publish(&shelf.content, digest)? {
                return shelf
                    .link_blob(name, digest)
                    .map_err(|error| Refusal::internal(with_causes(&error)));
            }
        }
    }

    fn reference(&self, name: &Name) -> Reference {
        let text = format!("{}/{name}", self.registry);
        text.parse().expect("a registry and a repository's name are a reference")
    }

    fn tagged(&self, name: &Name, tag: &Tag) -> Reference {
        let text = format!("{}/{name}:{}", self.registry, tag.as_str());
        text.parse().expect("a registry, a repository's name and a tag are a reference")
    }
}

fn bad_gateway(error: &TransferError) -> Refusal {
    let mut refusal = match error {
        TransferError::Denied { .. } | TransferError::BadCredentials { .. } => {
            Refusal::new(403, "DENIED", "the upstream registry denies access")
        }
        _ => Refusal::new(502, "UNKNOWN", "the upstream registry fails: the log says how"),
    };
    refusal.cause = Some(with_causes(error));
    refusal
}
