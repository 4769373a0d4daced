//! What is done again and what is not, and that the same comes out.

use testkit::{Kista, needs};

use super::Context;

const DOCKERFILE: &str = "FROM busybox\nCOPY a /a\nRUN date +%N > /now\nCOPY b /b\nRUN cat /a /b";

/// Which steps were known, in their order.
fn cached(stderr: &str) -> Vec<bool> {
    let mut known = Vec::new();
    for line in stderr.lines().filter(|line| line.starts_with('#')) {
        if line.contains("] COPY") || line.contains("] RUN") {
            known.push(false);
        } else if line.ends_with(" CACHED")
            && let Some(last) = known.last_mut()
        {
            *last = true;
        }
    }
    known
}

#[test]
fn content_decides_and_time_does_not() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let files = [("a", "1"), ("b", "2"), (".dockerignore", "other")];
    let context = Context::new(DOCKERFILE, &files);
    let first = context.build(&kista, &["-t", "one"]);
    assert_eq!(cached(&first.stderr), [false; 4], "{}", first.stderr);
    let id = kista.format("{{.Id}}", "one");

    // The same files in another place, written later.
    let moved = Context::new(DOCKERFILE, &files);
    let again = moved.build(&kista, &["-t", "two"]);
    assert_eq!(cached(&again.stderr), [true; 4], "{}", again.stderr);
    assert_eq!(kista.format("{{.Id}}", "two"), id, "the same image");

    // A changed file takes what follows with it, and no more.
    moved.write("b", "3");
    let changed = moved.build(&kista, &["-t", "two"]);
    assert_eq!(cached(&changed.stderr), [true, true, false, false], "{}", changed.stderr);

    // A mode is content; what is ignored is not.
    moved.write("b", "2");
    moved.write("other", "x");
    assert_eq!(cached(&moved.build(&kista, &[]).stderr), [true; 4]);
    moved.write("b", "#!2");
    std::fs::write(moved.file("b"), "2").unwrap();
    assert_eq!(cached(&moved.build(&kista, &[]).stderr), [true, true, false, false]);

    let none = context.build(&kista, &["--no-cache"]);
    assert_eq!(cached(&none.stderr), [false; 4], "{}", none.stderr);
}

#[test]
fn arguments_count_where_they_are_declared() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo 1\nARG V\nRUN echo $V", &[]);
    context.build(&kista, &["--build-arg", "V=1"]).ok();
    let other = context.build(&kista, &["--build-arg", "V=2"]);
    assert_eq!(cached(&other.stderr), [true, false], "{}", other.stderr);
    // Proxies are nobody's content.
    let proxy =
        context.build(&kista, &["--build-arg", "V=2", "--build-arg", "http_proxy=http://p"]);
    assert_eq!(cached(&proxy.stderr), [true, true], "{}", proxy.stderr);
}

#[test]
fn with_an_epoch_two_stores_give_the_same_image() {
    needs!(Root, Busybox);
    let files = [("d/a", "1"), ("run", "#!/bin/sh\n")];
    let dockerfile = "FROM busybox\nCOPY . /x\nWORKDIR /w\nRUN mkdir /y; echo 1 > /y/f; ln -s f /y/l; rm -r /x/d\n";
    let mut ids = Vec::new();
    for _ in 0..2 {
        let kista = Kista::with_busybox();
        let context = Context::new(dockerfile, &files);
        context.build(&kista, &["-t", "same", "--build-arg", "SOURCE_DATE_EPOCH=1700000000"]).ok();
        ids.push(kista.format("{{.Id}} {{.Created}}", "same"));
        let time = kista.ok(&["run", "--rm", "same", "stat", "-c", "%Y", "/y/f"]);
        assert_eq!(time, "1700000000");
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    assert_eq!(ids[0], ids[1]);
    assert!(ids[0].ends_with("2023-11-14T22:13:20Z"), "{}", ids[0]);
}

#[test]
fn what_a_step_removes_is_gone() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let dockerfile = "FROM busybox\nRUN mkdir -p /d/e && echo 1 > /d/e/f && echo 1 > /g\n\
                      RUN rm -r /d/e /g && mkdir /d/e && echo 2 > /d/e/h\n";
    let context = Context::new(dockerfile, &[]);
    context.build(&kista, &["-t", "gone"]).ok();
    let command = "ls /d/e; ls /g 2>/dev/null || echo gone";
    assert_eq!(kista.ok(&["run", "--rm", "gone", "sh", "-c", command]), "h\ngone");
}

