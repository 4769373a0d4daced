//! Bills of material. SPDX 2.3 (ISO/IEC 5962), as JSON.

use serde::{Deserialize, Serialize};

/// The predicate type of a statement that holds a document.
pub const PREDICATE: &str = "https://spdx.dev/Document";
/// What is said where nothing is known.
pub const NO_ASSERTION: &str = "NOASSERTION";
/// The id of a document.
pub const DOCUMENT_ID: &str = "SPDXRef-DOCUMENT";

/// A list of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// `SPDX-2.3`.
    pub spdx_version: String,
    /// `CC0-1.0`, always.
    pub data_license: String,
    /// [`DOCUMENT_ID`].
    #[serde(rename = "SPDXID")]
    pub id: String,
    /// What is described.
    pub name: String,
    /// A URI that no other document has.
    pub document_namespace: String,
    /// By whom, and when.
    pub creation_info: CreationInfo,
    /// The packages, the described thing itself among them.
    pub packages: Vec<Package>,
    /// What is part of what.
    pub relationships: Vec<Relationship>,
}

/// How a document came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreationInfo {
    /// `YYYY-MM-DDThh:mm:ssZ`
    pub created: String,
    /// `Tool: NAME-VERSION`
    pub creators: Vec<String>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// `SPDXRef-` and letters, digits, dots and dashes.
    #[serde(rename = "SPDXID")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version_info: String,
    /// `Person: ` or `Organization: ` and who distributes it, or [`NO_ASSERTION`].
    pub supplier: String,
    /// Where it can be had, or [`NO_ASSERTION`].
    pub download_location: String,
    /// Whether its files are listed.
    pub files_analyzed: bool,
    /// From what this is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_info: String,
    /// What a reader found the license to be.
    pub license_concluded: String,
    /// What the package says that its license is.
    pub license_declared: String,
    /// Whose it is.
    pub copyright_text: String,
    /// What it is for: `CONTAINER`, `LIBRARY`...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_package_purpose: Option<String>,
    /// Names in other systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_refs: Vec<ExternalRef>,
}

/// A name in another system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRef {
    /// `PACKAGE-MANAGER`
    pub reference_category: String,
    /// `purl`
    pub reference_type: String,
    /// The name.
    pub reference_locator: String,
}

/// That one thing is something to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Relationship {
    /// The one.
    pub spdx_element_id: String,
    /// `DESCRIBES`, `CONTAINS`
    pub relationship_type: String,
    /// The other.
    pub related_spdx_element: String,
}

impl Relationship {
    /// `from` is `kind` to `to`.
    pub fn new(from: &str, kind: &str, to: &str) -> Self {
        Self {
            spdx_element_id: from.to_owned(),
            relationship_type: kind.to_owned(),
            related_spdx_element: to.to_owned(),
        }
    }
}

impl Package {
    /// One of which nothing but its name and version is known.
    pub fn new(id: String, name: &str, version: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            version_info: version.to_owned(),
            supplier: NO_ASSERTION.into(),
            download_location: NO_ASSERTION.into(),
            files_analyzed: false,
            source_info: String::new(),
            license_concluded: NO_ASSERTION.into(),
            license_declared: NO_ASSERTION.into(),
            copyright_text: NO_ASSERTION.into(),
            primary_package_purpose: None,
            external_refs: Vec::new(),
        }
    }
}
