//! Files as a whole: instructions, forms, flags, heredocs, and what is refused.

use crate::lint::LintOptions;
use crate::{
    CommandLine, Dockerfile, Kind, MountKind, NetworkMode, Reason, RunMount, SecurityMode, Sharing,
    parse, parse_trigger,
};

fn file(text: &str) -> Dockerfile {
    parse(text.as_bytes(), &LintOptions::none()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The one instruction of a stage that holds nothing else.
fn one(text: &str) -> Kind {
    let mut file = file(&format!("FROM x\n{text}\n"));
    assert_eq!(file.stages[0].instructions.len(), 1, "{text}");
    file.stages.remove(0).instructions.remove(0).kind
}

#[test]
fn stages_arguments_and_places() {
    let file = file(
        "# syntax=docker/dockerfile:1\n# escape=`\n\nARG V=1\nFROM --platform=$P a:$V AS Build\n\
         # about\nRUN one `\n  two\nfrom build\n",
    );
    assert_eq!(file.escape, '`');
    assert_eq!(file.directives.syntax.as_deref(), Some("docker/dockerfile:1"));
    assert_eq!(file.arguments.len(), 1);
    let [build, last] = file.stages.as_slice() else { panic!("{:?}", file.stages) };
    assert_eq!((build.name.as_deref(), build.base.as_str()), (Some("build"), "a:$V"));
    assert_eq!(build.platform.as_deref(), Some("$P"));
    let run = &build.instructions[0];
    assert_eq!((run.lines.first, run.lines.last), (7, 8));
    assert_eq!(run.source, "RUN one   two");
    assert_eq!(run.comments, ["about"]);
    assert_eq!((last.base.as_str(), last.lines.first), ("build", 9));
}

#[test]
fn both_forms_of_a_command() {
    let shell = |text: &str| CommandLine { words: vec![text.into()], shell: true };
    for (text, want) in [
        ("CMD a  b", shell("a  b")),
        ("CMD [\"a\", \"b\"]", CommandLine { words: vec!["a".into(), "b".into()], shell: false }),
        ("CMD ['a']", shell("['a']")),
        ("CMD [\"a\", \"b\"", shell("[\"a\", \"b\"")),
        ("CMD", CommandLine { words: vec![], shell: true }),
        ("CMD []", CommandLine { words: vec![], shell: false }),
    ] {
        let Kind::Cmd(command) = one(text) else { panic!("{text}") };
        assert_eq!(command, want, "{text}");
    }
}

#[test]
fn pairs_in_both_forms() {
    let pairs = |text: &str| match one(text) {
        Kind::Env(pairs) | Kind::Label(pairs) => {
            pairs.into_iter().map(|pair| (pair.key, pair.value, pair.legacy)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let pair = |key: &str, value: &str, legacy| (key.to_owned(), value.to_owned(), legacy);
    assert_eq!(
        pairs("ENV a=b c=\"d e\" f="),
        [pair("a", "b", false), pair("c", "\"d e\"", false), pair("f", "", false)]
    );
    assert_eq!(pairs("ENV a b  c=d"), [pair("a", "b  c=d", true)]);
    assert_eq!(pairs("LABEL a\\ b='c d'"), [pair("a\\ b", "'c d'", false)]);
}

#[test]
fn copy_and_add_with_their_flags() {
    let Kind::Copy(copy) = one(
        "COPY --from=a --chown=1:2 --chmod=u+x --link --parents=false --exclude=*.o --exclude=x a b /c/",
    ) else {
        panic!()
    };
    assert_eq!(copy.from.as_deref(), Some("a"));
    assert_eq!((copy.chown.as_str(), copy.chmod.as_str()), ("1:2", "u+x"));
    assert!(copy.link && !copy.parents);
    assert_eq!(copy.excludes, ["*.o", "x"]);
    assert_eq!((copy.sources.paths.len(), copy.sources.destination.as_str()), (2, "/c/"));
    let Kind::Add(add) =
        one("ADD --keep-git-dir --checksum=sha256:x --unpack=false [\"a b\", \"c\"]")
    else {
        panic!()
    };
    assert_eq!((add.keep_git_dir, add.unpack), (Some(true), Some(false)));
    assert_eq!(add.sources.paths, ["a b"]);
}

#[test]
fn heredocs_of_copies_and_commands() {
    let Kind::Copy(copy) = one("COPY <<a <<-\"b\" plain /d/\n1\na\n\t2\n\t\tb") else { panic!() };
    let files: Vec<_> = copy
        .sources
        .files
        .iter()
        .map(|f| (f.name.as_str(), f.content.as_str(), f.expand))
        .collect();
    assert_eq!(files, [("a", "1\n", true), ("b", "2\n", false)]);
    assert_eq!(copy.sources.paths, ["plain"]);

    let Kind::Run(run) = one("RUN cat <<EOF 3<< X && echo\nhello\nEOF\nX") else { panic!() };
    assert_eq!(run.heredocs.len(), 2);
    assert_eq!(run.heredocs[0].content, "hello\n");
    assert_eq!((run.heredocs[1].descriptor, run.heredocs[1].content.as_str()), (3, ""));

    let Kind::Onbuild(expression) = one("ONBUILD RUN <<EOF\nx\nEOF") else { panic!() };
    assert_eq!(expression, "RUN <<EOF\nx\nEOF");
    assert!(matches!(parse_trigger(&expression, Default::default()).unwrap().kind, Kind::Run(_)));

    // No heredoc: in JSON, in other instructions, with three signs, in quotes.
    for text in ["RUN [\"<<EOF\"]", "CMD <<EOF", "RUN x <<<EOF", "RUN \"<<EOF\""] {
        match one(text) {
            Kind::Run(run) => assert!(run.heredocs.is_empty(), "{text}"),
            Kind::Cmd(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn run_with_its_flags() {
    let Kind::Run(run) = one(
        "RUN --mount=target=/x --mount=type=tmpfs,dst=/y --network=none --security=insecure --device=v/c=d,required x",
    ) else {
        panic!()
    };
    assert_eq!(run.mounts, ["target=/x", "type=tmpfs,dst=/y"]);
    assert_eq!((run.network, run.security), (NetworkMode::None, SecurityMode::Insecure));
    assert_eq!((run.devices[0].name.as_str(), run.devices[0].required), ("v/c=d", true));
}

#[test]
fn mounts_with_their_keys() {
    let mount = |text: &str| RunMount::parse(text, |word| Ok(word.replace("$x", "X")));
    let bind = mount("target=/a,from=b,src=c").unwrap();
    assert_eq!((bind.kind, bind.read_only), (MountKind::Bind, true));
    assert!(!mount("type=bind,target=/a,rw").unwrap().read_only);
    let cache = mount("type=cache,target=/$x,sharing=LOCKED,mode=0777,uid=1,gid=2,id=i").unwrap();
    assert_eq!((cache.target.as_str(), cache.sharing), ("/X", Some(Sharing::Locked)));
    assert_eq!((cache.mode, cache.uid, cache.read_only), (Some(0o777), Some(1), false));
    assert_eq!(mount("type=tmpfs,target=/a,size=1.5k").unwrap().size_bytes, 1536);
    assert_eq!(mount("type=secret,id=s,env=E").unwrap().env.as_deref(), Some("E"));
    assert!(mount("type=ssh,required").unwrap().required);
    for (text, error) in [
        ("target", "invalid field 'target' must be a key=value pair"),
        ("type=foo", "unsupported mount type \"foo\""),
        ("type=cach", "unsupported mount type \"cach\" (did you mean cache?)"),
        ("targt=/x", "unexpected key 'targt' in 'targt=/x' (did you mean target?)"),
        ("type=bind,mode=1", "mode not allowed for \"bind\" type mounts"),
        ("type=cache,mode=9", "invalid value 9 for mode"),
        ("type=cache,size=1", "unexpected key 'size' for mount type 'cache'"),
        ("type=bind,required", "unexpected key 'required' for mount type 'bind'"),
        ("type=cache,sharing=x", "unsupported sharing value \"x\""),
        ("type=bind,sharing=locked", "invalid cache sharing set for bind mount"),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("ro=maybe", "invalid value for ro: maybe"),
    ] {
        assert_eq!(mount(text).unwrap_err().to_string(), error, "{text}");
    }
}

#[test]
fn the_other_instructions() {
    let Kind::Healthcheck(check) = one(
        "HEALTHCHECK --interval=1m --timeout=2s --start-period=3s --start-interval=4s --retries=5 CMD a b",
    ) else {
        panic!()
    };
    assert_eq!(check.test, ["CMD-SHELL", "a b"]);
    assert_eq!((check.interval, check.retries), (60_000_000_000, 5));
    let Kind::Healthcheck(check) = one("HEALTHCHECK cmd [\"a\"]") else { panic!() };
    assert_eq!(check.test, ["CMD", "a"]);
    assert!(matches!(one("HEALTHCHECK NONE"), Kind::Healthcheck(check) if check.test == ["NONE"]));
    assert!(matches!(one("EXPOSE 90 80/udp"), Kind::Expose(ports) if ports == ["80/udp", "90"]));
    assert!(matches!(one("VOLUME [\"/a\", \"/b\"]"), Kind::Volume(paths) if paths == ["/a", "/b"]));
    assert!(matches!(one("SHELL [\"a\", \"-c\"]"), Kind::Shell(words) if words == ["a", "-c"]));
    assert!(matches!(one("USER  a:b "), Kind::User(user) if user == "a:b"));
    assert!(matches!(one("WORKDIR /a b"), Kind::Workdir(path) if path == "/a b"));
    let Kind::Arg(pairs) = one("ARG a b=c d=\"e f\" g=") else { panic!() };
    let values: Vec<_> =
        pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_deref())).collect();
    assert_eq!(values, [("a", None), ("b", Some("c")), ("d", Some("\"e f\"")), ("g", Some(""))]);
}

#[test]
fn errors_are_worded_and_placed_as_buildkit_does() {
    for (text, line, error) in [
        ("", 0, "file with no instructions"),
        ("# only\n", 1, "file with no instructions"),
        ("RUN x\n", 1, "no build stage in current context"),
        ("ARG x\n", 0, "dockerfile contains no stages to build"),
        ("FROM x\nFOOBAR x\n", 2, "dockerfile parse error on line 2: unknown instruction: FOOBAR"),
        (
            "FROM x\ncop a b\n",
            2,
            "dockerfile parse error on line 2: unknown instruction: cop (did you mean copy?)",
        ),
        (
            "FROM a b\n",
            1,
            "dockerfile parse error on line 1: FROM requires either one or three arguments",
        ),
        (
            "FROM a AS 1x\n",
            1,
            "dockerfile parse error on line 1: invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        ),
        ("FROM x\nENV a\n", 2, "ENV must have two arguments"),
        (
            "FROM x\nENV a=b c\n",
            2,
            "Syntax error - can't find = in \"c\". Must be of the form: name=value",
        ),
        (
            "FROM x\nCOPY a\n",
            2,
            "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "FROM x\nCOPY --frobnicate a b\n",
            2,
            "dockerfile parse error on line 2: unknown flag: --frobnicate",
        ),
        (
            "FROM x\nCOPY --chow=1 a b\n",
            2,
            "dockerfile parse error on line 2: unknown flag: --chow (did you mean chown?)",
        ),
        (
            "FROM x\nCOPY --link=x a b\n",
            2,
            "dockerfile parse error on line 2: expecting boolean value for flag --link, not: x",
        ),
        (
            "FROM x\nCOPY --from a b\n",
            2,
            "dockerfile parse error on line 2: missing a value on flag: --from",
        ),
        (
            "FROM x\nCOPY --link --link a b\n",
            2,
            "dockerfile parse error on line 2: duplicate flag specified: --link",
        ),
        ("FROM x\nRUN <<EOF\nx\n", 2, "unterminated heredoc"),
        (
            "FROM x\nCOPY a <<E\nE\n",
            2,
            "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination",
        ),
        (
            "FROM x\nCMD [1]\n",
            2,
            "when using JSON array syntax, arrays must be comprised of strings only",
        ),
        (
            "FROM x\nSHELL a\n",
            2,
            "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form",
        ),
        (
            "FROM x\nRUN --network=x y\n",
            2,
            "dockerfile parse error on line 2: invalid network mode \"x\"",
        ),
        (
            "FROM x\nRUN --mount=from=$y z\n",
            2,
            "dockerfile parse error on line 2: 'from' doesn't support variable expansion, define alias stage instead",
        ),
        (
            "FROM x\nHEALTHCHECK FOO\n",
            2,
            "dockerfile parse error on line 2: Unknown type \"FOO\" in HEALTHCHECK (try CMD)",
        ),
        (
            "FROM x\nHEALTHCHECK --interval=1us CMD a\n",
            2,
            "dockerfile parse error on line 2: Interval \"interval\" cannot be less than 1ms",
        ),
        (
            "FROM x\nONBUILD ONBUILD RUN y\n",
            2,
            "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        (
            "FROM x\nONBUILD FROM y\n",
            2,
            "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger",
        ),
        ("# escape=x\nFROM x\n", 0, "invalid escape token 'x' does not match ` or \\"),
        ("# escape=`\n# escape=`\nFROM x\n", 1, "only one escape parser directive can be used"),
    ] {
        let found = parse(text.as_bytes(), &LintOptions::none()).unwrap_err();
        assert_eq!((found.to_string().as_str(), found.lines.first), (error, line), "{text:?}");
    }
}

#[test]
fn a_line_has_a_longest_length() {
    let text = format!("FROM x\nRUN {}\n", "a".repeat(65_536));
    let error = parse(text.as_bytes(), &LintOptions::none()).unwrap_err();
    assert_eq!(error.reason, Reason::LineTooLong);
    let text = format!("FROM x\nRUN {}\n", "a".repeat(65_000));
    assert!(parse(text.as_bytes(), &LintOptions::none()).is_ok());
}
