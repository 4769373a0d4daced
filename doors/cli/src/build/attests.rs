//! `--attest`, `--provenance` and `--sbom`.

use std::collections::BTreeMap;

use engine::{Attest, BuildError, ProvenanceOptions, ProvenanceVersion, Sbom};

use super::outputs::{Attributes, boolean};

/// Whoever sets this to true gets no attestation that he did not ask for.
const NO_DEFAULT: &str = "BUILDX_NO_DEFAULT_ATTESTATIONS";

/// One attestation by its fields; `None` if it is not wanted.
type Wanted = Option<Vec<(String, String)>>;

/// What the flags ask for. The last of one type counts; `--provenance` and `--sbom` come after
/// `--attest`.
pub(super) fn read(attests: &[String], provenance: &str, sbom: &str) -> Result<Attest, BuildError> {
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    let short = [("provenance", provenance), ("sbom", sbom)];
    let texts = attests.iter().cloned().chain(short.into_iter().filter_map(long_form));
    for text in texts {
        let invalid = |why: String| BuildError::Invalid(format!("invalid attest {text:?}: {why}"));
        let (kind, fields) = one(&text).map_err(invalid)?;
        wanted.insert(kind, fields);
    }
    let mut attest = Attest::default();
    match wanted.remove("provenance") {
        Some(fields) => {
            let fields = fields.map(|fields| provenance_options(&fields)).transpose();
            attest.provenance = fields.map_err(BuildError::Invalid)?;
        }
        None if no_default()? => {}
        None => attest.provenance = Some(ProvenanceOptions { only_images: true, ..by_default() }),
    }
    if let Some(Some(fields)) = wanted.remove("sbom") {
        attest.sbom = Some(sbom_options(&fields).map_err(BuildError::Invalid)?);
    }
    match wanted.into_keys().next() {
        Some(kind) => Err(BuildError::Invalid(format!("unknown attestation type {kind:?}"))),
        None => Ok(attest),
    }
}

/// `BUILDKIT_ATTEST_SBOM=...` among the build arguments, as `--attest` has them.
pub(super) fn of_arguments(arguments: &BTreeMap<String, String>) -> Vec<String> {
    let one = |(name, value): (&String, &String)| {
        let kind = name.strip_prefix("BUILDKIT_ATTEST_")?.to_lowercase();
        let comma = if value.is_empty() { "" } else { "," };
        Some(format!("type={kind}{comma}{value}"))
    };
    arguments.iter().filter_map(one).collect()
}

fn by_default() -> ProvenanceOptions {
    ProvenanceOptions { is_default: true, ..ProvenanceOptions::default() }
}

fn no_default() -> Result<bool, BuildError> {
    match std::env::var(NO_DEFAULT) {
        Ok(text) => boolean(&text)
            .ok_or_else(|| BuildError::Invalid(format!("invalid {NO_DEFAULT} {text:?}"))),
        Err(_) => Ok(false),
    }
}

/// `true` and `mode=max` of a shorter flag as `--attest` has them.
fn long_form((kind, text): (&str, &str)) -> Option<String> {
    match boolean(text) {
        _ if text.is_empty() => None,
        Some(is_on) => Some(format!("type={kind},disabled={}", !is_on)),
        None => Some(format!("type={kind},{text}")),
    }
}

fn one(text: &str) -> Result<(String, Wanted), String> {
    let (mut kind, mut is_off, mut fields) = (String::new(), false, Vec::new());
    for field in dockerfile::csv_fields(text)? {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid value {field}"))?;
        match key.trim().to_lowercase().as_str() {
            "type" => kind = value.to_owned(),
            "disabled" => {
                is_off = boolean(value).ok_or_else(|| format!("invalid value {field}"))?;
            }
            _ => fields.push((key.to_owned(), value.to_owned())),
        }
    }
    match kind.is_empty() {
        true => Err("attestation type not specified".into()),
        false => Ok((kind, (!is_off).then_some(fields))),
    }
}

