//! Where a result goes, and what is printed.

use testkit::{Image, Kista, Registry, needs};

use super::Context;

#[test]
fn files_and_archives() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM scratch\nCOPY a /d/a\n", &[("a", "1")]);
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("folder");
    context.build(&kista, &["-o", folder.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(folder.join("d/a")).unwrap(), "1");
    let tar = out.path().join("x.tar");
    let wanted = format!("type=tar,dest={}", tar.display());
    context.build(&kista, &["--output", &wanted]).ok();
    let listed = std::process::Command::new("tar").arg("tf").arg(&tar).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "d/\nd/a\n");
    assert!(kista.ok(&["images", "-q"]).lines().nth(1).is_none(), "no image was made");
}

#[test]
fn ids_and_metadata() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo 1 > /f\n", &[]);
    let files = tempfile::tempdir().unwrap();
    let (iid, meta) = (files.path().join("iid"), files.path().join("meta"));
    let arguments = [
        "-q",
        "-t",
        "one:1",
        "-t",
        "two",
        "--iidfile",
        iid.to_str().unwrap(),
        "--metadata-file",
        meta.to_str().unwrap(),
    ];
    let out = context.build(&kista, &arguments);
    let id = kista.format("{{.Id}}", "one:1");
    assert_eq!((out.code, out.stdout.trim_end(), &*out.stderr), (0, &*id, ""));
    assert_eq!(kista.format("{{.Id}}", "two"), id);
    assert_eq!(std::fs::read_to_string(iid).unwrap(), id);
    let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(meta).unwrap()).unwrap();
    assert_eq!(meta["containerimage.config.digest"], *id);
    assert_eq!(meta["image.name"], "docker.io/library/one:1,docker.io/library/two:latest");
}

#[test]
fn a_dockerfile_from_elsewhere() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let out =
        kista.command(&["build", "-t", "in", "-"]).stdin("FROM busybox\nRUN echo 1 > /f").run();
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(kista.ok(&["run", "--rm", "in", "cat", "/f"]), "1");
    let context =
        Context::new("FROM nowhere", &[("x/My.Dockerfile", "FROM busybox\nCOPY a /a"), ("a", "2")]);
    let file = context.file("x/My.Dockerfile");
    context.build(&kista, &["-t", "in", "-f", file.to_str().unwrap()]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "in", "cat", "/a"]), "2");
    let path = context.path().to_str().unwrap();
    let words = ["image", "build", "-t", "in", "-f", "-", path];
    kista.command(&words).stdin("FROM busybox\nCOPY a /b").run().ok();
    assert_eq!(kista.ok(&["run", "--rm", "in", "cat", "/b"]), "2");
}

#[test]
fn what_is_not_there_is_refused() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\n", &[]);
    for (arguments, text) in [
        (&["--squash"][..], "--squash is not supported"),
        (&["--builder", "remote"], "--builder is not supported"),
    ] {
        context.build(&kista, arguments).fails(125, text);
    }
    for (arguments, text) in [
        (&["-o", "type=image,foo=bar"][..], "the attribute \"foo\" of this output"),
        (&["-o", "type=oci,compression=estargz"], "compression \"estargz\" is not supported"),
        (&["--cache-to", "type=gha"], "local, registry and inline are there"),
        (&["--annotation", "index:a=b"], "index annotations not supported for single platform"),
        (&["--ssh", "x=/etc/passwd"], "the key file /etc/passwd is not supported yet"),
        (&["--call", "what"], "unknown method \"what\" for --call"),
        (&["--attest", "type=other"], "unknown attestation type \"other\""),
        (&["--provenance", "mode=most"], "invalid mode \"most\""),
        (
            &["--sbom", "true", "-o", "type=oci,dest=/dev/null,oci-mediatypes=false"],
            "cannot export attestations with \"oci-mediatypes=false\"",
        ),
        (&["--push"], "tag is needed when pushing to registry"),
        (&["--progress", "loud"], "invalid progress mode"),
        (&["-t", "UPPER"], "invalid tag \"UPPER\""),
        (&["-f", "/no/such/file"], "failed to read dockerfile: open file: no such file"),
    ] {
        context.build(&kista, arguments).fails(1, text);
    }
    kista.run(&["build", "/no/such/dir"]).fails(1, "not found");
    context.build(&kista, &["--provenance=false", "--rm", "--force-rm", "--pull=false"]).ok();
}

