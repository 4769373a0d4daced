//! The instructions of one stage, one after the other.

use std::collections::BTreeSet;

use dockerfile::lint::{Linter, Rule};
use dockerfile::{
    ArgPair, CommandLine, ExpandError, Healthcheck, Instruction, KeyValue, Kind, Lexer, Lines,
    Variables, parse_trigger, ports, suggest,
};
use oci::ImageConfig;

use super::names::{Counter, shown};
use super::scope::Scope;
use super::stages::Stages;
use super::{Action, PlannedHistory, Setting, Step};
use crate::outline::{Argument, description};
use crate::{BuildError, Located, StepId};

/// Takes a finding.
type Report<'a> = &'a mut dyn FnMut(Rule, Lines, String);

/// `PATH` of an image that sets none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a stage has come to.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) config: ImageConfig,
    pub(super) top: Option<StepId>,
    /// Environment and arguments as commands see them.
    pub(super) scope: Scope,
    /// The arguments that were declared.
    pub(super) declared: Vec<ArgPair>,
    pub(super) history: Vec<PlannedHistory>,
    /// What the base wants done first.
    pub(super) triggers: Vec<String>,
    pub(super) counter: Counter,
    workdir_set: bool,
    cmd: Option<Lines>,
    entrypoint: Option<Lines>,
    healthcheck: Option<Lines>,
}

/// How many steps a stage's instructions are.
pub(super) fn count(stage: &dockerfile::Stage, triggers: &[String]) -> usize {
    let steps = |kind: &Kind| {
        matches!(kind, Kind::Add(_) | Kind::Copy(_) | Kind::Run(_) | Kind::Workdir(_))
    };
    stage.instructions.iter().filter(|one| steps(&one.kind)).count() + triggers.len()
}

impl Stage {
    pub(super) fn new(
        mut config: ImageConfig,
        top: Option<StepId>,
        scope: Scope,
        counter: Counter,
    ) -> Self {
        Self {
            triggers: std::mem::take(&mut config.config.on_build),
            config,
            top,
            scope,
            declared: Vec::new(),
            history: Vec::new(),
            counter,
            workdir_set: false,
            cmd: None,
            entrypoint: None,
            healthcheck: None,
        }
    }

    /// What a stage that starts from this one begins with.
    pub(super) fn inherit(mut self, counter: Counter) -> Self {
        self.triggers = std::mem::take(&mut self.config.config.on_build);
        Self { counter, cmd: None, entrypoint: None, healthcheck: None, ..self }
    }

    pub(super) fn note(&mut self, created_by: String, step: Option<StepId>) {
        self.history.push(PlannedHistory::Own { created_by, step });
    }

    /// How a command would be run now.
    fn setting(&self) -> Setting {
        let config = &self.config.config;
        Setting {
            environment: self.scope.to_environment(),
            directory: config.working_dir.clone(),
            user: config.user.clone(),
            shell: config.shell.clone(),
            platform: self.config.platform.clone(),
        }
    }

    /// A path inside: relative ones start at the working directory. A last slash stays.
    pub(super) fn absolute(&self, path: &str) -> String {
        let joined = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{}/{path}", self.config.config.working_dir),
        };
        let folder = path.ends_with('/') || matches!(path, "" | ".") || path.ends_with("/.");
        let clean = dockerfile::ignore::clean(&format!("/{joined}"));
        if folder && clean != "/" { clean + "/" } else { clean }
    }
}

/// Expands words and remembers what was used and not set.
pub(super) struct Expander<'a> {
    pub(super) lexer: Lexer,
    pub(super) scope: &'a Scope,
    pub(super) missing: BTreeSet<String>,
}

impl Expander<'_> {
    pub(super) fn word(&mut self, word: &str) -> Result<String, ExpandError> {
        let expanded = self.lexer.expand(word, self.scope)?;
        self.missing.extend(expanded.unmatched);
        Ok(expanded.text)
    }
}

