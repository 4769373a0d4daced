//! Caches that are carried from one machine to another.

use testkit::{Image, Kista, Registry, needs};

use super::Context;

/// Its first stage is only a part of the second one's files.
const DOCKERFILE: &str = "FROM busybox AS tools\n\
    RUN --mount=type=cache,target=/c echo $RANDOM-$(cat /proc/uptime) | tee /c/kept > /tool\n\
    FROM busybox\n\
    COPY --from=tools /tool /tool\n\
    RUN echo built > /built\n";

/// Which `RUN` and `COPY` steps of a build were known: `tools`, the copy, the last one.
fn known(output: &testkit::Output) -> Vec<bool> {
    // Steps that go on at the same time take turns in the output: their numbers tell.
    let mut steps: Vec<&str> = Vec::new();
    let lines: Vec<&str> = output.stderr.lines().collect();
    for line in &lines {
        let Some((number, name)) = line.split_once(" [") else { continue };
        let is_step = [" RUN ", " COPY "].iter().any(|word| name.contains(word));
        if number.starts_with('#') && is_step && !steps.contains(&number) {
            steps.push(number);
        }
    }
    let is_known = |number: &&str| lines.contains(&format!("{number} CACHED").as_str());
    steps.iter().map(is_known).collect()
}

fn build(kista: &Kista, context: &Context, arguments: &[&str]) -> testkit::Output {
    let out = context.build(kista, arguments);
    assert_eq!(out.code, 0, "{}", out.stderr);
    out
}

fn made(kista: &Kista, image: &str) -> String {
    kista.ok(&["run", "--rm", image, "cat", "/tool", "/built"])
}

#[test]
fn a_directory_holds_all_that_another_machine_needs() {
    needs!(Root, Busybox);
    let (one, two) = (Kista::with_busybox(), Kista::with_busybox());
    let context = Context::new(DOCKERFILE, &[]);
    let folder = tempfile::tempdir().unwrap();
    let (to, from) = (
        format!("type=local,dest={},mode=max,mounts=true", folder.path().display()),
        format!("type=local,src={}", folder.path().display()),
    );
    build(&one, &context, &["-t", "t", "--cache-to", &to]);
    let there = build(&two, &context, &["-t", "t", "--cache-from", &from]);
    assert_eq!(known(&there), [true, true, true], "{}", there.stderr);
    assert_eq!(made(&two, "t"), made(&one, "t"));
    assert_eq!(one.format("{{.Id}}", "t"), two.format("{{.Id}}", "t"));
    // What the cache mount held has come, too.
    let kept = Context::new(
        "FROM busybox\nRUN --mount=type=cache,id=/c,target=/c cat /c/kept > /tool; touch /built\n",
        &[],
    );
    build(&two, &kept, &["-t", "kept", "--cache-from", &from]);
    assert_eq!(made(&two, "kept"), made(&one, "t").lines().next().unwrap());
    // Without it nothing is known.
    let alone = Kista::with_busybox();
    assert_eq!(known(&build(&alone, &context, &[])), [false, false, false]);
}

#[test]
fn a_registry_holds_a_cache_and_an_image_its_own() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let kista = || {
        let kista = Kista::on_this_machine();
        kista.load(&Image::busybox("busybox"));
        kista
    };
    let (one, two, three) = (kista(), kista(), kista());
    let context = Context::new(DOCKERFILE, &[]);
    let cache = format!("{}/cache:main", registry.host());
    let image = format!("{}/image:1", registry.host());
    let to = format!("type=registry,ref={cache},mode=max");
    let arguments = ["-t", &image, "--push", "--cache-to", &to, "--cache-to", "type=inline"];
    build(&one, &context, &arguments);
    let from = format!("type=registry,ref={cache}");
    let there = build(&two, &context, &["-t", "t", "--cache-from", &from]);
    assert_eq!(known(&there), [true, true, true], "{}", there.stderr);
    assert_eq!(made(&two, "t"), made(&one, &image));
    // An image knows its own stage: the other one is done anew, and here gives something else.
    let changed = DOCKERFILE.replace("COPY --from=tools /tool /tool\n", "");
    let own = Context::new(&changed, &[]);
    let last = format!("{}/image:2", registry.host());
    build(&one, &own, &["-t", &last, "--push", "--cache-to", "type=inline"]);
    let there = build(&three, &own, &["-t", "t", "--cache-from", &last]);
    assert_eq!(known(&there), [true], "{}", there.stderr);
    assert_eq!(one.format("{{.Id}}", &last), three.format("{{.Id}}", "t"));
}

#[test]
fn a_cache_that_is_broken_or_missing_is_none() {
    needs!(Root, Busybox);
    let (one, two) = (Kista::with_busybox(), Kista::with_busybox());
    let context = Context::new(DOCKERFILE, &[]);
    let folder = tempfile::tempdir().unwrap();
    let from = format!("type=local,src={}", folder.path().display());
    let missing = build(&one, &context, &["--cache-from", &from]);
    assert!(missing.stderr.contains("WARNING: no cache"), "{}", missing.stderr);
    let to = format!("type=local,dest={},mode=max", folder.path().display());
    build(&one, &context, &["--cache-to", &to]);
    for blob in std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
    }
    let there = build(&two, &context, &["--cache-from", &from]);
    assert_eq!(known(&there), [false, false, false], "{}", there.stderr);
    two.ok(&["system", "check"]);
    let bad = ["--cache-to", "type=local,dest=/proc/nowhere"];
    context.build(&one, &bad).fails(1, "/proc/nowhere");
    let ignored = ["--cache-to", "type=local,dest=/proc/nowhere,ignore-error=true"];
    build(&one, &context, &ignored);
}

#[test]
fn a_directory_keeps_caches_of_other_tags() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = Context::new("FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n", &[]);
    let folder = context.file("cache");
    let place = |key: &str, tag: &str| format!("type=local,{key}={},tag={tag}", folder.display());
    for tag in ["one", "two", "one"] {
        context.build(&kista, &["--no-cache", "--cache-to", &place("dest", tag)]).ok();
    }
    for tag in ["one", "two"] {
        let other = Kista::with_busybox();
        let built = context.build(&other, &["--cache-from", &place("src", tag)]);
        assert_eq!(built.stderr.matches("CACHED").count(), 2, "{tag}: {}", built.stderr);
    }
}
