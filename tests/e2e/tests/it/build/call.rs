//! `--call`: what a Dockerfile says of itself.

use testkit::{Kista, needs};

use super::Context;

const DOCKERFILE: &str = "\
ARG inherited=box
ARG inherited2=box2
ARG unused=abc${inherited2}
# sfx is a suffix
ARG sfx=\"usy${inherited}\"

FROM b${sfx} AS first
# this is not assigned to anything
ARG FOO=123
# BAR is a number
ARG BAR=456
RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true

FROM nowhere${unused} AS second
ARG BAZ
RUN --mount=type=secret,id=unused --mount=type=ssh,id=ssh2 true

FROM scratch AS third
ARG ABC=a
ARG sfx

# target defines build target
FROM third AS target
COPY --from=first /etc/passwd /
RUN --mount=type=ssh,id=ssh3,required true

FROM second
";

#[test]
fn the_outline_of_a_target() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(DOCKERFILE, &[]);
    let arguments = ["--target", "target", "--build-arg", "BAR=678", "--call"];
    let call = |method: &str| context.build(&kista, &[&arguments[..], &[method]].concat());
    let lines = [
        "TARGET:      target",
        "DESCRIPTION: defines build target",
        "",
        "BUILD ARG   VALUE    DESCRIPTION",
        "inherited   box      ",
        "sfx         usybox   is a suffix",
        "FOO         123      ",
        "BAR         678      is a number",
        "ABC         a        ",
        "",
        "SECRET   REQUIRED",
        "passwd   true",
        "",
        "SSH       REQUIRED",
        "default   ",
        "ssh3      true",
        "",
        "",
    ];
    let outline = call("outline");
    assert_eq!(outline.stdout, lines.join("\n"), "{}", outline.stderr);
    let shown = call("outline,format=json");
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["name"], "target");
    let lines = serde_json::json!({"start": {"line": 5}, "end": {"line": 5}});
    assert_eq!(
        shown["args"][1],
        serde_json::json!({
            "name": "sfx",
            "description": "is a suffix",
            "value": "usybox",
            "location": {"ranges": [lines]},
        })
    );
    assert_eq!(shown["secrets"][0]["required"], true);
    assert!(shown["ssh"][0].get("required").is_none(), "{shown}");
    assert_eq!(shown["sources"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_targets_of_a_file() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(DOCKERFILE, &[]);
    // Nothing is looked up for it: there is no image `nowhere`.
    assert_eq!(
        context.build(&kista, &["--call", "targets"]).stdout,
        "TARGET    DESCRIPTION\nfirst     \nsecond    \nthird     \n\
         target    defines build target\n(default) \n"
    );
    let shown = context.build(&kista, &["--call=targets,format=json"]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["targets"][3]["base"], "third");
    assert_eq!(shown["targets"][4]["default"], true);
    assert_eq!(shown["targets"][1]["base"], "nowhere${unused}");
}

#[test]
fn findings_as_json_and_as_text() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox AS Upper\nRUN true\n", &[]);
    let shown = context.build(&kista, &["--call", "check,format=json"]);
    assert_eq!(shown.code, 1);
    let found: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(found["warnings"][0]["ruleName"], "StageNameCasing");
    assert_eq!(found["warnings"][0]["location"]["ranges"][0]["start"]["line"], 1);
    assert_eq!(found["sources"][0]["filename"], "Dockerfile");
    assert_eq!(context.build(&kista, &["--call", "lint,ignorestatus=true"]).code, 0);
    let methods = context.build(&kista, &["--call", "subrequests.describe"]).stdout;
    assert!(
        methods.starts_with("NAME                 VERSION DESCRIPTION\noutline  "),
        "{methods}"
    );
}