impl Stages<'_> {
    /// Runs through the triggers and instructions of a stage.
    pub(super) fn run_stage(
        &mut self,
        index: usize,
        mut stage: Stage,
        linter: &mut Linter,
    ) -> Result<Stage, Located> {
        let file = self.file;
        let written = &file.stages[index];
        if !stage.config.config.env.iter().any(|entry| entry.starts_with("PATH=")) {
            stage.config.config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for entry in stage.config.config.env.clone() {
            let (name, value) = entry.split_once('=').unwrap_or((&entry, ""));
            stage.scope.set(name, value);
        }
        if stage.config.config.working_dir.is_empty() {
            stage.config.config.working_dir = "/".into();
        }
        for trigger in std::mem::take(&mut stage.triggers) {
            let instruction = parse_trigger(&trigger, written.lines).map_err(|error| Located {
                lines: Some(written.lines),
                error: Box::new(error.into()),
                step: None,
            })?;
            self.instruction(index, &mut stage, &instruction, true, linter)?;
        }
        for instruction in &written.instructions {
            self.instruction(index, &mut stage, instruction, false, linter)?;
        }
        Ok(stage)
    }

    fn instruction(
        &mut self,
        index: usize,
        stage: &mut Stage,
        step: &Instruction,
        trigger: bool,
        linter: &mut Linter,
    ) -> Result<(), Located> {
        let at = |message: String| Located::at(step.lines)(BuildError::Invalid(message));
        let scope = stage.scope.clone();
        let mut words = Expander { lexer: self.lexer, scope: &scope, missing: BTreeSet::new() };
        let mut expand = |word: &str| words.word(word).map_err(|error| at(error.to_string()));
        let mut report = |rule, lines: Lines, message: String| {
            linter.report(&step.comments, rule, lines, message);
        };
        match &step.kind {
            Kind::Env(pairs) => {
                let mut text = "ENV".to_owned();
                for pair in pairs {
                    check_legacy(pair, step, &mut report);
                    let (key, value) = (expand(&pair.key)?, expand(&pair.value)?);
                    check_secret("ENV", &key, step, &mut report);
                    text += &format!(" {key}={value}");
                    set_env(&mut stage.config.config.env, &key, &value);
                    stage.scope.set(&key, value);
                }
                stage.note(text, None);
            }
            Kind::Label(pairs) => {
                let mut text = "LABEL".to_owned();
                for pair in pairs {
                    check_legacy(pair, step, &mut report);
                    let (key, value) = (expand(&pair.key)?, expand(&pair.value)?);
                    text += &format!(" {key}={value}");
                    stage.config.config.labels.insert(key, value);
                }
                stage.note(text, None);
            }
            Kind::Arg(pairs) => {
                let mut texts = Vec::new();
                for pair in pairs {
                    check_secret("ARG", &pair.key, step, &mut report);
                    let value = match (self.request.arguments.get(&pair.key), &pair.value) {
                        (Some(given), _) => Some(given.clone()),
                        (None, Some(default)) => Some(expand(default)?),
                        (None, None) => self.globals.get(&pair.key).map(str::to_owned),
                    };
                    let mut text = pair.key.clone();
                    if let Some(value) = &value {
                        text += &format!("={value}");
                        stage.scope.set(&pair.key, value.clone());
                    }
                    let argument = Argument {
                        name: pair.key.clone(),
                        description: description(&step.comments, &pair.key),
                        value: value.clone().unwrap_or_default(),
                        lines: step.lines,
                    };
                    let is_inherited = pair.value.is_none()
                        && !self.request.arguments.contains_key(&pair.key)
                        && self.globals.get(&pair.key).is_some();
                    self.capture.declares(index, argument, is_inherited);
                    stage.declared.push(ArgPair { key: pair.key.clone(), value });
                    texts.push(text);
                }
                stage.note(format!("ARG {}", texts.join(" ")), None);
            }
            Kind::Cmd(command) => {
                once(&mut stage.cmd, step, &mut report);
                let words = self.command(stage, command, step, &mut report);
                stage.note(format!("CMD {}", quoted(&words)), None);
                stage.config.config.cmd = words;
                stage.config.config.args_escaped = Some(true);
            }
            Kind::Entrypoint(command) => {
                once(&mut stage.entrypoint, step, &mut report);
                let words = self.command(stage, command, step, &mut report);
                stage.note(format!("ENTRYPOINT {}", quoted(&words)), None);
                stage.config.config.entrypoint = words;
                if stage.cmd.is_none() {
                    stage.config.config.cmd = Vec::new();
                }
            }
            Kind::Healthcheck(check) => {
                once(&mut stage.healthcheck, step, &mut report);
                stage.note(format!("HEALTHCHECK {}", shown_check(check)), None);
                stage.config.config.healthcheck = Some(check_json(check));
            }
            Kind::Expose(ports) => {
                let mut all = Vec::new();
                for word in ports {
                    let expanded =
                        words.lexer.expand(word, &scope).map_err(|error| at(error.to_string()))?;
                    words.missing.extend(expanded.unmatched);
                    for word in &expanded.words {
                        let exposed = ports::parse(word).map_err(at)?;
                        if exposed.mixed_case {
                            let message = format!(
                                "Defined protocol '{word}' in EXPOSE instruction should be lowercase"
                            );
                            report(Rule::ExposeProtoCasing, step.lines, message);
                        }
                        if exposed.mapped {
                            let message = format!(
                                "EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'"
                            );
                            report(Rule::ExposeInvalidFormat, step.lines, message);
                        }
                        all.extend(exposed.ports);
                    }
                }
                for port in &all {
                    let empty = serde_json::Value::Object(Default::default());
                    stage.config.config.exposed_ports.insert(port.clone(), empty);
                }
                stage.note(format!("EXPOSE [{}]", all.join(" ")), None);
            }
            Kind::Maintainer(author) => {
                stage.config.author = Some(author.clone());
                stage.note(format!("MAINTAINER {author}"), None);
            }
            Kind::Onbuild(expression) => {
                stage.config.config.on_build.push(expression.clone());
            }
            Kind::Shell(shell) => {
                stage.config.config.shell.clone_from(shell);
                stage.note(format!("SHELL [{}]", shell.join(" ")), None);
            }
            Kind::StopSignal(signal) => {
                let signal = expand(signal)?;
                if bundle::parse_signal(&signal).is_err() {
                    return Err(at(format!("invalid signal: {signal}")));
                }
                stage.note(format!("STOPSIGNAL {signal}"), None);
                stage.config.config.stop_signal = signal;
            }
            Kind::User(user) => {
                let user = expand(user)?;
                stage.note(format!("USER {user}"), None);
                stage.config.config.user = user;
            }
            Kind::Volume(paths) => {
                let mut all = Vec::new();
                for path in paths {
                    let path = expand(path)?;
                    if path.is_empty() {
                        return Err(at("VOLUME specified can not be an empty string".into()));
                    }
                    let empty = serde_json::Value::Object(Default::default());
                    stage.config.config.volumes.insert(path.clone(), empty);
                    all.push(path);
                }
                stage.note(format!("VOLUME [{}]", all.join(" ")), None);
            }
            Kind::Workdir(path) => {
                let path = expand(path)?;
                if !stage.workdir_set && !path.starts_with('/') {
                    let message = format!(
                        "Relative workdir {path:?} can have unexpected results if the base image changes"
                    );
                    report(Rule::WorkdirRelativePath, step.lines, message);
                }
                stage.workdir_set = true;
                let path = stage.absolute(&path);
                let path = path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(&path);
                stage.config.config.working_dir = path.to_owned();
                let name = shown(&self.lexer, &step.source, &scope);
                let name = stage.counter.next(&name, trigger);
                let made = (path != "/").then(|| {
                    let action = Action::Folder {
                        path: path.to_owned(),
                        user: stage.config.config.user.clone(),
                    };
                    self.push(index, stage, name, step.lines, action)
                });
                stage.note(format!("WORKDIR {path}"), made);
            }
            Kind::Add(_) | Kind::Copy(_) => {
                let missing = self.copy(index, stage, step, trigger, linter)?;
                words.missing.extend(missing);
            }
            Kind::Run(run) => {
                let missing = self.run(index, stage, step, run, trigger, linter)?;
                words.missing.extend(missing);
            }
        }
        let missing = words.missing;
        check_variables(stage, step, &scope, missing, linter);
        Ok(())
    }

    /// Adds a step on top of the stage.
    pub(super) fn push(
        &mut self,
        index: usize,
        stage: &mut Stage,
        name: String,
        lines: Lines,
        action: Action,
    ) -> StepId {
        let stage_name = self.stage_name(index);
        let no_cache = self.request.no_cache
            || self
                .request
                .no_cache_stages
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&stage_name));
        let setting = self.request.keep_failed.then(|| stage.setting());
        self.steps.push(Step { name, lines, below: stage.top, action, no_cache, setting });
        stage.top = Some(self.steps.len() - 1);
        self.steps.len() - 1
    }

    /// The words of `CMD` and `ENTRYPOINT`.
    fn command(
        &self,
        stage: &Stage,
        command: &CommandLine,
        step: &Instruction,
        report: Report<'_>,
    ) -> Vec<String> {
        if !command.shell {
            return command.words.clone();
        }
        if stage.config.config.shell.is_empty() {
            let message = format!(
                "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                step.keyword
            );
            report(Rule::JSONArgsRecommended, step.lines, message);
        }
        with_shell(&stage.config, command.words.join(" "))
    }
}

