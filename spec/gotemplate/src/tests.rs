//! Templates and what Go makes of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Missing, Options, Template};

fn data() -> Value {
    json!({
        "Name": "web", "Id": "0123456789abcdef", "Count": 3, "Zero": 0, "Half": 0.5, "Big": 1e21,
        "Yes": true, "No": false, "Null": null, "Empty": "", "Words": ["b", "a"], "None": [],
        "Labels": {"b": "2", "a": "1"}, "State": {"Pid": 42, "Running": true},
        "Mounts": [{"Source": "/a"}, {"Source": "/b"}], "Text": "a<b> & \"c\"",
    })
}

fn run(text: &str, options: &Options<'_>) -> String {
    let made = Template::parse(text).and_then(|template| template.execute_with(&data(), options));
    made.unwrap_or_else(|err| err.to_string())
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(run(text, &Options::default()), *expected, "{text}");
    }
}

#[test]
fn values_print_as_in_go() {
    check(&[
        ("{{.Name}}", "web"),
        ("a {{.Count}} b", "a 3 b"),
        ("{{.Half}} {{.Big}}", "0.5 1e+21"),
        ("{{.Words}} {{.None}}", "[b a] []"),
        ("{{.Labels}}", "map[a:1 b:2]"),
        ("{{.Mounts}}", "[map[Source:/a] map[Source:/b]]"),
        ("{{.Missing}} {{.Missing.Deeper}} {{.Null}}", "<no value> <no value> <no value>"),
        ("{{.State.Pid}}{{$.State.Running}}", "42true"),
        ("{{(index .Mounts 1).Source}}", "/b"),
        ("{{`raw`}}{{\"q\\tq\"}}{{'a'}}{{0x10}}{{1_000}}{{-1.5}}", "rawq\tq97161000-1.5"),
        ("{{print nil}} {{print .Missing}} {{print 1 2 \"x\" 3}}", "<nil> <nil> 1 2x3"),
        ("{{println 1 \"a\"}}", "1 a\n"),
    ]);
}

