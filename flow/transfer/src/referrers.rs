//! What is said about a manifest: signatures, bills of material, attestations.
//!
//! distribution-spec 1.1.1, "Listing Referrers"; and for registries without it the index under a
//! tag that is made of the digest, "Unavailable Referrers API", which we read, and write when we
//! push something to such a one.

use oci::{Descriptor, Digest, Index, Reference, media_type};

use crate::document::{Document, Fetched};
use crate::{Repository, TransferError};

/// More entries than this are not read.
const MAX_ENTRIES: usize = 10_000;

impl Repository {
    /// The descriptors of the manifests that are about `subject`; of one type of artifact, if one is
    /// named. None if nothing is said, or the registry does not know the subject.
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, TransferError> {
        let mut url = self.url(self.own_server(), &format!("referrers/{subject}"));
        if let Some(kind) = artifact_type {
            url = url.with("artifactType", kind);
        }
        let what = format!("the list of what is about {subject}");
        let mut found: Vec<Descriptor> = Vec::new();
        let listed = self.pages(&what, url, oci::media_type::OCI_INDEX, |page: Index| {
            found.extend(page.manifests);
            found.len() <= MAX_ENTRIES
        })?;
        match listed {
            None => Ok(only(found, artifact_type)),
            // It does not have this, and neither does who answers so to what he does not know.
            Some(_) => self.tagged_referrers(subject, artifact_type),
        }
    }

    /// The index under the tag that stands for the digest.
    fn tagged_referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, TransferError> {
        let reference: Reference = format!("{}:{}", self.name, tag(subject))
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

    /// Sees to it that a manifest about `subject`, which the repository has, is listed: a registry
    /// that lists none by itself gets the index under the subject's tag.
    ///
    /// Whoever adds to such an index at the same time may be lost: registries have no way around.
    pub(crate) fn list_referrer(
        &self,
        subject: &Digest,
        said: &Fetched,
    ) -> Result<(), TransferError> {
        let mut listed = self.referrers(subject, None)?;
        if listed.iter().any(|one| one.digest == said.descriptor.digest) {
            return Ok(());
        }
        let mut descriptor = said.descriptor.clone();
        if let Document::Manifest(manifest) = &said.document {
            let config = &manifest.config.media_type;
            descriptor.artifact_type = manifest.artifact_type.clone().or(Some(config.clone()));
            descriptor.annotations.clone_from(&manifest.annotations);
        }
        listed.push(descriptor);
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.into()),
            artifact_type: None,
            manifests: listed,
            subject: None,
            annotations: Default::default(),
        };
        let bytes = serde_json::to_vec(&index).map_err(|error| TransferError::Document {
            what: "the list of referrers".into(),
            repository: self.name.clone(),
            why: error.to_string(),
        })?;
        let digest = content::sha256(&bytes);
        self.put_manifest(&tag(subject), media_type::OCI_INDEX, &bytes, &digest)
    }
}

/// The tag that stands for a digest.
fn tag(subject: &Digest) -> String {
    let tag = format!("{}-{}", subject.algorithm().name(), subject.hex());
    // A tag has 128 characters at most, of which a longer digest leaves the rest out.
    tag.chars().take(128).collect()
}

/// A registry need not filter.
fn only(mut found: Vec<Descriptor>, artifact_type: Option<&str>) -> Vec<Descriptor> {
    if let Some(kind) = artifact_type {
        found.retain(|descriptor| descriptor.artifact_type.as_deref() == Some(kind));
    }
    found
}