/// A text for the shell.
pub(super) fn with_shell(config: &ImageConfig, text: String) -> Vec<String> {
    let mut words = match config.config.shell.as_slice() {
        [] => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        shell => shell.to_vec(),
    };
    words.push(text);
    words
}

pub(crate) fn set_env(env: &mut Vec<String>, key: &str, value: &str) {
    let entry = format!("{key}={value}");
    match env.iter_mut().find(|known| known.split('=').next() == Some(key)) {
        Some(known) => *known = entry,
        None => env.push(entry),
    }
}

/// Variables that were used and are set nowhere.
fn check_variables(
    stage: &Stage,
    step: &Instruction,
    scope: &Scope,
    missing: BTreeSet<String>,
    linter: &mut Linter,
) {
    for name in missing {
        if stage.declared.iter().any(|pair| pair.key == name) {
            continue;
        }
        let mut message = format!("Usage of undefined variable '${name}'");
        if let Some(word) = suggest(&name, scope.names()) {
            message += &format!(" (did you mean ${word}?)");
        }
        linter.report(&step.comments, Rule::UndefinedVar, step.lines, message);
    }
}

fn check_legacy(pair: &KeyValue, step: &Instruction, report: Report<'_>) {
    if pair.legacy {
        let keyword = &step.keyword;
        let message = format!(
            "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
        );
        report(Rule::LegacyKeyValueFormat, step.lines, message);
    }
}

