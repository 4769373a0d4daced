//! `pull`, `push`, `login`, `logout`: images and credentials between here and registries.

use std::path::PathBuf;

use images::Named;
use oci::{Digest, Platform, Reference};
use transfer::{
    Client, Login, Platforms, Progress, PullRequest, PushNamedRequest, Settings, StoredIn,
};

use crate::{Engine, EngineError};

/// The registries, as one user reaches them. Opens and reads nothing before it is asked something.
#[derive(Debug, Clone)]
pub struct Registries {
    client: Client,
    folder: Option<PathBuf>,
}

/// What to pull.
#[derive(Debug, Clone, Default)]
pub struct PullImage {
    /// `NAME[:TAG|@DIGEST]`.
    pub image: String,
    /// What it must run on.
    pub platforms: Platforms,
}

/// An image that is now here.
#[derive(Debug, Clone)]
pub struct PulledImage {
    /// Its name as Docker shows it.
    pub familiar: String,
    /// Its whole name.
    pub name: String,
    /// The digest that the registry knows it by.
    pub digest: Digest,
    /// Its id.
    pub id: Digest,
    /// Whether the name stood for something else before, or for nothing.
    pub is_new: bool,
}

/// What to push.
#[derive(Debug, Clone, Default)]
pub struct PushImage {
    /// `NAME[:TAG]`, an image here and a repository there.
    pub image: String,
    /// What it must be for; whatever it is for if `None`.
    pub platform: Option<Platform>,
}

/// An image that is now there.
#[derive(Debug, Clone)]
pub struct PushedImage {
    /// The digest of its manifest.
    pub digest: Digest,
    /// How many bytes the manifest has.
    pub size_bytes: u64,
    /// Whether only one image of an index was sent, since not all of them are here.
    pub is_partial: bool,
}

/// A manifest or an index as a registry has it.
#[derive(Debug, Clone)]
pub struct RegistryManifest {
    /// The whole name that it was asked for by.
    pub name: String,
    /// Points at it.
    pub descriptor: oci::Descriptor,
    /// As it came; JSON.
    pub bytes: Vec<u8>,
}

/// Who logs in where.
#[derive(Debug, Clone)]
pub struct RegistryLogin {
    /// The registry's name.
    pub registry: String,
    /// The user's.
    pub user: String,
}

impl Registries {
    /// With the credentials in Docker's client configuration in `docker_config`, and the settings of
    /// the machine and the user.
    pub fn new(docker_config: Option<PathBuf>) -> Self {
        let folder = docker_config.clone();
        Self { client: Client::new(Settings::of_user(docker_config)), folder }
    }

    /// What fetches files of web servers, for builds.
    pub fn for_files(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Where the user's client keeps its configuration.
    pub(crate) fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    /// The name of a registry as `login` takes it: a host, or a URL of one; Docker's own if empty.
    pub fn registry_name(server: &str) -> Result<String, EngineError> {
        let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default();
        match host {
            "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => {
                Ok("docker.io".to_owned())
            }
            host => match format!("{host}/x").parse::<Reference>() {
                Ok(_) => Ok(host.to_owned()),
                Err(error) => Err(EngineError::Invalid {
                    message: format!("{server:?} is no registry: {error}"),
                }),
            },
        }
    }

    /// Tries a name and a password, and keeps them; answers where.
    pub fn login(&self, login: &RegistryLogin, password: &str) -> Result<StoredIn, EngineError> {
        let login = Login {
            registry: login.registry.clone(),
            user: login.user.clone(),
            password: password.to_owned(),
        };
        Ok(self.client.login(&login)?.stored)
    }

    /// Forgets what is kept for a registry; answers whether there was anything.
    pub fn logout(&self, registry: &str) -> Result<bool, EngineError> {
        Ok(self.client.logout(registry)?)
    }

