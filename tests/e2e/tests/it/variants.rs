//! Images of several platforms: whole from a registry, whole to one, and in archives.

use std::process::Command;

use serde_json::Value;
use testkit::tar::Writer;
use testkit::{Image, Kista, Registry, needs};

use crate::registry::run;

/// The platforms of the list, the machine's own among them.
const FOREIGN: [&str; 2] = ["s390x", "riscv64"];

fn own() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Pushes a list of three images as `NAME`; the digest of its index.
fn pushed(name: &str) -> String {
    let kista = Kista::on_this_machine();
    let mut parts = Vec::new();
    for architecture in [own(), FOREIGN[0], FOREIGN[1]] {
        let part = format!("{name}-{architecture}");
        let mut layer = Writer::new();
        layer.file("architecture", 0o644, architecture.as_bytes());
        kista.load(&Image::busybox(&part).architecture(architecture).layer(layer.finish()));
        kista.ok(&["push", "-q", &part]);
        parts.push(part);
    }
    let mut create = vec!["manifest", "create", name];
    create.extend(parts.iter().map(String::as_str));
    kista.ok(&create);
    kista.ok(&["manifest", "push", name])
}

/// The platforms that are here under a name.
fn platforms(kista: &Kista, name: &str) -> Vec<String> {
    let ids = kista.ok(&["images", "-q", "--no-trunc", name]);
    let mut found: Vec<String> =
        ids.lines().map(|id| kista.format("{{.Architecture}}", id)).collect();
    found.sort();
    found
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names
}

fn manifest(registry: &Registry, path: &str) -> Option<Value> {
    let (status, body) = registry.get(path)?;
    (status == 200).then(|| serde_json::from_slice(&body).unwrap())
}

#[test]
fn an_index_is_pulled_whole_and_pushed_as_it_came() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let name = format!("{}/a/multi:1", registry.host());
    let digest = pushed(&name);
    let kista = Kista::on_this_machine();

    // One alone, as ever; what is not here is not sent, and that is said.
    kista.ok(&["pull", "-q", &name]);
    assert_eq!(platforms(&kista, &name), [own()]);
    let copied = format!("{}/b/part:1", registry.host());
    kista.ok(&["tag", &name, &copied]);
    let out = kista.ok(&["push", &copied]);
    assert!(out.contains("Not all of the image's platforms are here"), "{out}");
    let part = manifest(&registry, "/v2/b/part/manifests/1").unwrap();
    assert!(part["manifests"].is_null(), "{part}");

    // Another one stays beside it, and what runs is still the machine's own.
    kista.ok(&["pull", "-q", "--platform", "s390x", &name]);
    assert_eq!(platforms(&kista, &name), sorted(&[own(), "s390x"]));
    assert_eq!(kista.ok(&["run", "--rm", &name, "cat", "/architecture"]), own());
    kista.ok(&["pull", "-q", "--platform", "all", &name]);
    assert_eq!(platforms(&kista, &name), sorted(&[own(), "s390x", "riscv64"]));
    let again = kista.ok(&["pull", "--platform", "all", &name]);
    assert!(again.contains("Image is up to date"), "{again}");

    // All of it is here: it goes as it came, to Debian's registry too if there is one.
    let mut targets = vec![format!("{}/b/whole:1", registry.host())];
    let other = testkit::Need::DockerRegistry.missing().is_none().then(Registry::docker);
    targets.extend(other.as_ref().map(|other| format!("{}/b/whole:1", other.host())));
    for target in &targets {
        kista.ok(&["tag", &name, target]);
        let out = kista.ok(&["push", target]);
        assert!(out.contains(&format!("digest: {digest} ")), "{out}");
        let far = Kista::on_this_machine();
        far.ok(&["pull", "-q", "--platform", "riscv64,s390x", target]);
        assert_eq!(platforms(&far, target), sorted(&["riscv64", "s390x"]));
        far.run(&["pull", "--platform", "mips", target]).fails(1, "unknown operating system");
        far.run(&["pull", "--platform", "linux/mips", target]).fails(1, "no matching manifest");
    }
    // With a platform one image goes, under the same name.
    kista.ok(&["push", "-q", "--platform", "s390x", &targets[0]]);
    let alone = manifest(&registry, "/v2/b/whole/manifests/1").unwrap();
    assert!(alone["manifests"].is_null(), "{alone}");
    kista.ok(&["system", "check"]);
}

