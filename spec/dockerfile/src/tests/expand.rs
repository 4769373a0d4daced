//! Variable expansion and words.

use crate::{Lexer, ParseError, Variables};

struct Table;

impl Variables for Table {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "A" => Some("abcab"),
            "B" => Some(""),
            "FILE" => Some("x/y/z.tar.gz"),
            "LINES" => Some("a\nb"),
            "1" => Some("one"),
            _ => None,
        }
    }
}

fn check(cases: &[(&str, &str)]) {
    for (text, want) in cases {
        match Lexer::new('\\').expand(text, &Table) {
            Ok(expanded) => assert_eq!(expanded.text, *want, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
}

fn check_errors(cases: &[(&str, &str)]) {
    for (text, want) in cases {
        let error = Lexer::new('\\').expand(text, &Table).unwrap_err().to_string();
        assert_eq!(error, format!("failed to process {text:?}: {want}"));
    }
}

#[test]
fn plain_text_quotes_and_escapes() {
    check(&[
        ("hello", "hello"),
        ("he'll'o", "hello"),
        ("\"a b\"", "a b"),
        ("\\$A", "$A"),
        ("'$A'", "$A"),
        ("\"$A\"", "abcab"),
        ("\"\\$A\"", "$A"),
        ("\"a\\b\"", "a\\b"),
        ("a\\", "a"),
        ("$", "$"),
        ("$ x", "$ x"),
        ("$1x", "onex"),
        ("$A.$A", "abcab.abcab"),
        ("${A}x", "abcabx"),
        ("é$A", "éabcab"),
    ]);
    check_errors(&[
        ("he'll", "unexpected end of statement while looking for matching single-quote"),
        ("\"a", "unexpected end of statement while looking for matching double-quote"),
    ]);
}

#[test]
fn defaults_alternatives_and_demands() {
    check(&[
        ("${U:-w}", "w"),
        ("${U-w}", "w"),
        ("${B:-w}", "w"),
        ("${B-w}", ""),
        ("${A:+w}", "w"),
        ("${B:+w}", ""),
        ("${B+w}", "w"),
        ("${U+w}", ""),
        ("${A:?w}", "abcab"),
        ("${B?w}", ""),
        ("${U:-${A}}", "abcab"),
        ("${U:-'}'}", "}"),
        ("${U:-\\}}", "}"),
    ]);
    check_errors(&[
        ("${U?}", "U: is not allowed to be unset"),
        ("${U:?gone}", "U: gone"),
        ("${B:?}", "B: is not allowed to be empty"),
        ("${", "syntax error: missing '}'"),
        ("${A", "unsupported modifier (\u{fffd}) in substitution"),
        ("${A:-x", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${A:#x}", "unsupported modifier (:#) in substitution"),
        ("${A!x}", "unsupported modifier (!) in substitution"),
    ]);
}

#[test]
fn patterns_trim_and_replace() {
    check(&[
        ("${A#a}", "bcab"),
        ("${A#*b}", "cab"),
        ("${A##*b}", ""),
        ("${A%b}", "abca"),
        ("${A%b*}", "abca"),
        ("${A%%b*}", "a"),
        ("${A#x}", "abcab"),
        ("${FILE##*/}", "z.tar.gz"),
        ("${FILE%.*}", "x/y/z.tar"),
        ("${FILE%%.*}", "x/y/z"),
        ("${A/a/X}", "Xbcab"),
        ("${A//a/X}", "XbcXb"),
        ("${A//[/X}", "abcab"),
        ("${A//?/X}", "XXXXX"),
        ("${A/*/X}", "X"),
        ("${A//b*/X}", "aX"),
        ("${FILE//\\//-}", "x-y-z.tar.gz"),
        ("${A//a/$1}", "onebconeb"),
        ("${U/a/b}", ""),
        ("${LINES/a*/X}", "X\nb"),
    ]);
    check_errors(&[
        ("${A/a}", "syntax error: missing '/' in ${}"),
        ("${A#\\a}", "invalid pattern (\\a) in substitution: invalid escape '\\a'"),
    ]);
}

#[test]
fn words_are_split_behind_the_expansion() {
    for (text, want) in [
        ("a b", &["a", "b"][..]),
        (" a\t b ", &["a", "b"]),
        ("'a b' c", &["a b", "c"]),
        ("a\\ b", &["a b"]),
        ("$LINES", &["a", "b"]),
        ("\"$LINES\"", &["a\nb"]),
        ("", &[]),
        ("80${U:-80}", &["8080"]),
    ] {
        assert_eq!(Lexer::new('\\').expand(text, &Table).unwrap().words, want, "{text}");
    }
}

#[test]
fn names_are_reported() {
    let expanded = Lexer::new('\\').expand("$A $U ${B:-$V}", &Table).unwrap();
    assert_eq!(expanded.matched.into_iter().collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(expanded.unmatched.into_iter().collect::<Vec<_>>(), ["U", "V"]);
}

#[test]
fn options_of_the_lexer() {
    let lexer = Lexer::new('\\').keep_unset();
    assert_eq!(lexer.expand("$U ${U} ${U:-w} $A", &Table).unwrap().text, "$U ${U} ${U:-w} abcab");
    let lexer = Lexer::new('\\').ignore_quotes();
    assert_eq!(lexer.expand("'$A\"", &Table).unwrap().text, "'abcab\"");
    let lexer = Lexer::new('`').keep_quotes();
    assert_eq!(lexer.expand("\"C:\\x\" `$A", &Table).unwrap().text, "\"C:\\x\" $A");
}

#[test]
fn what_nests_without_end_is_an_error() {
    let text = "${A:+".repeat(100_000);
    assert!(Lexer::new('\\').expand(&text, &Table).is_err());
    let text = format!("{}{}", "ONBUILD ".repeat(8_000), "RUN x");
    let error: ParseError = crate::parse(text.as_bytes(), &Default::default()).unwrap_err();
    assert!(error.to_string().contains("Chaining ONBUILD"), "{error}");
}

#[test]
fn what_variables_add_is_bounded() {
    let value: &'static str = Box::leak("x".repeat(1 << 16).into_boxed_str());
    let variables = |name: &str| (name == "A").then_some(value);
    let expand = |text: &str| crate::Lexer::new('\\').expand(text, &variables);
    assert_eq!(expand(&"$A".repeat(16)).unwrap().text.len(), 1 << 20);
    for text in
        ["$A".repeat(17), "${A//x/$A}".to_owned(), "${A:+${A//x/yyyyyyyyyyyyyyyyyyy}}".into()]
    {
        let error = expand(&text).unwrap_err().to_string();
        assert!(error.ends_with("variables add more than 1048576 bytes"), "{text:.40}");
    }
}
