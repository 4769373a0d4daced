//! The rules. Names, descriptions and addresses are BuildKit's: editors and scripts look for them.

/// A rule of the linter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "`description` says it")]
pub enum Rule {
    StageNameCasing,
    FromAsCasing,
    NoEmptyContinuation,
    ConsistentInstructionCasing,
    DuplicateStageName,
    ReservedStageName,
    JSONArgsRecommended,
    MaintainerDeprecated,
    UndefinedArgInFrom,
    WorkdirRelativePath,
    UndefinedVar,
    MultipleInstructionsDisallowed,
    LegacyKeyValueFormat,
    InvalidBaseImagePlatform,
    RedundantTargetPlatform,
    SecretsUsedInArgOrEnv,
    InvalidDefaultArgInFrom,
    FromPlatformFlagConstDisallowed,
    CopyIgnoredFile,
    InvalidDefinitionDescription,
    ExposeProtoCasing,
    ExposeInvalidFormat,
}

/// Name, description, and the last part of the address of its documentation.
type Entry = (Rule, &'static str, &'static str, Option<&'static str>);

const RULES: [Entry; 22] = [
    (
        Rule::StageNameCasing,
        "StageNameCasing",
        "Stage names should be lowercase",
        Some("stage-name-casing"),
    ),
    (
        Rule::FromAsCasing,
        "FromAsCasing",
        "The 'as' keyword should match the case of the 'from' keyword",
        Some("from-as-casing"),
    ),
    (
        Rule::NoEmptyContinuation,
        "NoEmptyContinuation",
        "Empty continuation lines will become errors in a future release",
        Some("no-empty-continuation"),
    ),
    (
        Rule::ConsistentInstructionCasing,
        "ConsistentInstructionCasing",
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
        Some("consistent-instruction-casing"),
    ),
    (
        Rule::DuplicateStageName,
        "DuplicateStageName",
        "Stage names should be unique",
        Some("duplicate-stage-name"),
    ),
    (
        Rule::ReservedStageName,
        "ReservedStageName",
        "Reserved words should not be used as stage names",
        Some("reserved-stage-name"),
    ),
    (
        Rule::JSONArgsRecommended,
        "JSONArgsRecommended",
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
        Some("json-args-recommended"),
    ),
    (
        Rule::MaintainerDeprecated,
        "MaintainerDeprecated",
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
        Some("maintainer-deprecated"),
    ),
    (
        Rule::UndefinedArgInFrom,
        "UndefinedArgInFrom",
        "FROM command must use declared ARGs",
        Some("undefined-arg-in-from"),
    ),
    (
        Rule::WorkdirRelativePath,
        "WorkdirRelativePath",
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
        Some("workdir-relative-path"),
    ),
    (
        Rule::UndefinedVar,
        "UndefinedVar",
        "Variables should be defined before their use",
        Some("undefined-var"),
    ),
    (
        Rule::MultipleInstructionsDisallowed,
        "MultipleInstructionsDisallowed",
        "Multiple instructions of the same type should not be used in the same stage",
        Some("multiple-instructions-disallowed"),
    ),
    (
        Rule::LegacyKeyValueFormat,
        "LegacyKeyValueFormat",
        "Legacy key/value format with whitespace separator should not be used",
        Some("legacy-key-value-format"),
    ),
    (
        Rule::InvalidBaseImagePlatform,
        "InvalidBaseImagePlatform",
        "Base image platform does not match expected target platform",
        None,
    ),
    (
        Rule::RedundantTargetPlatform,
        "RedundantTargetPlatform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
        Some("redundant-target-platform"),
    ),
    (
        Rule::SecretsUsedInArgOrEnv,
        "SecretsUsedInArgOrEnv",
        "Sensitive data should not be used in the ARG or ENV commands",
        Some("secrets-used-in-arg-or-env"),
    ),
    (
        Rule::InvalidDefaultArgInFrom,
        "InvalidDefaultArgInFrom",
        "Default value for global ARG results in an empty or invalid base image name",
        Some("invalid-default-arg-in-from"),
    ),
    (
        Rule::FromPlatformFlagConstDisallowed,
        "FromPlatformFlagConstDisallowed",
        "FROM --platform flag should not use a constant value",
        Some("from-platform-flag-const-disallowed"),
    ),
    (
        Rule::CopyIgnoredFile,
        "CopyIgnoredFile",
        "Attempting to Copy file that is excluded by .dockerignore",
        Some("copy-ignored-file"),
    ),
    (
        Rule::InvalidDefinitionDescription,
        "InvalidDefinitionDescription",
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
        Some("invalid-definition-description"),
    ),
    (
        Rule::ExposeProtoCasing,
        "ExposeProtoCasing",
        "Protocol in EXPOSE instruction should be lowercase",
        Some("expose-proto-casing"),
    ),
    (
        Rule::ExposeInvalidFormat,
        "ExposeInvalidFormat",
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
        Some("expose-invalid-format"),
    ),
];

impl Rule {
    fn entry(self) -> &'static Entry {
        &RULES[self as usize]
    }

    /// All rules.
    pub fn all() -> impl Iterator<Item = Self> {
        RULES.iter().map(|(rule, ..)| *rule)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// What it asks for.
    pub fn description(self) -> &'static str {
        self.entry().2
    }

    /// Where it is documented; empty if it is not.
    pub fn url(self) -> String {
        match self.entry().3 {
            Some(page) => format!("https://docs.docker.com/go/dockerfile/rule/{page}/"),
            None => String::new(),
        }
    }

    /// Whether it must be asked for.
    pub fn is_experimental(self) -> bool {
        self == Self::InvalidDefinitionDescription
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (place, (rule, name, ..)) in RULES.iter().enumerate() {
            assert_eq!(*rule as usize, place);
            assert_eq!(format!("{rule:?}"), *name);
        }
    }
}
