//! Manifests and indexes: read, bounded, believed only if they are one thing.
//!
//! A document is what its bytes say, and the registry's `Content-Type` must agree with them:
//! one that is a manifest to one reader and an index to another would have one digest and two
//! meanings.

use content::{Content, ContentError};
use oci::{Descriptor, Digest, Index, Manifest, Platform, media_type};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A manifest or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image, or an artifact.
    Manifest(Box<Manifest>),
    /// A list.
    Index(Box<Index>),
}

/// A document with the bytes that its digest is of.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Points at it.
    pub descriptor: Descriptor,
    /// As it came.
    pub bytes: Vec<u8>,
    /// What it says.
    pub document: Document,
}

/// The most bytes of a document.
pub(crate) const MAX_BYTES: u64 = 4 << 20;
/// The most descriptors in one.
const MAX_DESCRIPTORS: usize = 4096;

/// What is asked for: every kind that is understood.
pub(crate) const ACCEPT: [&str; 4] = [
    media_type::OCI_MANIFEST,
    media_type::OCI_INDEX,
    media_type::DOCKER_MANIFEST,
    media_type::DOCKER_INDEX,
];

/// The keys that tell what a document is. One that occurs twice is an error of the parser's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    #[serde(default)]
    schema_version: Option<u64>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<IgnoredAny>,
    #[serde(default)]
    layers: Option<IgnoredAny>,
    #[serde(default)]
    manifests: Option<IgnoredAny>,
    #[serde(default, rename = "fsLayers")]
    fs_layers: Option<IgnoredAny>,
}

impl Document {
    /// Parses a document that came with this `Content-Type`; returns its type too.
    ///
    /// The error is a sentence's end, for "manifest 12 of repository is refused: ...".
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<(Self, String), String> {
        let shape: Shape =
            serde_json::from_slice(bytes).map_err(|error| format!("it is no manifest: {error}"))?;
        if shape.fs_layers.is_some() || shape.schema_version == Some(1) {
            return Err("it is of Docker's schema 1, which was given up in 2017: build or push \
                        the image again"
                .into());
        }
        if shape.schema_version != Some(2) {
            return Err("its schemaVersion is not 2".into());
        }
        let is_index = match (&shape.manifests, shape.config.is_some() || shape.layers.is_some()) {
            (Some(_), false) => true,
            (None, true) => false,
            (Some(_), true) => return Err("it is a manifest and an index at once".into()),
            (None, false) => return Err("it is neither a manifest nor an index".into()),
        };
        let fits = |kind: &str| match is_index {
            true => media_type::is_index(kind),
            false => media_type::is_manifest(kind),
        };
        let given = content_type.filter(|kind| !is_vague(kind));
        let kind = match (given, shape.media_type.as_deref()) {
            (Some(given), Some(own)) if given != own => {
                return Err(format!("it came as {given} and says that it is {own}"));
            }
            (Some(kind), _) | (None, Some(kind)) => kind,
            (None, None) if is_index => media_type::OCI_INDEX,
            (None, None) => media_type::OCI_MANIFEST,
        };
        if !fits(kind) {
            return Err(format!("it came as {kind} and is something else"));
        }
        let broken = |error: serde_json::Error| format!("it is malformed: {error}");
        let (document, count) = match is_index {
            true => {
                let index: Index = serde_json::from_slice(bytes).map_err(broken)?;
                let count = index.manifests.len();
                (Self::Index(Box::new(index)), count)
            }
            false => {
                let manifest: Manifest = serde_json::from_slice(bytes).map_err(broken)?;
                let count = manifest.layers.len();
                (Self::Manifest(Box::new(manifest)), count)
            }
        };
        if count > MAX_DESCRIPTORS {
            return Err(format!("it lists {count} descriptors, more than {MAX_DESCRIPTORS}"));
        }
        Ok((document, kind.to_owned()))
    }
}

impl Fetched {
    /// Parses bytes whose digest was verified.
    pub fn new(bytes: Vec<u8>, digest: Digest, content_type: Option<&str>) -> Result<Self, String> {
        let (document, kind) = Document::parse(&bytes, content_type)?;
        let descriptor = Descriptor::new(kind, digest, bytes.len() as u64);
        Ok(Self { descriptor, bytes, document })
    }

    /// Puts its bytes into a store, under the digest that they came by.
    pub(crate) fn store(&self, content: &Content) -> Result<(), ContentError> {
        let digest = &self.descriptor.digest;
        if content.read(digest, MAX_BYTES).is_ok() {
            return Ok(());
        }
        let mut ingest = content.ingest_with(digest.algorithm())?;
        ingest.append(&self.bytes)?;
        ingest.commit(Some(digest), None).map(drop)
    }
}

/// Types that registries and the proxies before them give to anything.
fn is_vague(kind: &str) -> bool {
    matches!(
        kind,
        "" | "application/json" | "application/octet-stream" | "text/plain" | "binary/octet-stream"
    )
}

