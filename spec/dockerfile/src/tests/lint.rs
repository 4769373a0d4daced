//! The rules that need the file alone, and which of them are applied.

use crate::lint::LintOptions;
use crate::parse;

fn warnings(text: &str) -> Vec<String> {
    let options = LintOptions::of_file(text.as_bytes()).unwrap();
    let file = parse(text.as_bytes(), &options).unwrap();
    let show = |warning: &crate::lint::Warning| {
        format!("{}: {} (line {})", warning.rule.name(), warning.message, warning.lines.first)
    };
    file.warnings.iter().map(show).collect()
}

#[test]
fn rules_find_what_they_look_for() {
    for (text, want) in [
        ("FROM x AS y\nRUN z\n", &[][..]),
        ("FROM x AS Y\n", &["StageNameCasing: Stage name 'Y' should be lowercase (line 1)"]),
        (
            "FROM x as y\n",
            &["FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"],
        ),
        ("FROM x\nRUN a \\\n\n  b\n", &["NoEmptyContinuation: Empty continuation line (line 4)"]),
        (
            "FROM x\nRUN a\nrun b\nRun c\n",
            &[
                "ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase) (line 3)",
                "ConsistentInstructionCasing: Command 'Run' should match the case of the command majority (uppercase) (line 4)",
            ],
        ),
        (
            "FROM x AS a\nFROM y AS a\n",
            &[
                "DuplicateStageName: Duplicate stage name \"a\", stage names should be unique (line 2)",
            ],
        ),
        (
            "FROM x AS scratch\n",
            &[
                "ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\" (line 1)",
            ],
        ),
        (
            "FROM x\nMAINTAINER me\n",
            &[
                "MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)",
            ],
        ),
        (
            "# check=experimental=all\n# foo bar\nFROM x AS y\n",
            &[
                "InvalidDefinitionDescription: Comment for FROM should follow the format: `# y <description>` (line 3)",
            ],
        ),
        ("# foo bar\nFROM x AS y\n", &[]),
        ("# check=skip=all\nFROM x AS Y\n", &[]),
        ("# check=skip=StageNameCasing\nFROM x AS Y\n", &[]),
        ("FROM z\n# check=skip=MaintainerDeprecated\nMAINTAINER me\n", &[]),
    ] {
        assert_eq!(warnings(text), want, "{text}");
    }
}

#[test]
fn options_are_read() {
    assert_eq!(LintOptions::parse(" ").unwrap(), LintOptions::default());
    let options = LintOptions::parse("skip=A, B;error=true;experimental=all").unwrap();
    assert!(options.error && options.experimental_all && options.skip.contains("B"));
    assert_eq!(LintOptions::parse("x").unwrap_err(), "invalid check option \"x\"");
    assert_eq!(LintOptions::parse("x=y").unwrap_err(), "invalid check option \"x\"");
    assert!(LintOptions::parse("error=maybe").is_err());
}

#[test]
fn findings_are_an_error_when_the_options_say_so() {
    let mut linter = crate::lint::Linter::new(LintOptions::parse("error=true").unwrap());
    assert_eq!(linter.verdict(), Ok(()));
    linter.extend(parse(b"FROM x AS Y\n", &LintOptions::default()).unwrap().warnings);
    let error = linter.verdict().unwrap_err();
    assert_eq!(error, "lint violation found for rules: StageNameCasing");
}
