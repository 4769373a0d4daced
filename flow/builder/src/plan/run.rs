//! `RUN`: the command, its environment, and what is mounted for it.

use std::collections::BTreeSet;

use dockerfile::lint::Linter;
use dockerfile::{
    Instruction, Lexer, MountKind, NetworkMode, Run, RunDevice, RunMount, SecurityMode, Sharing,
    Variables, chomp, heredoc_word,
};
use oci::Platform;

use super::arguments::PROXIES;
use super::names::shown;
use super::scope::Scope;
use super::stage::{Expander, Stage, with_shell};
use super::stages::Stages;
use super::{Action, Origin};
use crate::{BuildError, Located};

/// A command to run.
#[derive(Debug)]
pub(crate) struct RunAction {
    pub(crate) arguments: Vec<String>,
    /// A script of a heredoc that says by which program it is run: name and content.
    pub(crate) script: Option<(String, String)>,
    pub(crate) environment: Vec<String>,
    /// Variables that are in no key.
    pub(crate) proxies: Vec<String>,
    pub(crate) directory: String,
    pub(crate) user: String,
    pub(crate) network: NetworkMode,
    pub(crate) security: SecurityMode,
    /// What its root file system is for.
    pub(crate) platform: Platform,
    pub(crate) mounts: Vec<PlannedMount>,
    /// Devices by their CDI names.
    pub(crate) devices: Vec<RunDevice>,
}

/// A `--mount` with its words expanded.
#[derive(Debug)]
pub(crate) struct PlannedMount {
    /// Absolute, never `/`.
    pub(crate) target: String,
    /// Within what is mounted.
    pub(crate) source: String,
    pub(crate) read_only: bool,
    pub(crate) from: MountFrom,
}

/// What is mounted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MountFrom {
    /// A part of a context or a step's result; written to, it is as if nothing was.
    Origin(Origin),
    /// A directory that outlives the build.
    Cache { id: String, sharing: Sharing, initial: Option<Origin>, mode: u32, uid: u32, gid: u32 },
    /// Memory, with a size in bytes or none.
    Tmpfs { size_bytes: i64 },
    /// A secret's bytes as a file; `file` is false if only the variable is wanted.
    Secret {
        id: String,
        required: bool,
        mode: u32,
        uid: u32,
        gid: u32,
        variable: Option<String>,
        file: bool,
    },
    /// An agent's socket.
    Agent { id: String, required: bool },
}

/// Where a script of a heredoc is mounted.
const SCRIPTS: &str = "/dev/pipes";

impl Stages<'_> {
    /// Plans a `RUN`; answers which variables were not set.
    pub(super) fn run(
        &mut self,
        index: usize,
        stage: &mut Stage,
        step: &Instruction,
        run: &Run,
        trigger: bool,
        linter: &mut Linter,
    ) -> Result<BTreeSet<String>, Located> {
        let fail = |error| Located::at(step.lines)(error);
        self.check_allowed(run).map_err(fail)?;
        let scope = stage.scope.clone();
        let mut words = Expander { lexer: self.lexer, scope: &scope, missing: BTreeSet::new() };
        let mut mounts = Vec::new();
        let mut agents = 0;
        for text in &run.mounts {
            let mount = RunMount::parse(text, |word| words.word(word))
                .map_err(|reason| fail(BuildError::Invalid(reason.to_string())))?;
            mounts.push(self.mount(index, stage, step, mount, &mut agents, linter)?);
        }
        let missing = words.missing;
        let (arguments, script, summary) = command(stage, run).map_err(fail)?;
        let mut proxies = Vec::new();
        for (name, value) in &self.request.arguments {
            if PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name)) && !value.is_empty() {
                for name in [name.to_uppercase(), name.to_lowercase()] {
                    let entry = format!("{name}={value}");
                    if scope.get(&name).is_none() && !proxies.contains(&entry) {
                        proxies.push(entry);
                    }
                }
            }
        }
        let lexer: Lexer = self.lexer.keep_quotes().keep_unset();
        let masked = mask_secrets(&scope, &mounts);
        let name = format!("{}{summary}", shown(&lexer, &step.source, &masked));
        let name = stage.counter.next(&name, trigger);
        let text = format!("RUN {} # buildkit", with_arguments(stage, &scope, &arguments));
        let action = RunAction {
            arguments,
            script,
            environment: scope.to_environment(),
            proxies,
            directory: stage.config.config.working_dir.clone(),
            user: stage.config.config.user.clone(),
            network: run.network,
            security: run.security,
            platform: stage.config.platform.clone(),
            mounts,
            devices: run.devices.clone(),
        };
        let done = self.push(index, stage, name, step.lines, Action::Run(Box::new(action)));
        stage.note(text, Some(done));
        Ok(missing)
    }

    /// What gives a step more than others must have been allowed by who builds.
    fn check_allowed(&self, run: &Run) -> Result<(), BuildError> {
        let refuse = |what: &str| {
            Err(BuildError::Invalid(format!(
                "{what} is not allowed; allow it with --allow {what} if you trust the Dockerfile"
            )))
        };
        if run.network == NetworkMode::Host && !self.request.allow_host_network {
            return refuse("network.host");
        } else if run.security == SecurityMode::Insecure && !self.request.allow_insecure {
            return refuse("security.insecure");
        }
        Ok(())
    }

    fn mount(
        &mut self,
        index: usize,
        stage: &Stage,
        step: &Instruction,
        mount: RunMount,
        agents: &mut usize,
        linter: &mut Linter,
    ) -> Result<PlannedMount, Located> {
        let invalid = |message: String| Located::at(step.lines)(BuildError::Invalid(message));
        let (uid, gid) = (mount.uid.unwrap_or(0), mount.gid.unwrap_or(0));
        let mut target = mount.target.clone();
        let mut origin = |stages: &mut Self, from: &str| match from {
            "" => Ok(Origin::Context(String::new())),
            from => stages.origin(from, index, "mount", step.lines, linter),
        };
        let from = match mount.kind {
            MountKind::Bind => MountFrom::Origin(origin(self, &mount.from)?),
            MountKind::Cache => MountFrom::Cache {
                id: {
                    let id = match mount.id.as_str() {
                        "" => dockerfile::ignore::clean(&mount.target),
                        id => id.to_owned(),
                    };
                    match self.request.cache_namespace.as_str() {
                        "" => id,
                        namespace => dockerfile::ignore::clean(&format!("{namespace}/{id}")),
                    }
                },
                sharing: mount.sharing.unwrap_or(Sharing::Shared),
                initial: match mount.from.as_str() {
                    "" => None,
                    from => Some(origin(self, from)?),
                },
                mode: mount.mode.unwrap_or(0o755),
                uid,
                gid,
            },
            MountKind::Tmpfs => MountFrom::Tmpfs { size_bytes: mount.size_bytes },
            MountKind::Secret => {
                let id = match (mount.id.as_str(), mount.source.as_str()) {
                    ("", "") => mount.target.rsplit('/').next().unwrap_or_default().to_owned(),
                    ("", source) => source.to_owned(),
                    (id, _) => id.to_owned(),
                };
                let variable =
                    mount.env.map(|name| if name.is_empty() { id.clone() } else { name });
                let file = variable.is_none() || !target.is_empty();
                if target.is_empty() {
                    let name = id.rsplit('/').next().unwrap_or_default();
                    target = format!("/run/secrets/{name}");
                }
                let mode = mount.mode.unwrap_or(0o400);
                self.capture.mounts_secret(index, &id, mount.required, step.lines);
                MountFrom::Secret { id, required: mount.required, mode, uid, gid, variable, file }
            }
            MountKind::Ssh => {
                if target.is_empty() {
                    target = format!("/run/buildkit/ssh_agent.{agents}");
                }
                *agents += 1;
                if uid != 0 || gid != 0 || mount.mode.is_some() {
                    return Err(Located::at(step.lines)(BuildError::Unsupported {
                        what: "an owner or mode of an ssh mount".into(),
                        instead: "run the step as root",
                    }));
                }
                let id = if mount.id.is_empty() { "default".to_owned() } else { mount.id };
                self.capture.mounts_agent(index, &id, mount.required, step.lines);
                MountFrom::Agent { id, required: mount.required }
            }
        };
        if target.is_empty() {
            return Err(invalid(format!("a {} mount needs a target", mount.kind.name())));
        }
        let absolute = stage.absolute(&target);
        let target = absolute.trim_end_matches('/');
        if target.is_empty() {
            return Err(invalid(format!("invalid mount target {absolute:?}")));
        }
        Ok(PlannedMount {
            target: target.to_owned(),
            source: match mount.kind {
                MountKind::Bind | MountKind::Cache => mount.source,
                _ => String::new(),
            },
            read_only: mount.read_only,
            from,
        })
    }
}

