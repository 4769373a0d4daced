//! The corpus (`tests/e2e/corpus`): Kista and Docker's classic builder make the same of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::{Image, Kista, needs};

use super::Context;
use crate::registry::Dockerd;

/// What every case finds in its context: `-> ` begins a link's target, a slash ends a folder.
const CONTEXT: [(&str, &str, u32); 21] = [
    ("a.txt", "a\n", 0o644),
    ("b.txt", "b\n", 0o644),
    ("script.sh", "#!/bin/sh\necho run\n", 0o755),
    ("empty.txt", "", 0o644),
    (".hidden", "hidden\n", 0o644),
    ("with blank", "blank\n", 0o644),
    ("link", "-> a.txt", 0),
    ("dlink", "-> dir", 0),
    ("broken", "-> nowhere", 0),
    ("dir/one", "1\n", 0o644),
    ("dir/two", "2\n", 0o600),
    ("dir/sub/deep", "deep\n", 0o644),
    ("emptydir/", "", 0o755),
    ("links/to-file", "-> ../a.txt", 0),
    ("links/to-folder", "-> ../dir", 0),
    ("links/broken", "-> nowhere", 0),
    ("links/absolute", "-> /etc/passwd", 0),
    ("modes/sticky/", "", 0o1777),
    ("modes/readonly", "r\n", 0o400),
    ("modes/none", "n\n", 0o000),
    ("fake.tar", "no archive\n", 0o644),
];
/// When they were changed; what is as old in an image has kept its time.
const OLD: i64 = 1_000_000_000;

/// One Dockerfile.
#[derive(Debug, Default)]
struct Case {
    name: String,
    dockerfile: String,
    arguments: Vec<String>,
    files: Vec<(String, String)>,
    modes: Vec<(String, u32)>,
    fails: bool,
    differs: bool,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case begins with its name");
        let words = |rest: &str| rest.split(' ').map(str::to_owned).collect();
        match line.split_once(' ').unwrap_or((line, "")) {
            ("@args", rest) => case.arguments = words(rest),
            ("@file", rest) => {
                let (path, content) = rest.split_once(' ').unwrap();
                let content = content.replace("\\n", "\n").replace("\\r", "\r");
                case.files.push((path.to_owned(), content.replace("\\uFEFF", "\u{feff}")));
            }
            ("@mode", rest) => {
                let (path, mode) = rest.split_once(' ').unwrap();
                case.modes.push((path.to_owned(), u32::from_str_radix(mode, 8).unwrap()));
            }
            ("@fails", _) => case.fails = true,
            ("@differs", _) => case.differs = true,
            _ => case.dockerfile += &format!("{line}\n"),
        }
    }
    cases
}

impl Case {
    fn context(&self) -> Context {
        let context = Context::new(&self.dockerfile, &[]);
        for (path, content, mode) in CONTEXT {
            context.write(path, content);
            if mode != 0 || path == "modes/none" {
                fs::set_permissions(context.file(path), fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        archives(context.path());
        for (path, content) in &self.files {
            context.write(path, content);
        }
        for (path, mode) in &self.modes {
            fs::set_permissions(context.file(path), fs::Permissions::from_mode(*mode)).unwrap();
        }
        set_times(context.path());
        context
    }
}

fn archives(folder: &Path) {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("in")).unwrap();
    fs::write(source.path().join("in/file"), "archived\n").unwrap();
    symlink("file", source.path().join("in/link")).unwrap();
    let times = format!("--mtime=@{OLD}");
    for (name, flag) in [
        ("archive.tar", "-c"),
        ("archive.tar.gz", "-cz"),
        ("archive.tar.xz", "-cJ"),
        ("renamed.txt", "-c"),
    ] {
        let mut tar = Command::new("tar");
        tar.arg(flag).args(["--owner=3", "--group=4", "--mode=750", "--numeric-owner", &times]);
        tar.arg("-C").arg(source.path()).arg("-f").arg(folder.join(name)).arg("in");
        assert!(tar.status().unwrap().success());
    }
    let plain = folder.join("plain");
    fs::write(&plain, "plain\n").unwrap();
    assert!(Command::new("gzip").arg("-n").arg(&plain).status().unwrap().success());
}

/// Makes everything old.
fn set_times(folder: &Path) {
    let time = format!("@{OLD}");
    let all = Command::new("find")
        .arg(folder)
        .args(["-depth", "-exec", "touch", "-h", "-d", &time, "{}", "+"])
        .status();
    assert!(all.unwrap().success());
}

/// What is compared of a file.
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    kind: char,
    mode: u32,
    owner: (u32, u32),
    /// Content, target, device.
    what: Vec<u8>,
    /// If it is old.
    time: Option<i64>,
    links: u64,
}

type Tree = BTreeMap<String, Facts>;

/// The files of an image and its configuration, from what `save` has written.
fn open(archive: &[u8]) -> (Tree, Value) {
    let temp = tempfile::tempdir().unwrap();
    let (saved, root) = (temp.path().join("saved"), temp.path().join("root"));
    fs::create_dir(&saved).unwrap();
    fs::create_dir(&root).unwrap();
    unpack(archive, &saved, &[]);
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let manifest = read(&saved.join("manifest.json"))[0].take();
    let config = read(&saved.join(manifest["Config"].as_str().unwrap()));
    for layer in manifest["Layers"].as_array().unwrap() {
        apply(&fs::read(saved.join(layer.as_str().unwrap())).unwrap(), &root);
    }
    let mut tree = Tree::new();
    collect(&root, &root, &mut tree);
    (tree, config)
}

fn unpack(archive: &[u8], to: &Path, more: &[&str]) {
    let mut child = Command::new("tar")
        .args(["-x", "-p", "--numeric-owner", "--xattrs", "-C"])
        .arg(to)
        .args(more)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), archive).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Puts a layer on top of a tree.
