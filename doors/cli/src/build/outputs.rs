//! `--output`, `--load`, `--push` and `--annotation`.

use std::io::IsTerminal;
use std::path::PathBuf;

use engine::{
    Annotation, AnnotationOf, ArchiveOutput, ArchiveTo, AttestationStorage, BuildError,
    BuildOutput, Compression, FilesOutput, FilesTo, ImageOutput, OutputFile, Wrapping,
};
use oci::Platform;

/// What the flags say.
#[derive(Debug, Default)]
pub(super) struct Flags<'a> {
    pub(super) outputs: &'a [String],
    pub(super) tags: &'a [String],
    pub(super) annotations: &'a [String],
    pub(super) load: bool,
    pub(super) push: bool,
    /// Whether the build is for several platforms.
    pub(super) several: bool,
}

impl Flags<'_> {
    /// Where the result goes; an image in the store if nothing is said.
    pub(super) fn read(&self) -> Result<Vec<BuildOutput>, BuildError> {
        let mut outputs = Vec::new();
        for text in self.outputs {
            outputs.extend(self.output(text)?);
        }
        if self.push {
            let image = outputs.iter_mut().find_map(|output| match output {
                BuildOutput::Image(image) => Some(image),
                _ => None,
            });
            match image {
                Some(image) => image.push = true,
                None => {
                    let image = ImageOutput { push: true, ..self.stored() };
                    outputs.push(BuildOutput::Image(image));
                }
            }
        }
        let is_stored =
            |output: &BuildOutput| matches!(output, BuildOutput::Image(image) if image.store);
        if (self.load && !outputs.iter().any(is_stored))
            || (outputs.is_empty() && self.outputs.is_empty())
        {
            outputs.push(BuildOutput::Image(self.stored()));
        }
        let shared = annotations(self.annotations)?;
        for output in &mut outputs {
            let wrapping = match output {
                BuildOutput::Image(image) => {
                    if image.push {
                        image.wrapping.compression.get_or_insert(Compression::Gzip);
                        // Who pushes several seldom runs them here.
                        image.store &= !self.several;
                    }
                    if image.push && image.names.is_empty() {
                        return Err(BuildError::Invalid(
                            "tag is needed when pushing to registry".into(),
                        ));
                    }
                    &mut image.wrapping
                }
                BuildOutput::Archive(archive) => &mut archive.wrapping,
                BuildOutput::Files(_) => continue,
            };
            wrapping.annotations.extend(shared.iter().cloned());
        }
        Ok(outputs)
    }

    fn stored(&self) -> ImageOutput {
        ImageOutput { names: self.tags.to_vec(), store: true, ..ImageOutput::default() }
    }

    /// One `--output`; `None` for one that is nowhere.
    fn output(&self, text: &str) -> Result<Option<BuildOutput>, BuildError> {
        let invalid = |why: String| BuildError::Invalid(format!("invalid output {text:?}: {why}"));
        let fields = dockerfile::csv_fields(text).map_err(invalid)?;
        if let [only] = fields.as_slice()
            && !only.contains('=')
        {
            return Ok(Some(match only.as_str() {
                "-" => files(FilesTo::Tar(OutputFile::Standard), ""),
                path => files(FilesTo::Directory(path.into()), ""),
            }));
        }
        let mut pairs = Vec::new();
        for field in &fields {
            let pair = field.split_once('=');
            pairs.push(pair.ok_or_else(|| invalid(format!("{field:?} must be a key=value pair")))?);
        }
        let mut attributes = Attributes::new(&pairs);
        let output = self.of_kind(&mut attributes).map_err(invalid)?;
        match attributes.rest() {
            None => Ok(output),
            Some(key) => Err(BuildError::Unsupported {
                what: format!("the attribute {key:?} of this output"),
                instead: "leave it out",
            }),
        }
    }

    fn of_kind(&self, attributes: &mut Attributes<'_>) -> Result<Option<BuildOutput>, String> {
        let kind = attributes.take("type").unwrap_or_default();
        let to = attributes.take("dest");
        // What BuildKit needs to be told, and is always so here.
        attributes.switch("rewrite-timestamp", true)?;
        let file = |to: Option<&str>| match to {
            Some("-") => Ok(OutputFile::Standard),
            Some(path) => Ok(OutputFile::Path(path.into())),
            None if std::io::stdout().is_terminal() => Err(format!(
                "dest file is required for {kind} exporter. refusing to write to console"
            )),
            None => Ok(OutputFile::Standard),
        };
        let folder = |to: Option<&str>| match to {
            Some("-") | None => Err(format!("dest is required for {kind} output")),
            Some(path) => Ok(PathBuf::from(path)),
        };
        match kind {
            "cacheonly" if to.is_none() => Ok(None),
            "local" | "tar" => {
                let to = match kind {
                    "local" => FilesTo::Directory(folder(to)?),
                    _ => FilesTo::Tar(file(to)?),
                };
                Ok(Some(files(to, attributes.take("attestation-prefix").unwrap_or_default())))
            }
            "image" | "registry" if to.is_none() => {
                let is_image = kind == "image";
                let image = ImageOutput {
                    names: attributes.names(self.tags),
                    push: attributes.switch("push", !is_image)?,
                    by_digest: attributes.switch("push-by-digest", false)?,
                    store: attributes.switch("store", is_image)?,
                    attestations: attributes.attestations()?,
                    wrapping: attributes.wrapping()?,
                };
                // Images of the store are unpacked.
                attributes.switch("unpack", true)?;
                Ok(Some(BuildOutput::Image(image)))
            }
            "docker" if to.is_none() => {
                let (names, wrapping) = (attributes.names(self.tags), attributes.wrapping()?);
                let attestations = attributes.attestations()?;
                let image = ImageOutput { names, wrapping, attestations, ..self.stored() };
                Ok(Some(BuildOutput::Image(image)))
            }
            "docker" | "oci" => {
                let names = attributes.names(self.tags);
                let attestations = attributes.attestations()?;
                let mut wrapping = attributes.wrapping()?;
                let docker = kind == "docker";
                if !docker {
                    wrapping.compression.get_or_insert(Compression::Gzip);
                }
                let to = match attributes.switch("tar", true)? {
                    true => ArchiveTo::File(file(to)?),
                    false => ArchiveTo::Layout(folder(to)?),
                };
                Ok(Some(BuildOutput::Archive(ArchiveOutput {
                    names,
                    docker,
                    to,
                    attestations,
                    wrapping,
                })))
            }
            "image" | "registry" | "cacheonly" => Err("dest makes no sense".into()),
            "" => Err("type is required for output".into()),
            other => Err(format!("unknown type {other:?}")),
        }
    }
}