    /// The manifest or the index that a registry has under a name.
    pub fn manifest(&self, image: &str) -> Result<RegistryManifest, EngineError> {
        let reference = parse(image)?.with_default_tag();
        let fetched = self.client.repository(&reference)?.manifest(&reference)?;
        let (descriptor, bytes) = (fetched.descriptor, fetched.bytes);
        Ok(RegistryManifest { name: reference.to_string(), descriptor, bytes })
    }

    /// All tags of the repository that `image` names, as whole names.
    pub fn tags(&self, image: &str) -> Result<Vec<String>, EngineError> {
        let reference = parse(image)?;
        if reference.tag().is_some() || reference.digest().is_some() {
            return Err(EngineError::Invalid {
                message: "tag can't be used with --all-tags/-a".into(),
            });
        }
        let repository = reference.familiar_repository();
        let tags = transfer::tags(&self.client, &reference)?;
        Ok(tags.into_iter().map(|tag| format!("{repository}:{tag}")).collect())
    }
}

impl Engine {
    /// Brings an image here.
    pub fn pull_image(
        &self,
        registries: &Registries,
        request: &PullImage,
        progress: &dyn Progress,
    ) -> Result<PulledImage, EngineError> {
        let reference = parse(&request.image)?;
        let request = PullRequest { reference, platforms: request.platforms.clone() };
        let pulled = transfer::pull(&registries.client, &self.stores()?, &request, progress)?;
        Ok(PulledImage {
            familiar: pulled.name.familiar(),
            name: pulled.name.to_string(),
            digest: pulled.digest,
            id: pulled.id,
            is_new: pulled.is_new,
        })
    }

    /// Brings an image to its registry.
    pub fn push_image(
        &self,
        registries: &Registries,
        request: &PushImage,
        progress: &dyn Progress,
    ) -> Result<PushedImage, EngineError> {
        let name = parse(&request.image)?;
        if name.digest().is_some() {
            return Err(EngineError::Invalid { message: "cannot push a digest reference".into() });
        }
        let name = name.with_default_tag();
        // By its name alone: an id that reads like it is no image of that repository.
        let Some(mut named) = self.images()?.named(&name)? else {
            return Err(EngineError::NoTag { repository: name.repository() });
        };
        if let Some(wanted) = &request.platform {
            let record = self.images()?.resolve_for(&name.to_string(), wanted)?;
            let record = record.map_err(|record| EngineError::Invalid {
                message: format!(
                    "image with reference {} was found but its platform ({}) does not match the \
                     specified platform ({wanted})",
                    name.familiar(),
                    record.platform,
                ),
            })?;
            named = Named::one(record.id);
        }
        let request = PushNamedRequest { name, named };
        let pushed = transfer::push_named(&registries.client, &self.stores()?, &request, progress)?;
        Ok(PushedImage {
            digest: pushed.digest,
            size_bytes: pushed.size_bytes,
            is_partial: pushed.is_partial,
        })
    }

    /// The tags that images here have in the repository that `image` names, as Docker shows them.
    pub fn local_tags(&self, image: &str) -> Result<Vec<String>, EngineError> {
        let wanted = parse(image)?;
        if wanted.tag().is_some() || wanted.digest().is_some() {
            return Err(EngineError::Invalid {
                message: "tag can't be used with --all-tags/-a".into(),
            });
        }
        let mut names: Vec<String> = self
            .images()?
            .list()?
            .into_iter()
            .flat_map(|(_, names)| names)
            .filter(|name| name.tag().is_some() && name.repository() == wanted.repository())
            .map(|name| name.familiar())
            .collect();
        names.sort();
        match names.is_empty() {
            true => Err(EngineError::NoTag { repository: wanted.repository() }),
            false => Ok(names),
        }
    }
}

pub(crate) fn parse(text: &str) -> Result<Reference, EngineError> {
    text.parse()
        .map_err(|error: oci::ReferenceError| EngineError::Invalid { message: error.to_string() })
}
