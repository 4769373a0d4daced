//! Names in a request, parsed before they touch a path; and what a path asks for.

use std::fmt;

use oci::{Digest, Reference};

/// A repository's name: components of lower-case letters and digits. Safe as a file name once `/`
/// is `+`, which no name has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(String);

/// A tag. Safe as a file name: it begins with a letter, a digit or `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag(String);

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Tag(Tag),
    Digest(Digest),
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Version,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/blobs/<digest>`
    Blob(Name, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(Name),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(Name, String),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(Name, Target),
    /// `/v2/<name>/tags/list`
    Tags(Name),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(Name, Digest),
    /// `/healthz`
    Health,
    /// `/metrics`
    Metrics,
}

/// Why a path asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// There is nothing of this form.
    Unknown,
    /// The repository's name is none.
    Name,
    /// The digest is none.
    Digest,
    /// The tag is none.
    Tag,
    /// The session's name is none.
    Upload,
}

impl Name {
    /// Parses a name by the grammar of references: at most 255 bytes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // With a registry before it, so that the first component is never taken for one.
        let reference: Reference = format!("r.x/{text}").parse().ok()?;
        let is_whole = reference.tag().is_none() && reference.digest().is_none();
        (is_whole && reference.path() == text && text.len() <= 255).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As a file's name.
    pub(crate) fn file(&self) -> String {
        self.0.replace('/', "+")
    }

    /// From a file's name.
    pub(crate) fn from_file(file: &str) -> Option<Self> {
        Self::parse(&file.replace('+', "/"))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Tag {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let reference: Reference = format!("x:{text}").parse().ok()?;
        (reference.tag() == Some(text)).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    fn parse(text: &str) -> Result<Self, NoRoute> {
        match text.contains(':') {
            true => text.parse().map(Self::Digest).map_err(|_| NoRoute::Digest),
            false => Tag::parse(text).map(Self::Tag).ok_or(NoRoute::Tag),
        }
    }
}

/// A digest as a file's name.
pub(crate) fn digest_file(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

/// A digest from a file's name.
pub(crate) fn digest_of_file(file: &str) -> Option<Digest> {
    file.replacen('-', ":", 1).parse().ok()
}

impl Route {
    /// What a path asks for. Nothing is decoded: no name has a byte that would be escaped.
    pub(crate) fn parse(path: &str) -> Result<Self, NoRoute> {
        match path {
            "/v2" | "/v2/" => return Ok(Self::Version),
            "/v2/_catalog" => return Ok(Self::Catalog),
            "/healthz" => return Ok(Self::Health),
            "/metrics" => return Ok(Self::Metrics),
            _ => {}
        }
        let path = path.strip_prefix("/v2/").ok_or(NoRoute::Unknown)?;
        let name = |text: &str| Name::parse(text).ok_or(NoRoute::Name);
        let digest = |text: &str| text.parse::<Digest>().map_err(|_| NoRoute::Digest);
        // From the end, since a repository may be called `blobs/uploads`.
        if let Some(repository) = path.strip_suffix("/tags/list") {
            return Ok(Self::Tags(name(repository)?));
        }
        for suffix in ["/blobs/uploads/", "/blobs/uploads"] {
            if let Some(repository) = path.strip_suffix(suffix) {
                return Ok(Self::Uploads(name(repository)?));
            }
        }
        let (front, last) = path.rsplit_once('/').ok_or(NoRoute::Unknown)?;
        if let Some(repository) = front.strip_suffix("/blobs/uploads") {
            let is_id = last.len() == 32 && last.bytes().all(|byte| byte.is_ascii_hexdigit());
            let repository = name(repository)?;
            return match is_id {
                true => Ok(Self::Upload(repository, last.to_owned())),
                false => Err(NoRoute::Upload),
            };
        }
        if let Some(repository) = front.strip_suffix("/blobs") {
            return Ok(Self::Blob(name(repository)?, digest(last)?));
        }
        if let Some(repository) = front.strip_suffix("/manifests") {
            return Ok(Self::Manifest(name(repository)?, Target::parse(last)?));
        }
        if let Some(repository) = front.strip_suffix("/referrers") {
            return Ok(Self::Referrers(name(repository)?, digest(last)?));
        }
        Err(NoRoute::Unknown)
    }

    /// A word for the metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Catalog => "catalog",
            Self::Blob(..) => "blob",
            Self::Uploads(_) | Self::Upload(..) => "upload",
            Self::Manifest(..) => "manifest",
            Self::Tags(_) => "tags",
            Self::Referrers(..) => "referrers",
            Self::Health => "health",
            Self::Metrics => "metrics",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_ask_for_what_the_standard_says() {
        let hex = "a".repeat(64);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        let name = |text: &str| Name::parse(text).unwrap();
        let id = "0".repeat(32);
        for (path, want) in [
            ("/v2/".to_owned(), Ok(Route::Version)),
            ("/v2/_catalog".into(), Ok(Route::Catalog)),
            (format!("/v2/a/b/blobs/sha256:{hex}"), Ok(Route::Blob(name("a/b"), digest.clone()))),
            ("/v2/a/blobs/uploads/".into(), Ok(Route::Uploads(name("a")))),
            ("/v2/blobs/uploads/blobs/uploads/".into(), Ok(Route::Uploads(name("blobs/uploads")))),
            (format!("/v2/a/blobs/uploads/{id}"), Ok(Route::Upload(name("a"), id.clone()))),
            ("/v2/a/tags/list".into(), Ok(Route::Tags(name("a")))),
            ("/v2/tags/list/tags/list".into(), Ok(Route::Tags(name("tags/list")))),
            (format!("/v2/a/referrers/sha256:{hex}"), Ok(Route::Referrers(name("a"), digest))),
            ("/v2/a/manifests/..".into(), Err(NoRoute::Tag)),
            ("/v2/a/manifests/sha256:12".into(), Err(NoRoute::Digest)),
            ("/v2/a/blobs/uploads/../x".into(), Err(NoRoute::Unknown)),
            ("/v2/a/blobs/uploads/..".into(), Err(NoRoute::Upload)),
            ("/v2/../a/manifests/1".into(), Err(NoRoute::Name)),
            ("/v2/a//b/manifests/1".into(), Err(NoRoute::Name)),
            ("/v2/A/manifests/1".into(), Err(NoRoute::Name)),
            ("/v2/a%2fb/manifests/1".into(), Err(NoRoute::Name)),
            ("/v2/.a/manifests/1".into(), Err(NoRoute::Name)),
            ("/v2//manifests/1".into(), Err(NoRoute::Name)),
            ("/v1/a".into(), Err(NoRoute::Unknown)),
        ] {
            assert_eq!(Route::parse(&path), want, "{path}");
        }
    }

    #[test]
    fn names_are_file_names_and_back() {
        for text in ["a", "a/b/c", "a__b/c-d.e", "localhost/x"] {
            let name = Name::parse(text).unwrap();
            assert_eq!(Name::from_file(&name.file()).unwrap(), name);
            assert!(!name.file().contains('/'));
        }
        assert!(Name::parse(&format!("a/{}", "b".repeat(254))).is_none());
        assert!(Tag::parse("-x").is_none() && Tag::parse("a/b").is_none());
        assert!(Tag::parse(&"t".repeat(129)).is_none());
    }
}
