//! A Dockerfile and a context that want the host's files.
//!
//! Each test's comment says which guard was taken out when it was seen to fail.

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

/// Shown with paths opened by openat(2) and not below a root (`Tree::find`, `select::parent_of`):
/// the file was copied, and mounted.
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
            ("FROM busybox\nCOPY link /x\nRUN cat /x\n", "link"),
            ("FROM busybox\nADD link /x\nRUN cat /x\n", "link"),
            ("FROM busybox\nCOPY d/link /x\nRUN cat /x\n", "d/link"),
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

/// Shown as the one before, and with `Copier::open_path` in the same way: the host's file was
/// taken, and written to.
#[test]
fn links_of_a_stage_lead_nowhere_else() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let canary = Canary::new();
    let path = canary.path();
    for step in [
        "COPY --from=s /l/file /x\nRUN cat /x",
        "RUN --mount=from=s,source=/l,target=/x cat /x/file",
    ] {
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

/// Shown with links followed in `stubs::parent`: the folders behind the link were removed.
#[test]
fn a_mount_point_that_becomes_a_link_removes_nothing() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let canary = Canary::new();
    let empty = tempfile::tempdir().unwrap();
    // What the clean-up would find, if it followed the link.
    std::fs::create_dir_all(empty.path().join("b/c")).unwrap();
    // CVE-2024-23652: what is cleaned up after a step is looked at anew.
    for target in [canary.path(), empty.path().to_str().unwrap()] {
        let dockerfile = format!(
            "FROM busybox\nRUN --mount=type=tmpfs,target=/a/b/c mkdir /n && mv /a /old; ln -s {target} /a; true\n"
        );
        Context::new(&dockerfile, &[]).build(&kista, &[]).ok();
    }
    assert!(empty.path().join("b/c").is_dir());
    canary.check();
}

/// Shown with the id itself as the directory's name (`mounts::cache_name`): the data directory was
/// mounted.
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

/// CVE-2024-23651 (BuildKit), CVE-2024-11218 (Buildah): another build turns a folder of a shared
/// cache into a link while it is looked for. Shown with openat(2) in `Tree::find`: a file was made
/// in the directory that the link leads to.
#[test]
fn a_race_for_a_folder_of_a_cache_is_not_won() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let canary = Canary::new();
    let path = canary.path();
    let swap = format!(
        "FROM busybox\nRUN --mount=type=cache,id=r,target=/c mkdir -p /c/d && touch /c/d/own && \
         ln -s {path} /c/l && touch /c/begun && \
         until test -e /c/over; do mv /c/d /c/t; mv /c/l /c/d; mv /c/d /c/l; mv /c/t /c/d; done\n"
    );
    let swapping = Context::new(&swap, &[]);
    let words = ["build", "--no-cache", swapping.path().to_str().unwrap()];
    let mut racer = kista.command(&words).spawn();
    let cached = |words: &str, script: &str| {
        let text = format!("FROM busybox\nRUN --mount=type=cache,id=r,{words} {script}\n");
        Context::new(&text, &[]).build(&kista, &["--no-cache"])
    };
    testkit::wait_until("it has begun", || {
        (cached("target=/c", "test -e /c/begun").code == 0).then_some(())
    });
    let (mut own, mut none) = (0, 0);
    for _ in 0..25 {
        let out = cached("source=d,target=/m", "ls /m; touch /m/new");
        assert!(!out.stderr.contains("canary"), "{}", out.stderr);
        match out.stderr.contains(" own\n") {
            true => own += 1,
            false => none += 1,
        }
    }
    cached("target=/c", "touch /c/over").ok();
    racer.wait().unwrap();
    assert!(own > 0 && none > 0, "both were met: {own} and {none}");
    canary.check();
}

/// Shown with our own environment added to the command's (`solve::runs`).
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

/// Shown with `Copier::without_devices` without effect: the device was there.
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
