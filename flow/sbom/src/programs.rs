//! Packages that compilers write into programs: Go's modules, and Rust's crates of cargo-auditable.
//!
//! Go: debug/buildinfo, the section `.go.buildinfo`, since Go 1.18 with its texts in it.
//! Rust: the section `.dep-v0`, JSON compressed by zlib.

use std::io::Read;

use attestation::package_url;
use serde::Deserialize;

use crate::Package;
use crate::elf::Sections;
use crate::walk::Candidate;

/// The largest build information.
const LARGEST: u64 = 8 << 20;
/// What Go's begins with.
const GO_MAGIC: &[u8] = b"\xff Go buildinf:";
/// Go's texts are between two of these, of which this is the length.
const GO_MARK: usize = 16;

/// What a program says that it is made of.
pub(crate) fn packages(file: &Candidate<'_>) -> Vec<Package> {
    // The header and one section at least.
    if !file.is_executable || file.size < 128 {
        return Vec::new();
    }
    let Some(sections) = file.open().and_then(Sections::of) else { return Vec::new() };
    let path = String::from_utf8_lossy(file.path).into_owned();
    let mut packages = Vec::new();
    if let Some(section) = sections.find(".go.buildinfo", LARGEST) {
        packages.extend(go(&section, &path).unwrap_or_default());
    }
    if let Some(section) = sections.find(".dep-v0", LARGEST) {
        packages.extend(rust(&section, &path).unwrap_or_default());
    }
    packages
}

fn go(section: &[u8], path: &str) -> Option<Vec<Package>> {
    let flags = *section.strip_prefix(GO_MAGIC)?.get(1)?;
    // Without this flag the texts are elsewhere in the program: Go before 1.18.
    if flags & 2 == 0 {
        return None;
    }
    let (version, rest) = go_text(section.get(32..)?)?;
    let (modules, _) = go_text(rest)?;
    let modules = modules.get(GO_MARK..modules.len().checked_sub(GO_MARK)?)?;
    let package = |name: &str, version: &str| Package {
        kind: "golang",
        name: name.to_owned(),
        version: version.to_owned(),
        url: package_url("golang", &name.to_lowercase(), version, &[]),
        found_in: path.to_owned(),
        ..Package::default()
    };
    let version = String::from_utf8_lossy(version);
    let mut packages = vec![package("stdlib", version.strip_prefix("go").unwrap_or(&version))];
    for line in String::from_utf8_lossy(modules).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            ["mod" | "dep", name, version, ..] => packages.push(package(name, version)),
            // Instead of the one before.
            ["=>", name, version, ..] => {
                packages.pop();
                packages.push(package(name, version));
            }
            _ => {}
        }
    }
    Some(packages)
}

/// A text with its length before it, seven bits a byte, and what comes after.
fn go_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift) = (0_usize, 0);
    for (at, byte) in bytes.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..)?.split_at_checked(length);
        }
    }
    None
}

/// What cargo-auditable writes.
#[derive(Deserialize)]
struct Crates {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    /// `build` for one that is in no program.
    #[serde(default)]
    kind: String,
}

fn rust(section: &[u8], path: &str) -> Option<Vec<Package>> {
    let mut text = Vec::new();
    flate2::read::ZlibDecoder::new(section).take(LARGEST).read_to_end(&mut text).ok()?;
    let crates: Crates = serde_json::from_slice(&text).ok()?;
    let in_it = crates.packages.into_iter().filter(|one| one.kind != "build");
    Some(
        in_it
            .map(|one| Package {
                kind: "cargo",
                url: package_url("cargo", &one.name, &one.version, &[]),
                name: one.name,
                version: one.version,
                found_in: path.to_owned(),
                ..Package::default()
            })
            .collect(),
    )
}
