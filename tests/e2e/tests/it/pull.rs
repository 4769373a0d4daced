//! Images from registries, also from bad ones and by bad ways.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testkit::tar::Writer;
use testkit::{Fault, Image, Kista, Proxy, Registry, needs};

/// Bytes that do not compress.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
    .take(count)
    .collect()
}

/// Busybox with `layers` more layers of `size` bytes, pushed to `host` as `a/b:1`.
fn pushed(host: &str, layers: usize, size: usize) -> Image {
    let name = format!("{host}/a/b:1");
    let bytes = noise(size * layers.max(1));
    let mut image = Image::busybox(&name);
    for (number, part) in bytes.chunks(size.max(1)).take(layers).enumerate() {
        let mut writer = Writer::new();
        writer.file(&format!("f{number}"), 0o644, part);
        image = image.layer(writer.finish());
    }
    let kista = Kista::on_this_machine();
    kista.load(&image);
    kista.ok(&["push", "--quiet", &name]);
    image
}

#[test]
fn run_fetches_what_is_missing_as_its_policy_says() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let image = pushed(&registry.host(), 0, 0);
    let name = format!("{}/a/b:1", registry.host());
    let kista = Kista::on_this_machine();

    kista.run(&["run", "--rm", "--pull", "never", &name, "true"]).fails(125, "No such image");
    let out = kista.run(&["run", "--rm", &name, "echo", "x"]);
    assert_eq!((out.code, out.stdout.as_str()), (0, "x\n"), "{}", out.stderr);
    let begin = format!("Unable to find image '{name}' locally\n1: Pulling from a/b\n");
    assert!(out.stderr.starts_with(&begin), "{}", out.stderr);
    let end = format!("Status: Downloaded newer image for {name}\n");
    assert!(out.stderr.ends_with(&end), "{}", out.stderr);
    assert_eq!(kista.format("{{.Id}}", &name), image.id());

    let again = kista.run(&["run", "--rm", &name, "true"]);
    assert_eq!(again.stderr, "");
    let always = kista.run(&["run", "--rm", "--pull", "always", &name, "true"]);
    assert!(always.stderr.contains("Status: Image is up to date"), "{}", always.stderr);
    let quiet = kista.run(&["run", "--rm", "--quiet", "--pull", "always", &name, "true"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
    kista.run(&["create", &format!("{name}0")]).fails(1, "manifest unknown");
}

#[test]
fn pull_prints_what_docker_prints() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    pushed(&registry.host(), 1, 1000);
    let name = format!("{}/a/b:1", registry.host());
    let kista = Kista::on_this_machine();
    let out = kista.ok(&["pull", &name]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], "1: Pulling from a/b");
    assert_eq!(lines.iter().filter(|line| line.ends_with(": Pull complete")).count(), 2);
    let digest = lines[lines.len() - 3].strip_prefix("Digest: ").unwrap();
    assert_eq!(lines[lines.len() - 2], format!("Status: Downloaded newer image for {name}"));
    assert_eq!(lines[lines.len() - 1], name);
    assert_eq!(kista.ok(&["pull", "-q", &name]), name);
    let inspected = kista.ok(&["manifest", "inspect", "--verbose", &name]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["Descriptor"]["digest"], digest);
    assert_eq!(inspected["Manifest"]["layers"].as_array().unwrap().len(), 2);
    let pinned = format!("{}/a/b@{digest}", registry.host());
    assert_eq!(kista.format("{{json .RepoDigests}}", &name), json!([pinned]).to_string());
    let listed = kista.ok(&["images", "--digests", "--format", "{{.Tag}} {{.Digest}}"]);
    assert_eq!(listed, format!("1 {digest}"));
    // The last tag of a repository takes the name by digest along.
    let removed = kista.ok(&["rmi", &name]);
    assert!(removed.contains(&format!("Untagged: {pinned}")), "{removed}");
    assert_eq!(kista.ok(&["images", "-q"]), "");
    kista.run(&["pull", &format!("{}/a/c:1", registry.host())]).fails(1, "manifest unknown");
    kista.run(&["pull", "127.0.0.1:1/x"]).fails(1, "cannot reach registry 127.0.0.1:1");
}

#[test]
fn all_tags_come_and_go() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let host = registry.host();
    let kista = Kista::on_this_machine();
    kista.load(&testkit::Image::busybox("busybox"));
    for tag in ["1", "2", "3"] {
        kista.ok(&["tag", "busybox", &format!("{host}/x:{tag}")]);
    }
    kista.ok(&["push", "--all-tags", &format!("{host}/x")]);
    kista.run(&["push", &format!("{host}/y")]).fails(1, "does not exist locally with the tag");
    let other = Kista::on_this_machine();
    other.ok(&["pull", "--all-tags", &format!("{host}/x")]);
    assert_eq!(other.ok(&["images", "--format", "{{.Tag}}"]).lines().count(), 3);
    other.run(&["pull", "-a", &format!("{host}/x:1")]).fails(1, "tag can't be used with");
}

