//! From the target backwards: which stages are needed, and where each starts from.

use attestation::provenance::Material;
use attestation::{digest_set, package_url, reference_url};
use dockerfile::lint::{Linter, Rule};
use dockerfile::{Dockerfile, Lexer, suggest};
use oci::{ContainerDefaults, ImageConfig, Platform, Reference};

use super::arguments;
use super::capture::Capture;
use super::names::Counter;
use super::scope::Scope;
use super::stage::Stage;
use super::{Action, Origin, Plan, PlannedHistory, Step, target_name};
use crate::request::{BaseImage, BaseImages, Request};
use crate::{BuildError, Located, StepId};

/// How long a chain of stages that need each other may be.
const DEEPEST: usize = 60;

/// The work on one file.
pub(super) struct Stages<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) request: &'a Request,
    pub(super) platform: &'a Platform,
    pub(super) images: &'a dyn BaseImages,
    pub(super) lexer: Lexer,
    /// The arguments that `FROM` sees.
    pub(super) globals: Scope,
    /// Each stage's base, expanded.
    bases: Vec<String>,
    done: Vec<Progress>,
    depth: usize,
    pub(super) steps: Vec<Step>,
    /// The images that were found.
    sources: Vec<Material>,
    pub(super) capture: Capture,
}

enum Progress {
    New,
    Under,
    Done(Box<Stage>),
}

/// More stages than this are of no one's writing; each has the history of those below it.
const MOST_STAGES: usize = 300;
/// More instructions, variables and labels: each may look at all before it.
const MOST_INSTRUCTIONS: usize = 5000;

/// Refuses what would take hours and all memory before anything is run.
fn check_size(file: &Dockerfile) -> Result<(), Located> {
    use dockerfile::Kind;
    let too_many = |count: usize, most: usize, what: &str, lines| {
        let message =
            format!("the Dockerfile has {count} {what}, and more than {most} are refused");
        Located::at(lines)(BuildError::Invalid(message))
    };
    let Some(last) = file.stages.last() else { return Ok(()) };
    if file.stages.len() > MOST_STAGES {
        return Err(too_many(file.stages.len(), MOST_STAGES, "stages", last.lines));
    }
    let weight = |kind: &Kind| match kind {
        Kind::Env(pairs) | Kind::Label(pairs) => pairs.len(),
        Kind::Arg(pairs) => pairs.len(),
        _ => 1,
    };
    let instructions = file.stages.iter().flat_map(|stage| &stage.instructions);
    let count = instructions.map(|step| weight(&step.kind)).sum();
    if count > MOST_INSTRUCTIONS {
        return Err(too_many(count, MOST_INSTRUCTIONS, "instructions", last.lines));
    }
    Ok(())
}

/// Evaluates the target and what it needs.
pub(crate) fn evaluate(
    file: &Dockerfile,
    request: &Request,
    platform: &Platform,
    images: &dyn BaseImages,
    linter: &mut Linter,
) -> Result<Plan, Located> {
    check_size(file)?;
    let predefined =
        arguments::predefined(target_name(file, request), platform, &request.arguments);
    arguments::check_defaults(file, &predefined, linter);
    let globals = arguments::global(file, predefined, Some(&request.arguments))?;
    let epoch = match request.epoch {
        Some(epoch) => Some(epoch),
        None => arguments::epoch(&request.arguments, &globals)?,
    };
    let mut stages = Stages {
        file,
        request,
        platform,
        images,
        lexer: Lexer::new(file.escape),
        globals,
        bases: Vec::new(),
        done: file.stages.iter().map(|_| Progress::New).collect(),
        depth: 0,
        steps: Vec::new(),
        sources: Vec::new(),
        capture: Capture::default(),
    };
    stages.capture = Capture::new(file, &request.arguments, &stages.globals);
    stages.expand_bases(linter)?;
    let target = match request.target.as_str() {
        "" => file.stages.len() - 1,
        name => stages.by_name(name).ok_or_else(|| {
            let names = file.stages.iter().filter_map(|stage| stage.name.as_deref());
            let hint = suggest(name, names).map(|word| format!(" (did you mean {word}?)"));
            let hint = hint.unwrap_or_default();
            BuildError::Invalid(format!("target stage {name:?} could not be found{hint}"))
        })?,
    };
    if request.all_stages && request.target.is_empty() {
        for index in 0..file.stages.len() {
            stages.evaluate(index, linter)?;
        }
    }
    let result = stages.evaluate(target, linter)?.clone();
    let mut config = result.config;
    config.config.labels.extend(request.labels.clone());
    let images = std::mem::take(&mut stages.sources);
    let outline = stages.capture.outline(file, target);
    let image_steps = stages.steps.len();
    let scan = stages.scan(result.top)?;
    Ok(Plan {
        steps: stages.steps,
        target: result.top,
        config,
        history: result.history,
        epoch,
        images,
        image_steps,
        scan,
        warnings: Vec::new(),
        outline,
    })
}