#[test]
fn a_layer_holds_what_the_step_did_and_nothing_else() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(
        "FROM busybox\nRUN true\nRUN --mount=type=cache,target=/deep/er/c --mount=type=tmpfs,target=/t true\nRUN echo 1 > /f\n",
        &[],
    );
    context.build(&kista, &["-t", "small"]).ok();
    // The steps that changed nothing have no layer: not even for what is mounted in a container.
    let layers = kista.inspect("small")["RootFS"]["Layers"].as_array().unwrap().len();
    let base = kista.inspect("busybox")["RootFS"]["Layers"].as_array().unwrap().len();
    assert_eq!(layers, base + 1);
    let top =
        kista.inspect("small")["GraphDriver"]["Data"]["UpperDir"].as_str().unwrap().to_owned();
    let names: Vec<_> = std::fs::read_dir(top)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["f"]);
}

#[test]
fn independent_stages_run_at_the_same_time() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    // Each waits for the other: one after the other they would never end.
    let wait = |own: &str, other: &str| {
        format!(
            "RUN --mount=type=cache,target=/c touch /c/{own}; for i in $(seq 300); do \
             test -e /c/{other} && exit 0; sleep 0.1; done; exit 1"
        )
    };
    let dockerfile = format!(
        "FROM busybox AS a\n{}\nFROM busybox AS b\n{}\nFROM busybox\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n",
        wait("a", "b"),
        wait("b", "a")
    );
    let context = Context::new(&dockerfile, &[]);
    let built = context.build(&kista, &[]);
    assert_eq!(built.code, 0, "{}", built.stderr);
}

#[test]
fn two_builds_at_once_share_a_store() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nCOPY a /a\nRUN sleep 0.3; cat /a\n", &[("a", "1")]);
    let path = context.path().to_str().unwrap();
    let mut children = Vec::new();
    for name in ["one", "two", "three"] {
        children.push(kista.command(&["build", "-q", "-t", name, path]).spawn());
    }
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    for name in ["one", "two", "three"] {
        assert_eq!(kista.ok(&["run", "--rm", name, "cat", "/a"]), "1");
    }
}

#[test]
fn a_killed_build_leaves_nothing_that_runs_and_the_next_goes_on() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo 1 > /f\nRUN echo 2 && sleep 1000\n", &[]);
    let path = context.path().to_str().unwrap();
    let mut child = kista.command(&["build", "--progress", "plain", path]).spawn();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().ends_with(" 2")), "the second step runs");
    child.kill().unwrap();
    child.wait().unwrap();
    let owner = kista.owner();
    testkit::wait_until("the step to be dead", || {
        testkit::audit::processes(&owner).is_empty().then_some(())
    });
    context.write("Dockerfile", "FROM busybox\nRUN echo 1 > /f\nRUN echo 3\n");
    let next = context.build(&kista, &[]);
    assert_eq!(cached(&next.stderr), [true, false], "{}", next.stderr);
    kista.ok(&["system", "check"]);
}

#[test]
fn the_cache_is_kept_until_it_is_pruned() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo 1 > /f\n", &[]);
    context.build(&kista, &["-t", "x"]).ok();
    kista.ok(&["rmi", "x"]);
    let again = context.build(&kista, &["-t", "x"]);
    assert_eq!(cached(&again.stderr), [true], "{}", again.stderr);
    kista.ok(&["rmi", "x"]);
    kista.ok(&["builder", "prune", "-f"]);
    let anew = context.build(&kista, &["-t", "x"]);
    assert_eq!(cached(&anew.stderr), [false], "{}", anew.stderr);
}
