//! What is said about a manifest: signatures, bills of material, attestations.
//!
//! distribution-spec 1.1.1, "Listing Referrers"; and for registries without it the index under a
//! tag that is made of the digest, "Unavailable Referrers API".

use std::collections::HashSet;

use oci::{Descriptor, Digest, Index, Reference};

use crate::document::{Document, MAX_BYTES};
use crate::exchange::{Payload, Request};
use crate::{Repository, TransferError};

/// More pages, or more entries, than this are not read.
const MAX_PAGES: usize = 100;
const MAX_ENTRIES: usize = 10_000;

impl Repository {
    /// The descriptors of the manifests that are about `subject`; of one type of artifact, if one is
    /// named. None if nothing is said, or the registry does not know the subject.
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, TransferError> {
        let server = self.own_server();
        let scope = self.pull_scope();
        let what = format!("the list of what is about {subject}");
        let refuse = |why: &str| TransferError::Document {
            what: what.clone(),
            repository: self.name.clone(),
            why: why.to_owned(),
        };
        let mut url = self.url(server, &format!("referrers/{subject}"));
        if let Some(kind) = artifact_type {
            url = url.with("artifactType", kind);
        }
        let mut seen = HashSet::new();
        let mut found: Vec<Descriptor> = Vec::new();
        loop {
            if !seen.insert(url.target.clone()) || seen.len() > MAX_PAGES {
                return Err(refuse("its pages have no end"));
            }
            let request = Request {
                what: &what,
                repository: &self.name,
                method: "GET",
                url: url.clone(),
                fields: vec![("Accept", oci::media_type::OCI_INDEX.into())],
                payload: Payload::None,
                scope: Some(&scope),
                is_repeatable: true,
            };
            let response = self.client.exchange(server, &request)?;
            match response.status {
                200 if response.is_html() => return Err(self.html(&what)),
                200 => {}
                // It does not have this, and neither does who answers so to what he does not know.
                400 | 404 | 405 if seen.len() == 1 => {
                    return self.tagged_referrers(subject, artifact_type);
                }
                _ => return Err(self.refusal(&request, response)),
            }
            let next = http1::next_link(&response.fields).map(str::to_owned);
            let bytes = response.into_bytes(MAX_BYTES).ok().flatten();
            let bytes = bytes.ok_or_else(|| refuse("it is cut or too long"))?;
            let page: Index =
                serde_json::from_slice(&bytes).map_err(|_| refuse("it is no index"))?;
            found.extend(page.manifests);
            if found.len() > MAX_ENTRIES {
                return Err(refuse("it has no end"));
            }
            let Some(next) = next else { break };
            let target = url.resolve(&next).map_err(|_| refuse("its next page is nowhere"))?;
            if target.origin != server.origin {
                return Err(refuse("its next page is another server's"));
            }
            url = target;
        }
        Ok(only(found, artifact_type))
    }

    /// The index under the tag that stands for the digest.
    fn tagged_referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, TransferError> {
        let tag = format!("{}-{}", subject.algorithm().name(), subject.hex());
        // A tag has 128 characters at most, of which a longer digest leaves the rest out.
        let tag: String = tag.chars().take(128).collect();
        let reference: Reference = format!("{}:{tag}", self.name)
            .parse()
            .expect("a repository's name and a tag of letters and digits are a reference");
        match self.manifest(&reference) {
            Ok(fetched) => match fetched.document {
                Document::Index(index) => Ok(only(index.manifests, artifact_type)),
                Document::Manifest(_) => Ok(Vec::new()),
            },
            Err(TransferError::NoManifest { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// A registry need not filter.
fn only(mut found: Vec<Descriptor>, artifact_type: Option<&str>) -> Vec<Descriptor> {
    if let Some(kind) = artifact_type {
        found.retain(|descriptor| descriptor.artifact_type.as_deref() == Some(kind));
    }
    found
}
