//! Images: in, out of sight, and what may not be removed.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;
use testkit::tar::Writer;
use testkit::{Image, Kista, needs};

#[test]
fn every_form_of_archive_gives_the_same_image() {
    needs!(Root, Busybox, Compressors);
    let image = Image::busybox("busybox");
    let forms = [("docker", image.docker_archive()), ("oci", image.oci_archive())];
    for (form, archive) in forms {
        for compressor in [None, Some("gzip"), Some("zstd"), Some("xz")] {
            let kista = Kista::new();
            let bytes = match compressor {
                Some(program) => compressed(program, &archive),
                None => archive.clone(),
            };
            let out = kista.command(&["load"]).stdin(bytes).run().ok();
            assert_eq!(out, "Loaded image: busybox:latest", "{form} {compressor:?}");
            assert_eq!(kista.format("{{.Id}}", "busybox"), image.id(), "{form} {compressor:?}");
            assert_eq!(kista.ok(&["run", "--rm", "busybox", "echo", "x"]), "x");
        }
    }
}

fn compressed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(["-1", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).unwrap());
        child.wait_with_output().unwrap().stdout
    })
}

#[test]
fn archives_come_from_files_too() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    let file = kista.root().join("image.tar");
    std::fs::write(&file, Image::busybox("app:1.2").docker_archive()).unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(kista.ok(&["load", "-i", path]), "Loaded image: app:1.2");
    assert_eq!(kista.ok(&["load", "--quiet", "--input", path]), "Loaded image: app:1.2");
    kista.run(&["load", "-i", "/no/such/file"]).fails(1, "/no/such/file");
}

#[test]
fn skopeo_and_kista_agree_about_a_layout() {
    needs!(Root, Busybox, Skopeo);
    let kista = Kista::with_busybox();
    // The data directory is an OCI layout that others can read in place.
    let source = format!("oci:{}:docker.io/library/busybox:latest", kista.root().display());
    let out = Command::new("skopeo").args(["inspect", "--config", &source]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn the_list() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["tag", "busybox", "registry.example:5000/team/app:v1"]);
    let rows = kista.ok(&["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    let id = kista.format("{{.Id}}", "busybox");
    let short = &id["sha256:".len()..][..12];
    let mut rows: Vec<&str> = rows.lines().collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [format!("busybox:latest {short}"), format!("registry.example:5000/team/app:v1 {short}"),]
    );
    assert_eq!(kista.ok(&["images", "-q", "--no-trunc", "busybox"]), id);
    assert_eq!(kista.ok(&["image", "ls", "-q", "nothing-of-that-name"]), "");
    let table = kista.ok(&["images"]);
    assert!(table.lines().count() >= 3 && table.contains("busybox"), "{table}");
}

#[test]
fn ids_and_digests_name_images() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let id = kista.format("{{.Id}}", "busybox");
    let hex = &id["sha256:".len()..];
    for name in
        [&id, hex, &hex[..12], "busybox:latest", "docker.io/library/busybox", "library/busybox"]
    {
        assert_eq!(kista.ok(&["run", "--rm", name, "echo", "x"]), "x", "{name}");
    }
}

#[test]
fn removing_unties_names_and_then_deletes() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let id = kista.format("{{.Id}}", "busybox");
    kista.ok(&["tag", "busybox", "other:1"]);
    assert_eq!(kista.ok(&["rmi", "other:1"]), "Untagged: other:1");
    kista.ok(&["tag", "busybox", "other:1"]);
    let short = &id["sha256:".len()..][..12];
    kista.run(&["rmi", short]).fails(1, "must be forced");
    kista.ok(&["rmi", "other:1"]);
    let out = kista.ok(&["rmi", "busybox"]);
    assert!(
        out.starts_with("Untagged: busybox:latest\n") && out.contains(&format!("Deleted: {id}")),
        "{out}"
    );
    assert_eq!(kista.ok(&["images", "-aq"]), "");
    let blobs = std::fs::read_dir(kista.root().join("blobs/sha256")).map_or(0, Iterator::count);
    let layers = std::fs::read_dir(kista.root().join("layers")).map_or(0, Iterator::count);
    assert_eq!((blobs, layers), (0, 0), "nothing is kept that nothing names");
    kista.run(&["rmi", "busybox"]).fails(1, "No such image: busybox");
}