fn files(to: FilesTo, prefix: &str) -> BuildOutput {
    BuildOutput::Files(FilesOutput { to, attestation_prefix: prefix.to_owned() })
}

/// What Go reads as a truth value.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Attributes that are taken one after the other, so that what is left is known by nobody.
pub(super) struct Attributes<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Attributes<'a> {
    pub(super) fn new(pairs: &[(&'a str, &'a str)]) -> Self {
        Self(pairs.to_vec())
    }

    pub(super) fn take(&mut self, key: &str) -> Option<&'a str> {
        let mut last = None;
        self.0.retain(|(known, value)| {
            let is_it = known.eq_ignore_ascii_case(key);
            if is_it {
                last = Some(*value);
            }
            !is_it
        });
        last
    }

    pub(super) fn switch(&mut self, key: &str, default: bool) -> Result<bool, String> {
        match self.take(key) {
            None => Ok(default),
            Some(text) => boolean(text).ok_or_else(|| format!("non-bool value for {key}: {text}")),
        }
    }

    fn attestations(&mut self) -> Result<AttestationStorage, String> {
        // BuildKit's older form, without a subject, is not written.
        if !self.switch("oci-artifact", true)? {
            return Err("oci-artifact=false is not supported: leave it out".into());
        }
        match self.take("attestation-storage") {
            None | Some("referrers") => Ok(AttestationStorage::Referrers),
            Some("index") => Ok(AttestationStorage::Index),
            Some(other) => Err(format!(
                "attestation-storage {other:?} is not supported: referrers and index are there"
            )),
        }
    }

    fn names(&mut self, tags: &[String]) -> Vec<String> {
        match self.take("name") {
            Some(names) => names.split(',').map(|name| name.trim().to_owned()).collect(),
            None => tags.to_vec(),
        }
    }

    pub(super) fn wrapping(&mut self) -> Result<Wrapping, String> {
        let compression = match self.take("compression") {
            None => None,
            Some("uncompressed") => Some(Compression::Plain),
            Some("gzip") => Some(Compression::Gzip),
            Some("zstd") => Some(Compression::Zstd),
            Some(other) => {
                return Err(format!(
                    "compression {other:?} is not supported: uncompressed, gzip and zstd are there"
                ));
            }
        };
        let level = match self.take("compression-level") {
            None => None,
            Some(text) => {
                let level = text.parse();
                Some(level.map_err(|_| format!("non-int value for compression-level: {text}"))?)
            }
        };
        let force = self.switch("force-compression", false)?;
        let docker_types = !self.switch("oci-mediatypes", true)?;
        let mut annotations = Vec::new();
        let mut kept = Vec::new();
        for (key, value) in std::mem::take(&mut self.0) {
            match key.strip_prefix("annotation").map(|rest| rest.split_once('.')) {
                Some(Some((kinds, key))) => {
                    let kinds = kinds.strip_prefix('-').unwrap_or(kinds);
                    annotate(&mut annotations, kinds, key, value)?;
                }
                _ => kept.push((key, value)),
            }
        }
        self.0 = kept;
        Ok(Wrapping { annotations, compression, level, force, docker_types })
    }

    pub(super) fn rest(&self) -> Option<&'a str> {
        self.0.first().map(|(key, _)| *key)
    }
}

