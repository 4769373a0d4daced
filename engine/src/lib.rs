//! The verbs: what can be done with images, containers, execs and volumes, one file per noun.
//!
//! This is the only place that knows the whole: it resolves what a door asks for, calls the
//! shelves below, and keeps what must be true of several of them at once (a container's image
//! stays while the container does, a name belongs to one container, nothing is left behind).
//! It parses no command line, speaks no protocol and prints nothing: doors do that.
//!
//! [`Engine`] holds no state beyond open directories. Two processes with an `Engine` on the same
//! root are as good as one: what they share is on disk, and who may change it is said by locks
//! that the kernel drops when a process dies (`metadata`).

mod build;
mod cdi;
mod container;
mod error;
mod exec;
mod filters;
mod hello;
mod home;
mod ids;
mod image;
mod launch;
mod names;
mod network;
mod reaper;
mod rootfs;
mod runtimes;
mod settings;
mod signal;
mod supervise;
mod system;
mod usage;
mod volume;
mod working;

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};

use cgroups::{Delegation, Hierarchy};
use content::{Content, SharedLock, StoreLock};
use images::Images;
use metadata::Containers;
use networks::Networks;
use snapshots::Snapshots;
use volumes::Volumes;

use settings::Settings;

pub use crate::network::{CreateNetwork, NetworkPool, is_in_subnet};
pub use ::network::proxy::{NAME as PROXY, main as proxy};
pub use ::rootless::{
    HOLDER, NETWORK, UPLINK, hold, hold_network, look_after as look_after_uplink,
};
pub use archive::apply_changes;
pub use build::{
    AllowedDevices, Annotation, AnnotationOf, ArchiveOutput, ArchiveTo, Attest, AttestationStorage,
    BuildAgent, BuildContext, BuildError, BuildEvent, BuildEvents, BuildFailure, BuildImage,
    BuildOutcome, BuildOutput, BuildRequest, BuildSecret, BuildWarning, BuiltDescriptor,
    BuiltImage, CacheExport, CachePlace, Compression, Difference, DockerfileSource, Exported,
    FailedStep, FetchImage, FileDifference, FilesOutput, FilesTo, FoundContext, FoundDockerfile,
    GitKeys, ImageOutput, ImportedCache, Outline, OutputFile, Place, PlannedBuild,
    ProvenanceOptions, ProvenanceVersion, PrunedCache, Sbom, SecretSource, StoredImage, Target,
    Wrapping, build_targets, open_context, open_named_context, read_dockerfile, targets_json,
    warnings_json,
};
pub use bundle::{parse_bind, parse_mount};
pub use container::{
    CommitContainer, ContainerState, ContainerSummary, CreateContainer, CreatedContainer, Grace,
    ListContainers, Logs, PullPolicy, RemoveContainer, RunningContainer, StopContainer, Top,
};
pub use error::{EngineError, Kind};
pub use exec::{ExecContainer, ExecSession};
pub use filters::Filters;
pub use hello::hello;
pub use home::Home;
pub use image::{
    AnnotateManifest, ImageSummary, ImportImage, ListImages, LoadImages, LoadedImage, Pruned,
    PullImage, PulledImage, PushImage, PushedImage, Registries, RegistryLogin, RegistryManifest,
    RemoveImage, SaveImages, SearchRegistry,
};
pub use reaper::{REAPER, reap};
pub use shim::client::{Incoming, Session};
pub use shim::frame::Frame;
pub use shim::init::main as init;
pub use shim::log::{Entry as LogEntry, ReadOptions as LogOptions, Stream as LogStream};
pub use shim::{ShimError, Streams, Streams as Attach};
pub use supervise::supervise;
pub use system::{CheckReport, Finding};
pub use transfer::{FoundRepository, LayerState, Platforms, Progress, Silent, StoredIn};
pub use usage::{ContainerUsage, DiskUsage, ImageUsage, VolumeUsage};
pub use volume::CreateVolume;
pub use working::{CreateWorking, Growth, WorkingImage};

/// Everything below one data directory.
#[derive(Debug)]
pub struct Engine {
    root: PathBuf,
    containers: Containers,
    content: OnceCell<Content>,
    images: OnceCell<Images>,
    snapshots: OnceCell<Snapshots>,
    volumes: OnceCell<Volumes>,
    networks: OnceCell<Networks>,
    settings: OnceCell<Settings>,
    hierarchy: OnceCell<Hierarchy>,
    delegation: OnceCell<Delegation>,
    facts: OnceCell<bundle::HostFacts>,
    is_rootless: OnceCell<bool>,
    /// An ordinary user's network of bridges.
    shared: OnceCell<rootless::SharedNetwork>,
    /// Whether our thread is in that.
    is_in_shared: Cell<bool>,
    /// Whether something was removed that is still to be deleted.
    has_trash: Cell<bool>,
}