#[test]
fn a_variant_is_inspected_run_and_removed_by_its_platform() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let name = format!("{}/a/multi:1", registry.host());
    pushed(&name);
    let kista = Kista::on_this_machine();
    kista.ok(&["pull", "-q", "--platform", "all", &name]);
    let of = |platform: &str| {
        kista.ok(&[
            "image",
            "inspect",
            "--platform",
            platform,
            "--format",
            "{{.Id}} {{.Architecture}}",
            &name,
        ])
    };
    let own_platform = format!("linux/{}", own());
    let (foreign, ours) = (of("linux/s390x"), of(&own_platform));
    assert!(foreign.ends_with(" s390x") && ours.ends_with(own()), "{foreign} {ours}");
    assert_ne!(foreign, ours);
    kista
        .run(&["image", "inspect", "--platform", "linux/mips", &name])
        .fails(1, "does not match the specified platform");
    // Busybox of this machine under another machine's name: it runs, and is the other one.
    let out = kista.run(&["run", "--rm", "--platform", "s390x", &name, "cat", "/architecture"]);
    assert_eq!((out.code, out.stdout.as_str()), (0, "s390x"), "{}", out.stderr);

    let blobs = || std::fs::read_dir(kista.root().join("blobs/sha256")).unwrap().count();
    let before = blobs();
    let id = foreign.split(' ').next().unwrap();
    let out = kista.ok(&["image", "rm", "--platform", "s390x", &name]);
    assert!(out.contains(&format!("Deleted: {id}")) && !out.contains("Untagged"), "{out}");
    assert_eq!(before - blobs(), 3, "manifest, configuration and layer");
    assert_eq!(platforms(&kista, &name), sorted(&[own(), "riscv64"]));
    kista.run(&["rmi", "--platform", "s390x", &name]).fails(1, "has no variant for linux/s390x");
    kista.run(&["rmi", "--platform", "riscv64", id]).fails(1, "No such image");

    // A container keeps its own variant.
    kista.ok(&["create", "--name", "cc", &name, "true"]);
    kista.run(&["rmi", "--platform", own(), &name]).fails(1, "used by stopped container");
    kista.ok(&["rmi", "--platform", "riscv64", &name]);
    assert_eq!(platforms(&kista, &name), [own()]);
    kista.ok(&["rm", "cc"]);
    // The last variant takes the name along, and the index goes with it.
    let out = kista.ok(&["rmi", "--platform", own(), &name]);
    assert!(out.contains(&format!("Untagged: {name}")), "{out}");
    assert_eq!(kista.ok(&["images", "-q"]), "");
    assert_eq!(blobs(), 0);

    // By its name alone an image goes with all of its variants.
    kista.ok(&["pull", "-q", "--platform", "all", &name]);
    kista.ok(&["rmi", &name]);
    assert_eq!((kista.ok(&["images", "-aq"]), blobs()), (String::new(), 0));
}

#[test]
fn archives_have_several_images_and_platforms() {
    needs!(Root, Busybox);
    let registry = Registry::kista(&[]);
    let name = format!("{}/a/multi:1", registry.host());
    pushed(&name);
    let kista = Kista::on_this_machine();
    kista.ok(&["pull", "-q", "--platform", "all", &name]);
    kista.load(&Image::busybox("single:2"));
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str| folder.path().join(file).to_string_lossy().into_owned();
    let all = sorted(&[own(), "riscv64", "s390x"]);

    kista.ok(&["save", "-o", &at("both.tar"), &name, "single:2"]);
    let other = Kista::on_this_machine();
    let out = other.ok(&["load", "-i", &at("both.tar")]);
    assert_eq!(out, format!("Loaded image: {name}\nLoaded image: single:2"));
    assert_eq!(platforms(&other, &name), all);
    assert_eq!(other.ok(&["run", "--rm", &name, "cat", "/architecture"]), own());
    let target = format!("{}/c/again:1", registry.host());
    other.ok(&["tag", &name, &target]);
    other.ok(&["push", "-q", &target]);
    let (a, b) = ("/v2/a/multi/manifests/1", "/v2/c/again/manifests/1");
    assert_eq!(manifest(&registry, a), manifest(&registry, b), "the index is another one");

    // Some of them, at either end.
    kista.ok(&[
        "save",
        "-o",
        &at("two.tar"),
        "--platform",
        "s390x",
        "--platform",
        "riscv64",
        &name,
    ]);
    let other = Kista::on_this_machine();
    other.ok(&["load", "-i", &at("two.tar")]);
    assert_eq!(platforms(&other, &name), sorted(&["riscv64", "s390x"]));
    let other = Kista::on_this_machine();
    other.ok(&["load", "-i", &at("both.tar"), "--platform", "s390x"]);
    assert_eq!(platforms(&other, &name), ["s390x"]);
    other
        .run(&["load", "-i", &at("both.tar"), "--platform", "linux/mips"])
        .fails(1, "no image for linux/mips");
    kista.run(&["save", "--platform", "mips64le", "-o", &at("none.tar"), &name]).fails(1, "");
}

#[test]
fn skopeos_archive_of_all_platforms_is_loaded() {
    needs!(Root, Busybox, Skopeo);
    let registry = Registry::kista(&[]);
    let name = format!("{}/a/multi:1", registry.host());
    pushed(&name);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.tar");
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--all", "--src-tls-verify=false"]).arg(format!("docker://{name}"));
    run(copy.arg(format!("oci-archive:{}:all:1", file.display())));
    let kista = Kista::on_this_machine();
    let out = kista.ok(&["load", "-i", file.to_str().unwrap()]);
    assert_eq!(out, "Loaded image: all:1");
    assert_eq!(platforms(&kista, "all:1"), sorted(&[own(), "riscv64", "s390x"]));

    // And what Kista saves is read by skopeo.
    let saved = folder.path().join("saved.tar");
    kista.ok(&["save", "-o", saved.to_str().unwrap(), "all:1"]);
    let back = format!("{}/back:1", registry.host());
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--all", "--dest-tls-verify=false"]);
    copy.arg(format!("oci-archive:{}", saved.display())).arg(format!("docker://{back}"));
    run(&mut copy);
    let list = manifest(&registry, "/v2/back/manifests/1").unwrap();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 3);
}
