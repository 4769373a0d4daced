//! The rules that need nothing but the file: how names and keywords are written.

use std::collections::BTreeSet;

use super::{Linter, Rule};
use crate::instruction::Stage;
use crate::node::Node;

/// Names that mean something else in `FROM` and `--from`.
const RESERVED: [&str; 2] = ["context", "scratch"];

/// The casing of `FROM base AS name`.
pub(crate) fn stage_name(from: &Node, keyword: &str, name: &str, linter: &mut Linter) {
    if name != name.to_lowercase() {
        let message = format!("Stage name '{name}' should be lowercase");
        linter.report(&from.comments, Rule::StageNameCasing, from.lines, message);
    }
    let matches = match &from.keyword {
        lower if *lower == lower.to_lowercase() => keyword == keyword.to_lowercase(),
        upper if *upper == upper.to_uppercase() => keyword == keyword.to_uppercase(),
        // Mixed casing is another rule's affair.
        _ => true,
    };
    if !matches {
        let message = format!("'{keyword}' and '{}' keywords' casing do not match", from.keyword);
        linter.report(&from.comments, Rule::FromAsCasing, from.lines, message);
    }
}

/// The comment right above a definition should start with the defined name.
pub(crate) fn description(keyword: &str, names: &[&str], node: &Node, linter: &mut Linter) {
    let (Some(comment), Some(first)) = (node.comments.last(), names.first()) else { return };
    if names.contains(&comment.split(' ').next().unwrap_or_default()) {
        return;
    }
    let example = if names.len() > 1 { "<arg_key>" } else { first };
    let message =
        format!("Comment for {keyword} should follow the format: `# {example} <description>`");
    let rule = Rule::InvalidDefinitionDescription;
    linter.report(&node.comments, rule, node.lines, message);
}

/// Names of stages, and the casing of all keywords by the casing of most.
pub(crate) fn stages(stages: &[Stage], linter: &mut Linter) {
    let mut names = BTreeSet::new();
    for stage in stages {
        let Some(name) = &stage.name else { continue };
        if RESERVED.contains(&name.as_str()) {
            let message =
                format!("Stage name should not use the same name as reserved stage {name:?}");
            linter.report(&[], Rule::ReservedStageName, stage.lines, message);
        }
        if !names.insert(name) {
            let message = format!("Duplicate stage name {name:?}, stage names should be unique");
            linter.report(&[], Rule::DuplicateStageName, stage.lines, message);
        }
    }
    let keywords = || {
        stages.iter().flat_map(|stage| {
            let own = std::iter::once((&stage.keyword, stage.lines));
            own.chain(stage.instructions.iter().map(|step| (&step.keyword, step.lines)))
        })
    };
    let lower = keywords().filter(|(word, _)| **word == word.to_lowercase()).count();
    let upper = keywords()
        .filter(|(word, _)| **word == word.to_uppercase() && **word != word.to_lowercase())
        .count();
    for (word, lines) in keywords() {
        let (wanted, name) = match lower > upper {
            true => (word.to_lowercase(), "lowercase"),
            false => (word.to_uppercase(), "uppercase"),
        };
        if *word != wanted {
            let message =
                format!("Command '{word}' should match the case of the command majority ({name})");
            linter.report(&[], Rule::ConsistentInstructionCasing, lines, message);
        }
    }
}