/// `--annotation [KIND[,KIND][[PLATFORM]]:]KEY=VALUE`
fn annotations(given: &[String]) -> Result<Vec<Annotation>, BuildError> {
    let mut annotations = Vec::new();
    for text in given {
        let invalid =
            |why: String| BuildError::Invalid(format!("invalid annotation {text:?}: {why}"));
        let (key, value) =
            text.split_once('=').ok_or_else(|| invalid("expected key=value".to_owned()))?;
        let (kinds, key) = key.split_once(':').unwrap_or(("", key));
        annotate(&mut annotations, kinds, key, value).map_err(invalid)?;
    }
    Ok(annotations)
}

fn annotate(
    annotations: &mut Vec<Annotation>,
    kinds: &str,
    key: &str,
    value: &str,
) -> Result<(), String> {
    let (kinds, platform) = match kinds.strip_suffix(']').and_then(|kinds| kinds.split_once('[')) {
        None => (kinds, None),
        Some((kinds, platform)) => {
            let parsed = Platform::parse(platform);
            (kinds, Some(parsed.ok_or_else(|| format!("{platform:?} is no platform"))?))
        }
    };
    for kind in kinds.split(',') {
        let of = match kind {
            "" | "manifest" => AnnotationOf::Manifest,
            "manifest-descriptor" => AnnotationOf::ManifestDescriptor,
            "index" => AnnotationOf::Index,
            "index-descriptor" => AnnotationOf::IndexDescriptor,
            other => return Err(format!("unknown annotation type {other:?}")),
        };
        if platform.is_some() && matches!(of, AnnotationOf::Index | AnnotationOf::IndexDescriptor) {
            return Err("an index is of all platforms".to_owned());
        }
        annotations.push(Annotation {
            of,
            platform: platform.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<BuildOutput>, String> {
        let (outputs, tags) = ([text.to_owned()], ["x".to_owned()]);
        let flags = Flags { outputs: &outputs, tags: &tags, ..Flags::default() };
        flags.read().map_err(|error| error.to_string())
    }

    #[test]
    fn outputs_are_read() {
        let stored = ImageOutput { store: true, ..ImageOutput::default() };
        assert_eq!(Flags::default().read().unwrap(), [BuildOutput::Image(stored)]);
        let files = |to| Ok(vec![super::files(to, "")]);
        assert_eq!(read("out"), files(FilesTo::Directory("out".into())));
        assert_eq!(read("-"), files(FilesTo::Tar(OutputFile::Standard)));
        assert_eq!(read("type=tar,dest=a"), files(FilesTo::Tar(OutputFile::Path("a".into()))));
        assert_eq!(read("type=cacheonly"), Ok(vec![]));
        for text in ["type=local", "type=x", "a,b", "type=image,foo=bar", "type=image,push=x"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_wrapping_are_read() {
        let text = "type=image,\"name=a,b\",push=true,compression=zstd,annotation-index.k=v";
        let [BuildOutput::Image(image)] = &read(text).unwrap()[..] else { panic!("an image") };
        assert_eq!(image.names, ["a", "b"]);
        assert_eq!(image.wrapping.compression, Some(Compression::Zstd));
        assert_eq!(image.wrapping.annotations[0].of, AnnotationOf::Index);
        let [BuildOutput::Archive(archive)] = &read("type=oci,dest=a").unwrap()[..] else {
            panic!("an archive")
        };
        assert_eq!(archive.wrapping.compression, Some(Compression::Gzip));
        assert_eq!((archive.names[0].as_str(), archive.docker), ("x", false));
    }

    #[test]
    fn load_and_push_add_to_outputs() {
        let (outputs, tags) = (["type=local,dest=d".to_owned()], ["x".to_owned()]);
        let flags = |load, push, several| {
            let flags =
                Flags { outputs: &outputs, tags: &tags, load, push, several, ..Flags::default() };
            flags.read().map_err(|error| error.to_string())
        };
        assert_eq!(flags(false, false, false).unwrap().len(), 1);
        assert_eq!(flags(true, false, false).unwrap().len(), 2);
        let both = flags(true, true, false).unwrap();
        assert!(matches!(&both[1], BuildOutput::Image(image) if image.push && image.store));
        assert_eq!(both.len(), 2);
        let list = flags(false, true, true).unwrap();
        assert!(matches!(&list[1], BuildOutput::Image(image) if image.push && !image.store));
    }

    #[test]
    fn annotations_are_read() {
        let read = |text: &str| annotations(&[text.to_owned()]).map_err(|error| error.to_string());
        let found = read("manifest,manifest-descriptor[linux/amd64]:a.b=c=d").unwrap();
        assert_eq!((found.len(), &*found[0].key, &*found[1].value), (2, "a.b", "c=d"));
        assert!(found[1].platform.is_some());
        for text in ["a", "x:a=b", "index[linux/amd64]:a=b", "manifest[]:a=b"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