/// A script by its name and content.
type Script = (String, String);

/// The words to run, a script if a heredoc is one, and what to show of the heredoc.
fn command(stage: &Stage, run: &Run) -> Result<(Vec<String>, Option<Script>, String), BuildError> {
    let words = &run.command.words;
    let Some(first) = run.heredocs.first() else {
        let words = match run.command.shell {
            true => with_shell(&stage.config, words.join(" ")),
            false => words.clone(),
        };
        if words.is_empty() {
            return Err(BuildError::Invalid("RUN requires a command".into()));
        }
        return Ok((words, None, String::new()));
    };
    let line = words.join(" ");
    if heredoc_word(&line).is_none() {
        let mut text = line;
        for heredoc in &run.heredocs {
            text += &format!("\n{}{}", heredoc.content, heredoc.name);
        }
        return Ok((with_shell(&stage.config, text), None, String::new()));
    }
    let text = if first.chomp { chomp(&first.content) } else { first.content.clone() };
    let trimmed = first.content.trim();
    let more = if trimmed.contains('\n') { "..." } else { "" };
    let summary = format!(" ({}{more})", trimmed.lines().next().unwrap_or_default());
    if !text.starts_with("#!") {
        return Ok((with_shell(&stage.config, text), None, summary));
    }
    let name = first.name.replace('/', "_");
    let words = with_shell(&stage.config, format!("{SCRIPTS}/{name}"));
    Ok((words, Some((format!("{SCRIPTS}/{name}"), text)), summary))
}

/// The command with the arguments that it saw, as histories have it.
fn with_arguments(stage: &Stage, scope: &Scope, words: &[String]) -> String {
    let mut arguments: Vec<(&str, String)> = Vec::new();
    for pair in &stage.declared {
        let value = scope.get(&pair.key).or(pair.value.as_deref()).unwrap_or_default();
        let text = format!("{}={value}", pair.key);
        match arguments.iter_mut().find(|(key, _)| *key == pair.key) {
            Some((_, known)) => *known = text,
            None => arguments.push((&pair.key, text)),
        }
    }
    let mut parts = Vec::new();
    if !arguments.is_empty() {
        parts.push(format!("|{}", arguments.len()));
        parts.extend(arguments.into_iter().map(|(_, text)| text));
    }
    parts.extend(words.iter().cloned());
    parts.join(" ")
}

/// The scope without variables that a secret will take.
fn mask_secrets(scope: &Scope, mounts: &[PlannedMount]) -> Scope {
    let mut masked = scope.clone();
    for mount in mounts {
        if let MountFrom::Secret { variable: Some(name), .. } = &mount.from {
            masked.set(name, "****");
        }
    }
    masked
}
