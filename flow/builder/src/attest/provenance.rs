//! How a result came to be, gathered from its plan.

use std::collections::{BTreeMap, BTreeSet};

use attestation::provenance::{
    ConfigSource, Details, Local, Parameters, Provenance, Source, SourceInfo, Step as ToldStep,
    Wanted,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dockerfile::NetworkMode;
use images::ImageRecord;
use oci::{Descriptor, Platform};
use serde_json::{Value, json};

use super::{Invocation, ProvenanceOptions};
use crate::StepId;
use crate::plan::{Action, MountFrom, Origin, Plan, RunAction, is_secret};
use crate::remote::redacted;
use crate::request::Request;
use crate::solve::Solved;

/// What stands for a value that is nobody's business.
const MASKED: &str = "****";

pub(super) fn gather(
    plan: &Plan,
    solved: &Solved,
    request: &Request,
    options: &ProvenanceOptions,
    record: Option<&ImageRecord>,
    invocation: &Invocation,
) -> Provenance {
    let gathered = Gathered { plan, solved, request };
    let locals = gathered.locals();
    let mut materials = plan.images.clone();
    materials.extend(request.contexts.values().filter_map(|context| context.source.clone()));
    materials.extend(solved.added.iter().cloned());
    let mut seen = BTreeSet::new();
    materials.retain(|material| seen.insert(material.clone()));
    let has_all_materials = locals.is_empty();
    let context = request.contexts.get("").and_then(|context| context.source.clone());
    let source = ConfigSource {
        path: request.file_name.clone(),
        uri: context.as_ref().map(|material| material.uri.clone()).unwrap_or_default(),
        digest: context.map(|material| material.digest).unwrap_or_default(),
    };
    let mut parameters = Parameters {
        frontend: "dockerfile.v0".into(),
        args: gathered.arguments(options.is_full),
        locals,
        ..Parameters::default()
    };
    let (mut steps, mut details) = (None, Details::default());
    if options.is_full {
        (parameters.secrets, parameters.ssh) = gathered.secrets();
        steps = Some(gathered.steps());
        details = gathered.details(record);
    }
    let is_open = |run: &RunAction| run.network != NetworkMode::None;
    // What is always the same has neither a name of its own nor a time.
    let told = plan.epoch.is_none().then_some(invocation);
    Provenance {
        source,
        request: parameters,
        platform: Platform::host().to_string(),
        steps,
        materials,
        builder_id: options.builder_id.clone(),
        invocation_id: told.map(|told| told.id.clone()),
        started: told.map(|told| told.started),
        finished: told.map(|told| told.finished),
        details,
        has_all_parameters: options.is_full
            || (request.arguments.is_empty() && request.labels.is_empty()),
        has_all_materials,
        is_hermetic: has_all_materials && !gathered.runs().any(is_open),
        is_reproducible: options.is_reproducible,
    }
}

struct Gathered<'a> {
    plan: &'a Plan,
    solved: &'a Solved,
    request: &'a Request,
}

