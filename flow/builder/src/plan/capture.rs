//! What the stages take of the caller's, noted while they are evaluated.

use std::collections::{BTreeMap, BTreeSet};

use dockerfile::{Dockerfile, Kind, Lexer, Lines};

use super::scope::Scope;
use crate::outline::{Argument, Needed, Outline, description};

/// Notes on a file.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// The arguments before the first stage, each with those that its default uses.
    globals: BTreeMap<String, (Argument, BTreeSet<String>)>,
    stages: BTreeMap<usize, Notes>,
}

/// Notes on one stage.
#[derive(Debug, Default)]
struct Notes {
    /// Stages that it starts from or copies from, in the order of their use.
    uses: Vec<usize>,
    /// Arguments of this name are used.
    used: BTreeSet<String>,
    /// Arguments of its own.
    arguments: BTreeMap<String, Argument>,
    secrets: Vec<Needed>,
    agents: Vec<Needed>,
}

impl Capture {
    /// Begins with the arguments before the first stage, whose values are in `scope`.
    pub(super) fn new(file: &Dockerfile, given: &BTreeMap<String, String>, scope: &Scope) -> Self {
        let lexer = Lexer::new(file.escape);
        let mut globals: BTreeMap<String, (Argument, BTreeSet<String>)> = BTreeMap::new();
        for instruction in &file.arguments {
            let Kind::Arg(pairs) = &instruction.kind else { continue };
            for pair in pairs {
                let default = pair.value.as_ref().filter(|_| !given.contains_key(&pair.key));
                let expanded = default.and_then(|default| lexer.expand(default, scope).ok());
                let mut uses = expanded.map(|expanded| expanded.matched).unwrap_or_default();
                // One that is made of its earlier value uses what that used.
                if uses.remove(&pair.key)
                    && let Some((_, earlier)) = globals.get(&pair.key)
                {
                    uses.extend(earlier.iter().cloned());
                }
                let value = dockerfile::Variables::get(scope, &pair.key).unwrap_or_default();
                let argument = Argument {
                    name: pair.key.clone(),
                    description: description(&instruction.comments, &pair.key),
                    value: value.to_owned(),
                    lines: instruction.lines,
                };
                globals.insert(pair.key.clone(), (argument, uses.into_iter().collect()));
            }
        }
        Self { globals, stages: BTreeMap::new() }
    }

    fn of(&mut self, stage: usize) -> &mut Notes {
        self.stages.entry(stage).or_default()
    }

    /// A stage uses arguments from before the first one.
    pub(super) fn uses_arguments<T: AsRef<str>>(
        &mut self,
        stage: usize,
        names: impl IntoIterator<Item = T>,
    ) {
        self.of(stage).used.extend(names.into_iter().map(|name| name.as_ref().to_owned()));
    }

    /// A stage needs another one.
    pub(super) fn uses_stage(&mut self, stage: usize, other: usize) {
        self.of(stage).uses.push(other);
    }

    /// A stage declares an argument; one without a value of its own is that from before.
    pub(super) fn declares(&mut self, stage: usize, argument: Argument, is_inherited: bool) {
        let notes = self.of(stage);
        notes.used.insert(argument.name.clone());
        if !is_inherited {
            notes.arguments.insert(argument.name.clone(), argument);
        }
    }

    /// A stage's step mounts a secret.
    pub(super) fn mounts_secret(&mut self, stage: usize, name: &str, required: bool, lines: Lines) {
        add(&mut self.of(stage).secrets, name, required, lines);
    }

    /// A stage's step uses an agent.
    pub(super) fn mounts_agent(&mut self, stage: usize, name: &str, required: bool, lines: Lines) {
        add(&mut self.of(stage).agents, name, required, lines);
    }

    /// What a stage takes with all that it needs.
    pub(super) fn outline(&self, file: &Dockerfile, target: usize) -> Outline {
        let stage = &file.stages[target];
        let mut outline = Outline {
            name: stage.name.clone().unwrap_or_default(),
            description: stage.description().unwrap_or_default().to_owned(),
            ..Outline::default()
        };
        let mut pending = vec![target];
        let mut seen = BTreeSet::new();
        while let Some(stage) = pending.pop() {
            let Some(notes) = self.stages.get(&stage).filter(|_| seen.insert(stage)) else {
                continue;
            };
            for name in self.with_their_own(&notes.used) {
                let own = notes.arguments.get(&name);
                let argument = own.or(self.globals.get(&name).map(|(argument, _)| argument));
                if let Some(argument) = argument
                    && outline.arguments.iter().all(|known| known.name != name)
                {
                    outline.arguments.push(argument.clone());
                }
            }
            for (list, own) in
                [(&mut outline.secrets, &notes.secrets), (&mut outline.agents, &notes.agents)]
            {
                own.iter().for_each(|one| add(list, &one.name, one.is_required, one.lines));
            }
            // The first is looked at first.
            pending.extend(notes.uses.iter().rev());
        }
        outline.arguments.sort_by_key(|argument| argument.lines);
        outline.secrets.sort_by_key(|secret| secret.lines);
        outline.agents.sort_by_key(|agent| agent.lines);
        outline
    }

    /// Names, and those that their defaults are made of.
    fn with_their_own(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut pending: Vec<&String> = names.iter().collect();
        while let Some(name) = pending.pop() {
            if all.insert(name.clone())
                && let Some((_, uses)) = self.globals.get(name)
            {
                pending.extend(uses);
            }
        }
        all
    }
}

fn add(list: &mut Vec<Needed>, name: &str, is_required: bool, lines: Lines) {
    if list.iter().all(|known| known.name != name) {
        list.push(Needed { name: name.to_owned(), is_required, lines });
    }
}
