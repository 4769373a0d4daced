//! `--provenance`, `--sbom` and `--attest`.

use std::path::Path;

use serde_json::Value;
use testkit::{Image, Kista, Registry, needs};

use super::Context;

const ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";

/// A package of the system, one of a language, and a secret that is in nothing.
const DOCKERFILE: &str = "FROM busybox\nARG VERSION\nARG API_TOKEN\n\
    RUN --mount=type=secret,id=key cat /run/secrets/key; echo $API_TOKEN > /dev/null\n\
    RUN mkdir -p /lib/apk/db && printf 'P:musl\\nV:1.2.5\\nA:x86_64\\n\\n' > /lib/apk/db/installed\n\
    COPY package.json /app/node_modules/left-pad/package.json\n";

fn context() -> Context {
    let package = r#"{"name":"left-pad","version":"1.3.0","license":"MIT"}"#;
    Context::new(DOCKERFILE, &[("package.json", package), ("key", "hush")])
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(bytes));
    })
}

/// An OCI layout.
struct Layout<'a>(&'a Path);

impl Layout<'_> {
    fn index(&self) -> Value {
        json(&std::fs::read(self.0.join("index.json")).unwrap())
    }

    fn blob(&self, digest: &Value) -> Value {
        let path = digest.as_str().unwrap().replace(':', "/");
        json(&std::fs::read(self.0.join("blobs").join(path)).unwrap())
    }

    /// What the manifest at this place of a list of entries says: its statements.
    fn statements(&self, entry: &Value) -> Vec<Value> {
        let manifest = self.blob(&entry["digest"]);
        assert_eq!(manifest["artifactType"], ARTIFACT);
        let layers = manifest["layers"].as_array().unwrap().clone();
        layers.iter().map(|layer| self.blob(&layer["digest"])).collect()
    }
}

fn urls(sbom: &Value) -> Vec<&str> {
    let packages = sbom["predicate"]["packages"].as_array().unwrap();
    // The first is the image itself.
    packages[1..]
        .iter()
        .map(|package| package["externalRefs"][0]["referenceLocator"].as_str().unwrap())
        .collect()
}

