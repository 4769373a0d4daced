//! Each instruction, in the image that it makes.

use testkit::{Kista, needs};

use super::{Case, Context, check, check_failures};

#[test]
fn commands_and_their_forms() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let case = |dockerfile, command, output| Case { dockerfile, files: &[], command, output };
    check(
        &kista,
        &[
            case("FROM busybox\nRUN echo a > /f", "cat /f", "a"),
            case("FROM busybox\nRUN [\"sh\", \"-c\", \"echo $0 > /f\", \"b\"]", "cat /f", "b"),
            case("FROM busybox\nRUN echo 1 && \\\n  # between\n  echo 2 > /f", "cat /f", "2"),
            case("FROM busybox\nRUN <<EOF\necho 1 > /f\necho 2 >> /f\nEOF", "cat /f", "1\n2"),
            case("FROM busybox\nRUN <<-EOF\n\techo 1 > /f\n\tEOF", "cat /f", "1"),
            case("FROM busybox\nRUN cat > /f <<EOF\n$((1+1))\nEOF", "cat /f", "2"),
            case("FROM busybox\nRUN cat > /f <<'EOF'\n$x\nEOF", "cat /f", "$x"),
            case("FROM busybox\nRUN cat <<A > /a && cat <<B > /b\n1\nA\n2\nB", "cat /a /b", "1\n2"),
            case(
                "FROM busybox\nRUN <<EOF\n#!/bin/sh\necho $0 > /f\nEOF",
                "cat /f",
                "/dev/pipes/EOF",
            ),
            case("FROM busybox\nSHELL [\"sh\", \"-ec\"]\nRUN echo $- > /f", "cat /f", "ce"),
            case("# escape=`\nFROM busybox\nRUN echo a `\n  b > /f", "cat /f", "a b"),
        ],
    );
}

#[test]
fn environment_and_arguments() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let case = |dockerfile, command, output| Case { dockerfile, files: &[], command, output };
    check(
        &kista,
        &[
            case("FROM busybox\nENV A=1 B=\"x y\"\nENV C=$A$B", "echo $C", "1x y"),
            case("FROM busybox\nENV A b  c", "echo \"$A\"", "b  c"),
            case("FROM busybox\nENV A=1\nENV A=2 B=$A", "echo $A$B", "21"),
            case("FROM busybox\nARG V=1\nRUN echo $V > /f", "cat /f; echo ${V:-none}", "1\nnone"),
            case("ARG V=busybox\nFROM $V\nRUN echo \"<$V>\" > /f", "cat /f", "<>"),
            case("ARG V=7\nFROM busybox\nARG V\nRUN echo $V > /f", "cat /f", "7"),
            case(
                "FROM busybox\nARG V=abc.def\nENV W=${V%.*} X=${V/b/B}",
                "echo $W $X",
                "abc aBc.def",
            ),
            case(
                "FROM busybox\nARG TARGETARCH TARGETOS\nRUN echo $TARGETOS > /f",
                "cat /f",
                "linux",
            ),
            case("FROM busybox AS a\nENV A=1\nFROM a\nENV B=$A", "echo $B", "1"),
        ],
    );
    let context = Context::new("ARG B=x\nFROM busybox\nARG V=1\nRUN echo $V > /f", &[]);
    context.build(&kista, &["-t", "arg", "--build-arg", "V=9"]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "arg", "cat", "/f"]), "9");
}

#[test]
fn the_configuration() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(
        "FROM busybox\n\
         LABEL a=1 b=\"2 3\"\n\
         EXPOSE 80 90-91/udp\n\
         VOLUME /v [\"/w\"]\n\
         VOLUME [\"/x\"]\n\
         USER app:extra\n\
         WORKDIR /one\n\
         WORKDIR two\n\
         STOPSIGNAL SIGINT\n\
         ENTRYPOINT [\"/bin/echo\", \"a\"]\n\
         CMD [\"b\"]\n\
         ONBUILD RUN true\n",
        &[],
    );
    context.build(&kista, &["-t", "config", "--label", "c=4"]).ok();
    let found = kista.inspect("config");
    let config = &found["Config"];
    assert_eq!(config["Labels"], serde_json::json!({"a": "1", "b": "2 3", "c": "4"}));
    let ports: Vec<_> = config["ExposedPorts"].as_object().unwrap().keys().collect();
    assert_eq!(ports, ["80/tcp", "90/udp", "91/udp"]);
    assert!(config["Volumes"].get("/x").is_some());
    assert_eq!(config["User"], "app:extra");
    assert_eq!(config["WorkingDir"], "/one/two");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["OnBuild"], serde_json::json!(["RUN true"]));
    assert_eq!(kista.ok(&["run", "--rm", "config"]), "a b");
}

