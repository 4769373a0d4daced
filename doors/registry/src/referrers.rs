//! Referrers: the manifests that are about another one. distribution-spec 1.1.1, "Listing
//! Referrers".

use oci::{Digest, Index, media_type};

use crate::Registry;
use crate::conversation::Request;
use crate::names::Name;
use crate::reply::{Answer, Refusal, Reply};

/// Entries of a page.
const PAGE: usize = 1000;

impl Registry {
    /// An index of them; an empty one if there are none, also of what is not here.
    pub(crate) fn list_referrers(
        &self,
        request: &Request<'_>,
        name: &Name,
        subject: &Digest,
    ) -> Answer {
        let mut found = self.shelf.referrers(name, subject)?;
        let wanted = request.head.parameter("artifactType");
        if let Some(kind) = &wanted {
            found.retain(|descriptor| descriptor.artifact_type.as_ref() == Some(kind));
        }
        if let Some(last) = request.head.parameter("last") {
            found.retain(|descriptor| descriptor.digest.to_string() > last);
        }
        let has_more = found.len() > PAGE;
        found.truncate(PAGE);
        let last = found.last().map(|descriptor| descriptor.digest.to_string());
        let index = Index {
            schema_version: 2,
            media_type: Some(media_type::OCI_INDEX.into()),
            artifact_type: None,
            manifests: found,
            subject: None,
            annotations: Default::default(),
        };
        let bytes = serde_json::to_vec(&index).map_err(Refusal::internal)?;
        let mut reply = Reply::new(200).bytes(media_type::OCI_INDEX, bytes);
        if wanted.is_some() {
            reply = reply.with("OCI-Filters-Applied", "artifactType");
        }
        if let Some(last) = last.filter(|_| has_more) {
            let mut next = format!("/v2/{name}/referrers/{subject}?last={last}");
            if let Some(kind) = &wanted {
                next.push_str(&format!("&artifactType={}", http1::encode_component(kind)));
            }
            reply = reply.with("Link", format!("<{next}>; rel=\"next\""));
        }
        Ok(reply)
    }
}
