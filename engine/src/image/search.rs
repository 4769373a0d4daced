//! `search` and `manifest referrers`: what registries have.

use oci::{Descriptor, Digest, Reference};
use transfer::FoundRepository;

use super::registry::parse;
use crate::{Engine, EngineError, Filters, Registries};

/// What to search for.
#[derive(Debug, Clone, Default)]
pub struct SearchRegistry {
    /// Words; before a slash the name of a registry, Docker Hub if there is none.
    pub term: String,
    /// How many repositories at most, 1 to 100; 25 if `None`.
    pub limit: Option<i64>,
    /// `is-official`, `is-automated`, `stars` (at least so many).
    pub filters: Filters,
}

/// What Docker Hub gives if nothing else is said.
const DEFAULT_LIMIT: u32 = 25;

impl Registries {
    /// Searches a registry for repositories, the most liked first.
    pub fn search(&self, request: &SearchRegistry) -> Result<Vec<FoundRepository>, EngineError> {
        request.filters.only(&["is-automated", "is-official", "stars"])?;
        let official = request.filters.flag("is-official")?;
        let automated = request.filters.flag("is-automated")?;
        let mut stars = 0;
        for text in request.filters.values("stars") {
            let least: u64 = text.parse().map_err(|_| EngineError::Invalid {
                message: format!("invalid filter 'stars=[{text}]'"),
            })?;
            stars = stars.max(least);
        }
        let limit = match request.limit.unwrap_or(0) {
            0 => DEFAULT_LIMIT,
            limit => u32::try_from(limit)
                .ok()
                .filter(|limit| (1..=100).contains(limit))
                .ok_or_else(|| EngineError::Invalid {
                    message: format!("limit {limit} is outside the range of [1, 100]"),
                })?,
        };
        if request.term.contains("://") {
            return Err(EngineError::Invalid {
                message: format!(
                    "invalid repository name: repository name ({}) should not have a scheme",
                    request.term
                ),
            });
        }
        let (registry, term) = split(&request.term);
        let mut found = self.client().search(&registry, term, limit)?;
        found.retain(|one| {
            one.stars >= stars
                && official.is_none_or(|wanted| one.is_official == wanted)
                && automated.is_none_or(|wanted| one.is_automated == wanted)
        });
        found.sort_by_key(|one| std::cmp::Reverse(one.stars));
        Ok(found)
    }

    /// What a registry has about the manifest under a name: its digest, and the descriptors of
    /// signatures, bills of material and the like; of one type, if one is named.
    pub fn referrers(
        &self,
        image: &str,
        artifact_type: Option<&str>,
    ) -> Result<(Digest, Vec<Descriptor>), EngineError> {
        let reference: Reference = parse(image)?.with_default_tag();
        let repository = self.client().repository(&reference)?;
        let digest = match reference.digest() {
            Some(digest) => digest.clone(),
            None => repository.manifest(&reference)?.descriptor.digest,
        };
        let found = repository.referrers(&digest, artifact_type)?;
        Ok((digest, found))
    }
}

impl Engine {
    /// What is said about an image that is here, as [`Registries::referrers`] has it.
    pub fn referrers(
        &self,
        image: &str,
        artifact_type: Option<&str>,
    ) -> Result<(Digest, Vec<Descriptor>), EngineError> {
        let record = self.image_record(image)?;
        let found = record.referrers.into_iter().map(|said| said.manifest);
        let fits = |said: &Descriptor| {
            artifact_type.is_none_or(|kind| said.artifact_type.as_deref() == Some(kind))
        };
        Ok((record.manifest.digest, found.filter(fits).collect()))
    }
}

/// The registry that a term names, and what is left of it.
fn split(term: &str) -> (String, &str) {
    match term.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => match first {
            "docker.io" | "index.docker.io" => ("docker.io".to_owned(), rest),
            registry => (registry.to_owned(), rest),
        },
        _ => ("docker.io".to_owned(), term),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_begin_with_a_registry() {
        for (term, want) in [
            ("debian", ("docker.io", "debian")),
            ("library/debian", ("docker.io", "library/debian")),
            ("docker.io/debian", ("docker.io", "debian")),
            ("localhost/x", ("localhost", "x")),
            ("localhost:5000/x/y", ("localhost:5000", "x/y")),
        ] {
            let (registry, rest) = split(term);
            assert_eq!((registry.as_str(), rest), want, "{term}");
        }
    }
}
