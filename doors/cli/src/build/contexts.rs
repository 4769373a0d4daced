//! What is built from: the main context with its Dockerfile, and named ones.

use std::io::Read;
use std::path::{Path, PathBuf};

use engine::{
    BuildContext, BuildError, DockerfileSource, Engine, FoundContext, GitKeys, Place, Registries,
};

/// Opens contexts.
pub(super) struct Opener<'a> {
    pub(super) engine: &'a Engine,
    pub(super) registries: &'a Registries,
    /// Who asks for repositories.
    pub(super) keys: GitKeys<'a>,
}

/// What `--build-context` names.
pub(super) enum Named {
    /// A directory.
    Directory(BuildContext),
    /// An image.
    Image(String),
}

impl Opener<'_> {
    /// The main context: `-`, a URL, a repository or a path; and the Dockerfile.
    pub(super) fn main(
        &self,
        context: &str,
        file: Option<&str>,
    ) -> Result<FoundContext, BuildError> {
        let place = Place::of_context(context)?;
        if context == "-" || place.is_some() {
            let source = match file {
                None => DockerfileSource::Default,
                Some("-") if context == "-" => {
                    return Err(BuildError::Invalid(
                        "invalid argument: can't use stdin for both build context and dockerfile"
                            .into(),
                    ));
                }
                Some("-") => DockerfileSource::Bytes(standard_input()?),
                Some(name) => DockerfileSource::Inside(name.to_owned()),
            };
            return match place {
                None => self.engine.read_context(&mut std::io::stdin(), source),
                Some(place) => {
                    self.engine.fetch_context(self.registries, &place, self.keys, source)
                }
            };
        }
        let source = match file {
            None => DockerfileSource::Default,
            Some("-") => DockerfileSource::Bytes(standard_input()?),
            Some(path) => DockerfileSource::Path(PathBuf::from(path)),
        };
        let (opened, found) = engine::open_context(Path::new(context), source)?;
        Ok((Some(opened), found))
    }

    /// `--build-context NAME=VALUE` of each.
    pub(super) fn named(&self, given: &[String]) -> Result<Vec<(String, Named)>, BuildError> {
        given.iter().map(|text| self.one_named(text)).collect()
    }

    fn one_named(&self, text: &str) -> Result<(String, Named), BuildError> {
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(BuildError::Invalid(format!(
                "invalid context value: {text}, expected key=value"
            )));
        };
        let named = if let Some(reference) = value.strip_prefix("docker-image://") {
            Named::Image(reference.to_owned())
        } else if let Some(layout) = value.strip_prefix("oci-layout://") {
            Named::Image(self.engine.load_layout(layout)?)
        } else if let Some(place) = Place::of_context(value)? {
            Named::Directory(self.engine.fetch_named_context(self.registries, &place, self.keys)?)
        } else if value.contains("://") {
            return Err(BuildError::Unsupported {
                what: format!("the context {value}"),
                instead: "a directory, a URL, a repository, docker-image:// or oci-layout://",
            });
        } else {
            Named::Directory(engine::open_named_context(Path::new(value))?)
        };
        Ok((name.to_owned(), named))
    }
}

fn standard_input() -> Result<Vec<u8>, BuildError> {
    const LIMIT: u64 = 64 << 20;
    let mut bytes = Vec::new();
    let failed = |source| BuildError::Io { action: "read", path: "-".into(), source };
    std::io::stdin().lock().take(LIMIT).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