#[test]
fn an_image_in_use_is_kept() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let container = kista.ok(&["create", "--name", "box", "busybox", "echo", "still"]);
    kista.run(&["rmi", "busybox"]).fails(1, &container[..12]);
    kista.ok(&["rmi", "-f", "busybox"]);
    assert_eq!(kista.ok(&["start", "-a", "box"]), "still", "only the name went");
    assert!(kista.ok(&["images", "-a"]).contains("<none>"));
    kista.ok(&["rm", "box"]);
    kista.ok(&["image", "prune", "-f"]);
    assert_eq!(kista.ok(&["images", "-aq"]), "");
}

#[test]
fn a_name_moves_to_the_newer_image() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let old = kista.format("{{.Id}}", "busybox");
    let newer = Image::busybox("busybox").config("Cmd", json!(["echo", "new"]));
    kista.load(&newer);
    assert_eq!(kista.format("{{.Id}}", "busybox"), newer.id());
    assert_eq!(kista.ok(&["images", "-q", "--no-trunc", "--filter", "dangling=true"]), old);
    assert_eq!(kista.ok(&["run", "--rm", "busybox"]), "new");
    let pruned = kista.ok(&["image", "prune", "-f"]);
    assert!(pruned.contains(&old), "{pruned}");
    assert_eq!(kista.ok(&["run", "--rm", "busybox"]), "new", "shared layers stay");
}

#[test]
fn a_root_file_system_is_imported() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    let tar = testkit::image::busybox_layer().clone();
    let arguments = [
        "import",
        "--change",
        "CMD [\"echo\", \"changed\"]",
        "-c",
        "ENV A=b",
        "-m",
        "note",
        "-",
        "mine:1",
    ];
    let id = kista.command(&arguments).stdin(tar.clone()).run().ok();
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(kista.format("{{.Id}} {{.Comment}}", "mine:1"), format!("{id} note"));
    assert_eq!(kista.ok(&["run", "--rm", "mine:1"]), "changed");
    let anonymous = kista.command(&["import", "-"]).stdin(tar).run().ok();
    assert_eq!(kista.ok(&["run", "--rm", &anonymous, "echo", "x"]), "x");
    kista
        .command(&["import", "-c", "NONSENSE x", "-", "bad"])
        .stdin("")
        .run()
        .fails(1, "nonsense is not a valid change command");
}

#[test]
fn upper_layers_cover_and_delete() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    let mut base = Writer::new();
    base.directory("d/", 0o755).file("d/old", 0o644, b"old\n").file("d/gone", 0o644, b"");
    base.directory("o/", 0o755).file("o/hidden", 0o644, b"");
    let mut top = Writer::new();
    top.directory("d/", 0o755).file("d/old", 0o644, b"new\n").file("d/.wh.gone", 0o644, b"");
    top.directory("o/", 0o755).file("o/.wh..wh..opq", 0o644, b"").file("o/seen", 0o644, b"");
    kista.load(&Image::busybox("app").layer(base.finish()).layer(top.finish()));
    let out = kista.ok(&["run", "--rm", "app", "sh", "-c", "cat d/old; ls d o"]);
    assert_eq!(out, "new\nd:\nold\n\no:\nseen");
}

#[test]
fn nothing_of_a_broken_archive_stays() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let before = kista.ok(&["images", "-q"]);
    let good = Image::busybox("other").docker_archive();
    kista.command(&["load"]).stdin(&good[..good.len() / 2]).run().fails(1, "");
    kista.command(&["load"]).stdin("this is no archive").run().fails(1, "");
    kista.command(&["load"]).stdin("").run().fails(1, "");
    // A layer whose bytes are not those that the configuration names.
    let mut wrong = good.clone();
    let at = wrong.windows(9).position(|bytes| bytes == b"root:x:0:").unwrap();
    wrong[at] = b'R';
    let out = kista.command(&["load"]).stdin(wrong).run();
    out.fails(1, "sha256:");
    assert_eq!(kista.ok(&["images", "-q"]), before);
    assert_eq!(kista.ok(&["run", "--rm", "busybox", "echo", "x"]), "x");
}

