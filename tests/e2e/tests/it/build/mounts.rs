//! `RUN --mount`.

use testkit::{Kista, needs};

use super::{Context, check_failures};

#[test]
fn contexts_and_stages_are_mounted() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let dockerfile = "FROM busybox AS s\nRUN mkdir /d && echo stage > /d/f\n\
        FROM busybox\n\
        RUN --mount=target=/m cat /m/a > /out && ! touch /m/a 2>/dev/null\n\
        RUN --mount=type=bind,source=d,target=/m,rw echo x > /m/new && ls /m >> /out\n\
        RUN --mount=from=s,source=/d,target=/m cat /m/f >> /out\n\
        RUN --mount=from=s,source=/d/f,target=/deep/file cat /deep/file >> /out\n\
        RUN --mount=from=busybox,target=/m test -x /m/bin/busybox\n\
        RUN test ! -e /m && test ! -e /deep\n";
    let context = Context::new(dockerfile, &[("a", "context\n"), ("d/f", "1")]);
    context.build(&kista, &["-t", "mounts"]).ok();
    let out = kista.ok(&["run", "--rm", "mounts", "cat", "/out"]);
    assert_eq!(out, "context\nf\nnew\nstage\nstage");
    assert!(!context.file("d/new").exists(), "what is written to a mount is thrown away");
}

#[test]
fn caches_outlive_the_build() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let dockerfile = "FROM busybox\nARG N\n\
        RUN --mount=type=cache,target=/c,mode=0700,uid=5 echo $N >> /c/log && cat /c/log > /out && stat -c %a-%u /c >> /out\n";
    let context = Context::new(dockerfile, &[]);
    for number in ["1", "2"] {
        context.build(&kista, &["-t", "c", "--build-arg", &format!("N={number}")]).ok();
    }
    assert_eq!(kista.ok(&["run", "--rm", "c", "cat", "/out"]), "1\n2\n700-5");
    kista.ok(&["builder", "prune", "-f", "-a"]);
    context.build(&kista, &["-t", "c", "--build-arg", "N=3"]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "c", "cat", "/out"]), "3\n700-5");
}

#[test]
fn secrets_are_seen_and_leave_nothing_behind() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let dockerfile = "FROM busybox\n\
        RUN --mount=type=secret,id=one,mode=0440,gid=7 stat -c %a-%g /run/secrets/one && md5sum /run/secrets/one | cut -c1-32 > /sum\n\
        RUN --mount=type=secret,id=two,env=TOKEN test $(printf \"$TOKEN\" | md5sum | cut -c1-32) = 8f0751daeb139d69f04ddb8c2054ba42 && test ! -e /run/secrets/two\n\
        RUN --mount=type=secret,id=none true\n\
        RUN test ! -e /run/secrets\n";
    let context = Context::new(dockerfile, &[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "canary-one").unwrap();
    let one = format!("id=one,src={}", file.path().display());
    let path = context.path().to_str().unwrap();
    let words = [
        "build",
        "--progress",
        "plain",
        "-t",
        "s",
        "--secret",
        &one,
        "--secret",
        "id=two,env=TWO",
        path,
    ];
    let built = kista.command(&words).env("TWO", "canary-two").run();
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(built.stderr.contains("440-7"), "{}", built.stderr);
    // Nowhere below the data directory.
    let found = std::process::Command::new("grep")
        .args(["-rlE", "canary-(one|two)"])
        .arg(kista.root())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    // And another secret is not another step.
    std::fs::write(file.path(), "other").unwrap();
    let again = kista.command(&words).env("TWO", "canary-two").run();
    assert_eq!(again.stderr.matches("CACHED").count(), 5, "{}", again.stderr);
}

#[test]
fn what_cannot_be_mounted_is_said() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    check_failures(
        &kista,
        &[
            ("FROM busybox\nRUN --mount=type=secret,id=x,required true", "secret x: not found"),
            ("FROM busybox\nRUN --mount=type=ssh,required true", "unset ssh forward key default"),
            ("FROM busybox\nRUN --mount=target=/ true", "invalid mount target \"/\""),
            ("FROM busybox\nRUN --mount=source=nothing,target=/x true", "\"nothing\": not found"),
            ("FROM busybox\nRUN --mount=type=cache true", "a cache mount needs a target"),
            (
                "FROM busybox AS x\nRUN --mount=from=later,target=/x true\nFROM busybox AS later\nFROM x",
                "before",
            ),
            (
                "FROM busybox\nRUN --device=v/c,required true",
                "required device \"v/c\" is not registered",
            ),
        ],
    );
}

#[test]
fn a_step_has_the_network_that_it_asks_for() {
    needs!(Root, Busybox);
    let kista = Kista::on_this_machine();
    kista.load(&testkit::Image::busybox("busybox"));
    let space = "readlink /proc/self/ns/net > /n";
    let own = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let dockerfile = format!("FROM busybox\nRUN --network=none {space}");
    Context::new(&dockerfile, &[]).build(&kista, &["-t", "n"]).ok();
    let none = kista.ok(&["run", "--rm", "n", "cat", "/n"]);
    assert_ne!(none, own);
    let dockerfile = format!("FROM busybox\nRUN --network=host {space}");
    let context = Context::new(&dockerfile, &[]);
    context.build(&kista, &["-t", "n", "--allow", "network.host"]).ok();
    let host = kista.ok(&["run", "--rm", "n", "cat", "/n"]);
    assert_eq!(host, own);
}
