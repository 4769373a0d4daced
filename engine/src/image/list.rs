//! `image ls`, `image inspect`, `tag`.

use std::collections::{BTreeMap, HashMap};

use dockerapi::{DriverData, ImageInspect, ImageMetadata, ImageRootFs};
use images::{ImageRecord, Named};
use oci::{Platform, Reference, Timestamp};

use super::{Image, ImageSummary, ListImages, MAX_CONFIG_BYTES};
use crate::{Engine, EngineError};

const FILTERS: &[&str] = &["before", "dangling", "label", "label!", "reference", "since", "until"];

impl Engine {
    /// Lists, newest first. Each image comes once, with all its names.
    pub fn list_images(&self, request: &ListImages) -> Result<Vec<ImageSummary>, EngineError> {
        let filters = &request.filters;
        filters.only(FILTERS)?;
        let dangling = filters.flag("dangling")?;
        let until = filters.until()?;
        let stored = |key: &str| match filters.values(key) {
            [] => Ok(None),
            [one, ..] => self.image_record(one).map(|record| record.created),
        };
        let (before, since) = (stored("before")?, stored("since")?);
        let users = self.image_users()?;
        let mut summaries = Vec::new();
        for (record, names) in self.images()?.list()? {
            let created = record.created.unwrap_or_default();
            let wanted = |name: &Reference| {
                request.reference.as_deref().is_none_or(|pattern| matches(pattern, name))
                    && filters.any("reference", |pattern| matches(pattern, name))
            };
            let (tags, digests): (Vec<&Reference>, Vec<&Reference>) =
                names.iter().filter(|name| wanted(name)).partition(|name| name.digest().is_none());
            let by_name = request.reference.is_some() || !filters.values("reference").is_empty();
            let fits = !(by_name && tags.is_empty() && digests.is_empty())
                && dangling.is_none_or(|dangling| dangling == names.is_empty())
                && before.is_none_or(|before| created < before)
                && since.is_none_or(|since| created > since)
                && until.is_none_or(|until| created < until);
            if !fits {
                continue;
            }
            let labels = self.labels_of(&record)?;
            if !filters.labels_match(&labels) {
                continue;
            }
            summaries.push(ImageSummary {
                repo_tags: tags.iter().map(|name| name.familiar()).collect(),
                repo_digests: digests.iter().map(|name| name.familiar()).collect(),
                created,
                size_bytes: record.size_bytes,
                labels,
                containers: users.get(&record.id.to_string()).copied().unwrap_or(0),
                platform: record.platform,
                id: record.id,
            });
        }
        summaries.sort_by(|left, right| {
            right.created.cmp(&left.created).then_with(|| left.repo_tags.cmp(&right.repo_tags))
        });
        Ok(summaries)
    }

    /// All about one image.
    pub fn inspect_image(
        &self,
        image: &str,
        platform: Option<&Platform>,
    ) -> Result<ImageInspect, EngineError> {
        let Image { id, record, config } = self.resolve_image_for(image, platform)?;
        if let Some(wanted) = platform
            && !config.platform.satisfies(wanted)
        {
            return Err(EngineError::Invalid {
                message: format!(
                    "image with reference {image} was found but its platform ({}) does not match the specified platform ({wanted})",
                    config.platform
                ),
            });
        }
        let bytes = self.content()?.read(&id, MAX_CONFIG_BYTES)?;
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let names = self.images()?.names_of(&id)?;
        let (tags, digests): (Vec<&Reference>, Vec<&Reference>) =
            names.iter().partition(|name| name.digest().is_none());
        Ok(ImageInspect {
            id: id.to_string(),
            repo_tags: tags.iter().map(|name| name.familiar()).collect(),
            repo_digests: digests.iter().map(|name| name.familiar()).collect(),
            comment: config.history.last().map(|step| step.comment.clone()).unwrap_or_default(),
            created: record.created.map(|created| created.to_string()).unwrap_or_default(),
            author: config.author.unwrap_or_default(),
            config: document.get("config").cloned().unwrap_or_default(),
            architecture: config.platform.architecture,
            variant: config.platform.variant.unwrap_or_default(),
            os: config.platform.os,
            size: i64::try_from(record.size_bytes).unwrap_or(i64::MAX),
            graph_driver: DriverData { name: "overlay".into(), data: self.layer_data(&record)? },
            root_fs: ImageRootFs {
                kind: "layers".into(),
                layers: record.diff_ids.iter().map(ToString::to_string).collect(),
            },
            metadata: ImageMetadata { last_tag_time: record.stored_at.to_string() },
        })
    }

