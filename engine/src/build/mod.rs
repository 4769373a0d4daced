//! `build`: what a build needs of the engine, and the verbs around it.
//!
//! The work is `flow::builder`'s. The engine finds base images, runs the commands of steps in
//! containers (`runner`), holds the store's lock for as long as it takes, and keeps the layers of
//! the build cache from being collected.

mod attest;
pub(crate) mod base;
mod caches;
mod context;
mod debug;
mod export;
mod layout;
mod output;
mod platforms;
mod remote;
mod runner;
mod sweep;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use builder::attest::Invocation;
use builder::{BuildCache, Plan, Stores};
use dockerapi::HostConfig;
use oci::{Digest, Timestamp};

pub use builder::{
    Agent as BuildAgent, BuildError, Context as BuildContext, Event as BuildEvent,
    EventSink as BuildEvents, FailedStep, Located as BuildFailure, Outcome as BuildOutcome,
    Request as BuildRequest, Secret as BuildSecret, SecretSource,
};

pub use builder::ProvenanceVersion;
pub use builder::attest::{Attest, ProvenanceOptions, Sbom};
pub use builder::outline::{Outline, Target, targets_json};
pub use builder::portable::ImportedCache;
pub use builder::remote::Place;
pub use builder::targets as build_targets;
pub use builder::{Built as StoredImage, Compression};
pub use builder::{Difference, FileDifference};
pub use caches::{CacheExport, CachePlace};

pub use base::FetchImage;
pub use context::{
    DockerfileSource, FoundDockerfile, open_context, open_named_context, read_dockerfile,
};

pub use export::{BuiltDescriptor, Exported};
pub use output::{
    Annotation, AnnotationOf, ArchiveOutput, ArchiveTo, AttestationStorage, BuildOutput,
    FilesOutput, FilesTo, ImageOutput, OutputFile, Wrapping,
};
pub use remote::{FoundContext, GitKeys};
pub(crate) use runner::StepRunner;

use crate::{Engine, EngineError, Filters, Registries};

/// A build: what to build, and how its commands are run.
#[derive(Debug, Default)]
pub struct BuildImage {
    /// What.
    pub request: BuildRequest,
    /// How commands are run: network (`default`, `none` or `host`), hosts, limits, cgroup. What a
    /// step decides itself is left as it is.
    pub host: HostConfig,
    /// The devices of vendors that steps may use.
    pub devices: AllowedDevices,
    /// Where the result goes; nowhere if empty: what was done is remembered all the same.
    pub outputs: Vec<BuildOutput>,
    /// Where the cache goes besides.
    pub caches: Vec<CacheExport>,
}

/// Devices of vendors that somebody allows to a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedDevices {
    /// All of them.
    pub all: bool,
    /// These: a device, or a kind of them, by its name or by the name that a step asks for.
    pub names: Vec<String>,
}

/// What came out of a build.
#[derive(Debug, Default)]
pub struct BuiltImage {
    /// The images, one for each output that is one.
    pub images: Vec<BuiltDescriptor>,
    /// What the linter found.
    pub warnings: Vec<BuildWarning>,
}

/// One finding of the linter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildWarning {
    /// The rule's name.
    pub rule: &'static str,
    /// What the rule asks for.
    pub description: &'static str,
    /// Where it is documented; may be empty.
    pub url: String,
    /// What was found.
    pub message: String,
    /// Where.
    pub lines: dockerfile::Lines,
}

/// A plan of a build, before anything is done.
#[derive(Debug)]
pub struct PlannedBuild {
    plan: Plan,
    /// What the linter found.
    pub warnings: Vec<BuildWarning>,
}

impl PlannedBuild {
    /// What the target takes of the caller's.
    pub fn outline(&self) -> &Outline {
        &self.plan.outline
    }

    /// Whether files of the main context are needed.
    pub fn uses_context(&self) -> bool {
        self.plan.uses_context()
    }
}