#[test]
fn an_archive_has_statements_about_its_image() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let context = context();
    let out = tempfile::tempdir().unwrap();
    let build = |name: &str, more: &[&str]| {
        let folder = out.path().join(name);
        let to = format!("type=oci,tar=false,dest={}", folder.display());
        let key = format!("id=key,src={}", context.file("key").display());
        let fixed = ["-t", "app:1", "--secret", &key, "--sbom=true", "-o"];
        let arguments = [&fixed[..], &[to.as_str()], more].concat();
        let built = context.build(&kista, &arguments);
        assert_eq!(built.code, 0, "{}", built.stderr);
        folder
    };
    let folder = build(
        "full",
        &[
            "--provenance=mode=max,builder-id=https://example.com/b",
            "--build-arg=VERSION=7",
            "--build-arg=API_TOKEN=hush",
            "--build-arg=HTTP_PROXY=http://user:hush@proxy",
        ],
    );
    let layout = Layout(&folder);
    let index = layout.index();
    let entries = index["manifests"].as_array().unwrap();
    // The image is a plain one, and what is said about it an artifact beside it.
    assert_eq!(entries.len(), 2, "{index}");
    assert_eq!(entries[1]["platform"]["os"], "unknown");
    let subject = &layout.blob(&entries[1]["digest"])["subject"]["digest"];
    assert_eq!(*subject, entries[0]["digest"]);
    let [sbom, provenance] = &layout.statements(&entries[1])[..] else { panic!("two") };
    for statement in [sbom, provenance] {
        assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
        let named = &statement["subject"][0];
        assert_eq!(named["name"], "pkg:docker/app@1?platform=linux%2Famd64");
        let digest = format!("sha256:{}", named["digest"]["sha256"].as_str().unwrap());
        assert_eq!(entries[0]["digest"], *digest);
        assert!(!statement.to_string().contains("hush"), "{statement}");
    }
    assert_eq!(sbom["predicateType"], "https://spdx.dev/Document");
    let found = urls(sbom);
    assert_eq!(found, ["pkg:apk/alpine/musl@1.2.5?arch=x86_64", "pkg:npm/left-pad@1.3.0"]);

    assert_eq!(provenance["predicateType"], "https://slsa.dev/provenance/v1");
    let definition = &provenance["predicate"]["buildDefinition"];
    let request = &definition["externalParameters"]["request"];
    assert_eq!(request["args"]["build-arg:VERSION"], "7");
    assert_eq!(request["args"]["build-arg:API_TOKEN"], "****");
    assert_eq!(request["secrets"][0]["id"], "key");
    let base = &definition["resolvedDependencies"][0];
    assert!(base["uri"].as_str().unwrap().starts_with("pkg:docker/busybox@latest?"), "{base}");
    let steps = definition["internalParameters"]["buildConfig"]["llbDefinition"].as_array();
    assert_eq!(steps.map(Vec::len), Some(4));
    let details = &provenance["predicate"]["runDetails"];
    assert_eq!(details["builder"]["id"], "https://example.com/b");
    let layers = &details["metadata"]["buildkit_metadata"]["layers"]["step3:0"][0];
    assert_eq!(layers, &layout.blob(&entries[0]["digest"])["layers"]);
    assert!(details["metadata"]["startedOn"].is_string(), "{details}");

    let folder = build("least", &["--provenance=mode=min,version=v0.2", "--label=l=hush"]);
    let layout = Layout(&folder);
    let said = layout.statements(&layout.index()["manifests"][1]);
    let predicate = &said[1]["predicate"];
    assert_eq!(said[1]["predicateType"], "https://slsa.dev/provenance/v0.2");
    assert_eq!(predicate["invocation"]["configSource"]["entryPoint"], "Dockerfile");
    assert!(predicate.get("buildConfig").is_none() && !predicate.to_string().contains("hush"));
    assert_eq!(predicate["metadata"]["completeness"]["parameters"], false);
}

#[test]
fn with_an_epoch_they_are_the_same_every_time() {
    needs!(Root, Busybox);
    let context = context();
    let out = tempfile::tempdir().unwrap();
    let build = |name: &str| {
        let kista = Kista::with_busybox();
        let to = out.path().join(name);
        let output = format!("type=oci,tar=false,dest={}", to.display());
        let epoch = "SOURCE_DATE_EPOCH=1000000000";
        let flags = ["--provenance=mode=max", "--sbom=true", "--build-arg", epoch, "-o", &output];
        context.build(&kista, &flags).ok();
        Layout(&to).index()
    };
    assert_eq!(build("a"), build("b"));
}

#[test]
fn files_have_statements_beside_them() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    // A link of the image's leads nowhere else.
    let context = Context::new(
        "FROM busybox AS a\nRUN mkdir /d && cd /d && echo 1 > f && ln -s /etc/canary x-provenance.json\n\
         FROM scratch\nCOPY --from=a /d /\n",
        &[],
    );
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("files");
    let to = format!("type=local,attestation-prefix=x-,dest={}", folder.display());
    context.build(&kista, &["--provenance=true", "--sbom=true", "-o", &to]).ok();
    let read = |name: &str| json(&std::fs::read(folder.join(name)).unwrap());
    assert!(folder.join("x-provenance.json").symlink_metadata().unwrap().is_file());
    let subject = &read("x-provenance.json")["subject"];
    assert_eq!((&subject[0]["name"], subject.as_array().map(Vec::len)), (&"f".into(), Some(1)));
    assert_eq!(subject[0]["digest"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(read("x-sbom.spdx.json")["predicate"]["spdxVersion"], "SPDX-2.3");
    let tar = out.path().join("x.tar");
    let to = format!("type=tar,dest={}", tar.display());
    context.build(&kista, &["--provenance=filename=p.json", "-o", &to]).ok();
    let listed = std::process::Command::new("tar").arg("tf").arg(&tar).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "f\nx-provenance.json\np.json\n");
    // What goes with images alone, and what nobody asked for, is not there.
    for flags in [&["--provenance=inline-only=true"][..], &[]] {
        let to = out.path().join("plain");
        let _ = std::fs::remove_dir_all(&to);
        context.build(&kista, &[flags, &["-o", to.to_str().unwrap()]].concat()).ok();
        assert!(!to.join("provenance.json").exists());
    }
}

