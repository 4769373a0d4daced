//! Contexts that are elsewhere: on standard input, on a web server, in a git repository.

use std::io::{Cursor, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use builder::remote::{self, Fetched, GitOptions, Place, redacted};
use builder::{BuildError, Context, Material, Secret};
use rustix::fs::{Mode, OFlags};

use super::context::{DockerfileSource, FoundDockerfile, context, named_context, read_dockerfile};
use crate::{Engine, Registries};

/// The largest Dockerfile that comes without a context.
const MAX_DOCKERFILE: u64 = 16 << 20;
/// What is looked at to tell an archive.
const START: usize = 512;

/// Who asks for repositories.
#[derive(Debug, Clone, Copy, Default)]
pub struct GitKeys<'a> {
    /// The socket of an agent with keys, for ssh.
    pub agent: Option<&'a Path>,
    /// Secrets, for http and https: `GIT_AUTH_TOKEN` and `GIT_AUTH_HEADER`.
    pub secrets: &'a [Secret],
    /// Whether a context keeps its `.git`.
    pub keeps_directory: bool,
}

/// A context, if there is one beside the Dockerfile.
pub type FoundContext = (Option<Context>, FoundDockerfile);

impl Engine {
    /// A context from a stream: an archive, or a Dockerfile that stands alone.
    ///
    /// `source` says which file of the archive is the Dockerfile.
    pub fn read_context(
        &self,
        stream: &mut (dyn Read + Send),
        source: DockerfileSource,
    ) -> Result<FoundContext, BuildError> {
        self.context_of(stream, "standard input", source)
    }

    /// A context from a URL or a repository.
    ///
    pub fn fetch_context(
        &self,
        registries: &Registries,
        place: &Place,
        keys: GitKeys<'_>,
        source: DockerfileSource,
    ) -> Result<FoundContext, BuildError> {
        match place {
            Place::Http(url) => {
                let (_fetched, mut file, material) = self.fetch_file(registries, url)?;
                let (context, found) = self.context_of(&mut file, &redacted(url), source)?;
                let context = context.map(|context| of(context, material));
                Ok((context, found))
            }
            Place::Git(_) => {
                let (folder, fetched, material) = self.clone_repository(place, keys)?;
                let (context, file) = context(folder, None, Some(fetched), source)?;
                Ok((Some(of(context, material)), file))
            }
        }
    }

    /// A named context from a URL or a repository.
    pub fn fetch_named_context(
        &self,
        registries: &Registries,
        place: &Place,
        keys: GitKeys<'_>,
    ) -> Result<Context, BuildError> {
        match place {
            Place::Http(url) => {
                let (_fetched, mut file, material) = self.fetch_file(registries, url)?;
                let fetched = remote::unpack_archive(self.root(), &redacted(url), &mut file)?;
                Ok(of(named_context(open(&fetched)?, None, Some(fetched))?, material))
            }
            Place::Git(_) => {
                let (folder, fetched, material) = self.clone_repository(place, keys)?;
                Ok(of(named_context(folder, None, Some(fetched))?, material))
            }
        }
    }

    /// A file of a web server, open, and what it goes with.
    fn fetch_file(
        &self,
        registries: &Registries,
        url: &str,
    ) -> Result<(Fetched, std::fs::File, Material), BuildError> {
        let got = remote::download(registries.client(), self.root(), url, None)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(got.fetched.directory(), &got.name, flags, Mode::empty())
            .map_err(|errno| io(&got.name, errno.into()))?;
        Ok((got.fetched, file.into(), builder::http_material(url, &got.digest)))
    }

    fn clone_repository(
        &self,
        place: &Place,
        keys: GitKeys<'_>,
    ) -> Result<(OwnedFd, Fetched, Material), BuildError> {
        let Place::Git(place) = place else { unreachable!("the caller has looked") };
        let stop = AtomicBool::new(false);
        let GitKeys { agent, secrets, keeps_directory: keep_directory } = keys;
        let options = GitOptions { keep_directory, checksum: "", agent, secrets, stop: &stop };
        let cloned = remote::clone(self.root(), place, &options)?;
        let material = builder::git_material(&place.repository, &cloned.commit);
        Ok((cloned.folder, cloned.fetched, material))
    }

    fn context_of(
        &self,
        stream: &mut (dyn Read + Send),
        what: &str,
        source: DockerfileSource,
    ) -> Result<FoundContext, BuildError> {
        let mut start = Vec::new();
        let failed = |error| io(what, error);
        stream.take(START as u64).read_to_end(&mut start).map_err(failed)?;
        if remote::is_archive(&start) {
            let mut whole = Cursor::new(start).chain(stream);
            let fetched = remote::unpack_archive(self.root(), what, &mut whole)?;
            let (context, file) = context(open(&fetched)?, None, Some(fetched), source)?;
            return Ok((Some(context), file));
        }
        let mut content = Vec::new();
        let mut whole = Cursor::new(start).chain(stream).take(MAX_DOCKERFILE + 1);
        whole.read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > MAX_DOCKERFILE {
            return Err(BuildError::Invalid(format!(
                "{what} is no archive, and has more than the {MAX_DOCKERFILE} bytes of a Dockerfile"
            )));
        }
        Ok((None, read_dockerfile(DockerfileSource::Bytes(content))?))
    }
}

fn of(context: Context, material: Material) -> Context {
    Context { source: Some(material), ..context }
}

fn open(fetched: &Fetched) -> Result<OwnedFd, BuildError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(fetched.directory().as_fd(), ".", flags, Mode::empty())
        .map_err(|errno| io("the context", errno.into()))
}

fn io(path: &str, source: std::io::Error) -> BuildError {
    BuildError::Io { action: "read", path: path.into(), source }
}