impl Engine {
    /// Opens the data directory `root`, and makes it (mode 0700) if it is not there.
    pub fn open(root: &Path) -> Result<Self, EngineError> {
        // Makes the root as it should be, the first time.
        let content = OnceCell::new();
        if !root.join("containers").exists() {
            let _ = content.set(Content::open(root)?);
        }
        Ok(Self {
            containers: Containers::open(root)?,
            root: root.to_owned(),
            content,
            images: OnceCell::new(),
            snapshots: OnceCell::new(),
            volumes: OnceCell::new(),
            networks: OnceCell::new(),
            settings: OnceCell::new(),
            hierarchy: OnceCell::new(),
            delegation: OnceCell::new(),
            facts: OnceCell::new(),
            is_rootless: OnceCell::new(),
            shared: OnceCell::new(),
            is_in_shared: Cell::new(false),
            has_trash: Cell::new(false),
        })
    }

    /// Whether this is an engine without the rights of the host's root.
    pub fn is_rootless(&self) -> bool {
        *self.is_rootless.get_or_init(|| !sys::namespace::is_initial_user())
    }

    /// Whether containers have control groups, and so can be limited and paused.
    pub fn has_cgroups(&self) -> Result<bool, EngineError> {
        Ok(!matches!(self.delegation()?, Delegation::Nothing { .. }))
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn containers(&self) -> &Containers {
        &self.containers
    }

    pub(crate) fn content(&self) -> Result<&Content, EngineError> {
        once(&self.content, || Content::open(&self.root).map_err(Into::into))
    }

    pub(crate) fn images(&self) -> Result<&Images, EngineError> {
        once(&self.images, || Images::open(&self.root).map_err(Into::into))
    }

    pub(crate) fn snapshots(&self) -> Result<&Snapshots, EngineError> {
        once(&self.snapshots, || Snapshots::open(&self.root).map_err(Into::into))
    }

    pub(crate) fn volumes(&self) -> Result<&Volumes, EngineError> {
        once(&self.volumes, || Volumes::open(&self.root).map_err(Into::into))
    }

    pub(crate) fn settings(&self) -> Result<&Settings, EngineError> {
        once(&self.settings, Settings::load)
    }

    pub(crate) fn hierarchy(&self) -> Result<&Hierarchy, EngineError> {
        once(&self.hierarchy, || Hierarchy::detect().map_err(Into::into))
    }

    /// Which cgroups we may make.
    pub(crate) fn delegation(&self) -> Result<&Delegation, EngineError> {
        once(&self.delegation, || match self.is_rootless() {
            false => Ok(Delegation::Whole),
            true => match self.hierarchy()?.delegation()? {
                nothing @ Delegation::Nothing { .. } => {
                    Ok(launch::delegated_by_systemd(self.hierarchy()?).unwrap_or(nothing))
                }
                found => Ok(found),
            },
        })
    }

    /// What this host is and can do; asked for once.
    pub(crate) fn facts(&self) -> Result<&bundle::HostFacts, EngineError> {
        let (hierarchy, delegation) = (self.hierarchy()?, self.delegation()?);
        once(&self.facts, || Ok(launch::host_facts(hierarchy, delegation, self.is_rootless())))
    }

    /// Takes over what another engine of this process found out about the host, unless that is
    /// known.
    pub(crate) fn set_facts(&self, facts: bundle::HostFacts) {
        let _ = self.facts.set(facts);
    }

    /// Leaves what was removed to a process that is started when this value is dropped: one for
    /// all that a command removes.
    pub(crate) fn reap_later(&self) {
        self.has_trash.set(true);
    }

    /// Held by whoever adds something or relies on what he found, until it is written down.
    pub(crate) fn store_lock(&self) -> Result<SharedLock, EngineError> {
        Ok(StoreLock::shared(&self.root)?)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.has_trash.get() {
            reaper::spawn(&self.root);
        }
    }
}

/// Opens a store when it is first asked for: most commands need few of them.
fn once<T>(
    cell: &OnceCell<T>,
    open: impl FnOnce() -> Result<T, EngineError>,
) -> Result<&T, EngineError> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = open()?;
    Ok(cell.get_or_init(|| value))
}