    /// Gives an image another name.
    pub fn tag_image(&self, source: &str, target: &str) -> Result<(), EngineError> {
        let _store = self.store_lock()?;
        let name: Reference =
            target.parse().map_err(|error: oci::ReferenceError| EngineError::Invalid {
                message: format!(
                    "Error parsing reference: \"{target}\" is not a valid repository/tag: {error}"
                ),
            })?;
        if name.digest().is_some() {
            return Err(EngineError::Invalid {
                message: "refusing to create a tag with a digest reference".into(),
            });
        }
        let record = self.image_record(source)?;
        // A name passes on the variants that stand under it; an id is one image.
        let named = match source.parse::<Reference>() {
            Ok(source) => self.images()?.named(&source)?.filter(|named| named.id == record.id),
            Err(_) => None,
        };
        let mut change = self.images()?.change()?;
        change.name(
            &name.with_default_tag(),
            &named.unwrap_or_else(|| Named::one(record.id.clone())),
        )?;
        Ok(change.finish()?)
    }

    fn labels_of(&self, record: &ImageRecord) -> Result<BTreeMap<String, String>, EngineError> {
        let bytes = self.content()?.read(&record.id, MAX_CONFIG_BYTES)?;
        let config: oci::ImageConfig = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(config.config.labels)
    }

    fn layer_data(&self, record: &ImageRecord) -> Result<BTreeMap<String, String>, EngineError> {
        let snapshots = self.snapshots()?;
        let path =
            |diff_id: &oci::Digest| snapshots.path_of(diff_id).to_string_lossy().into_owned();
        let mut data = BTreeMap::new();
        if let Some((top, lower)) = record.diff_ids.split_last() {
            data.insert("UpperDir".to_owned(), path(top));
            if !lower.is_empty() {
                let lower: Vec<String> = lower.iter().rev().map(path).collect();
                data.insert("LowerDir".to_owned(), lower.join(":"));
            }
        }
        Ok(data)
    }

    /// How many containers use each image, by id.
    pub(crate) fn image_users(&self) -> Result<HashMap<String, usize>, EngineError> {
        let mut users = HashMap::new();
        for (_, status) in self.containers().statuses()? {
            *users.entry(status.image_id).or_insert(0) += 1;
        }
        Ok(users)
    }
}

/// Whether `pattern` (`repository[:tag]`, with `*` and `?`) names `name` as Docker shows it.
///
/// A pattern without a tag stands for all tags. `*` does not cross a slash, as in Go's
/// `path.Match`.
fn matches(pattern: &str, name: &Reference) -> bool {
    let repository = name.familiar_repository();
    let after_slash = pattern.rfind('/').map_or(0, |at| at + 1);
    if pattern.contains('@') {
        return name.familiar() == pattern || name.to_string() == pattern;
    }
    match pattern[after_slash..].find(':') {
        Some(colon) => {
            let (wanted, tag) =
                (&pattern[..after_slash + colon], &pattern[after_slash + colon + 1..]);
            (glob(wanted, &repository) || glob(wanted, &name.repository()))
                && name.tag().is_some_and(|actual| glob(tag, actual))
        }
        None => glob(pattern, &repository) || glob(pattern, &name.repository()),
    }
}

/// `*` and `?`, neither of which crosses a slash.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some('?') if text[seen] != '/' => {
                at += 1;
                seen += 1;
            }
            Some(letter) if *letter == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                // The last star takes one letter more.
                Some((star_at, taken)) if text[taken] != '/' => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    seen = taken + 1;
                }
                _ => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// When an image was made, for those that do not say.
pub(crate) fn created_or_stored(record: &ImageRecord) -> Timestamp {
    record.created.unwrap_or(record.stored_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_repositories_and_tags() {
        let name: Reference = "docker.io/library/debian:12".parse().unwrap();
        for (pattern, want) in [
            ("debian", true),
            ("debian:12", true),
            ("debian:1*", true),
            ("deb*", true),
            ("debian:13", false),
            ("*", true),
            ("*/debian", false),
            ("docker.io/library/debian", true),
            ("d?bian:??", true),
            ("", false),
        ] {
            assert_eq!(matches(pattern, &name), want, "{pattern}");
        }
        assert!(glob("a*b*c", "axxbyybc"));
        assert!(!glob("a*c", "a/c"));
    }
}
