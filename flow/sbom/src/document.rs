//! From packages to a document.

use attestation::spdx::{
    CreationInfo, DOCUMENT_ID, Document, ExternalRef, NO_ASSERTION, Package as SpdxPackage,
    Relationship,
};
use oci::Timestamp;

use crate::{Described, Package};

/// The id of what is described.
const ROOT_ID: &str = "SPDXRef-DocumentRoot-Image";

pub(crate) fn document(described: &Described<'_>, packages: &[Package]) -> Document {
    let mut root = SpdxPackage::new(ROOT_ID.into(), described.name, "");
    root.primary_package_purpose = Some("CONTAINER".into());
    let mut listed = vec![root];
    let mut relationships = vec![Relationship::new(DOCUMENT_ID, "DESCRIBES", ROOT_ID)];
    let mut hashed = String::new();
    for package in packages {
        let listed_one = one(package);
        hashed += &format!("{} {}\n", package.url, package.found_in);
        relationships.push(Relationship::new(ROOT_ID, "CONTAINS", &listed_one.id));
        listed.push(listed_one);
    }
    let created = Timestamp::from_unix(described.created.unix_seconds(), 0).to_string();
    // No other document has it: it is made of all that is in this one.
    hashed += &format!("{}\n{}\n{created}", described.name, described.tool);
    let digest = content::sha256(hashed.as_bytes());
    Document {
        spdx_version: "SPDX-2.3".into(),
        data_license: "CC0-1.0".into(),
        id: DOCUMENT_ID.into(),
        name: described.name.to_owned(),
        document_namespace: format!(
            "https://spdx.org/spdxdocs/{}-{}",
            identifier(described.name),
            &digest.hex()[..32]
        ),
        creation_info: CreationInfo {
            created,
            creators: vec![format!("Tool: {}", described.tool)],
        },
        packages: listed,
        relationships,
    }
}

fn one(package: &Package) -> SpdxPackage {
    let digest = content::sha256(format!("{} {}", package.url, package.found_in).as_bytes());
    let name = identifier(&package.name);
    let id = format!("SPDXRef-Package-{}-{name}-{}", package.kind, &digest.hex()[..16]);
    let mut listed = SpdxPackage::new(id, &package.name, &package.version);
    listed.source_info = format!("found in /{}", package.found_in);
    if !package.supplier.is_empty() {
        listed.supplier = supplier(&package.supplier);
    }
    if is_expression(&package.license) {
        listed.license_declared.clone_from(&package.license);
    }
    listed.external_refs.push(ExternalRef {
        reference_category: "PACKAGE-MANAGER".into(),
        reference_type: "purl".into(),
        reference_locator: package.url.clone(),
    });
    listed
}

/// `Name <address>` as SPDX has it: a group of people is an organization as a rule.
fn supplier(text: &str) -> String {
    match text.split_once('<').and_then(|(name, rest)| Some((name, rest.split_once('>')?.0))) {
        Some((name, address)) => format!("Organization: {} ({address})", name.trim()),
        None => format!("Organization: {}", text.trim()),
    }
}

/// Whether a license is written as SPDX writes one, as far as its form goes: what is not cannot be
/// said in a document. SPDX 2.3, Annex D.
fn is_expression(text: &str) -> bool {
    let mut words = text.split_whitespace().peekable();
    let is_id = |word: &str| {
        let word = word.trim_matches(['(', ')']);
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
    };
    while let Some(word) = words.next() {
        if !is_id(word) || word == NO_ASSERTION {
            return false;
        }
        match words.next() {
            None => return text.matches('(').count() == text.matches(')').count(),
            Some("AND" | "OR" | "WITH") if words.peek().is_some() => {}
            Some(_) => return false,
        }
    }
    false
}

/// With what an id may not have replaced.
fn identifier(text: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
    text.chars().map(|letter| if fits(letter) { letter } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licenses_are_taken_if_they_are_expressions() {
        for text in ["MIT", "GPL-2.0-or-later AND MIT", "(MIT OR Apache-2.0) AND Zlib"] {
            assert!(is_expression(text), "{text}");
        }
        for text in ["", "MIT License", "MIT AND", "see file LICENSE", "(MIT", "BSD, MIT"] {
            assert!(!is_expression(text), "{text}");
        }
    }

    #[test]
    fn suppliers_have_their_address_in_parentheses() {
        assert_eq!(supplier("A B <c@d>"), "Organization: A B (c@d)");
        assert_eq!(supplier("A B"), "Organization: A B");
    }
}
