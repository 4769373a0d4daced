//! `.dockerignore`.

use crate::ignore::{Above, Patterns, clean};

#[test]
fn paths_are_ignored_as_moby_ignores_them() {
    for (file, path, want) in [
        ("a", "a", true),
        ("a", "b/a", false),
        ("a", "a/b/c", true),
        ("/a/", "a/b", true),
        ("*.txt", "a.txt", true),
        ("*.txt", "b/a.txt", false),
        ("**/*.txt", "b/c/a.txt", true),
        ("**/*.txt", "a.txt", true),
        ("**foo", "xfoo", true),
        ("a/**", "a/b/c", true),
        ("a/**", "a", false),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/y/b", true),
        ("a**/b", "ax/y/b", true),
        ("**", "a/b", true),
        ("a\n!a/b", "a/b", false),
        ("a\n!a/b", "a/c", true),
        ("!a\na", "a", true),
        ("*\n!keep", "keep/x", false),
        ("# a\n\n  b  ", "a", false),
        ("# a\n\n  b  ", "b", true),
        (" #a", "#a", true),
        ("[ab]c", "bc", true),
        ("[^ab]c", "bc", false),
        ("a?c", "a/c", false),
        ("a+b(c)", "a+b(c)", true),
        ("a.c*", "abc", false),
        ("./a/../b", "b", true),
        ("\u{feff}a", "a", true),
        ("a\\*", "a*", true),
        ("a\\*", "ab", false),
        ("^*", "x", true),
    ] {
        let patterns = Patterns::read(file.as_bytes()).unwrap();
        assert_eq!(patterns.matches(path), want, "{file:?} {path}");
        assert_eq!(walked(&patterns, path), want, "walked: {file:?} {path}");
    }
}

/// What a walk from the root comes to.
fn walked(patterns: &Patterns, path: &str) -> bool {
    let mut above = Above::default();
    let mut matched = false;
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        (matched, above) = patterns.matches_below(&path[..end], &above);
    }
    matched
}

#[test]
fn bad_patterns_are_named() {
    for (file, error) in [
        ("!", "illegal exclusion pattern: \"!\""),
        ("a[", "\"a[\": syntax error in pattern"),
        ("[]", "\"[]\": syntax error in pattern"),
        ("a\\", "\"a\\\\\": syntax error in pattern"),
    ] {
        assert_eq!(Patterns::read(file.as_bytes()).unwrap_err().to_string(), error);
    }
}

#[test]
fn folders_that_hold_exceptions_are_known() {
    let patterns = Patterns::read(b"a\nb\nc\n!b/keep\n").unwrap();
    assert!(!patterns.may_take_back_below("a"));
    assert!(patterns.may_take_back_below("b"));
    assert!(!patterns.may_take_back_below("b/keep"));
    assert!(Patterns::read(b"a\n!**/x").unwrap().may_take_back_below("a"));
}

#[test]
fn paths_are_cleaned() {
    for (path, want) in [
        ("", "."),
        ("/", "/"),
        ("a//b/.", "a/b"),
        ("../a/../..", "../.."),
        ("/../a", "/a"),
        ("a/..", "."),
    ] {
        assert_eq!(clean(path), want, "{path}");
    }
}