#[test]
fn a_hostile_layer_is_refused() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    let canary = tempfile::tempdir().unwrap();
    let outside = format!("../../../../../../../../{}/x", canary.path().display());
    let mut traversal = Writer::new();
    traversal.file(&outside, 0o644, b"x");
    let mut link = Writer::new();
    link.symlink("l", canary.path().to_str().unwrap()).file("l/x", 0o644, b"x");
    for (what, layer) in [("a path", traversal.finish()), ("a link", link.finish())] {
        let image = Image::busybox("evil").layer(layer);
        let out = kista.command(&["load"]).stdin(image.docker_archive()).run();
        if out.code == 0 {
            kista.ok(&["run", "--rm", "evil", "true"]);
        }
        assert_eq!(std::fs::read_dir(canary.path()).unwrap().count(), 0, "{what}");
    }
}

#[test]
fn attributes_of_files_are_kept() {
    needs!(Root, Busybox);
    let kista = Kista::new();
    let mut layer = Writer::new();
    let mut entry = testkit::tar::Entry::new("f", testkit::tar::Kind::File);
    entry.mode = 0o4751;
    (entry.uid, entry.gid, entry.mtime) = (1234, 70_000, 1_000_000_000);
    entry.content = b"x";
    layer.entry(&entry);
    // A hard link's header speaks of the same file.
    let hard = testkit::tar::Entry {
        path: "hard",
        kind: testkit::tar::Kind::HardLink,
        link: "f",
        content: b"",
        ..entry.clone()
    };
    layer.entry(&hard);
    kista.load(&Image::busybox("app").layer(layer.finish()));
    let out = kista.ok(&["run", "--rm", "app", "stat", "-c", "%a %u %g %h %Y", "/f"]);
    assert_eq!(out, "4751 1234 70000 2 1000000000");
}

#[test]
fn df_counts_what_is_shared_once() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let mut writer = Writer::new();
    writer.file("big", 0o644, &[1; 3_000_000]);
    kista.load(&Image::busybox("other").layer(writer.finish()));
    let line = |kind: &str| {
        let format = "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}";
        let all = kista.ok(&["system", "df", "--format", format]);
        let found = all.lines().find(|line| line.starts_with(kind)).map(str::to_owned);
        found.unwrap_or_else(|| panic!("no {kind} in {all}"))
    };
    let images = line("Images");
    let fields: Vec<&str> = images.split('|').collect();
    assert_eq!(&fields[1..3], ["2", "0"]);
    assert!(fields[4].ends_with("(100%)"), "{images}");
    let size: f64 = fields[3].trim_end_matches("MB").parse().unwrap();
    let busybox = std::fs::metadata("/bin/busybox").unwrap().len();
    #[allow(clippy::cast_precision_loss, reason = "some megabytes")]
    let once = (busybox + 3_000_000) as f64 / 1e6;
    assert!((once - 0.01..once + 0.5).contains(&size), "{images}: {once}");

    kista.ok(&[
        "run",
        "--name",
        "one",
        "-v",
        "data:/data",
        "busybox",
        "sh",
        "-c",
        "echo x >/data/f",
    ]);
    assert!(line("Images").starts_with("Images|2|1|"), "{}", line("Images"));
    assert!(line("Containers").starts_with("Containers|1|0|"), "{}", line("Containers"));
    assert!(line("Local").starts_with("Local Volumes|1|1|"), "{}", line("Local"));
    let verbose = kista.ok(&["system", "df", "-v"]);
    let shared = verbose.lines().find(|line| line.starts_with("other")).unwrap();
    assert!(shared.contains("3MB"), "{verbose}");
    kista.run(&["system", "df", "-v", "--format", "json"]).fails(1, "conflict");
    kista.ok(&["rm", "one"]);
    kista.ok(&["volume", "rm", "data"]);
}