#[test]
fn entrypoint_and_cmd_as_they_replace_each_other() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    for (dockerfile, output) in [
        ("FROM busybox\nCMD echo a", "a"),
        ("FROM busybox\nENTRYPOINT [\"echo\"]\nCMD [\"a\"]", "a"),
        // A new entrypoint takes the base image's command away.
        ("FROM busybox\nENTRYPOINT [\"echo\", \"x\"]", "x"),
        ("FROM busybox\nCMD [\"a\"]\nENTRYPOINT [\"echo\"]", "a"),
        ("FROM busybox AS b\nENTRYPOINT [\"echo\", \"1\"]\nFROM b\nCMD [\"2\"]", "1 2"),
    ] {
        let context = Context::new(dockerfile, &[]);
        context.build(&kista, &["-t", "entry"]).ok();
        assert_eq!(kista.ok(&["run", "--rm", "entry"]), output, "{dockerfile}");
    }
}

#[test]
fn users_and_directories() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let case = |dockerfile, command, output| Case { dockerfile, files: &[], command, output };
    check(
        &kista,
        &[
            case("FROM busybox\nUSER app\nRUN id -u > /tmp/f", "cat /tmp/f", "1000"),
            case(
                "FROM busybox\nUSER 5:6\nRUN id -u > /tmp/f; id -g >> /tmp/f",
                "cat /tmp/f",
                "5\n6",
            ),
            case("FROM busybox\nWORKDIR /a/b\nRUN pwd > f", "cat /a/b/f", "/a/b"),
            case("FROM busybox\nUSER app\nWORKDIR /w", "stat -c %U /w", "app"),
            case("FROM busybox\nENV D=/d\nWORKDIR $D/e", "pwd", "/d/e"),
        ],
    );
}

#[test]
fn stages() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let case = |dockerfile, command, output| Case { dockerfile, files: &[], command, output };
    check(
        &kista,
        &[
            case(
                "FROM busybox AS a\nRUN echo 1 > /f\nFROM busybox\nCOPY --from=a /f /g",
                "cat /g; ls /f 2>&1 || true",
                "1\nls: /f: No such file or directory",
            ),
            case("FROM busybox\nRUN echo 1 > /f\nFROM busybox\nCOPY --from=0 /f /", "cat /f", "1"),
            case(
                "FROM busybox\nCOPY --from=busybox /bin/busybox /b/busybox",
                "/b/busybox echo ok",
                "ok",
            ),
            // What the target does not need is not built.
            case("FROM busybox AS a\nRUN false\nFROM busybox\nRUN echo 1 > /f", "cat /f", "1"),
            case(
                "FROM scratch AS s\nCOPY --from=busybox / /\nFROM s\nRUN echo 1 > /f",
                "cat /f",
                "1",
            ),
        ],
    );
    let context = Context::new("FROM busybox AS a\nRUN echo a > /f\nFROM a\nRUN false", &[]);
    context.build(&kista, &["-t", "target", "--target", "a"]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "target", "cat", "/f"]), "a");
    let failed = context.build(&kista, &["--target", "aa"]);
    failed.fails(1, "target stage \"aa\" could not be found (did you mean a?)");
}

#[test]
fn triggers_run_in_the_next_build() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let base = Context::new("FROM busybox\nONBUILD COPY f /g\nONBUILD RUN echo 2 >> /g", &[]);
    base.build(&kista, &["-t", "base"]).ok();
    let child = Context::new("FROM base\nRUN echo 3 >> /g", &[("f", "1\n")]);
    child.build(&kista, &["-t", "child"]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "child", "cat", "/g"]), "1\n2\n3");
    assert_eq!(kista.inspect("child")["Config"].get("OnBuild"), None);
}

#[test]
fn failures_say_where_and_why() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    check_failures(
        &kista,
        &[
            ("", "the Dockerfile cannot be empty"),
            (
                "FROM busybox\nFOOBAR x",
                "dockerfile parse error on line 2: unknown instruction: FOOBAR",
            ),
            ("FROM busybox\nRUN exit 3", "did not complete successfully: exit code: 3"),
            ("FROM busybox\nRUN exit 3", "   2 | >>> RUN exit 3"),
            ("FROM busybox\nRUN echo tell; false", "tell"),
            ("FROM localhost:1/nowhere:1", "localhost:1/nowhere:1"),
            ("FROM busybox\nCOPY nothing /", "\"/nothing\": not found"),
            (
                "FROM busybox AS x\nCOPY --from=later /a /\nFROM busybox AS later\nFROM x",
                "needs to be defined before",
            ),
            ("FROM busybox AS x\nCOPY --from=x /a /", "circular dependency detected on stage: x"),
            (
                "FROM busybox\nCOPY a.txt b.txt /dir",
                "the destination must be a directory and end with a /",
            ),
            ("FROM busybox\nADD https://127.0.0.1:1/x /", "cannot fetch https://127.0.0.1:1/x"),
            ("FROM busybox\nRUN --network=host true", "network.host is not allowed"),
            ("FROM busybox\nRUN --security=insecure true", "security.insecure is not allowed"),
            ("FROM ${x:?say}", "x: say"),
            ("FROM busybox\nUSER nobody-here\nRUN true", "nobody-here"),
            ("FROM busybox\nSTOPSIGNAL SIGNOTHING", "invalid signal: SIGNOTHING"),
            ("FROM busybox\nRUN /no/such/program", "exit code: 127"),
            ("FROM busybox\nRUN [\"/no/such/program\"]", "exit code: 127"),
        ],
    );
}

