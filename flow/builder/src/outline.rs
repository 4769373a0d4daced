//! What a Dockerfile can be asked for: its targets, and what of the caller's one of them takes.
//!
//! In the form of BuildKit's subrequests `frontend.outline` and `frontend.targets`, version 1.0.0.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dockerfile::{Dockerfile, Lines};
use serde_json::{Value, json};

/// What a target takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The target's name; empty if it has none.
    pub name: String,
    /// What the comment above it says of it.
    pub description: String,
    /// Build arguments, in the order of the file.
    pub arguments: Vec<Argument>,
    /// Secrets that steps mount.
    pub secrets: Vec<Needed>,
    /// Agents that steps use.
    pub agents: Vec<Needed>,
}

/// A build argument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// What the comment above it says of it.
    pub description: String,
    /// Its value in this build; empty if it has none.
    pub value: String,
    /// Where it is declared.
    pub lines: Lines,
}

/// A secret or an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needed {
    /// Its name.
    pub name: String,
    /// Whether the step fails without it.
    pub is_required: bool,
    /// Where it is first used.
    pub lines: Lines,
}

/// A stage that can be built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Its name; empty if it has none.
    pub name: String,
    /// Whether it is what is built if nothing is said.
    pub is_default: bool,
    /// What the comment above it says of it.
    pub description: String,
    /// What it starts from, as written.
    pub base: String,
    /// For which platform, as written.
    pub platform: String,
    /// Where it begins.
    pub lines: Lines,
}

/// The text of the comment `# NAME text`, if there is one.
pub(crate) fn description(comments: &[String], name: &str) -> String {
    let found = comments.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.filter(|_| !name.is_empty()).unwrap_or_default().to_owned()
}

/// The stages of a file.
pub(crate) fn targets(file: &Dockerfile) -> Vec<Target> {
    let last = file.stages.len().saturating_sub(1);
    let target = |(at, stage): (usize, &dockerfile::Stage)| Target {
        name: stage.name.clone().unwrap_or_default(),
        is_default: at == last,
        description: stage.description().unwrap_or_default().to_owned(),
        base: stage.base.clone(),
        platform: stage.platform.clone().unwrap_or_default(),
        lines: stage.lines,
    };
    file.stages.iter().enumerate().map(target).collect()
}

impl Outline {
    /// As JSON; `dockerfile` is the file's bytes.
    pub fn to_json(&self, dockerfile: &[u8]) -> Value {
        let mut object = json!({});
        set(&mut object, "name", &self.name);
        set(&mut object, "description", &self.description);
        let arguments = self.arguments.iter().map(|argument| {
            let mut one = json!({ "name": argument.name });
            set(&mut one, "description", &argument.description);
            set(&mut one, "value", &argument.value);
            one["location"] = location(argument.lines);
            one
        });
        let lists = [
            ("args", arguments.collect::<Vec<Value>>()),
            ("secrets", self.secrets.iter().map(needed).collect()),
            ("ssh", self.agents.iter().map(needed).collect()),
            ("sources", vec![STANDARD.encode(dockerfile).into()]),
        ];
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            object[key] = list.into();
        }
        object
    }
}

fn needed(needed: &Needed) -> Value {
    let mut one = json!({ "name": needed.name });
    if needed.is_required {
        one["required"] = true.into();
    }
    one["location"] = location(needed.lines);
    one
}

/// Targets as JSON; `dockerfile` is the file's bytes.
pub fn targets_json(targets: &[Target], dockerfile: &[u8]) -> Value {
    let one = |target: &Target| {
        let mut one = json!({});
        set(&mut one, "name", &target.name);
        if target.is_default {
            one["default"] = true.into();
        }
        set(&mut one, "description", &target.description);
        set(&mut one, "base", &target.base);
        set(&mut one, "platform", &target.platform);
        one["location"] = location(target.lines);
        one
    };
    let targets: Vec<Value> = targets.iter().map(one).collect();
    json!({ "targets": targets, "sources": [STANDARD.encode(dockerfile)] })
}

/// A Dockerfile as BuildKit tells of its source.
pub fn source(name: &str, content: &[u8]) -> Value {
    json!({ "filename": name, "data": STANDARD.encode(content), "language": "Dockerfile" })
}

/// Lines as BuildKit has them: a range for each.
pub fn location(lines: Lines) -> Value {
    let range = |line| json!({ "start": { "line": line }, "end": { "line": line } });
    let ranges: Vec<Value> = (lines.first..=lines.last.max(lines.first)).map(range).collect();
    json!({ "ranges": ranges })
}

fn set(object: &mut Value, key: &str, text: &str) {
    if !text.is_empty() {
        object[key] = text.into();
    }
}