#[test]
fn progress_for_programs() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo told\n", &[]);
    let out = context.build(&kista, &["--progress", "rawjson"]);
    let mut names = Vec::new();
    let mut logs = String::new();
    for line in out.stderr.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        for vertex in event["vertexes"].as_array().into_iter().flatten() {
            names.push(vertex["name"].as_str().unwrap().to_owned());
        }
        for log in event["logs"].as_array().into_iter().flatten() {
            logs += log["data"].as_str().unwrap();
        }
    }
    assert!(names.iter().any(|name| name == "[2/2] RUN echo told"), "{names:?}");
    assert_eq!(logs, "dG9sZAo=");
}

#[test]
fn a_terminal_is_drawn_over() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo told; sleep 0.5\n", &[]);
    let path = context.path().to_str().unwrap();
    let mut terminal = kista.command(&["build", "-t", "t", path]).terminal();
    terminal.expect("told");
    terminal.resize(10, 40);
    terminal.expect("FINISHED");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn the_view_follows_the_size_of_the_terminal() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let long = "x".repeat(150);
    let dockerfile =
        format!("FROM busybox\nRUN echo {long} && until test -e /c/go; do sleep 0.1; done\n");
    let dockerfile = dockerfile.replace("RUN ", "RUN --mount=type=cache,target=/c ");
    let context = Context::new(&dockerfile, &[]);
    let path = context.path().to_str().unwrap();
    let mut terminal = kista.command(&["build", path]).terminal();
    terminal.expect("[2/2] RUN");
    // Each drawing ends so; one may have been under way.
    let mut widest = |rows, columns| {
        terminal.resize(rows, columns);
        terminal.expect("\x1b[J");
        terminal.expect("\x1b[J");
        let frame = terminal.expect("\x1b[J");
        let lines = frame.lines().filter(|line| line.starts_with(" =>"));
        let width = lines
            .map(|line| line.trim_end_matches(['\r', '\n']).replace("\x1b[K", "").chars().count())
            .max();
        (width, frame.lines().count())
    };
    assert_eq!(widest(24, 80).0, Some(80));
    assert_eq!(widest(24, 40).0, Some(40));
    assert_eq!(widest(50, 130).0, Some(130));
    // What has no room is left out, and not drawn over and over below itself.
    assert!(widest(3, 60).1 <= 3);
    Context::new("FROM busybox\nRUN --mount=type=cache,target=/c touch /c/go\n", &[])
        .build(&kista, &[])
        .ok();
    let (code, rest) = terminal.wait();
    assert_eq!(code, 0, "{rest}");
    assert!(rest.contains("FINISHED"), "{rest}");
}

#[test]
fn without_a_terminal_there_are_plain_lines() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo said; echo why >&2; exit 3\n", &[]);
    let path = context.path().to_str().unwrap();
    let out = kista.run(&["build", path]);
    assert_eq!((out.code, &*out.stdout), (1, ""));
    assert!(!out.stderr.contains('\x1b'), "{}", out.stderr);
    for line in [" [2/2] RUN echo said", " said", " why", ">>> RUN echo said", "exit code: 3"] {
        assert!(out.stderr.contains(line), "{line}: {}", out.stderr);
    }
    // The step's output comes once more with the failure, and the source after it.
    let (_, end) = out.stderr.split_once("------\n > [2/2] RUN").expect(&out.stderr);
    assert!(end.contains(" why\n------\nDockerfile:2\n"), "{end}");
}

