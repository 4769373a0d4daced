//! Manifests and indexes: taken when all that they name is here, given as they came.

use content::Hasher;
use oci::{Algorithm, Descriptor, Digest};
use transfer::Document;

use crate::Registry;
use crate::conversation::Request;
use crate::names::{Name, Tag, Target};
use crate::reply::{Answer, Refusal, Reply, with_causes};

/// The most bytes of a manifest.
pub(crate) const MAX_BYTES: u64 = 4 << 20;

impl Registry {
    pub(crate) fn get_manifest(&self, name: &Name, target: &Target) -> Answer {
        if let Some(upstream) = &self.upstream {
            upstream.bring_manifest(&self.shelf, name, target)?;
        }
        let digest = match target {
            Target::Digest(digest) => digest.clone(),
            Target::Tag(tag) => self.shelf.tag(name, tag)?.ok_or_else(Refusal::manifest_unknown)?,
        };
        let media_type =
            self.shelf.manifest(name, &digest)?.ok_or_else(Refusal::manifest_unknown)?;
        let bytes = self.shelf.content.read(&digest, MAX_BYTES).map_err(|error| match error {
            content::ContentError::NotFound { .. } => Refusal::manifest_unknown(),
            error => Refusal::internal(with_causes(&error)),
        })?;
        Ok(Reply::new(200)
            .bytes(&media_type, bytes)
            .with("Docker-Content-Digest", digest.to_string())
            .with("ETag", format!("\"{digest}\"")))
    }

    pub(crate) fn put_manifest(
        &self,
        request: &mut Request<'_>,
        name: &Name,
        target: &Target,
    ) -> Answer {
        let content_type = request.head.fields.media_type();
        let bytes = request.bytes(MAX_BYTES)?;
        let algorithm = match target {
            Target::Digest(digest) => digest.algorithm(),
            Target::Tag(_) => Algorithm::Sha256,
        };
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let digest = hasher.finish();
        let tags = match target {
            Target::Digest(wanted) if *wanted != digest => {
                return Err(Refusal::new(
                    400,
                    "DIGEST_INVALID",
                    format!("the manifest's digest is {digest}"),
                ));
            }
            Target::Digest(_) => tag_parameters(request)?,
            Target::Tag(tag) => vec![tag.clone()],
        };
        let (document, media_type) =
            Document::parse(&bytes, content_type.as_deref()).map_err(Refusal::manifest_invalid)?;
        if media_type.len() > MAX_TYPE {
            return Err(Refusal::manifest_invalid("its media type is too long"));
        }
        let _lock = self.shelf.lock()?;
        self.check_named(name, &document)?;
        let mut ingest = self.shelf.content.ingest_with(algorithm)?;
        ingest.append(&bytes)?;
        let staged = ingest.stage(Some(&digest), None)?;
        self.shelf.content.publish([staged], content::Durability::Power)?;
        let referrer = referrer(&document, &digest, &media_type, bytes.len() as u64);
        let about = referrer.as_ref().map(|(subject, descriptor)| (subject, descriptor));
        self.shelf
            .add_manifest(name, &digest, &media_type, &tags, about)
            .map_err(|error| Refusal::internal(with_causes(&error)))?;
        let mut reply = Reply::new(201)
            .with("Location", format!("/v2/{name}/manifests/{digest}"))
            .with("Docker-Content-Digest", digest.to_string());
        if matches!(target, Target::Digest(_)) {
            for tag in &tags {
                reply.head.fields.append("OCI-Tag", tag.as_str());
            }
        }
        if let Some((subject, _)) = &referrer {
            reply = reply.with("OCI-Subject", subject.to_string());
        }
        Ok(reply)
    }

    /// Refuses a manifest that names what the repository does not have.
    ///
    /// What may not be distributed need not be here, and what it is about may come later.
    fn check_named(&self, name: &Name, document: &Document) -> Result<(), Refusal> {
        let missing = |what: &str, digest: &Digest| {
            let text = format!("{what} {digest} is not in this repository");
            Refusal::new(404, "MANIFEST_BLOB_UNKNOWN", text)
        };
        match document {
            Document::Manifest(manifest) => {
                for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    let is_foreign = blob.media_type.contains("nondistributable")
                        || blob.media_type.contains("foreign");
                    if !is_foreign && !self.shelf.has_blob(name, &blob.digest) {
                        return Err(missing("blob", &blob.digest));
                    }
                }
            }
            Document::Index(index) => {
                for entry in &index.manifests {
                    let is_manifest = self.shelf.manifest(name, &entry.digest)?.is_some();
                    if !is_manifest && !self.shelf.has_blob(name, &entry.digest) {
                        return Err(missing("manifest", &entry.digest));
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes it from the repository, with the tags that name it.
    pub(crate) fn delete_manifest(&self, name: &Name, digest: &Digest) -> Answer {
        let _lock = self.shelf.lock()?;
        if self.shelf.manifest(name, digest)?.is_none() {
            return Err(Refusal::manifest_unknown());
        }
        let subject = self.document(digest).and_then(|document| match document {
            Document::Manifest(manifest) => manifest.subject,
            Document::Index(index) => index.subject,
        });
        let subject = subject.map(|descriptor| descriptor.digest);
        match self.shelf.remove_manifest(name, digest, subject.as_ref())? {
            true => Ok(Reply::new(202)),
            false => Err(Refusal::manifest_unknown()),
        }
    }

    pub(crate) fn delete_tag(&self, name: &Name, tag: &Tag) -> Answer {
        match self.shelf.remove_tag(name, tag)? {
            true => Ok(Reply::new(202)),
            false => Err(Refusal::manifest_unknown()),
        }
    }

    /// A manifest that is here, parsed; `None` if it is damaged or gone.
    pub(crate) fn document(&self, digest: &Digest) -> Option<Document> {
        let bytes = self.shelf.content.read(digest, MAX_BYTES).ok()?;
        Document::parse(&bytes, None).ok().map(|(document, _)| document)
    }
}

/// The tags that a manifest by digest shall have: `?tag=a&tag=b`.
fn tag_parameters(request: &Request<'_>) -> Result<Vec<Tag>, Refusal> {
    let mut tags: Vec<Tag> = Vec::new();
    for text in request.head.parameters("tag") {
        let tag = Tag::parse(&text)
            .ok_or_else(|| Refusal::new(400, "MANIFEST_INVALID", "invalid tag"))?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > MAX_TAGS {
            return Err(Refusal::new(413, "SIZE_INVALID", "too many tags at once"));
        }
    }
    Ok(tags)
}

/// Tags of one request.
const MAX_TAGS: usize = 100;
/// A media type is kept in a link's text, of which the file system takes 4,095 bytes.
const MAX_TYPE: usize = 255;

/// What a manifest is about, and how it is listed there.
fn referrer(
    document: &Document,
    digest: &Digest,
    media_type: &str,
    size: u64,
) -> Option<(Digest, Descriptor)> {
    let mut descriptor = Descriptor::new(media_type, digest.clone(), size);
    let subject = match document {
        Document::Manifest(manifest) => {
            let own = manifest.artifact_type.clone().filter(|kind| !kind.is_empty());
            descriptor.artifact_type = own.or_else(|| Some(manifest.config.media_type.clone()));
            descriptor.annotations.clone_from(&manifest.annotations);
            manifest.subject.as_ref()?
        }
        Document::Index(index) => {
            descriptor.artifact_type = index.artifact_type.clone().filter(|kind| !kind.is_empty());
            descriptor.annotations.clone_from(&index.annotations);
            index.subject.as_ref()?
        }
    };
    Some((subject.digest.clone(), descriptor))
}