impl Stages<'_> {
    fn expand_bases(&mut self, linter: &mut Linter) -> Result<(), Located> {
        for (index, stage) in self.file.stages.iter().enumerate() {
            let fail = |message| Located::at(stage.lines)(BuildError::Invalid(message));
            let expanded = self
                .lexer
                .expand(&stage.base, &self.globals)
                .map_err(|error| fail(error.to_string()))?;
            arguments::check_from(stage, &expanded, &self.globals, self.file, linter);
            if expanded.text.is_empty() {
                return Err(fail(format!("base name ({}) should not be blank", stage.base)));
            }
            self.capture.uses_arguments(index, &expanded.matched);
            self.bases.push(expanded.text);
        }
        Ok(())
    }

    /// A stage by its name, or by its number if the name is one.
    fn by_name(&self, name: &str) -> Option<usize> {
        let lower = name.to_lowercase();
        let named = |stage: &dockerfile::Stage| stage.name.as_deref() == Some(lower.as_str());
        self.file.stages.iter().rposition(named)
    }

    /// Evaluates a stage unless that was done.
    pub(super) fn evaluate(
        &mut self,
        index: usize,
        linter: &mut Linter,
    ) -> Result<&Stage, Located> {
        if !matches!(self.done[index], Progress::Done(_)) {
            let lines = self.file.stages[index].lines;
            let circular = matches!(self.done[index], Progress::Under);
            if circular || self.depth == DEEPEST {
                let name = self.stage_name(index);
                let message = match circular {
                    true => format!("circular dependency detected on stage: {name}"),
                    false => format!("more than {DEEPEST} stages need each other"),
                };
                return Err(Located::at(lines)(BuildError::Invalid(message)));
            }
            self.done[index] = Progress::Under;
            self.depth += 1;
            let stage = match self.replacement(index, linter)? {
                Some(image) => image,
                None => {
                    let start = self.start(index, linter)?;
                    self.run_stage(index, start, linter)?
                }
            };
            self.depth -= 1;
            self.done[index] = Progress::Done(Box::new(stage));
        }
        match &self.done[index] {
            Progress::Done(stage) => Ok(stage),
            Progress::New | Progress::Under => unreachable!("it was evaluated above"),
        }
    }

    /// `NAME`, or `stage-N`.
    pub(super) fn stage_name(&self, index: usize) -> String {
        match &self.file.stages[index].name {
            Some(name) => name.clone(),
            None => format!("stage-{index}"),
        }
    }

    /// The image that stands for a stage, if a named context has the stage's name: nothing of
    /// the stage itself is done then.
    fn replacement(&mut self, index: usize, linter: &mut Linter) -> Result<Option<Stage>, Located> {
        let stage = &self.file.stages[index];
        let Some(name) = stage.name.as_ref().filter(|name| self.is_context(name)) else {
            return Ok(None);
        };
        let platform = self.stage_platform(index, linter)?;
        let image = self.image(name, &platform).map_err(Located::at(stage.lines))?;
        let counter = Counter { stage: name.clone(), total: 1, done: 0 };
        let mut replacement = self.stage_of(image, counter, stage.lines);
        // They are for the stage that is built on it.
        replacement.config.config.on_build = std::mem::take(&mut replacement.triggers);
        Ok(Some(replacement))
    }

    /// What a stage is before its first instruction.
    fn start(&mut self, index: usize, linter: &mut Linter) -> Result<Stage, Located> {
        let stage = &self.file.stages[index];
        let base = self.bases[index].clone();
        let platform = self.stage_platform(index, linter)?;
        let earlier = self.file.stages[..index]
            .iter()
            .rposition(|earlier| earlier.name.as_deref() == Some(base.as_str()));
        let shown =
            if self.file.stages.len() == 1 { String::new() } else { self.stage_name(index) };
        let counter = |total| Counter { stage: shown.clone(), total, done: 0 };
        if let Some(earlier) = earlier {
            self.capture.uses_stage(index, earlier);
            let below = self.evaluate(earlier, linter)?.clone();
            let mut start = below.inherit(counter(0));
            start.counter.total = super::stage::count(stage, &start.triggers);
            return Ok(start);
        }
        let comments = &stage.comments;
        let own = Scope::default();
        if base == "scratch" && !self.is_context(&base) {
            let mut start = Stage::new(empty_config(&platform), None, own, counter(0));
            start.counter.total = super::stage::count(stage, &start.triggers);
            return Ok(start);
        }
        let at = Located::at(stage.lines);
        let image = self.image(&base, &platform).map_err(at)?;
        let actual = &image.config.platform;
        if !actual.os.is_empty()
            && (actual.os != platform.os || actual.architecture != platform.architecture)
        {
            let message = format!(
                "Base image {base} was pulled with platform \"{actual}\", \
                 expected \"{platform}\" for current build"
            );
            linter.report(comments, Rule::InvalidBaseImagePlatform, stage.lines, message);
        }
        let total = 1 + super::stage::count(stage, &image.config.config.on_build);
        Ok(self.stage_of(image, counter(total), stage.lines))
    }

    /// A stage that is an image so far.
    fn stage_of(&mut self, image: BaseImage, counter: Counter, lines: dockerfile::Lines) -> Stage {
        let mut config = image.config;
        config.created = None;
        let mut start = Stage::new(config, None, Scope::default(), counter);
        start.history = std::mem::take(&mut start.config.history)
            .into_iter()
            .map(PlannedHistory::Base)
            .collect();
        let name = start.counter.next(&format!("FROM {}", image.name), false);
        start.top = self.base_step(name, lines, image.diff_ids);
        start
    }

    /// A step that stands for an image; none for one without layers.
    pub(super) fn base_step(
        &mut self,
        name: String,
        lines: dockerfile::Lines,
        diff_ids: Vec<oci::Digest>,
    ) -> Option<StepId> {
        if diff_ids.is_empty() {
            return None;
        }
        self.steps.push(Step {
            name,
            lines,
            below: None,
            action: Action::Base(diff_ids),
            no_cache: false,
            setting: None,
        });
        Some(self.steps.len() - 1)
    }

    fn is_context(&self, name: &str) -> bool {
        self.request.image_contexts.contains_key(name) || self.request.contexts.contains_key(name)
    }

    /// An image by the name that a Dockerfile calls it.
    pub(super) fn image(
        &mut self,
        name: &str,
        platform: &Platform,
    ) -> Result<BaseImage, BuildError> {
        if let Some(stands_for) = self.request.image_contexts.get(name) {
            let image = self.images.find(stands_for, platform)?;
            self.note_image(&image, name, platform);
            return Ok(image);
        }
        if self.request.contexts.contains_key(name) {
            return Err(BuildError::Unsupported {
                what: format!("a stage that starts from the context {name:?}"),
                instead: "start from scratch and copy from it",
            });
        }
        if name.parse::<Reference>().is_err() {
            return Err(BuildError::Invalid(format!(
                "failed to parse stage name {name:?}: invalid reference format"
            )));
        }
        let image = self.images.find(name, platform)?;
        self.note_image(&image, name, platform);
        Ok(image)
    }

    /// Remembers what an image is; `name` is what the Dockerfile calls it.
    fn note_image(&mut self, image: &BaseImage, name: &str, platform: &Platform) {
        let Some(digest) = &image.digest else { return };
        let uri = match image.name.parse::<Reference>() {
            Ok(reference) => reference_url("docker", &reference, Some(platform)),
            // One that was loaded for this build alone.
            Err(_) => package_url("oci", name, "", &[("platform", &platform.to_string())]),
        };
        let material = Material { uri, digest: digest_set(digest) };
        if !self.sources.contains(&material) {
            self.sources.push(material);
        }
    }

    /// `FROM --platform`.
    fn stage_platform(&mut self, index: usize, linter: &mut Linter) -> Result<Platform, Located> {
        let stage = &self.file.stages[index];
        let Some(text) = &stage.platform else { return Ok(self.platform.clone()) };
        let fail = |message| Located::at(stage.lines)(BuildError::Invalid(message));
        let expanded =
            self.lexer.expand(text, &self.globals).map_err(|error| fail(error.to_string()))?;
        arguments::check_from(stage, &expanded, &self.globals, self.file, linter);
        self.capture.uses_arguments(index, &expanded.matched);
        if expanded.text.is_empty() {
            return Err(fail(format!("empty platform value from expression {text}")));
        }
        let platform = Platform::parse(&expanded.text).ok_or_else(|| {
            fail(format!(
                "failed to parse platform {text}: {:?} is an invalid OS component of {0:?}",
                expanded.text
            ))
        })?;
        let only_target = expanded.matched.len() == 1
            && expanded.matched.contains("TARGETPLATFORM")
            && expanded.unmatched.is_empty();
        if only_target && expanded.text == self.platform.to_string() {
            let message = format!(
                "Setting platform to predefined {text} in FROM is redundant as this is the default behavior"
            );
            linter.report(&stage.comments, Rule::RedundantTargetPlatform, stage.lines, message);
        }
        let name = stage.name.as_deref().unwrap_or_default();
        let named = name.contains(&platform.os) || name.contains(&platform.architecture);
        if expanded.matched.is_empty() && expanded.unmatched.is_empty() && !named {
            let message =
                format!("FROM --platform flag should not use constant value {:?}", expanded.text);
            let rule = Rule::FromPlatformFlagConstDisallowed;
            linter.report(&stage.comments, rule, stage.lines, message);
        }
        Ok(platform)
    }

    /// Where `--from` leads: a stage by number or name, a named context, or an image.
    pub(super) fn origin(
        &mut self,
        from: &str,
        user: usize,
        what: &str,
        lines: dockerfile::Lines,
        linter: &mut Linter,
    ) -> Result<Origin, Located> {
        let fail = |message| Located::at(lines)(BuildError::Invalid(message));
        let index = match from.parse::<usize>() {
            Ok(number) if number < self.file.stages.len() => Some(number),
            Ok(number) => return Err(fail(format!("invalid stage index {number}"))),
            Err(_) => self.by_name(from),
        };
        if let Some(index) = index {
            if index > user {
                let name = self.stage_name(user);
                return Err(fail(format!(
                    "cannot {what} from stage {from:?}, it needs to be defined before current stage {name:?}"
                )));
            }
            // A directory by the stage's name stands for the stage.
            if let Some(name) = &self.file.stages[index].name
                && self.request.contexts.contains_key(name)
            {
                return Ok(Origin::Context(name.clone()));
            }
            self.capture.uses_stage(user, index);
            return Ok(Origin::Step(self.evaluate(index, linter)?.top));
        }
        if from == "scratch" {
            return Ok(Origin::Step(None));
        }
        if self.request.contexts.contains_key(from) {
            return Ok(Origin::Context(from.to_owned()));
        }
        let image = self.image(from, self.platform).map_err(Located::at(lines))?;
        let name = format!("FROM {}", image.name);
        Ok(Origin::Step(self.base_step(name, lines, image.diff_ids)))
    }
}

fn empty_config(platform: &Platform) -> ImageConfig {
    ImageConfig {
        platform: platform.clone(),
        config: ContainerDefaults { working_dir: "/".into(), ..ContainerDefaults::default() },
        ..ImageConfig::default()
    }
}