#[test]
fn faults_on_the_way_are_overcome_or_named() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    pushed(&registry.host(), 2, 3_000_000);
    let pull = |rule: fn(&str, &str, usize) -> Option<Fault>| {
        let proxy = Proxy::new(registry.address(), rule);
        let kista = Kista::on_this_machine();
        let out = kista.run(&["pull", &format!("{}/a/b:1", proxy.host())]);
        let left = std::fs::read_dir(kista.root().join("ingest")).unwrap().count();
        assert_eq!(left, 0, "files are left behind");
        let sent = proxy.passed_bytes();
        (out, proxy.host(), sent)
    };
    // Of 8 MB, what is fetched twice is what was in the pipes when it was cut.
    let (out, _, sent) = pull(|_, path, before| {
        (path.contains("/blobs/") && before < 2).then_some(Fault::Cut(1_000_000))
    });
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(sent < 9_000_000, "{sent} bytes for 8 MB");
    for fault in [Fault::Status(429), Fault::Status(500), Fault::Nothing] {
        let proxy = Proxy::new(registry.address(), move |_, path, before| {
            (path.contains("/blobs/") && before < 2).then(|| fault.clone())
        });
        let kista = Kista::on_this_machine();
        kista.ok(&["pull", "-q", &format!("{}/a/b:1", proxy.host())]);
    }
    let (out, host, _) = pull(|_, path, _| path.contains("/blobs/").then_some(Fault::Corrupt(700)));
    assert_eq!(out.code, 1);
    assert!(
        out.stderr.contains(&format!("{host}/a/b")) && out.stderr.contains("sha256:"),
        "{}",
        out.stderr
    );
    let (out, _, _) = pull(|_, path, _| path.contains("/blobs/").then_some(Fault::Html));
    assert!(out.stderr.contains("HTML page"), "{}", out.stderr);
    let (out, _, _) =
        pull(|_, path, _| Some(Fault::Redirect(path.to_owned())).filter(|_| path != "/v2/"));
    assert!(out.stderr.contains("goes in a circle"), "{}", out.stderr);
}

#[test]
fn what_lies_is_refused_and_what_overtakes_is_sorted_out() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let image = pushed(&registry.host(), 3, 300_000);
    let refused = |want: &str, rule: fn(&str) -> Option<Fault>| {
        let proxy = Proxy::new(registry.address(), move |_, path, _| rule(path));
        let kista = Kista::on_this_machine();
        let out = kista.run(&["pull", &format!("{}/a/b:1", proxy.host())]);
        out.fails(1, want);
        assert!(out.stderr.contains(&format!("{}/a/b", proxy.host())), "{}", out.stderr);
        assert_eq!(kista.ok(&["images", "-aq"]), "");
        assert_eq!(std::fs::read_dir(kista.root().join("ingest")).unwrap().count(), 0);
        let new = std::fs::read_dir(kista.root().join("layers")).unwrap().flatten();
        assert_eq!(new.filter(|e| e.file_name().to_string_lossy().starts_with('.')).count(), 0);
        kista.ok(&["system", "check", "--repair"]);
    };
    refused("arrived instead", |path| path.contains("/blobs/").then_some(Fault::Short(100)));
    refused("is refused", |path| path.contains("/manifests/").then_some(Fault::Short(3)));
    refused("it came as application/vnd.oci.image.index.v1+json", |path| {
        let kind = "application/vnd.oci.image.index.v1+json";
        path.contains("/manifests/").then_some(Fault::Type(kind))
    });
    refused("HTML page", |path| path.contains("/blobs/").then_some(Fault::Type("text/html")));

    // The largest layer, which is asked for first, is answered after others.
    let manifest = registry.get("/v2/a/b/manifests/1").unwrap().1;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let largest = layers.iter().max_by_key(|layer| layer["size"].as_u64()).unwrap();
    let largest = largest["digest"].as_str().unwrap().to_owned();
    let proxy = Proxy::new(registry.address(), move |_, path, _| {
        path.ends_with(&largest).then_some(Fault::Behind(2))
    });
    let kista = Kista::on_this_machine();
    let name = format!("{}/a/b:1", proxy.host());
    kista.ok(&["pull", "-q", &name]);
    assert_eq!(kista.format("{{.Id}}", &name), image.id());
}

