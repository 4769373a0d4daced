//! Statements. in-toto attestation framework 1.0, "Statement layer specification".

use std::collections::BTreeMap;

use oci::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A digest by algorithm, in hexadecimal.
pub type DigestSet = BTreeMap<String, String>;

/// Something that is said about something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// [`Statement::TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// What `predicate` is.
    pub predicate_type: String,
    /// About what; one at least.
    pub subject: Vec<Subject>,
    /// What is said.
    pub predicate: Value,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name; `_` for one without.
    pub name: String,
    /// Its bytes.
    pub digest: DigestSet,
}

impl Statement {
    /// The type of all statements.
    pub const TYPE: &'static str = "https://in-toto.io/Statement/v1";

    /// Says `predicate` about `subject`.
    pub fn new(predicate_type: &str, subject: Vec<Subject>, predicate: Value) -> Self {
        Self {
            kind: Self::TYPE.to_owned(),
            predicate_type: predicate_type.to_owned(),
            subject,
            predicate,
        }
    }
}

/// A digest as statements have it.
pub fn digest_set(digest: &Digest) -> DigestSet {
    DigestSet::from([(digest.algorithm().name().to_owned(), digest.hex().to_owned())])
}
