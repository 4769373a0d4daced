//! Packages of languages that are files: Python's and Node's.
//!
//! Core metadata specifications of Python, "METADATA"; package.json of npm, of installed packages
//! alone: those below `node_modules`.

use attestation::package_url;
use serde_json::Value;

use crate::Package;
use crate::walk::Candidate;

/// What a file says that it is, if it is one that describes a package.
pub(crate) fn packages(file: &Candidate<'_>) -> Option<Package> {
    let path = std::str::from_utf8(file.path).ok()?;
    let mut parts = path.rsplit('/');
    let (name, folder) = (parts.next()?, parts.next().unwrap_or_default());
    match name {
        "METADATA" if folder.ends_with(".dist-info") => python(&file.text()?, path),
        "PKG-INFO" if folder.ends_with(".egg-info") => python(&file.text()?, path),
        _ if name.ends_with(".egg-info") => python(&file.text()?, path),
        "package.json" => {
            // `node_modules/NAME/package.json`, `node_modules/@SCOPE/NAME/package.json`
            let owner = match (parts.next()?, parts.next()) {
                (scope, Some(above)) if scope.starts_with('@') => above,
                (above, _) => above,
            };
            (owner == "node_modules").then(|| node(&file.text()?, path))?
        }
        _ => None,
    }
}

fn python(text: &str, path: &str) -> Option<Package> {
    let header = text.split("\n\n").next()?;
    let field = |name: &str| {
        let value = |line: &'_ str| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned);
        header.lines().find_map(value).unwrap_or_default()
    };
    let (name, version) = (field("Name"), field("Version"));
    if name.is_empty() {
        return None;
    }
    // PyPI's own way to compare names.
    let plain = name.to_lowercase().replace(['_', '.'], "-");
    let license = [field("License-Expression"), field("License")];
    Some(Package {
        kind: "pypi",
        url: package_url("pypi", &plain, &version, &[]),
        name,
        version,
        license: license.into_iter().find(|license| !license.is_empty()).unwrap_or_default(),
        found_in: path.to_owned(),
        ..Package::default()
    })
}

fn node(text: &str, path: &str) -> Option<Package> {
    let described: Value = serde_json::from_str(text).ok()?;
    let field = |name: &str| described.get(name).and_then(Value::as_str).unwrap_or_default();
    let (name, version) = (field("name"), field("version"));
    // Folders within a package have such files too, without a version.
    if name.is_empty() || version.is_empty() {
        return None;
    }
    Some(Package {
        kind: "npm",
        name: name.to_owned(),
        version: version.to_owned(),
        url: package_url("npm", name, version, &[]),
        license: field("license").to_owned(),
        found_in: path.to_owned(),
        ..Package::default()
    })
}