#[test]
fn a_killed_pull_is_gone_on_with() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let image = pushed(&registry.host(), 5, 1_000_000);
    let proxy = Proxy::new(registry.address(), |_, path, _| {
        path.contains("/blobs/").then_some(Fault::Slow(Duration::from_millis(4)))
    });
    let name = format!("{}/a/b:1", proxy.host());
    // Unnamed files of those that were killed are the next collection's.
    let kista = Kista::on_this_machine();
    let mut completed = 0;
    for round in 0..40 {
        let mut child = kista.command(&["pull", "-q", &name]).spawn();
        let deadline = Instant::now() + Duration::from_millis(20 + 23 * (round % 9));
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(status) = child.try_wait().unwrap() {
            completed += usize::from(status.success());
            break;
        }
        kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
    }
    let before = proxy.passed_bytes();
    kista.ok(&["pull", "-q", &name]);
    assert!(completed == 0 || proxy.passed_bytes() - before < 10_000, "all was here");
    assert_eq!(kista.format("{{.Id}}", &name), image.id());
    assert_eq!(kista.ok(&["run", "--rm", &name, "sh", "-c", "ls / | grep -c '^f[0-4]$'"]), "5");
    // A layer that was whole is not asked for again: each comes once, and perhaps once for each
    // time that it was cut.
    let blobs = proxy.seen().iter().filter(|line| line.contains("/blobs/")).count();
    assert!(blobs < 7 * 20, "{blobs} requests for 7 blobs");
    kista.ok(&["system", "check", "--repair"]);
    kista.ok(&["system", "check"]);
}

#[test]
fn two_commands_fetch_a_layer_once() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    pushed(&registry.host(), 2, 2_000_000);
    let proxy = Proxy::new(registry.address(), |_, path, _| {
        path.contains("/blobs/").then_some(Fault::Slow(Duration::from_millis(5)))
    });
    let name = format!("{}/a/b:1", proxy.host());
    let kista = Kista::on_this_machine();
    let children: Vec<_> = (0..2).map(|_| kista.command(&["pull", "-q", &name]).spawn()).collect();
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
    // Busybox, two layers, and a configuration for each.
    assert!(proxy.passed_bytes() < 7_500_000, "{} bytes", proxy.passed_bytes());
}

#[test]
fn a_prune_does_not_wait_for_a_pull_and_takes_nothing_from_it() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let image = pushed(&registry.host(), 3, 1_500_000);
    // The last layer waits until the test lets it go.
    let manifest = registry.get("/v2/a/b/manifests/1").unwrap().1;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let last = manifest["layers"][3]["digest"].as_str().unwrap().to_owned();
    let gate = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let open = std::sync::Arc::clone(&gate);
    let proxy = Proxy::new(registry.address(), move |_, path, _| {
        while path.ends_with(&last) && !open.load(std::sync::atomic::Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    });
    let name = format!("{}/a/b:1", proxy.host());
    let kista = Kista::on_this_machine();
    kista.load(&Image::busybox("garbage"));
    let child = kista.command(&["pull", "-q", &name]).spawn();
    let layers = kista.root().join("layers");
    testkit::wait_until("the other layers are here", || {
        let unpacked = std::fs::read_dir(&layers).ok()?.flatten();
        let count = unpacked.filter(|e| !e.file_name().to_string_lossy().starts_with('.')).count();
        // A layer's blob gets its name after its tree.
        let blobs = std::fs::read_dir(kista.root().join("blobs/sha256")).unwrap().count();
        (count >= 3 && blobs >= 5).then_some(())
    });
    let out = kista.run(&["image", "prune", "--all", "--force"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(out.stdout.contains("untagged: garbage:latest"), "{}", out.stdout);
    assert_eq!(out.stderr, "", "it had to wait for somebody");
    let blobs = std::fs::read_dir(kista.root().join("blobs/sha256")).unwrap().count();
    assert!(blobs >= 3, "{blobs}: what is coming was taken away");
    gate.store(true, std::sync::atomic::Ordering::SeqCst);
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(kista.format("{{.Id}}", &name), image.id());
    assert_eq!(kista.ok(&["run", "--rm", &name, "sh", "-c", "ls / | grep -c '^f[0-2]$'"]), "3");
    // Nothing came twice, and the layer of the removed image, which this one has too, stayed.
    let fetched = proxy.seen().iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(fetched, 4, "{:?}", proxy.seen());
    assert_eq!(std::fs::read_dir(kista.root().join("leases")).unwrap().count(), 0);
}