#[test]
fn an_image_is_pushed_with_what_is_said_about_it() {
    needs!(Root, Busybox);
    let kista = Kista::on_this_machine();
    kista.load(&Image::busybox("busybox"));
    let registry = Registry::kista(&[]);
    let context = Context::new("FROM busybox\nRUN echo 1 > /f\n", &[]);
    let name = format!("{}/a/said:1", registry.host());
    let referrers = |more: &[&str], name: &str| {
        let words = [&["manifest", "referrers", "-q"], more, &[name]].concat();
        kista.ok(&words).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // In the store there is nothing but what one asks for.
    context.build(&kista, &["-t", &name]).ok();
    assert_eq!(referrers(&["--local"], &name), [""; 0]);
    context.build(&kista, &["-t", &name, "--sbom=true"]).ok();
    let here = referrers(&["--local"], &name);
    assert_eq!(here.len(), 1);
    assert_eq!(kista.ok(&["run", "--rm", &name, "cat", "/f"]), "1");
    kista.ok(&["system", "check"]);
    // They go where the image goes, and stay when it is built again without.
    context.build(&kista, &["-t", &name]).ok();
    kista.ok(&["push", "-q", &name]);
    assert_eq!(referrers(&["--artifact-type", ARTIFACT], &name), here);
    let manifest = json(kista.ok(&["manifest", "inspect", "--insecure", &name]).as_bytes());
    assert!(manifest.get("layers").is_some(), "it is a plain image: {manifest}");
    // Who pushes says how it came to be, unless he does not want that.
    let other = format!("{}/a/other:1", registry.host());
    context.build(&kista, &["-t", &other, "--push", "--no-cache"]).ok();
    assert_eq!(referrers(&[], &other).len(), 1);
    let none = format!("{}/a/none:1", registry.host());
    context.build(&kista, &["-t", &none, "--push", "--provenance=false", "--no-cache"]).ok();
    assert_eq!(referrers(&[], &none), [""; 0]);
    // With the image they go.
    let blob = kista.root().join("blobs").join(here[0].replace(':', "/"));
    assert!(blob.exists());
    for image in [&name, &other, &none] {
        kista.ok(&["rmi", image]);
    }
    kista.ok(&["builder", "prune", "-af"]);
    assert!(!blob.exists());
}

#[test]
fn an_index_has_them_as_dockers_has() {
    needs!(Root, Busybox);
    let kista = Kista::on_this_machine();
    kista.load(&Image::busybox("busybox"));
    let registry = Registry::kista(&[]);
    let context = Context::new("FROM busybox\nRUN echo 1 > /f\n", &[]);
    let name = format!("{}/a/index:1", registry.host());
    let to = "type=image,attestation-storage=index";
    context.build(&kista, &["-t", &name, "--provenance=true", "-o", to]).ok();
    assert_eq!(kista.ok(&["run", "--rm", &name, "cat", "/f"]), "1");
    kista.ok(&["push", "-q", &name]);
    let index = json(kista.ok(&["manifest", "inspect", "--insecure", &name]).as_bytes());
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let about = &entries[1]["annotations"];
    assert_eq!(about["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(about["vnd.docker.reference.digest"], entries[0]["digest"]);
    // Another machine runs it, and knows what comes with it.
    let second = Kista::on_this_machine();
    second.ok(&["pull", &name]);
    assert_eq!(second.ok(&["run", "--rm", &name, "cat", "/f"]), "1");
    // The same in an archive, and in a registry at once.
    let pushed = format!("{}/a/pushed:1", registry.host());
    let to = "type=registry,attestation-storage=index";
    context.build(&kista, &["-t", &pushed, "--provenance=true", "-o", to]).ok();
    let index = json(kista.ok(&["manifest", "inspect", "--insecure", &pushed]).as_bytes());
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_generator_lists_what_is_in_the_image() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let scanner = Context::new(
        "FROM busybox\nCOPY scan /scan\nENTRYPOINT [\"/scan\"]\n",
        &[(
            "scan",
            "#!/bin/sh\nset -e\ntest \"$BUILDKIT_SCAN_MORE\" = yes\ncd $BUILDKIT_SCAN_SOURCE\n\
             ! touch here 2>/dev/null\necho '{\"_type\": \"https://in-toto.io/Statement/v0.1\", \
             \"predicateType\": \"https://spdx.dev/Document\", \"predicate\": \
             {\"spdxVersion\": \"SPDX-2.3\", \"name\": \"'$(cat f)'\"}}' \
             > $BUILDKIT_SCAN_DESTINATION/$(basename $BUILDKIT_SCAN_SOURCE).spdx.json\n",
        )],
    );
    scanner.build(&kista, &["-t", "scanner"]).ok();
    let context = Context::new("FROM busybox\nRUN echo mine > /f\n", &[]);
    let out = tempfile::tempdir().unwrap();
    let build = |more: &[&str]| {
        let to = format!("type=local,dest={}", out.path().display());
        context.build(&kista, &[&["-o", &to], more].concat())
    };
    let sbom = "--sbom=generator=scanner,MORE=yes";
    build(&[sbom]).ok();
    let read = json(&std::fs::read(out.path().join("sbom.spdx.json")).unwrap());
    assert_eq!(read["predicate"]["name"], "mine");
    assert_eq!(read["subject"].as_array().map(|all| all.len() > 1), Some(true));
    let again = build(&[sbom]);
    assert!(again.stderr.contains("generating sbom using scanner"), "{}", again.stderr);
    assert!(again.stderr.matches("CACHED").count() >= 2, "{}", again.stderr);
    build(&["--sbom=generator=scanner"]).fails(1, "exit code: 1");
    let silent = Context::new("FROM busybox\nENTRYPOINT [\"true\"]\n", &[]);
    silent.build(&kista, &["-t", "silent"]).ok();
    build(&["--sbom=generator=silent"]).fails(1, "silent wrote nothing");
}

#[test]
fn a_registry_that_lists_no_referrers_gets_their_list() {
    needs!(Root, Busybox, DockerRegistry);
    let kista = Kista::on_this_machine();
    kista.load(&Image::busybox("busybox"));
    let registry = Registry::docker();
    let context = Context::new("FROM busybox\nRUN echo 1 > /f\n", &[]);
    let name = format!("{}/a:1", registry.host());
    let mut known = 0;
    for sbom in ["true", "true"] {
        // Each build says something else: when it was.
        let flags = ["-t", &name, "--push", "--provenance=true", "--sbom", sbom];
        context.build(&kista, &flags).ok();
        let found = kista.ok(&["manifest", "referrers", "-q", &name]).lines().count();
        assert!(found > known, "{found} after {known}");
        known = found;
    }
    let tags = registry.get("/v2/a/tags/list").unwrap().1;
    assert!(String::from_utf8_lossy(&tags).contains("\"sha256-"), "they have a tag");
    // What is there already is not listed twice.
    kista.ok(&["push", "-q", &name]);
    assert_eq!(kista.ok(&["manifest", "referrers", "-q", &name]).lines().count(), known);
}