/// The image of an index for somebody who wants `wanted`: one whose platform is exactly that, else
/// the first that satisfies him.
pub(crate) fn choose<'a>(index: &'a Index, wanted: &Platform) -> Option<&'a Descriptor> {
    let of = |entry: &'a Descriptor| entry.platform.as_ref().map(|platform| (entry, platform));
    let fitting: Vec<(&Descriptor, &Platform)> = index
        .manifests
        .iter()
        .filter(|entry| entry.artifact_type.is_none())
        .filter_map(of)
        .filter(|(_, platform)| platform.satisfies(wanted))
        .collect();
    let exact = fitting.iter().find(|(_, platform)| {
        platform.variant == wanted.variant || default_variant(platform) == wanted.variant
    });
    exact.or(fitting.first()).map(|(entry, _)| *entry).or_else(|| {
        // An index of one image that does not say what it runs on: its configuration will.
        match index.manifests.as_slice() {
            [only] if only.platform.is_none() => Some(only),
            _ => None,
        }
    })
}

/// `None` for the variant that every processor of the architecture is.
fn default_variant(platform: &Platform) -> Option<String> {
    match (platform.architecture.as_str(), platform.variant.as_deref()) {
        ("arm64", Some("v8")) | ("amd64", Some("v1")) => None,
        (_, variant) => variant.map(str::to_owned),
    }
}

/// The platforms of an index, for an error.
pub(crate) fn platforms(index: &Index) -> String {
    let mut names: Vec<String> = index
        .manifests
        .iter()
        .filter_map(|entry| Some(entry.platform.as_ref()?.to_string()))
        .collect();
    names.sort();
    names.dedup();
    names.retain(|name| name != "unknown/unknown");
    match names.is_empty() {
        true => "none".into(),
        false => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> String {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":2}}"#,
            "a".repeat(64)
        )
    }

    #[test]
    fn a_document_is_one_thing_or_refused() {
        let (one, oci, docker) =
            (descriptor(), media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST);
        let manifest =
            |more: &str| format!(r#"{{"schemaVersion":2,{more}"config":{one},"layers":[{one}]}}"#);
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{one}]}}"#);
        let both = format!(r#"{{"schemaVersion":2,"config":{one},"layers":[],"manifests":[]}}"#);
        let typed = manifest(&format!(r#""mediaType":"{docker}","#));
        for (text, content_type, want) in [
            (manifest(""), Some(oci), true),
            (manifest(""), None, true),
            (manifest(""), Some("application/json"), true),
            (typed.clone(), Some(docker), true),
            (typed.clone(), None, true),
            (index.clone(), Some(media_type::OCI_INDEX), true),
            (typed, Some(oci), false),
            (manifest(""), Some(media_type::OCI_INDEX), false),
            (index, Some(oci), false),
            (both, None, false),
            (manifest(""), Some("text/html"), false),
            (manifest(r#""mediaType":"x","mediaType":"y","#), None, false),
            (r#"{"schemaVersion":2}"#.into(), None, false),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.into(), None, false),
            ("<html>".into(), None, false),
            ("[]".into(), None, false),
        ] {
            let parsed = Document::parse(text.as_bytes(), content_type);
            assert_eq!(parsed.is_ok(), want, "{content_type:?} {text} {parsed:?}");
        }
    }

    #[test]
    fn the_closest_platform_is_chosen() {
        let entry = |platform: Option<&str>| Descriptor {
            platform: platform.map(|text| {
                let mut parts = text.split('/');
                let mut part = || parts.next().map(str::to_owned);
                Platform {
                    os: part().unwrap(),
                    architecture: part().unwrap(),
                    variant: part(),
                    ..Platform::default()
                }
            }),
            ..Descriptor::new(
                media_type::OCI_MANIFEST,
                content::sha256(format!("{platform:?}").as_bytes()),
                1,
            )
        };
        let index = |list: &[Option<&str>]| Index {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            manifests: list.iter().map(|platform| entry(*platform)).collect(),
            subject: None,
            annotations: Default::default(),
        };
        let list = index(&[
            Some("unknown/unknown"),
            Some("linux/arm/v6"),
            Some("linux/arm/v7"),
            Some("linux/arm64/v8"),
            Some("linux/amd64"),
        ]);
        for (wanted, want) in [
            ("linux/amd64", Some(4)),
            ("linux/arm/v7", Some(2)),
            ("linux/arm", Some(1)),
            ("linux/arm64", Some(3)),
            ("linux/s390x", None),
        ] {
            let chosen = choose(&list, &Platform::parse(wanted).unwrap());
            assert_eq!(chosen, want.map(|at| &list.manifests[at]), "{wanted}");
        }
        let bare = index(&[None]);
        assert!(choose(&bare, &Platform::host()).is_some());
        assert_eq!(platforms(&list), "linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64/v8");
    }
}