fn apply(layer: &[u8], root: &Path) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("layer");
    fs::write(&path, layer).unwrap();
    let listed = Command::new("tar").arg("-tf").arg(&path).output().unwrap();
    for name in String::from_utf8_lossy(&listed.stdout).lines() {
        let (folder, last) = name.rsplit_once('/').unwrap_or(("", name));
        let Some(hidden) = last.strip_prefix(".wh.") else { continue };
        let folder = root.join(folder);
        if hidden == ".wh..opq" {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                remove(&entry.unwrap().path());
            }
        } else {
            remove(&folder.join(hidden));
        }
    }
    for name in String::from_utf8_lossy(&listed.stdout).lines() {
        let path = root.join(name.trim_end_matches('/'));
        let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        if is_folder != name.ends_with('/') {
            remove(&path);
        }
    }
    unpack(layer, root, &["--exclude=.wh.*"]);
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn collect(root: &Path, folder: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = path.symlink_metadata().unwrap();
        let kind = found.file_type();
        let (letter, what) = match () {
            () if kind.is_dir() => ('d', Vec::new()),
            () if kind.is_symlink() => {
                ('l', fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes())
            }
            () if kind.is_file() => ('f', fs::read(&path).unwrap()),
            () if kind.is_fifo() => ('p', Vec::new()),
            () => ('c', found.rdev().to_le_bytes().to_vec()),
        };
        let facts = Facts {
            kind: letter,
            mode: if letter == 'l' { 0 } else { found.mode() & 0o7777 },
            owner: (found.uid(), found.gid()),
            what,
            // Folders change with what is put into them, in one builder more often than in another.
            time: (letter == 'f' && found.mtime() <= OLD).then(|| found.mtime()),
            links: if letter == 'd' { 0 } else { found.nlink() },
        };
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if letter == 'd' {
            collect(root, &path, tree);
        }
        tree.insert(name, facts);
    }
}

/// What of a configuration is compared, in one form.
fn configuration(config: &Value) -> BTreeMap<String, Value> {
    let keys = [
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "Volumes",
        "WorkingDir",
        "Labels",
        "StopSignal",
        "OnBuild",
        "Healthcheck",
        "Shell",
    ];
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let mut found = BTreeMap::new();
    for key in keys {
        let mut value = config["config"][key].clone();
        // No directory at all is the root.
        if key == "WorkingDir" && value == "/" {
            value = Value::Null;
        }
        if !is_empty(&value) {
            found.insert(key.to_owned(), value);
        }
    }
    found.extend(config.get("author").cloned().map(|author| ("author".to_owned(), author)));
    found
}