fn provenance_options(fields: &[(String, String)]) -> Result<ProvenanceOptions, String> {
    let pairs: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let mut fields = Attributes::new(&pairs);
    let options = ProvenanceOptions {
        is_full: match fields.take("mode") {
            None | Some("max" | "full") => true,
            Some("min") => false,
            Some(other) => return Err(format!("invalid mode {other:?}")),
        },
        builder_id: fields.take("builder-id").unwrap_or_default().to_owned(),
        version: match fields.take("version") {
            None | Some("v1") => ProvenanceVersion::V1,
            Some("v0.2") => ProvenanceVersion::V02,
            Some(other) => return Err(format!("invalid provenance SLSA version: {other}")),
        },
        is_reproducible: fields.switch("reproducible", false)?,
        only_images: fields.switch("inline-only", false)?,
        file: fields.take("filename").unwrap_or_default().to_owned(),
        is_default: false,
    };
    match fields.rest() {
        None => Ok(options),
        Some(key) => Err(format!(
            "the attribute {key:?} of provenance is not supported: mode, builder-id, version, \
             reproducible, inline-only and filename are there"
        )),
    }
}

fn sbom_options(fields: &[(String, String)]) -> Result<Sbom, String> {
    let mut parameters: BTreeMap<String, String> = fields.iter().cloned().collect();
    match (parameters.remove("generator"), parameters.keys().next()) {
        (Some(image), _) if !image.is_empty() => Ok(Sbom::Generator { image, parameters }),
        (_, None) => Ok(Sbom::BuiltIn),
        (_, Some(key)) => Err(format!(
            "the attribute {key:?} of an SBOM is its generator's: name one with generator=IMAGE"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attest(attests: &[&str], provenance: &str, sbom: &str) -> Result<Attest, String> {
        let attests: Vec<String> = attests.iter().map(|text| (*text).to_owned()).collect();
        read(&attests, provenance, sbom).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_read() {
        let plain = attest(&[], "", "").unwrap();
        assert!(plain.sbom.is_none() && plain.provenance.is_some_and(|wanted| wanted.is_default));
        assert_eq!(attest(&[], "false", "0"), Ok(Attest::default()));
        let full = attest(&[], "true", "true").unwrap();
        assert_eq!(full.sbom, Some(Sbom::BuiltIn));
        assert!(full.provenance.is_some_and(|wanted| wanted.is_full && !wanted.is_default));
        let text = "mode=min,builder-id=https://b,version=v0.2,reproducible=true,inline-only=true";
        let wanted = attest(&["type=sbom,generator=h/x"], text, "").unwrap();
        let options = wanted.provenance.unwrap();
        assert_eq!((options.is_full, &*options.builder_id), (false, "https://b"));
        assert_eq!(options.version, ProvenanceVersion::V02);
        assert!(options.is_reproducible && options.only_images);
        assert!(matches!(wanted.sbom, Some(Sbom::Generator { image, .. }) if image == "h/x"));
    }

    #[test]
    fn arguments_ask_too() {
        let arguments = [("BUILDKIT_ATTEST_SBOM", ""), ("BUILDKIT_ATTEST_PROVENANCE", "mode=min")];
        let arguments = arguments.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let wanted = of_arguments(&arguments.into_iter().collect());
        assert_eq!(wanted, ["type=provenance,mode=min", "type=sbom"]);
    }

    #[test]
    fn the_last_of_a_type_counts() {
        let wanted = attest(&["type=sbom", "type=provenance,mode=max"], "false", "false").unwrap();
        assert_eq!(wanted, Attest::default());
        let wanted = attest(&["type=sbom,disabled=true"], "disabled=true", "generator=x,a=b");
        let Some(Sbom::Generator { parameters, .. }) = wanted.unwrap().sbom else { panic!("one") };
        assert_eq!(parameters["a"], "b");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (attests, provenance, sbom) in [
            (&["mode=max"][..], "", ""),
            (&["type=other"], "", ""),
            (&["sbom"], "", ""),
            (&[], "mode=most", ""),
            (&[], "version=v2", ""),
            (&[], "foo=bar", ""),
            (&[], "yes", ""),
            (&[], "", "a=b"),
        ] {
            assert!(attest(attests, provenance, sbom).is_err(), "{attests:?} {provenance} {sbom}");
        }
    }
}
