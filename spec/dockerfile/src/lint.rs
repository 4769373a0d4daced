//! The linter: rules by name, what may be skipped, and the warnings.
//!
//! Rules that need nothing but the file are applied while it is parsed; those that need values
//! of variables or the base images are applied by whoever has these, through a [`Linter`].
//!
//! BuildKit's documentation, "Build checks".

pub(crate) mod casing;
mod rule;

use std::collections::BTreeSet;

pub use rule::Rule;

use crate::directive::check_comment;
use crate::source::Lines;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The rule that was broken.
    pub rule: Rule,
    /// What breaks it.
    pub message: String,
    /// Where.
    pub lines: Lines,
}

/// Which rules are applied: `check=skip=A,B;error=true;experimental=C`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LintOptions {
    /// No rule is applied.
    pub skip_all: bool,
    /// These rules are not applied.
    pub skip: BTreeSet<String>,
    /// All experimental rules are applied.
    pub experimental_all: bool,
    /// These experimental rules are applied.
    pub experimental: BTreeSet<String>,
    /// A finding fails the build.
    pub error: bool,
}

impl LintOptions {
    /// Applies nothing.
    pub fn none() -> Self {
        Self { skip_all: true, ..Self::default() }
    }

    /// Reads the value of a `check` directive or of `BUILDKIT_DOCKERFILE_CHECK`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        if text.trim().is_empty() {
            return Ok(options);
        }
        for part in text.trim().splitn(3, ';') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("invalid check option {part:?}"));
            };
            let value = value.trim();
            let rules = || value.split(',').map(|rule| rule.trim().to_owned()).collect();
            match key.trim() {
                "skip" if value == "all" => options.skip_all = true,
                "skip" => options.skip = rules(),
                "experimental" if value == "all" => options.experimental_all = true,
                "experimental" => options.experimental = rules(),
                "error" => {
                    options.error = match value {
                        "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                        "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                        _ => {
                            return Err(format!(
                                "failed to parse check option {part:?}: strconv.ParseBool: \
                                 parsing {value:?}: invalid syntax"
                            ));
                        }
                    }
                }
                other => return Err(format!("invalid check option {other:?}")),
            }
        }
        Ok(options)
    }

    /// The options that a file's own directive gives.
    pub fn of_file(content: &[u8]) -> Result<Self, String> {
        match crate::Dockerfile::directives_of(content).check {
            Some(check) => Self::parse(check.split(' ').next().unwrap_or(&check))
                .map_err(|why| format!("failed to parse check options: {why}")),
            None => Ok(Self::default()),
        }
    }

    fn applies(&self, rule: Rule) -> bool {
        if rule.is_experimental() {
            self.experimental_all || self.experimental.contains(rule.name())
        } else {
            !self.skip_all && !self.skip.contains(rule.name())
        }
    }
}

/// Gathers findings.
#[derive(Debug)]
pub struct Linter {
    options: LintOptions,
    warnings: Vec<Warning>,
}

impl Linter {
    /// Without findings yet.
    pub fn new(options: LintOptions) -> Self {
        Self { options, warnings: Vec::new() }
    }

    /// Adds a finding, unless its rule is skipped by the options or by a `check=` comment among
    /// those right above the instruction.
    pub fn report(
        &mut self,
        comments: &[String],
        rule: Rule,
        lines: Lines,
        message: impl Into<String>,
    ) {
        let local = comments.iter().find_map(|comment| check_comment(comment));
        let skipped = local
            .and_then(|text| LintOptions::parse(text).ok())
            .is_some_and(|local| !rule.is_experimental() && !local.applies(rule));
        let allowed = local
            .and_then(|text| LintOptions::parse(text).ok())
            .is_some_and(|local| rule.is_experimental() && local.applies(rule));
        if (self.options.applies(rule) && !skipped) || allowed {
            self.warnings.push(Warning { rule, message: message.into(), lines });
        }
    }

    /// Takes over what was found elsewhere.
    pub fn extend(&mut self, warnings: impl IntoIterator<Item = Warning>) {
        self.warnings.extend(warnings);
    }

    /// What was found so far.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What was found.
    pub fn into_warnings(self) -> Vec<Warning> {
        self.warnings
    }

    /// The error that findings are when the options say so.
    pub fn verdict(&self) -> Result<(), String> {
        if !self.options.error || self.warnings.is_empty() {
            return Ok(());
        }
        let rules: BTreeSet<_> = self.warnings.iter().map(|warning| warning.rule.name()).collect();
        let rules: Vec<_> = rules.into_iter().collect();
        Err(format!("lint violation found for rules: {}", rules.join(", ")))
    }
}