/// What two trees do not have in common.
fn differences(kista: &Tree, docker: &Tree) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = kista.keys().chain(docker.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let (ours, theirs) = (kista.get(name), docker.get(name));
        if ours != theirs {
            let shown = |facts: Option<&Facts>| match facts {
                None => "none".to_owned(),
                Some(facts) => {
                    let what = String::from_utf8_lossy(&facts.what[..facts.what.len().min(60)]);
                    format!(
                        "{} {:o} {:?} {what:?} {:?} {}",
                        facts.kind, facts.mode, facts.owner, facts.time, facts.links
                    )
                }
            };
            found.push(format!("{name}: kista {}, docker {}", shown(ours), shown(theirs)));
        }
    }
    found
}

/// Builds a case with both; what is wrong with it.
fn compare(case: &Case, kista: &Kista, dockerd: &Dockerd) -> Option<String> {
    let context = case.context();
    let path = context.path().to_str().unwrap();
    let mut arguments = vec!["--network=none", "-t", "case"];
    let absolute;
    let mut rest = case.arguments.iter();
    while let Some(word) = rest.next() {
        arguments.push(word);
        if word == "-f" {
            // Both take it from where they are called.
            absolute = context.file(rest.next().unwrap()).to_str().unwrap().to_owned();
            arguments.push(&absolute);
            break;
        }
    }
    let ours = context.build(kista, &arguments);
    let words = [&["build"], &arguments[..], &[path]].concat();
    let theirs = dockerd.command(&words).env("DOCKER_BUILDKIT", "0").output().unwrap();
    let (ours_works, theirs_works) = (ours.code == 0, theirs.status.success());
    let their_words = String::from_utf8_lossy(&theirs.stderr).into_owned();
    let problem = match (ours_works, theirs_works) {
        (false, false) if case.fails => None,
        (true, true) if !case.fails => {
            let ours = open(&kista.command(&["save", "case"]).run().bytes);
            let saved = dockerd.command(&["save", "case"]).output().unwrap();
            assert!(saved.status.success(), "{}: docker cannot save it", case.name);
            let theirs = open(&saved.stdout);
            let mut found = differences(&ours.0, &theirs.0);
            let (ours, theirs) = (configuration(&ours.1), configuration(&theirs.1));
            if ours != theirs {
                found.push(format!("configuration: kista {ours:?}, docker {theirs:?}"));
            }
            (!found.is_empty()).then(|| found.join("\n    "))
        }
        _ => Some(format!(
            "kista {ours_works}, docker {theirs_works}:\n{}\n{their_words}",
            ours.stderr
        )),
    };
    match (problem, case.differs) {
        (Some(problem), false) => Some(format!("{}:\n    {problem}", case.name)),
        (None, true) => Some(format!("{}: there is no difference any more", case.name)),
        _ => None,
    }
}

fn check(text: &str) {
    let kista = Kista::with_busybox();
    let dockerd = Dockerd::start(&[]);
    let mut load =
        dockerd.command(&["load"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let image = Image::busybox("busybox").docker_archive();
    std::io::Write::write_all(&mut load.stdin.take().unwrap(), &image).unwrap();
    assert!(load.wait().unwrap().success());
    let only = std::env::var("CORPUS_ONLY").unwrap_or_default();
    let cases = cases(text);
    let wanted = cases.iter().filter(|case| case.name.contains(&only));
    let problems: Vec<String> = wanted.filter_map(|case| compare(case, &kista, &dockerd)).collect();
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn corpus_of_copy() {
    needs!(Root, Busybox, Dockerd);
    check(include_str!("../../../corpus/copy.txt"));
}

#[test]
fn corpus_of_add() {
    needs!(Root, Busybox, Dockerd, Compressors);
    check(include_str!("../../../corpus/add.txt"));
}

#[test]
fn corpus_of_run() {
    needs!(Root, Busybox, Dockerd);
    check(include_str!("../../../corpus/run.txt"));
}

#[test]
fn corpus_of_configurations() {
    needs!(Root, Busybox, Dockerd);
    check(include_str!("../../../corpus/config.txt"));
}

#[test]
fn corpus_of_stages() {
    needs!(Root, Busybox, Dockerd);
    check(include_str!("../../../corpus/stages.txt"));
}

#[test]
fn corpus_of_the_language() {
    needs!(Root, Busybox, Dockerd);
    check(include_str!("../../../corpus/parser.txt"));
}