#[test]
fn a_base_is_fetched_and_the_result_is_pushed() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let base = format!("{}/a/base:1", registry.host());
    let image = Image::busybox(&base);
    let first = Kista::on_this_machine();
    first.load(&image);
    first.ok(&["push", "-q", &base]);

    let kista = Kista::on_this_machine();
    let context = Context::new(&format!("FROM {base}\nRUN echo 1 > /f\n"), &[]);
    let name = format!("{}/a/built:1", registry.host());
    let built = context.build(&kista, &["-t", &name, "--push"]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    // What is here is not asked for again, unless one says so.
    drop(registry);
    context.build(&kista, &[]).ok();
    context.build(&kista, &["--pull"]).fails(1, &base);
    let third = kista.ok(&["run", "--rm", &name, "cat", "/f"]);
    assert_eq!(third, "1");
}

#[test]
fn archives_of_images() {
    needs!(Root, Busybox, Skopeo);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo 1 > /f\n", &[]);
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let inspect = |source: &str| {
        let out = std::process::Command::new("skopeo")
            .args(["inspect", "--raw", source])
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()
    };
    let layer_types = |shown: &serde_json::Value| -> Vec<String> {
        let layers = shown["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["mediaType"].as_str().unwrap().to_owned()).collect()
    };
    let output = |text: &str| context.build(&kista, &["-t", "out:1", "-o", text]);
    output(&format!("type=oci,dest={}", path("oci.tar"))).ok();
    let shown = inspect(&format!("oci-archive:{}:1", path("oci.tar")));
    assert!(layer_types(&shown).last().unwrap().ends_with(".tar+gzip"), "{shown}");
    let zstd = "compression=zstd,force-compression=true,compression-level=1";
    output(&format!("type=oci,tar=false,{zstd},dest={}", path("layout"))).ok();
    let shown = inspect(&format!("oci:{}:1", path("layout")));
    assert!(layer_types(&shown).iter().all(|kind| kind.ends_with(".tar+zstd")), "{shown}");
    output(&format!("type=docker,dest={}", path("docker.tar"))).ok();
    inspect(&format!("docker-archive:{}:out:1", path("docker.tar")));
    assert_eq!(kista.run(&["image", "inspect", "out:1"]).code, 1, "the store got no image");
    // To standard output, and nothing else there.
    let out = output("type=docker,dest=-");
    for archive in [std::fs::read(path("oci.tar")).unwrap(), out.bytes] {
        kista.command(&["load"]).stdin(archive).run().ok();
        assert_eq!(kista.ok(&["run", "--rm", "out:1", "cat", "/f"]), "1");
        kista.ok(&["rmi", "out:1"]);
    }
    context.build(&kista, &["-o", "type=image,name=other:2", "-t", "ignored"]).ok();
    assert_eq!(kista.ok(&["run", "--rm", "other:2", "cat", "/f"]), "1");
    assert_ne!(kista.run(&["image", "inspect", "ignored"]).code, 0);
}

#[test]
fn annotations_and_media_types() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN echo 1 > /f\n", &[]);
    let folder = context.file("out");
    let output =
        format!("type=oci,tar=false,oci-mediatypes=false,annotation.a=1,dest={}", folder.display());
    let arguments =
        ["--annotation", "manifest-descriptor:b=2", "--annotation", "c=3", "-o", &output];
    context.build(&kista, &arguments).ok();
    let read = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.join(path)).unwrap()).unwrap()
    };
    let entry = read("index.json")["manifests"][0].take();
    assert_eq!(entry["annotations"]["b"], "2");
    let digest = entry["digest"].as_str().unwrap().replace(':', "/");
    let manifest = read(&format!("blobs/{digest}"));
    assert_eq!(
        (&manifest["annotations"]["a"], &manifest["annotations"]["c"]),
        (&"1".into(), &"3".into())
    );
    let kind = |name: &str| format!("application/vnd.docker.{name}");
    assert_eq!(manifest["mediaType"], kind("distribution.manifest.v2+json"));
    assert_eq!(manifest["config"]["mediaType"], kind("container.image.v1+json"));
    assert_eq!(manifest["layers"][1]["mediaType"], kind("image.rootfs.diff.tar.gzip"));
}

