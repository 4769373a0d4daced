//! A Dockerfile and a context that want the host's files.

use testkit::{Kista, needs};

use super::Context;

/// A file of the host that must not be seen, and a directory that must stay as it is.
struct Canary {
    temp: tempfile::TempDir,
}

impl Canary {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join("file"), "canary-of-the-host").unwrap();
        Self { temp }
    }

    fn path(&self) -> &str {
        self.temp.path().to_str().unwrap()
    }

    fn check(&self) {
        let content = std::fs::read_to_string(self.temp.path().join("file")).unwrap();
        assert_eq!(content, "canary-of-the-host");
        assert_eq!(std::fs::read_dir(self.temp.path()).unwrap().count(), 1);
    }
}

#[test]
fn links_of_a_context_lead_nowhere_else() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let canary = Canary::new();
    let up = format!("{}{}/file", "../".repeat(20), canary.path());
    for target in
        [format!("{}/file", canary.path()), up, format!("/proc/self/root{}/file", canary.path())]
    {
        for (dockerfile, link) in [
            ("FROM busybox\nCOPY link /x\n", "link"),
            ("FROM busybox\nADD link /x\n", "link"),
            ("FROM busybox\nCOPY d/link /x\n", "d/link"),
            ("FROM busybox\nRUN --mount=source=link,target=/x cat /x\n", "link"),
        ] {
            let context = Context::new(dockerfile, &[]);
            context.write(link, &format!("-> {target}"));
            let out = context.build(&kista, &[]);
            assert_ne!(out.code, 0, "{dockerfile}");
            assert!(!out.stderr.contains("canary-of-the-host"), "{}", out.stderr);
        }
    }
    // A directory that is a link, as Dockerfile, as ignore file, in a pattern.
    let context = Context::new("FROM busybox\nCOPY d/* /x/\nRUN ! cat /x/*\n", &[]);
    context.write("d", &format!("-> {}", canary.path()));
    let out = context.build(&kista, &[]);
    assert!(!out.stderr.contains("canary-of-the-host"), "{}", out.stderr);
    canary.check();
}

#[test]
fn links_of_a_stage_lead_nowhere_else() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let canary = Canary::new();
    let path = canary.path();
    for step in ["COPY --from=s /l/file /x", "RUN --mount=from=s,source=/l,target=/x cat /x/file"] {
        let dockerfile = format!("FROM busybox AS s\nRUN ln -s {path} /l\nFROM busybox\n{step}\n");
        let out = Context::new(&dockerfile, &[]).build(&kista, &[]);
        assert_ne!(out.code, 0, "{step}");
        assert!(!out.stderr.contains("canary-of-the-host"), "{}", out.stderr);
    }
    // A destination that is a link is inside the image (CVE-2026-79705: and is followed there).
    let dockerfile =
        format!("FROM busybox\nRUN ln -s {path} /l\nCOPY a /l/file\nRUN cat {path}/file\n");
    let context = Context::new(&dockerfile, &[("a", "inside\n")]);
    let out = context.build(&kista, &[]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(out.stderr.contains("inside"));
    canary.check();
}

#[test]
fn a_mount_point_that_becomes_a_link_removes_nothing() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let canary = Canary::new();
    let empty = tempfile::tempdir().unwrap();
    // CVE-2024-23652: what is cleaned up after a step is looked at anew.
    for target in [canary.path(), empty.path().to_str().unwrap()] {
        let dockerfile = format!(
            "FROM busybox\nRUN --mount=type=tmpfs,target=/a/b/c mkdir /n && mv /a /old; ln -s {target} /a; true\n"
        );
        Context::new(&dockerfile, &[]).build(&kista, &[]).ok();
    }
    assert!(empty.path().is_dir());
    canary.check();
}

#[test]
fn ids_of_caches_are_no_paths() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let canary = Canary::new();
    let long = "x".repeat(4000);
    for id in ["../..", "/", "a/../../b", &long, canary.path()] {
        let dockerfile = format!(
            "FROM busybox\nRUN --mount=type=cache,id={id},target=/c ls -A /c > /n && touch /c/mine\n"
        );
        Context::new(&dockerfile, &[]).build(&kista, &["-t", "ids"]).ok();
        assert_eq!(kista.ok(&["run", "--rm", "ids", "cat", "/n"]), "", "{id}");
    }
    // Nor does a source leave its cache.
    let path = canary.path();
    let plant = format!("FROM busybox\nRUN --mount=type=cache,id=l,target=/c ln -s {path} /c/l\n");
    Context::new(&plant, &[]).build(&kista, &[]).ok();
    let dockerfile =
        "FROM busybox\nRUN --mount=type=cache,id=l,source=l,target=/c cat /c/file; touch /c/new\n";
    let out = Context::new(dockerfile, &[]).build(&kista, &[]);
    assert!(!out.stderr.contains("canary-of-the-host"), "{}", out.stderr);
    canary.check();
}

#[test]
fn a_command_sees_what_is_meant_for_it() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new(
        "FROM busybox\nRUN env | sort > /env; grep Cap /proc/self/status > /caps\n",
        &[],
    );
    let path = context.path().to_str().unwrap();
    kista.command(&["build", "-t", "env", path]).env("CANARY", "of-the-host").run().ok();
    let env = kista.ok(&["run", "--rm", "env", "cat", "/env"]);
    assert!(!env.contains("of-the-host") && !env.contains("KISTA"), "{env}");
    let caps = kista.ok(&["run", "--rm", "env", "cat", "/caps"]);
    assert!(caps.contains("CapInh:\t0000000000000000"), "{caps}");
    assert!(caps.contains("CapAmb:\t0000000000000000"), "{caps}");
}

#[test]
fn files_that_go_to_the_host_bring_no_devices() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let canary = Canary::new();
    let mut tar = testkit::tar::Writer::new();
    tar.file("f", 0o644, b"1").symlink("link", canary.path());
    let mut device = testkit::tar::Entry::new("zero", testkit::tar::Kind::CharDevice);
    (device.device, device.mode) = ((1, 5), 0o666);
    tar.entry(&device);
    kista.load(&testkit::Image::new("devices").layer(tar.finish()));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    Context::new("FROM devices\n", &[]).build(&kista, &["-o", out]).ok();
    assert!(folder.path().join("f").exists() && !folder.path().join("zero").exists());
    // What an earlier result has left leads nowhere.
    Context::new("FROM scratch\nCOPY a /link/file\n", &[("a", "2")])
        .build(&kista, &["-o", out])
        .fails(1, "cannot copy to non-directory");
    canary.check();
}