impl Gathered<'_> {
    /// The steps that the target needs, in order; their place among them is their number.
    fn needed(&self) -> Vec<StepId> {
        let is_needed =
            |step: &StepId| self.solved.results[*step].is_some() && Some(*step) != self.plan.scan;
        (0..self.plan.image_steps).filter(is_needed).collect()
    }

    fn runs(&self) -> impl Iterator<Item = &RunAction> {
        self.needed().into_iter().filter_map(|step| match &self.plan.steps[step].action {
            Action::Run(run) => Some(&**run),
            _ => None,
        })
    }

    /// The directories of the machine that were there to be looked at.
    fn locals(&self) -> Vec<Local> {
        let mut names = Vec::new();
        for (name, context) in &self.request.contexts {
            if context.source.is_none() {
                names.push(if name.is_empty() { "context" } else { name }.to_owned());
            }
        }
        let is_local = self.request.contexts.get("").is_none_or(|main| main.source.is_none());
        if is_local {
            names.push("dockerfile".to_owned());
        }
        names.into_iter().map(|name| Local { name }).collect()
    }

    /// What was asked for; values of arguments and labels only if `full`.
    fn arguments(&self, full: bool) -> BTreeMap<String, String> {
        let request = self.request;
        let mut arguments = BTreeMap::new();
        if full {
            for (name, value) in &request.arguments {
                arguments.insert(format!("build-arg:{name}"), masked(name, value));
            }
            for (name, value) in &request.labels {
                arguments.insert(format!("label:{name}"), value.clone());
            }
        }
        if !request.target.is_empty() {
            arguments.insert("target".into(), request.target.clone());
        }
        if request.no_cache {
            arguments.insert("no-cache".into(), String::new());
        } else if !request.no_cache_stages.is_empty() {
            arguments.insert("no-cache".into(), request.no_cache_stages.join(","));
        }
        for (name, image) in &request.image_contexts {
            let image = format!("docker-image://{}", redacted(image));
            arguments.insert(format!("context:{name}"), image);
        }
        for (name, context) in &request.contexts {
            if let (false, Some(source)) = (name.is_empty(), &context.source) {
                arguments.insert(format!("context:{name}"), source.uri.clone());
            }
        }
        arguments
    }

    /// The names of the secrets and agents that steps asked for.
    fn secrets(&self) -> (Vec<Wanted>, Vec<Wanted>) {
        let (mut secrets, mut agents) = (BTreeSet::new(), BTreeSet::new());
        for mount in self.runs().flat_map(|run| &run.mounts) {
            match &mount.from {
                MountFrom::Secret { id, required, .. } => {
                    secrets.insert(Wanted { id: id.clone(), optional: !required });
                }
                MountFrom::Agent { id, required } => {
                    agents.insert(Wanted { id: id.clone(), optional: !required });
                }
                _ => {}
            }
        }
        (secrets.into_iter().collect(), agents.into_iter().collect())
    }

    fn steps(&self) -> Vec<ToldStep> {
        let needed = self.needed();
        let number = |step: &StepId| needed.iter().position(|one| one == step);
        let told = |(at, step): (usize, &StepId)| {
            let step = &self.plan.steps[*step];
            let mut inputs: Vec<StepId> = step.below.into_iter().collect();
            let others = step.needs().into_iter().filter(|need| Some(*need) != step.below);
            inputs.extend(others);
            let inputs = inputs.iter().filter_map(number).map(|at| format!("step{at}:0"));
            ToldStep { id: format!("step{at}"), op: operation(step), inputs: inputs.collect() }
        };
        needed.iter().enumerate().map(told).collect()
    }

    /// Where steps stand, the file they stand in, and the layers of those that the image is a stack
    /// of.
    fn details(&self, record: Option<&ImageRecord>) -> Details {
        let mut locations = BTreeMap::new();
        let mut layers = BTreeMap::new();
        for (at, step) in self.needed().into_iter().enumerate() {
            let lines = self.plan.steps[step].lines;
            let place = json!({ "locations": [crate::outline::location(lines)] });
            locations.insert(format!("step{at}"), place);
            let found = record.and_then(|record| {
                let own = self.solved.layers(Some(step));
                let is_below = record.diff_ids.starts_with(own) && !own.is_empty();
                is_below.then(|| record.layers[..own.len()].to_vec())
            });
            if let Some(found) = found {
                let found: Vec<Descriptor> = found;
                layers.insert(format!("step{at}:0"), vec![found]);
            }
        }
        let info = SourceInfo {
            filename: self.request.file_name.clone(),
            language: "Dockerfile".into(),
            data: STANDARD.encode(&self.request.dockerfile),
        };
        Details { source: Some(Source { locations, infos: vec![info] }), layers }
    }
}

/// A step in the words of BuildKit's operations.
fn operation(step: &crate::plan::Step) -> Value {
    match &step.action {
        Action::Base(_) => {
            let name = step.name.split_once("FROM ").map_or(step.name.as_str(), |(_, name)| name);
            json!({ "Op": { "source": { "identifier": format!("docker-image://{name}") } } })
        }
        Action::Folder { path, .. } => file(vec![json!({
            "Action": { "mkdir": { "path": path, "mode": 0o755, "makeParents": true } }
        })]),
        Action::Copy(copy) => {
            let from = match &copy.from {
                Origin::Context(name) if name.is_empty() => "local://context".to_owned(),
                Origin::Context(name) => format!("local://{name}"),
                Origin::Step(_) => String::new(),
            };
            let one = |source: &str| {
                let mut copied = json!({ "src": source, "dest": copy.destination });
                if !from.is_empty() {
                    copied["from"] = json!(from);
                }
                json!({ "Action": { "copy": copied } })
            };
            let paths = copy.paths.iter().map(|path| one(&path.path));
            let remotes = copy.remotes.iter().map(|source| {
                let copied = json!({ "src": source.shown(), "dest": copy.destination });
                json!({ "Action": { "copy": copied } })
            });
            let files = copy.files.iter().map(|file| {
                let path = format!("{}{}", copy.destination, file.name);
                json!({ "Action": { "mkfile": { "path": path } } })
            });
            file(paths.chain(remotes).chain(files).collect())
        }
        Action::Run(run) => {
            let environment: Vec<String> = run
                .environment
                .iter()
                .map(|entry| {
                    let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
                    format!("{name}={}", masked(name, value))
                })
                .collect();
            let mut mounts = vec![json!({ "dest": "/" })];
            mounts.extend(run.mounts.iter().map(|mount| json!({ "dest": mount.target })));
            json!({ "Op": { "exec": {
                "meta": {
                    "args": run.arguments,
                    "env": environment,
                    "cwd": run.directory,
                    "user": run.user,
                },
                "mounts": mounts,
                "network": format!("{:?}", run.network).to_uppercase(),
                "security": format!("{:?}", run.security).to_uppercase(),
            } } })
        }
    }
}

fn file(actions: Vec<Value>) -> Value {
    json!({ "Op": { "file": { "actions": actions } } })
}

/// A value that may be told.
fn masked(name: &str, value: &str) -> String {
    match is_secret(name) && !value.is_empty() {
        true => MASKED.to_owned(),
        false => redacted(value),
    }
}