/// What the build cache gave back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrunedCache {
    /// How many records, cache mounts and other files.
    pub entries: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Engine {
    /// Evaluates a Dockerfile: base images are looked up, nothing is run.
    ///
    /// `fetch` is asked for base images that are not here; for all of them with `always`.
    pub fn plan_build(
        &self,
        request: &BuildRequest,
        fetch: &FetchImage<'_>,
        always: bool,
    ) -> Result<PlannedBuild, BuildFailure> {
        let plan = builder::plan(request, &base::Base { engine: self, fetch, always })?;
        let warnings = plan.warnings.iter().map(warning).collect();
        Ok(PlannedBuild { plan, warnings })
    }

    /// Builds for each platform that there is a plan for, and puts the result where it shall go.
    ///
    /// `stop` ends it early. `events` is told from several threads. `told` is called for each
    /// thing that was done with the result.
    pub fn build_image(
        &self,
        registries: &Registries,
        build: &BuildImage,
        planned: Vec<PlannedBuild>,
        events: &dyn BuildEvents,
        told: &dyn Fn(&Exported),
        stop: &AtomicBool,
    ) -> Result<BuiltImage, BuildFailure> {
        let internal =
            |error: EngineError| BuildFailure::from(foreign("the data directory", error));
        let stores = self.build_stores().map_err(internal)?;
        let runner = runner::StepRunner::new(self, build).map_err(internal)?;
        let started = Timestamp::now();
        let mut built = BuiltImage::default();
        let several = planned.len() > 1;
        let mut ready = Vec::new();
        let mut first = 0;
        for PlannedBuild { plan, warnings } in planned {
            let shifted = platforms::Shifted {
                events,
                first,
                platform: several.then(|| plan.platform().to_string()),
            };
            first += plan.names().count();
            let solved = builder::solve(&plan, &build.request, &stores, &runner, &shifted, stop)?;
            for warning in warnings {
                if !built.warnings.contains(&warning) {
                    built.warnings.push(warning);
                }
            }
            ready.push(export::Ready { plan, solved, content: Default::default() });
        }
        let invocation =
            Invocation { id: sys::names::random_hex::<16>(), started, finished: Timestamp::now() };
        let inline = build.caches.iter().any(|cache| cache.place.is_none());
        let exporter = export::Exporter {
            registries,
            stores: &stores,
            request: &build.request,
            invocation: &invocation,
            ready: &ready,
            inline,
            told,
        };
        for output in &build.outputs {
            built.images.extend(exporter.export(output)?);
        }
        let builds: Vec<_> = ready.iter().map(|ready| (&ready.plan, &ready.solved)).collect();
        for cache in &build.caches {
            match caches::export(cache, &builds, &stores, registries) {
                Ok(()) if cache.place.is_none() => {}
                Ok(()) => told(&Exported::Cache),
                Err(error) if cache.ignores_errors => {
                    told(&Exported::NoCache(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(built)
    }

    /// Builds twice, for one platform, and says which steps did not give the same.
    ///
    /// The request must use nothing of earlier builds; the two plans are of the same.
    pub fn verify_build(
        &self,
        build: &BuildImage,
        (first, second): (PlannedBuild, PlannedBuild),
        events: &dyn BuildEvents,
        stop: &AtomicBool,
    ) -> Result<Vec<Difference>, BuildFailure> {
        let internal =
            |error: EngineError| BuildFailure::from(foreign("the data directory", error));
        let stores = self.build_stores().map_err(internal)?;
        let runner = runner::StepRunner::new(self, build).map_err(internal)?;
        let solve = |plan: &Plan, first: usize| {
            let shifted = platforms::Shifted { events, first, platform: None };
            builder::solve(plan, &build.request, &stores, &runner, &shifted, stop)
        };
        let one = solve(&first.plan, 0)?;
        let two = solve(&second.plan, first.plan.names().count())?;
        Ok(builder::differences(&first.plan, &one, &two, &stores)?)
    }

    /// Collects the blobs that a build wrote or fetched only to carry them somewhere else.
    ///
    /// For when its lock is free. What cannot be collected now is the next collection's.
    pub fn tidy_after_build(&self, build: &BuildImage) {
        let stays = |output: &BuildOutput| match output {
            BuildOutput::Image(image) => image.store,
            BuildOutput::Archive(_) => false,
            BuildOutput::Files(_) => true,
        };
        let is_tidy = build.outputs.iter().all(stays)
            && build.caches.iter().all(|cache| cache.place.is_none())
            && build.request.imported.is_empty();
        if !is_tidy {
            let _ = self.collect_garbage();
        }
    }

    /// Held while a build is planned and done: nothing that it found is collected.
    pub fn lock_for_build(&self) -> Result<impl Sized + use<>, EngineError> {
        self.store_lock()
    }

    /// Forgets what builds have done: all, or what was last done before `until`.
    ///
    /// Layers that nothing else needs are collected. With `all` cache mounts go too.
    pub fn prune_builds(&self, filters: &Filters, all: bool) -> Result<PrunedCache, EngineError> {
        filters.only(&["until"])?;
        let before = filters.until()?.map(|until| {
            let seconds = u64::try_from(until.unix_seconds()).unwrap_or(0);
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        });
        let pruned = self.build_cache().prune(before, all)?;
        let layers = self.collect_garbage()?;
        Ok(PrunedCache { entries: pruned.entries, bytes: pruned.bytes + layers })
    }

    /// The layers that the build cache leads to.
    pub(crate) fn build_layers(&self) -> Result<impl Iterator<Item = Digest> + use<>, EngineError> {
        Ok(self.build_cache().layers()?.into_iter())
    }

    fn build_cache(&self) -> BuildCache {
        BuildCache::new(self.root())
    }

    pub(crate) fn build_stores(&self) -> Result<Stores, EngineError> {
        Ok(Stores {
            root: self.root().to_owned(),
            content: self.content()?.clone(),
            images: self.images()?.clone(),
            snapshots: self.snapshots()?.clone(),
        })
    }
}

/// Findings of the linter as BuildKit's `frontend.lint` has them. `name` and `content` are the
/// Dockerfile's.
pub fn warnings_json(warnings: &[BuildWarning], name: &str, content: &[u8]) -> serde_json::Value {
    let one = |warning: &BuildWarning| {
        let mut one = serde_json::json!({ "ruleName": warning.rule });
        for (key, text) in [
            ("description", warning.description),
            ("url", &warning.url),
            ("detail", &warning.message),
        ] {
            if !text.is_empty() {
                one[key] = text.into();
            }
        }
        one["location"] = builder::outline::location(warning.lines);
        one
    };
    let warnings: Vec<serde_json::Value> = warnings.iter().map(one).collect();
    let source = builder::outline::source(name, content);
    serde_json::json!({ "warnings": warnings, "sources": [source] })
}

fn warning(found: &dockerfile::lint::Warning) -> BuildWarning {
    BuildWarning {
        rule: found.rule.name(),
        description: found.rule.description(),
        url: found.rule.url(),
        message: found.message.clone(),
        lines: found.lines,
    }
}

/// An error of the engine's within a build.
pub(crate) fn foreign(name: &str, error: EngineError) -> BuildError {
    BuildError::Image { name: name.to_owned(), source: Box::new(error) }
}