#[test]
fn several_platforms_are_one_index() {
    needs!(Root, Busybox);
    let kista = Kista::on_this_machine();
    let registry = Registry::kista(&[]);
    let context = Context::new(
        "FROM scratch AS s\nARG TARGETARCH\nCOPY a /$TARGETARCH\n\
         FROM s\nLABEL x=1\n",
        &[("a", "1")],
    );
    let name = format!("{}/many:1", registry.host());
    let meta = context.file("meta");
    let arguments = [
        "--platform",
        "linux/amd64,linux/arm64",
        "-t",
        &name,
        "--push",
        "--annotation",
        "index:k=v",
        "--metadata-file",
        meta.to_str().unwrap(),
    ];
    let built = context.build(&kista, &arguments);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert!(built.stderr.contains("[linux/arm64 s 1/1] COPY a /arm64"), "{}", built.stderr);
    let index: serde_json::Value =
        serde_json::from_str(&kista.ok(&["manifest", "inspect", "--insecure", &name])).unwrap();
    let architectures: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    assert_eq!(index["annotations"]["k"], "v");
    let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(meta).unwrap()).unwrap();
    assert_eq!(meta["containerimage.descriptor"]["mediaType"], index["mediaType"]);
    kista.ok(&["pull", "--platform", "linux/arm64", &name]);
    assert_eq!(kista.format("{{.Architecture}}", &name), "arm64");

    let folder = context.file("out");
    let to = folder.to_str().unwrap();
    context.build(&kista, &["--platform", "linux/amd64,linux/arm64", "-o", to]).ok();
    assert!(folder.join("linux_amd64/amd64").exists() && folder.join("linux_arm64/arm64").exists());
    // In the store they are variants under one name.
    context.build(&kista, &["--platform", "linux/amd64,linux/arm64", "-t", "both"]).ok();
    for (platform, architecture) in [("linux/arm64", "arm64"), ("linux/amd64", "amd64")] {
        let shown = ["image", "inspect", "-f", "{{.Architecture}}", "--platform", platform, "both"];
        assert_eq!(kista.ok(&shown), architecture);
    }
    // A base that comes from a registry keeps all of its platforms, whatever is built upon it.
    kista.ok(&["rmi", "-f", &name]);
    let upon = Context::new(&format!("FROM {name}\nLABEL y=1\n"), &[]);
    for platforms in ["linux/amd64,linux/arm64", "linux/arm64"] {
        upon.build(&kista, &["--pull", "--platform", platforms, "-o", "type=cacheonly"]).ok();
        for architecture in ["amd64", "arm64"] {
            let wanted = format!("linux/{architecture}");
            let shown =
                ["image", "inspect", "-f", "{{.Architecture}}", "--platform", &wanted, &name];
            assert_eq!(kista.ok(&shown), architecture);
        }
        assert_eq!(kista.format("{{.Architecture}}", &name), "amd64");
    }
    // Commands of a processor that this machine does not have.
    let foreign = Context::new("FROM scratch\nRUN [\"/x\"]\n", &[]);
    let text = "this machine runs no programs for linux/s390x";
    foreign.build(&kista, &["--platform", "linux/s390x"]).fails(1, text);
}

#[test]
fn two_builds_are_compared() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let dockerfile = "FROM busybox\nRUN echo same > /same && sleep 1.1\n\
        RUN cat /proc/sys/kernel/random/uuid > /id; mkdir /d\nRUN echo above > /above\n";
    let context = Context::new(dockerfile, &[]);
    let epoch = ["--verify", "--build-arg", "SOURCE_DATE_EPOCH=1"];
    let out = context.build(&kista, &epoch);
    assert_eq!(out.code, 1, "{}", out.stderr);
    let step = "[3/4] RUN cat /proc/sys/kernel/random/uuid > /id; mkdir /d\n    /id (content)\n";
    assert_eq!(out.stdout, step);
    let context = Context::new("FROM busybox\nRUN sleep 1.1 && echo same > /same\n", &[]);
    let out = context.build(&kista, &["--verify"]);
    assert_eq!(out.code, 1, "{}", out.stderr);
    assert!(out.stdout.contains("/same (time)\nOnly times differ"), "{}", out.stdout);
    assert_eq!(context.build(&kista, &epoch).ok(), "Two builds gave the same.");
    assert!(kista.ok(&["images", "-q"]).lines().nth(1).is_none(), "no image was made");
}
