//! What a build is asked for.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use attestation::provenance::Material;
use dockerfile::NetworkMode;
use dockerfile::ignore::Patterns;
use dockerfile::lint::LintOptions;
use oci::{Digest, ImageConfig, Mount, Platform, Timestamp};

use crate::BuildError;
use crate::attest::Attest;
use crate::portable::ImportedCache;
use crate::remote::Fetched;

/// The stores of one data root.
#[derive(Debug, Clone)]
pub struct Stores {
    /// The data root.
    pub root: PathBuf,
    /// Blobs.
    pub content: content::Content,
    /// Records and names.
    pub images: images::Images,
    /// Layers.
    pub snapshots: snapshots::Snapshots,
}

/// A directory that files are taken from.
#[derive(Debug)]
pub struct Context {
    /// The directory.
    pub root: OwnedFd,
    /// What tells its files' digests from those of other contexts: its path, say; `None` for one
    /// that is there for this build alone.
    pub name: Option<String>,
    /// What does not take part.
    pub ignore: Patterns,
    /// What goes when the context does.
    pub held: Option<Fetched>,
    /// Where it was fetched from; `None` for a directory of the machine.
    pub source: Option<Material>,
}

/// All directories by name; the main one has the empty name.
pub type Contexts = BTreeMap<String, Context>;

/// Where a secret's bytes come from.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// A file of the host.
    File(PathBuf),
    /// A variable of the caller's environment.
    Variable(String),
}

/// A secret that steps may mount.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub source: SecretSource,
}

impl Secret {
    /// Its bytes; `None` if the variable is not set.
    pub(crate) fn read(&self) -> Result<Option<Vec<u8>>, BuildError> {
        match &self.source {
            SecretSource::File(path) => {
                std::fs::read(path).map(Some).map_err(BuildError::io("read", path))
            }
            SecretSource::Variable(name) => {
                use std::os::unix::ffi::OsStringExt;
                Ok(std::env::var_os(name).map(OsStringExt::into_vec))
            }
        }
    }
}

/// An agent's socket that steps may mount.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// The socket.
    pub socket: PathBuf,
}

/// A build.
#[derive(Debug, Default)]
pub struct Request {
    /// The Dockerfile's bytes.
    pub dockerfile: Vec<u8>,
    /// What the Dockerfile is called.
    pub file_name: String,
    /// The stage to build, by name or number; the last one if empty.
    pub target: String,
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// What the image runs on; the machine's own if `None`.
    pub platform: Option<Platform>,
    /// Directories, the main one under the empty name.
    pub contexts: Contexts,
    /// Names that stand for images: `--build-context name=docker-image://reference`.
    pub image_contexts: BTreeMap<String, String>,
    /// No result of an earlier build is used.
    pub no_cache: bool,
    /// Nor for these stages.
    pub no_cache_stages: Vec<String>,
    /// The network of steps that ask for none in particular: default, none or the host's.
    pub network: NetworkMode,
    /// What steps find as the host's name; `buildkitsandbox` if empty.
    pub hostname: String,
    /// What tells cache mounts from those of the same name in other builds; may be empty.
    pub cache_namespace: String,
    /// An image is an index, even for one platform.
    pub always_index: bool,
    /// Names in the hosts file of steps. Their addresses may change without a step being another.
    pub host_names: Vec<String>,
    /// Whether steps may ask for `--network=host`.
    pub allow_host_network: bool,
    /// Whether steps may ask for `--security=insecure`.
    pub allow_insecure: bool,
    /// `--secret`.
    pub secrets: Vec<Secret>,
    /// `--ssh`.
    pub agents: Vec<Agent>,
    /// Mounted into every command: directories of the host that whoever builds gives away. Such a
    /// command is not remembered.
    pub binds: Vec<Mount>,
    /// Caches from elsewhere.
    pub imported: Vec<ImportedCache>,
    /// What fetches files of web servers; none are fetched if `None`.
    pub client: Option<transfer::Client>,
    /// `SOURCE_DATE_EPOCH`: nothing in the image is younger. Also read from the build arguments.
    pub epoch: Option<Timestamp>,
    /// What the linter looks for; the file's own directive if `None`.
    pub lint: Option<LintOptions>,
    /// The place of a step that fails is kept, for [`FailedStep`](crate::FailedStep).
    pub keep_failed: bool,
    /// All stages are planned, for a check; nothing may be solved then.
    pub all_stages: bool,
    /// What is said about the image beside it.
    pub attest: Attest,
}

impl Request {
    /// The agent that git may use: the default one.
    pub fn agent(&self) -> Option<&Path> {
        let default = self.agents.iter().find(|agent| agent.id == "default");
        default.map(|agent| agent.socket.as_path())
    }
}

/// An image that a stage starts from.
#[derive(Debug, Clone)]
pub struct BaseImage {
    /// Its full name, with its digest.
    pub name: String,
    /// Its configuration.
    pub config: ImageConfig,
    /// Its layers, all unpacked.
    pub diff_ids: Vec<Digest>,
    /// Of its index, if it came with one, else of its manifest; one in the making has none.
    pub digest: Option<Digest>,
}

/// Finds images.
pub trait BaseImages {
    /// The image of that name for that platform, with its layers unpacked.
    fn find(&self, name: &str, platform: &Platform) -> Result<BaseImage, BuildError>;
}
