//! What is said about an image beside it, as data: in-toto statements, SLSA provenance, SPDX.
//!
//! ```text
//! Statement { subject: the image's manifest, predicateType, predicate }
//!                                            |
//!                             Provenance (SLSA v1, or v0.2) | spdx::Document
//! manifest (OCI 1.1, artifactType, subject) --layers--> statements
//! ```
//!
//! The documents are those that BuildKit writes, so that its readers read ours. No I/O, and nothing
//! that tells the time: whoever fills a document says when it is.

pub mod provenance;
mod purl;
pub mod spdx;
mod statement;

pub use purl::{package_url, reference_url};
pub use statement::{DigestSet, Statement, Subject, digest_set};

/// The media type of an in-toto statement.
pub const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
/// The type of the artifact that holds the statements about one manifest.
pub const ARTIFACT_TYPE: &str = "application/vnd.docker.attestation.manifest.v1+json";
/// The media type of an empty configuration. image-spec 1.1.1, manifest.md, "Guidance for an Empty
/// Descriptor".
pub const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// What an empty configuration is.
pub const EMPTY: &[u8] = b"{}";
/// The annotation of a statement's descriptor that says what its predicate is.
pub const PREDICATE_ANNOTATION: &str = "in-toto.io/predicate-type";
/// The annotation of an index's entry that is about another entry: what it is.
pub const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// What that says of statements.
pub const ATTESTATION_MANIFEST: &str = "attestation-manifest";
/// The annotation of an index's entry that is about another entry: the other's digest.
pub const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
