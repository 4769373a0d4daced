//! What holds for every input.

use proptest::prelude::*;

use crate::ignore::{Above, Patterns};
use crate::{Lexer, lint::LintOptions, parse};

/// Pieces that mean something, so that random texts get past the first line.
fn dockerfile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "FROM a",
        "FROM b AS c",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "LABEL ",
        "ARG ",
        "CMD ",
        "HEALTHCHECK ",
        "ONBUILD ",
        "EXPOSE ",
        "--x=y ",
        "--mount=type=cache,target=/x ",
        "a",
        "b=c",
        "\"q\"",
        "'",
        "[\"a\"]",
        "<<EOF",
        "<<-\"E\"",
        "EOF\n",
        "E\n",
        "\\\n",
        "\n",
        "\n",
        "# c\n",
        "# escape=`\n",
        "$x",
        "${y:-z}",
        " ",
        "\t",
        "é",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn parsing_ends_and_places_lie_in_the_file(text in dockerfile()) {
        let lines = text.split('\n').count();
        match parse(text.as_bytes(), &LintOptions::default()) {
            Ok(file) => {
                let mut last = 0;
                for stage in &file.stages {
                    prop_assert!(stage.lines.first > last && stage.lines.last <= lines);
                    last = stage.lines.last;
                    for step in &stage.instructions {
                        prop_assert!(step.lines.first > last && step.lines.last <= lines);
                        last = step.lines.last;
                    }
                }
            }
            Err(error) => prop_assert!(error.lines.last <= lines, "{error} at {:?}", error.lines),
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, &LintOptions::default());
        let _ = crate::detect_syntax(&bytes);
        let _ = Patterns::read(&bytes).map(|patterns| patterns.matches("a/b"));
    }

    #[test]
    fn quoting_protects_everything_but_quotes(text in "[^'\\\\]{0,30}") {
        let quoted = format!("'{text}'");
        prop_assert_eq!(Lexer::new('\\').expand(&quoted, &()).unwrap().text, text);
    }

    #[test]
    fn a_walk_and_a_question_agree(
        file in "([ab*?!/]{1,6}\n){0,4}",
        path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        let Ok(patterns) = Patterns::read(file.as_bytes()) else { return Ok(()) };
        let mut above = Above::default();
        let mut walked = false;
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            (walked, above) = patterns.matches_below(&path[..end], &above);
        }
        // With exceptions moby itself is of two minds about what lies in an ignored folder.
        if !patterns.has_exceptions() {
            prop_assert_eq!(walked, patterns.matches(&path));
        }
    }
}