#[test]
fn the_linter() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    for (dockerfile, rules) in [
        ("FROM busybox\nCMD [\"a\"]\n", &[][..]),
        ("FROM busybox\nCMD a\n", &["JSONArgsRecommended"]),
        ("FROM busybox\nCMD [\"a\"]\nCMD [\"b\"]\n", &["MultipleInstructionsDisallowed"]),
        ("FROM busybox\nENV a b\n", &["LegacyKeyValueFormat"]),
        ("FROM busybox\nENV API_KEY=1\n", &["SecretsUsedInArgOrEnv"]),
        ("FROM busybox\nENV PUBLIC_KEY=1\n", &[]),
        ("FROM busybox\nWORKDIR a\n", &["WorkdirRelativePath"]),
        ("FROM busybox\nENV A=$PAHT\n", &["UndefinedVar"]),
        ("ARG B\nFROM ${B:-busybox}$C\n", &["UndefinedArgInFrom"]),
        ("ARG B\nFROM busybox AS x\nFROM $B\n", &["InvalidDefaultArgInFrom"]),
        ("FROM --platform=$TARGETPLATFORM busybox\n", &["RedundantTargetPlatform"]),
        ("FROM --platform=linux/amd64 busybox\n", &["FromPlatformFlagConstDisallowed"]),
        ("FROM busybox\nEXPOSE 80/TCP\n", &["ExposeProtoCasing"]),
        ("FROM busybox\nEXPOSE 80:80\n", &["ExposeInvalidFormat"]),
        ("FROM busybox\nCOPY ignored /\n", &["CopyIgnoredFile"]),
        ("# check=skip=all\nFROM busybox\nCMD a\n", &[]),
    ] {
        let context = Context::new(dockerfile, &[(".dockerignore", "ignored\n"), ("ignored", "")]);
        let arguments = ["--check", "--build-arg", "B=busybox"];
        let out = context.build(&kista, &arguments);
        let found: Vec<&str> = out
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("WARNING: ")?.split(' ').next())
            .collect();
        assert_eq!(found, rules, "{dockerfile}\n{}\n{}", out.stdout, out.stderr);
        assert_eq!(out.code, i32::from(!rules.is_empty()), "{dockerfile}");
    }
    let context = Context::new("# check=error=true\nFROM busybox\nCMD a\n", &[]);
    context.build(&kista, &[]).fails(1, "lint violation found for rules: JSONArgsRecommended");
}

#[test]
fn arguments_of_buildkit() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(
        "FROM busybox\nRUN --mount=type=cache,target=/c hostname > /h; ls /c > /l; touch /c/mine\n",
        &[],
    );
    let build = |arguments: &[&str]| {
        let flags: Vec<&str> = arguments.iter().flat_map(|one| ["--build-arg", one]).collect();
        let built = context.build(&kista, &[&["-t", "x"], flags.as_slice()].concat());
        assert_eq!(built.code, 0, "{}", built.stderr);
        kista.ok(&["run", "--rm", "x", "cat", "/h", "/l"])
    };
    assert_eq!(build(&[]), "buildkitsandbox");
    assert_eq!(build(&["BUILDKIT_SANDBOX_HOSTNAME=mine"]), "mine\nmine");
    // Another namespace has no file in its cache.
    let other = ["BUILDKIT_SANDBOX_HOSTNAME=mine", "BUILDKIT_CACHE_MOUNT_NS=other"];
    assert_eq!(build(&other), "mine");
    let folder = context.file("out");
    let to = format!("type=oci,tar=false,dest={}", folder.display());
    let read = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.join(path)).unwrap()).unwrap()
    };
    let arguments = ["BUILDKIT_MULTI_PLATFORM=1", "BUILDKIT_INLINE_CACHE=1"];
    let flags = ["--build-arg", arguments[0], "--build-arg", arguments[1], "-o", &to];
    context.build(&kista, &flags).ok();
    let index = read("index.json")["manifests"][0].take();
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let blob = |entry: &serde_json::Value| {
        read(&format!("blobs/{}", entry["digest"].as_str().unwrap().replace(':', "/")))
    };
    let manifest = blob(&blob(&index)["manifests"][0]);
    assert!(manifest["annotations"]["io.kista.buildcache.v1"].is_string(), "{manifest}");
    let context = Context::new("FROM scratch\n", &[]);
    context
        .build(&kista, &["--build-arg", "BUILDKIT_ATTEST_OTHER="])
        .fails(1, "unknown attestation");
}
