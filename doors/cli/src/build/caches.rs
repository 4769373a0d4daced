//! `--cache-to` and `--cache-from`.

use std::path::PathBuf;

use engine::{BuildError, CacheExport, CachePlace, Compression, Engine, ImportedCache, Registries};

use super::outputs::Attributes;
use super::progress::Printer;

/// What `--cache-to` names.
pub(super) fn exports(given: &[String]) -> Result<Vec<CacheExport>, BuildError> {
    let mut exports = Vec::new();
    for text in given.iter().filter(|text| !text.is_empty()) {
        exports.push(parse(text, "--cache-to", |kind, attributes| {
            let place = place(kind, attributes, "dest")?;
            if place.is_none() && kind != "inline" {
                return Err(unknown(kind));
            }
            let all = match attributes.take("mode") {
                None | Some("min") => false,
                Some("max") => true,
                Some(other) => return Err(format!("invalid mode {other:?}")),
            };
            let mounts = attributes.switch("mounts", false)?;
            let ignores_errors = attributes.switch("ignore-error", false)?;
            // What is always so here.
            attributes.switch("image-manifest", true)?;
            let mut wrapping = attributes.wrapping()?;
            wrapping.compression.get_or_insert(Compression::Gzip);
            Ok(CacheExport { place, all, mounts, wrapping, ignores_errors })
        })?);
    }
    Ok(exports)
}

/// What `--cache-from` names. One that is not there is told of, and no failure.
pub(super) fn imports(
    given: &[String],
    engine: &Engine,
    registries: &Registries,
    printer: &Printer<'_>,
) -> Result<Vec<ImportedCache>, BuildError> {
    let mut imports = Vec::new();
    for text in given.iter().filter(|text| !text.is_empty()) {
        let place = match text.contains('=') {
            false => CachePlace::Registry(text.clone()),
            true => parse(text, "--cache-from", |kind, attributes| {
                place(kind, attributes, "src")?.ok_or_else(|| unknown(kind))
            })?,
        };
        let name = match &place {
            CachePlace::Layout { path, .. } => path.display().to_string(),
            CachePlace::Registry(name) => name.clone(),
        };
        let told = match engine.import_cache(registries, &place) {
            Ok(cache) => {
                imports.push(cache);
                "inferred cache manifest done".to_owned()
            }
            Err(error) => format!("WARNING: no cache: {}", crate::ui::chain(&error)),
        };
        printer.internal(&format!("importing cache manifest from {name}"), &told);
    }
    Ok(imports)
}

fn parse<T>(
    text: &str,
    flag: &str,
    read: impl FnOnce(&str, &mut Attributes<'_>) -> Result<T, String>,
) -> Result<T, BuildError> {
    let invalid = |why: String| BuildError::Invalid(format!("invalid {flag} {text:?}: {why}"));
    let fields = dockerfile::csv_fields(text).map_err(invalid)?;
    let mut pairs = Vec::new();
    for field in &fields {
        let pair = field.split_once('=');
        pairs.push(pair.ok_or_else(|| invalid(format!("{field:?} must be a key=value pair")))?);
    }
    let mut attributes = Attributes::new(&pairs);
    let kind = attributes.take("type").unwrap_or_default();
    let parsed = read(kind, &mut attributes).map_err(invalid)?;
    match attributes.rest() {
        None => Ok(parsed),
        Some(key) => Err(BuildError::Unsupported {
            what: format!("the attribute {key:?} of {flag}"),
            instead: "leave it out",
        }),
    }
}

fn place(
    kind: &str,
    attributes: &mut Attributes<'_>,
    path: &str,
) -> Result<Option<CachePlace>, String> {
    match kind {
        "local" => {
            let found = attributes.take(path).ok_or_else(|| format!("{path} is missing"))?;
            let tag = attributes.take("tag").unwrap_or("latest").to_owned();
            let digest = match attributes.take("digest") {
                None => None,
                Some(text) => Some(text.parse().map_err(|error| format!("{text:?}: {error}"))?),
            };
            Ok(Some(CachePlace::Layout { path: PathBuf::from(found), tag, digest }))
        }
        "registry" => {
            let name = attributes.take("ref").ok_or("ref is missing")?;
            Ok(Some(CachePlace::Registry(name.to_owned())))
        }
        _ => Ok(None),
    }
}

fn unknown(kind: &str) -> String {
    format!("type {kind:?} is not supported: local, registry and inline are there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_read() {
        let read = |text: &str| exports(&[text.to_owned()]).map_err(|error| error.to_string());
        let found = read("type=local,dest=d,mode=max,mounts=true,compression=zstd").unwrap();
        assert!(found[0].all && found[0].mounts);
        assert_eq!(found[0].wrapping.compression, Some(Compression::Zstd));
        assert_eq!(read("type=inline").unwrap()[0].place, None);
        let registry = CachePlace::Registry("h/x:1".into());
        assert_eq!(read("type=registry,ref=h/x:1").unwrap()[0].place, Some(registry));
        for text in ["type=gha", "type=local", "type=local,dest=d,mode=x", "type=inline,foo=1", "x"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