/// A variable whose name tells of something that should not be in an image.
fn check_secret(keyword: &str, key: &str, step: &Instruction, report: Report<'_>) {
    if is_secret(key) {
        let message =
            format!("Do not use ARG or ENV instructions for sensitive data ({keyword} {key:?})");
        report(Rule::SecretsUsedInArgOrEnv, step.lines, message);
    }
}

/// Whether a variable's name tells of something that nobody else should know.
pub(crate) fn is_secret(key: &str) -> bool {
    const SECRET: [&str; 10] = [
        "apikey",
        "auth",
        "credential",
        "credentials",
        "key",
        "password",
        "pword",
        "passwd",
        "secret",
        "token",
    ];
    let lower = key.to_lowercase();
    let has = |words: &[&str]| lower.split('_').any(|word| words.contains(&word));
    has(&SECRET) && !has(&["public", "file", "version"])
}

/// Only the last of several counts: the warning is about the one before.
fn once(last: &mut Option<Lines>, step: &Instruction, report: Report<'_>) {
    if let Some(before) = *last {
        let message = format!(
            "Multiple {} instructions should not be used in the same stage because only the last one will be used",
            step.keyword
        );
        report(Rule::MultipleInstructionsDisallowed, before, message);
    }
    *last = Some(step.lines);
}

/// A list as Go's `%q` prints it.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

fn shown_check(check: &Healthcheck) -> String {
    let seconds = |nanos: i64| format!("{}s", nanos as f64 / 1e9);
    format!(
        "{{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        check.test.join(" "),
        seconds(check.interval),
        seconds(check.timeout),
        seconds(check.start_period),
        seconds(check.start_interval),
        check.retries
    )
}

/// Docker's form of a health check, without what was not given.
fn check_json(check: &Healthcheck) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    object.insert("Test".into(), check.test.clone().into());
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", check.retries),
    ] {
        if value != 0 {
            object.insert(name.into(), value.into());
        }
    }
    object.into()
}
