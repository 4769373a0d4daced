//! The arguments before the first `FROM`, and those that nobody has to declare.

use std::collections::BTreeMap;

use dockerfile::lint::{Linter, Rule};
use dockerfile::{Dockerfile, Kind, Lexer, Variables, suggest};
use oci::{Platform, Reference, Timestamp};

use super::scope::Scope;
use crate::{BuildError, Located};

/// Arguments that are passed on to commands without being declared, and are in no key.
pub(super) const PROXIES: [&str; 5] =
    ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// What is set before anything is declared.
pub(super) fn predefined(
    target: &str,
    platform: &Platform,
    given: &BTreeMap<String, String>,
) -> Scope {
    let host = Platform::host();
    let mut scope = Scope::default();
    let variant = |platform: &Platform| platform.variant.clone().unwrap_or_default();
    for (name, value) in [
        ("BUILDPLATFORM", host.to_string()),
        ("BUILDOS", host.os.clone()),
        ("BUILDOSVERSION", String::new()),
        ("BUILDARCH", host.architecture.clone()),
        ("BUILDVARIANT", variant(&host)),
        ("TARGETPLATFORM", platform.to_string()),
        ("TARGETOS", platform.os.clone()),
        ("TARGETOSVERSION", String::new()),
        ("TARGETARCH", platform.architecture.clone()),
        ("TARGETVARIANT", variant(platform)),
        ("TARGETSTAGE", target.to_owned()),
    ] {
        scope.set(name, given.get(name).cloned().unwrap_or(value));
    }
    scope
}

/// Adds the `ARG` instructions that stand before the first `FROM`.
pub(super) fn global(
    file: &Dockerfile,
    mut scope: Scope,
    given: Option<&BTreeMap<String, String>>,
) -> Result<Scope, Located> {
    let lexer = Lexer::new(file.escape);
    for instruction in &file.arguments {
        let Kind::Arg(pairs) = &instruction.kind else { continue };
        for pair in pairs {
            let value = match (given.and_then(|given| given.get(&pair.key)), &pair.value) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => {
                    let expanded = lexer.expand(default, &scope).map_err(|error| {
                        Located::at(instruction.lines)(BuildError::Invalid(error.to_string()))
                    })?;
                    expanded.text
                }
                (None, None) => continue,
            };
            scope.set(&pair.key, value);
        }
    }
    Ok(scope)
}

/// Without any argument given, each base should still be a name.
pub(super) fn check_defaults(file: &Dockerfile, predefined: &Scope, linter: &mut Linter) {
    let Ok(scope) = global(file, predefined.clone(), None) else { return };
    let lexer = Lexer::new(file.escape);
    for stage in &file.stages {
        let Ok(expanded) = lexer.expand(&stage.base, &scope) else { return };
        if expanded.text.parse::<Reference>().is_err() {
            let message = format!(
                "Default value for ARG {} results in empty or invalid base image name",
                stage.base
            );
            linter.report(&[], Rule::InvalidDefaultArgInFrom, stage.lines, message);
        }
    }
}

/// `FROM` uses an argument that nobody declared.
pub(super) fn check_from(
    stage: &dockerfile::Stage,
    expanded: &dockerfile::Expanded,
    scope: &Scope,
    file: &Dockerfile,
    linter: &mut Linter,
) {
    let declared: Vec<&str> = file
        .arguments
        .iter()
        .filter_map(|instruction| match &instruction.kind {
            Kind::Arg(pairs) => Some(pairs),
            _ => None,
        })
        .flatten()
        .map(|pair| pair.key.as_str())
        .collect();
    for name in &expanded.unmatched {
        if declared.contains(&name.as_str()) {
            continue;
        }
        let mut message = format!("FROM argument '{name}' is not declared");
        let known = declared.iter().copied().chain(scope.names());
        if let Some(word) = suggest(name, known) {
            message += &format!(" (did you mean {word}?)");
        }
        linter.report(&stage.comments, Rule::UndefinedArgInFrom, stage.lines, message);
    }
}

/// `SOURCE_DATE_EPOCH`, a number of seconds since 1970.
pub(super) fn epoch(
    given: &BTreeMap<String, String>,
    scope: &Scope,
) -> Result<Option<Timestamp>, BuildError> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    let text = match given.get(NAME).map(String::as_str).or_else(|| scope.get(NAME)) {
        None | Some("") => return Ok(None),
        Some(text) => text,
    };
    let seconds: i64 = text.parse().map_err(|_| {
        BuildError::Invalid(format!("invalid SOURCE_DATE_EPOCH {text:?}: not a number of seconds"))
    })?;
    Ok(Some(Timestamp::from_unix(seconds, 0)))
}