#[test]
fn blocks_and_variables() {
    check(&[
        ("{{if .Yes}}y{{else}}n{{end}}{{if .Zero}}y{{else if .Name}}m{{else}}n{{end}}", "ym"),
        (
            "{{with .State}}{{.Pid}}{{else}}n{{end}}{{with .None}}y{{else with .Name}}{{.}}{{end}}",
            "42web",
        ),
        ("{{range .Words}}<{{.}}>{{end}}{{range .None}}x{{else}}none{{end}}", "<b><a>none"),
        ("{{range $i, $w := .Words}}{{$i}}={{$w}};{{end}}", "0=b;1=a;"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;"),
        (
            "{{range $v := .Labels}}{{$v}}{{end}}{{range $i := 3}}{{$i}}{{end}}{{range 2}}.{{end}}",
            "12012..",
        ),
        ("{{range .Words}}{{if eq . \"a\"}}{{break}}{{end}}{{.}}{{end}}", "b"),
        ("{{range .Words}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "a"),
        ("{{$x := 1}}{{if true}}{{$x = 2}}{{$y := 3}}{{end}}{{$x}}", "2"),
        ("{{range .Mounts}}{{$.Name}}{{.Source}}{{end}}", "web/aweb/b"),
        (
            "{{define \"t\"}}[{{.}}]{{end}}{{template \"t\" .Name}}{{template \"t\"}}",
            "[web][<no value>]",
        ),
        ("{{block \"t\" .Count}}({{.}}){{end}}", "(3)"),
        ("a {{- /* c */ -}} b {{- 1 -}} c{{/* d */}}", "ab1c"),
        ("{{if and .Yes .Name}}{{or .Empty .Count}}{{end}}{{not .No}}", "3true"),
        ("{{range $i, $w := .Words}}{{if $i}}, {{end}}{{$w}}{{end}}", "b, a"),
    ]);
}

#[test]
fn functions_of_go() {
    check(&[
        (
            "{{eq .Count 3}}{{eq .Name \"x\" \"web\"}}{{ne 1 2}}{{lt 1 2}}{{le 2 2}}{{gt \"b\" \"a\"}}{{ge 1 2}}",
            "truetruetruetruetruetruefalse",
        ),
        ("{{len .Words}}{{len .Name}}{{len .Labels}}", "232"),
        ("{{index .Labels \"a\"}}{{index .Words 1}}{{index .Labels \"x\"}}", "1a<no value>"),
        ("{{slice .Id 0 4}}{{slice .Words 1}}", "0123[a]"),
        ("{{html .Text}}", "a&lt;b&gt; &amp; &#34;c&#34;"),
        (
            "{{js .Text}}{{urlquery .Text}}",
            "a\\u003Cb\\u003E \\u0026 \\\"c\\\"a%3Cb%3E+%26+%22c%22",
        ),
        (
            "{{printf \"%s-%05d-%x-%q-%v\" .Name .Count 255 \"a\" .Words}}",
            "web-00003-ff-\"a\"-[b a]",
        ),
        (
            "{{printf \"%-6s|%6s|%.2f|%+d|%t|%T\" .Name .Name .Half 1 true 1}}",
            "web   |   web|0.50|+1|true|int",
        ),
        (
            "{{printf \"%d\" \"x\"}}{{printf \"%s\"}}{{printf \"a\" 1}}{{printf \"%z\" 1}}",
            "%!d(string=x)%!s(MISSING)a%!(EXTRA int=1)%!z(int=1)",
        ),
        (
            "{{printf \"%*d|%c|%U|%08b|%#x|%e|%g\" 4 7 65 65 5 255 1.5 100000.0}}",
            "   7|A|U+0041|00000101|0xff|1.500000e+00|100000",
        ),
        ("{{.Count | printf \"%d %s\" 1 | len}}", "12"),
    ]);
}

#[test]
fn functions_of_docker() {
    check(&[
        ("{{json .State}}", "{\"Pid\":42,\"Running\":true}"),
        ("{{json .Missing}}{{json .Text}}{{json .Null}}", "null\"a<b> & \\\"c\\\"\"null"),
        (
            "{{join .Words \"/\"}}{{split \"a,b\" \",\"}}{{join (split \"a-b\" \"-\") \".\"}}",
            "b/a[a b]a.b",
        ),
        ("{{upper .Name}}{{lower \"ABC\"}}{{title \"some words\"}}", "WEBabcSome Words"),
        (
            "{{pad .Name 1 2}}|{{pad .Empty 1 2}}|{{truncate .Id 4}}|{{truncate .Name 9}}",
            " web  ||0123|web",
        ),
        ("{{.Name | upper | printf \"%s!\"}}", "WEB!"),
    ]);
}

#[test]
fn errors_of_execution_have_gos_text() {
    check(&[
        (
            "{{.Name.Foo}}",
            "template: :1:7: executing \"\" at <.Name.Foo>: can't evaluate field Foo in type string",
        ),
        (
            "{{.Null.Foo}}",
            "template: :1:7: executing \"\" at <.Null.Foo>: nil pointer evaluating interface {}.Foo",
        ),
        (
            "{{index .Words 5}}",
            "template: :1:2: executing \"\" at <index .Words 5>: error calling index: index out of range: 5",
        ),
        (
            "{{len 3}}",
            "template: :1:2: executing \"\" at <len 3>: error calling len: len of type int",
        ),
        (
            "{{upper 3}}",
            "template: :1:8: executing \"\" at <3>: wrong type for value; expected string; got int",
        ),
        (
            "{{json}}",
            "template: :1:2: executing \"\" at <json>: wrong number of args for json: want 1 got 0",
        ),
        (
            "x\n{{template \"t\"}}",
            "template: :2:3: executing \"\" at <{{template \"t\"}}>: template \"t\" not defined",
        ),
        (
            "{{lt 1 \"a\"}}",
            "template: :1:2: executing \"\" at <lt 1 \"a\">: error calling lt: incompatible types for comparison",
        ),
        (
            "{{range .Name}}{{end}}",
            "template: :1:8: executing \"\" at <.Name>: range can't iterate over web",
        ),
    ]);
}

#[test]
fn errors_of_parsing_have_gos_text() {
    check(&[
        ("{{foo}}", "template: :1: function \"foo\" not defined"),
        ("{{.Foo", "template: :1: unclosed action"),
        ("{{$x}}", "template: :1: undefined variable \"$x\""),
        ("\n{{if .A}}", "template: :2: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{if}}{{end}}", "template: :1: missing value for if"),
        ("{{}}", "template: :1: missing value for command"),
        ("{{.Foo-bar}}", "template: :1: bad character U+002D '-'"),
        ("{{(.Foo}}", "template: :1: unclosed left paren"),
        ("{{.Foo)}}", "template: :1: unexpected right paren"),
        ("{{\"a}}", "template: :1: unterminated quoted string"),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
        ("{{.A | 3}}", "template: :1: non executable command in pipeline stage 2"),
        ("{{if .A}}{{else}}{{else}}{{end}}", "template: :1: expected end; found {{else}}"),
        ("{{/* a", "template: :1: unclosed comment"),
        ("{{3a}}", "template: :1: bad number syntax: \"3a\""),
        ("{{.}", "template: :1: bad character U+007D '}'"),
        ("{{. }", "template: :1: unexpected \"}\" in operand"),
    ]);
}

#[test]
fn a_missing_field_of_a_struct_is_an_error() {
    let options = Options {
        missing: Missing::NoField { type_name: "*formatter.ContainerContext" },
        header: false,
    };
    assert_eq!(
        run("{{.Foo}}", &options),
        "template: :1:2: executing \"\" at <.Foo>: \
         can't evaluate field Foo in type *formatter.ContainerContext"
    );
    assert_eq!(run("{{.Labels.x}}", &options), "<no value>");
}

#[test]
fn inspect_tells_maps_from_structs() {
    let missing = Missing::NoEntry { maps: &["Labels", "Null"], optional: &["Health"] };
    let options = Options { missing, header: false };
    let cases = [
        (
            "{{.State.Foo}}",
            "template: :1:8: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\"",
        ),
        ("{{.Labels.x}}", "<no value>"),
        ("{{index .Labels \"x\"}}|{{index .Null \"x\"}}", "|"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
        (
            "{{range .Mounts}}{{.Nothing}}{{end}}",
            "template: :1:19: executing \"\" at <.Nothing>: map has no entry for key \"Nothing\"",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(run(text, &options), expected, "{text}");
    }
}

#[test]
fn a_header_keeps_its_titles() {
    let options = Options { header: true, ..Options::default() };
    assert_eq!(
        run("{{json .Name}}\t{{upper .Id}} {{pad .Name 3 3}}", &options),
        "web\t0123456789abcdef web"
    );
}

#[test]
fn what_would_not_end_is_stopped() {
    let doubling =
        "{{$x := \"aaaaaaaaaaaaaaaa\"}}{{range 40}}{{$x = printf \"%s%s\" $x $x}}{{end}}";
    assert!(run(doubling, &Options::default()).contains("result too large"));
    let recursion = "{{define \"t\"}}{{template \"t\"}}{{end}}{{template \"t\"}}";
    assert!(run(recursion, &Options::default()).contains("exceeded maximum template depth"));
    let endless = "{{range 4000000000}}{{end}}";
    assert!(run(endless, &Options::default()).contains("steps"));
    let deep = "(".repeat(100_000);
    assert!(run(&format!("{{{{{deep}"), &Options::default()).contains("max expression depth"));
    let ifs = "{{if true}}".repeat(10_000);
    assert!(run(&ifs, &Options::default()).contains("max expression depth"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,80}") {
        let _ = Template::parse(&text);
        let _ = Template::parse(&format!("{{{{{text}}}}}"));
    }

    #[test]
    fn no_mixture_of_template_pieces_makes_it_panic(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "{{", "}}", "{{- ", " -}}", "if", "else", "end", "range", "with", "define", "block",
                "template", "break", "continue", " ", "$x", "$", ":=", "=", ",", ".", ".Name",
                ".Words", ".Labels", "|", "(", ")", "\"t\"", "'a'", "`r`", "1", "-1", "1.5", "nil",
                "true", "printf", "\"%*d %v\"", "index", "slice", "len", "join", "json", "eq", "and",
                "é", "/*", "*/", "\n", "pad", "truncate", "x",
            ]),
            0..24,
        ),
    ) {
        let text: String = pieces.concat();
        if let Ok(template) = Template::parse(&text) {
            let _ = template.execute(&data());
        }
    }
}
