//! A Dockerfile, evaluated: variables have values, names are resolved, stages that are not needed
//! are gone, and what is left is a list of steps, each after all that it needs.
//!
//! No step is run and no file of a context is read here.

mod arguments;
mod capture;
mod copy;
mod names;
mod run;
mod scan;
mod scope;
mod stage;
mod stages;
#[cfg(test)]
mod tests;

use attestation::provenance::Material;
use dockerfile::lint::{LintOptions, Linter, Warning};
use dockerfile::{Dockerfile, Lines};
use oci::{Digest, History, ImageConfig, Platform, Timestamp};

use crate::outline::{Outline, Target};
use crate::request::{BaseImages, Request};
use crate::{BuildError, Located, StepId};

pub(crate) use copy::{CopyAction, RemoteSource, SourcePath};
pub(crate) use run::{MountFrom, PlannedMount, RunAction};
pub(crate) use stage::{is_secret, set_env};
pub(crate) use stages::evaluate;

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// The steps; each needs only such as stand before it.
    pub(crate) steps: Vec<Step>,
    /// The step whose result the image is; `None` for an empty one.
    pub(crate) target: Option<StepId>,
    /// The image's configuration, without layers and history.
    pub(crate) config: ImageConfig,
    /// How the image came to be.
    pub(crate) history: Vec<PlannedHistory>,
    /// Nothing in the image is younger.
    pub(crate) epoch: Option<Timestamp>,
    /// The images that stages start from or copy from.
    pub(crate) images: Vec<Material>,
    /// How many of the steps are the image's own; those after them list what is in it.
    pub(crate) image_steps: usize,
    /// The step that lists what is in the image, if another image does that.
    pub(crate) scan: Option<StepId>,
    /// What the linter found.
    pub warnings: Vec<Warning>,
    /// What the target takes of the caller's.
    pub outline: Outline,
}

impl Plan {
    /// What the image runs on.
    pub fn platform(&self) -> &Platform {
        &self.config.platform
    }

    /// What the steps are called, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map(|step| step.name.as_str())
    }

    /// Which paths of the main context are looked at is not known before; whether any is.
    pub fn uses_context(&self) -> bool {
        self.steps.iter().any(|step| match &step.action {
            Action::Copy(copy) => {
                copy.from == Origin::Context(String::new()) && !copy.paths.is_empty()
            }
            Action::Run(run) => run
                .mounts
                .iter()
                .any(|mount| mount.from == MountFrom::Origin(Origin::Context(String::new()))),
            Action::Base(_) | Action::Folder { .. } => false,
        })
    }
}

/// One entry of the history.
#[derive(Debug, Clone)]
pub(crate) enum PlannedHistory {
    /// The base image's.
    Base(History),
    /// An instruction's, and its step if it has one.
    Own { created_by: String, step: Option<StepId> },
}

/// One step.
#[derive(Debug)]
pub(crate) struct Step {
    /// `[build 2/5] RUN make`
    pub(crate) name: String,
    /// The instruction.
    pub(crate) lines: Lines,
    /// What it starts from; an empty root if `None`.
    pub(crate) below: Option<StepId>,
    /// What it does.
    pub(crate) action: Action,
    /// Whether earlier results are not used.
    pub(crate) no_cache: bool,
    /// How a command would be run there, if the request asks to keep what fails.
    pub(crate) setting: Option<Setting>,
}

/// How commands are run at some place of a stage.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// `NAME=value` each.
    pub(crate) environment: Vec<String>,
    pub(crate) directory: String,
    /// `user[:group]`; root if empty.
    pub(crate) user: String,
    /// `SHELL`; empty for the default.
    pub(crate) shell: Vec<String>,
    pub(crate) platform: Platform,
}

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A context by name.
    Context(String),
    /// A step's result; `None` for an empty root.
    Step(Option<StepId>),
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Action {
    /// It is an image.
    Base(Vec<Digest>),
    /// `WORKDIR`: it makes a directory.
    Folder { path: String, user: String },
    /// `COPY` and `ADD`.
    Copy(Box<CopyAction>),
    /// `RUN`.
    Run(Box<RunAction>),
}

impl Step {
    /// The steps whose results it needs.
    pub(crate) fn needs(&self) -> Vec<StepId> {
        let mut needs: Vec<StepId> = self.below.into_iter().collect();
        let mut add = |origin: &Origin| {
            if let Origin::Step(Some(step)) = origin {
                needs.push(*step);
            }
        };
        match &self.action {
            Action::Copy(copy) => add(&copy.from),
            Action::Run(run) => {
                for mount in &run.mounts {
                    if let MountFrom::Origin(origin)
                    | MountFrom::Cache { initial: Some(origin), .. } = &mount.from
                    {
                        add(origin);
                    }
                }
            }
            Action::Base(_) | Action::Folder { .. } => {}
        }
        needs.sort_unstable();
        needs.dedup();
        needs
    }
}

/// The stages that a Dockerfile can be asked for. Nothing is evaluated.
pub fn targets(dockerfile: &[u8]) -> Result<Vec<Target>, Located> {
    Ok(crate::outline::targets(&parse(dockerfile, &LintOptions::none())?))
}

fn parse(bytes: &[u8], options: &LintOptions) -> Result<Dockerfile, Located> {
    if bytes.is_empty() {
        return Err(BuildError::Invalid("the Dockerfile cannot be empty".into()).into());
    }
    dockerfile::parse(bytes, options).map_err(|error| {
        let lines = Some(error.lines).filter(|lines| lines.first > 0);
        Located { error: Box::new(error.into()), lines, step: None }
    })
}

/// Evaluates a Dockerfile for a request. Base images are asked for here.
pub fn plan(request: &Request, images: &dyn BaseImages) -> Result<Plan, Located> {
    if request.dockerfile.is_empty() {
        return Err(BuildError::Invalid("the Dockerfile cannot be empty".into()).into());
    }
    let invalid = |message: String| BuildError::Invalid(message);
    let options = match &request.lint {
        Some(options) => options.clone(),
        None => LintOptions::of_file(&request.dockerfile).map_err(invalid)?,
    };
    let file = parse(&request.dockerfile, &options)?;
    let mut linter = Linter::new(options);
    linter.extend(file.warnings.iter().cloned());
    let platform = request.platform.clone().unwrap_or_else(Platform::host);
    let plan = stages::evaluate(&file, request, &platform, images, &mut linter)?;
    linter.verdict().map_err(invalid)?;
    Ok(Plan { warnings: linter.into_warnings(), ..plan })
}

/// The last stage's name, or the one that was asked for.
fn target_name<'a>(file: &'a Dockerfile, request: &'a Request) -> &'a str {
    let last = file.stages.last().and_then(|stage| stage.name.as_deref());
    match request.target.as_str() {
        "" => last.unwrap_or("default"),
        target => target,
    }
}
