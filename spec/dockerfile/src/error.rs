//! Why a file is not a Dockerfile. The words are BuildKit's, which people and tools look for.

use crate::source::Lines;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub reason: Reason,
    /// Where.
    pub lines: Lines,
    /// True if the line could be read and the instruction is what is wrong.
    instruction: bool,
}

impl ParseError {
    pub(crate) fn line(reason: Reason, lines: Lines) -> Self {
        Self { reason, lines, instruction: false }
    }

    pub(crate) fn instruction(reason: Reason, lines: Lines) -> Self {
        Self { reason, lines, instruction: true }
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.instruction {
            write!(out, "dockerfile parse error on line {}: ", self.lines.first)?;
        }
        self.reason.fmt(out)
    }
}

impl std::error::Error for ParseError {}

/// What can be wrong with a line or an instruction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each text says it; the fields are the words in it")]
pub enum Reason {
    #[error("file with no instructions")]
    NoInstructions,
    #[error("dockerfile contains no stages to build")]
    NoStages,
    #[error("dockerfile line greater than max allowed size of 65535")]
    LineTooLong,
    #[error("unterminated heredoc")]
    UnterminatedHeredoc,
    #[error("only one {name} parser directive can be used")]
    RepeatedDirective { name: String },
    #[error("invalid escape token '{token}' does not match ` or \\")]
    InvalidEscape { token: String },
    #[error("{keyword} must have two arguments")]
    TwoArguments { keyword: &'static str },
    #[error("Syntax error - can't find = in {word:?}. Must be of the form: name=value")]
    NoEquals { word: String },
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,
    #[error("unknown instruction: {keyword}{}", did_you_mean(suggestion.as_deref()))]
    UnknownInstruction { keyword: String, suggestion: Option<String> },
    #[error("no build stage in current context")]
    NoStage,
    #[error("{keyword} requires at least one argument")]
    AtLeastOne { keyword: &'static str },
    #[error("{keyword} requires exactly one argument")]
    ExactlyOne { keyword: &'static str },
    #[error(
        "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
    )]
    NoDestination { keyword: &'static str },
    #[error("{keyword} cannot accept a heredoc as a destination")]
    HeredocDestination { keyword: &'static str },
    #[error("{keyword} names can not be blank")]
    BlankName { keyword: &'static str },
    #[error("FROM requires either one or three arguments")]
    FromArguments,
    #[error(
        "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
    )]
    StageName { name: String },
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    ChainedTrigger,
    #[error("{keyword} isn't allowed as an ONBUILD trigger")]
    NotATrigger { keyword: String },
    #[error("onbuild trigger should be a single expression")]
    SeveralTriggers,
    #[error("{keyword} requires the arguments to be in JSON form")]
    NotJson { keyword: &'static str },
    #[error("HEALTHCHECK NONE takes no arguments")]
    NoneWithArguments,
    #[error("Missing command after HEALTHCHECK CMD")]
    NoCheckCommand,
    #[error("Unknown type {kind:?} in HEALTHCHECK (try CMD)")]
    CheckType { kind: String },
    #[error("Interval {flag:?} cannot be less than 1ms")]
    IntervalTooShort { flag: &'static str },
    #[error("{0}")]
    Number(String),
    #[error("--retries cannot be negative ({retries})")]
    NegativeRetries { retries: i64 },
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    #[error("unknown flag: {flag}{}", did_you_mean(suggestion.as_deref()))]
    UnknownFlag { flag: String, suggestion: Option<String> },
    #[error("duplicate flag specified: {flag}")]
    RepeatedFlag { flag: String },
    #[error("missing a value on flag: {flag}")]
    NoFlagValue { flag: String },
    #[error("expecting boolean value for flag {flag}, not: {value}")]
    NotBoolean { flag: String, value: String },
    #[error("invalid network mode {mode:?}")]
    NetworkMode { mode: String },
    #[error("security {mode:?} is not valid")]
    SecurityMode { mode: String },
    #[error("failed to parse csv {what}: {why}")]
    Csv { what: &'static str, why: String },
    #[error("invalid field '{field}' must be a key=value pair")]
    NotAPair { field: String },
    #[error("unexpected key '{key}' in '{field}'{}", did_you_mean(suggestion.as_deref()))]
    UnknownKey { key: String, field: String, suggestion: Option<String> },
    #[error("unexpected key '{key}' for mount type '{kind}'")]
    KeyForType { key: String, kind: &'static str },
    #[error("unsupported mount type {kind:?}{}", did_you_mean(suggestion.as_deref()))]
    MountType { kind: String, suggestion: Option<String> },
    #[error("unsupported sharing value {sharing:?}{}", did_you_mean(suggestion.as_deref()))]
    SharingMode { sharing: String, suggestion: Option<String> },
    #[error("invalid value for {key}: {value}")]
    KeyValue { key: String, value: String },
    #[error("invalid value {value} for {key}")]
    KeyNumber { key: &'static str, value: String },
    #[error("'{key}' doesn't support variable expansion, define alias stage instead")]
    KeyExpansion { key: String },
    #[error("{key} not allowed for {kind:?} type mounts")]
    KeyNotAllowed { key: &'static str, kind: &'static str },
    #[error("secret mount should not have a from")]
    SecretFrom,
    #[error("secret mount should not define sharing")]
    SecretSharing,
    #[error("invalid secret mount. one of source, target required")]
    SecretWithout,
    #[error("both source and id can't be set")]
    SecretTwice,
    #[error("invalid cache sharing set for {kind} mount")]
    SharingNotAllowed { kind: &'static str },
    #[error("device name already set to {name}")]
    RepeatedDevice { name: String },
    #[error("{0}")]
    Expand(String),
}

/// ` (did you mean WORD?)`, or nothing.
pub(crate) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|word| format!(" (did you mean {word}?)")).unwrap_or_default()
}
