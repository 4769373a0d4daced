//! What is compared of an image: a line for each file that is not the base's, and for each part
//! of the configuration.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::OLD;

/// From a file's path, or `config` and a key, to what is known of it.
pub(super) type Facts = BTreeMap<String, String>;

/// Content up to this long is shown as it is, longer one by its digest.
const SHOWN_BYTES: usize = 300;

/// The files and the configuration of an image, from an archive of `docker save`.
pub(super) fn of_archive(archive: &Path) -> Facts {
    let temp = tempfile::tempdir().unwrap();
    let (saved, root) = (temp.path().join("saved"), temp.path().join("root"));
    fs::create_dir(&saved).unwrap();
    fs::create_dir(&root).unwrap();
    unpack(archive, &saved, &[]);
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let manifest = read(&saved.join("manifest.json"))[0].take();
    for layer in manifest["Layers"].as_array().unwrap() {
        apply(&saved.join(layer.as_str().unwrap()), &root);
    }
    let mut facts = Facts::new();
    collect(&root, &root, &mut facts);
    let config = read(&saved.join(manifest["Config"].as_str().unwrap()));
    facts.extend(configuration(&config));
    facts
}

/// Leaves what is the base's; what is missing of it is said. An image without a base stays whole.
pub(super) fn without_base(mut facts: Facts, base: &Facts) -> Facts {
    if !facts.contains_key("/bin/busybox") {
        facts.insert("base".into(), "none".into());
        return facts;
    }
    for (name, known) in base.iter().filter(|(name, _)| name.starts_with('/')) {
        match facts.get(name) {
            Some(found) if found == known => drop(facts.remove(name)),
            Some(_) => {}
            None => drop(facts.insert(name.clone(), "gone".into())),
        }
    }
    facts
}

/// What two images do not have in common.
pub(super) fn differences(kista: &Facts, peer: &Facts, peer_name: &str) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = kista.keys().chain(peer.keys()).collect();
    let shown = |facts: Option<&String>| facts.map_or("none", String::as_str).to_owned();
    names
        .into_iter()
        .map(|name| (name, kista.get(name), peer.get(name)))
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(name, ours, theirs)| {
            format!("{name}: kista {}, {peer_name} {}", shown(ours), shown(theirs))
        })
        .collect()
}

fn unpack(archive: &Path, to: &Path, more: &[&str]) {
    let mut tar = Command::new("tar");
    tar.args(["-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f"]);
    let status = tar.arg(archive).arg("-C").arg(to).args(more).status().unwrap();
    assert!(status.success());
}

/// Puts a layer on top of a tree.
fn apply(layer: &Path, root: &Path) {
    let listed = Command::new("tar").arg("-tf").arg(layer).output().unwrap();
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

/// Kind, mode, owner, content or target or device, attributes, links, and the time of what is old.
fn collect(root: &Path, folder: &Path, facts: &mut Facts) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = path.symlink_metadata().unwrap();
        let kind = found.file_type();
        let (letter, what) = match () {
            () if kind.is_dir() => ('d', String::new()),
            () if kind.is_symlink() => ('l', format!(" -> {:?}", fs::read_link(&path).unwrap())),
            () if kind.is_file() => ('f', format!(" {}", content(&fs::read(&path).unwrap()))),
            () if kind.is_fifo() => ('p', String::new()),
            () => ('c', format!(" {:x}", found.rdev())),
        };
        let mut line = format!("{letter}");
        if letter != 'l' {
            let _ = write!(line, " {:o}", found.mode() & 0o7777);
        }
        let _ = write!(line, " {}:{}{what}", found.uid(), found.gid());
        if letter != 'd' && found.nlink() > 1 {
            let _ = write!(line, " links {}", found.nlink());
        }
        // Folders change with what is put into them, in one builder more often than in another.
        if letter == 'f' && (1..=OLD).contains(&found.mtime()) {
            let _ = write!(line, " time {}", found.mtime());
        }
        for (name, value) in attributes(&path) {
            let _ = write!(line, " {name}={value}");
        }
        if letter == 'd' {
            collect(root, &path, facts);
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        facts.insert(format!("/{name}"), line);
    }
}

fn content(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= SHOWN_BYTES => format!("{text:?}"),
        _ => testkit::image::digest(bytes),
    }
}

fn attributes(path: &Path) -> BTreeMap<String, String> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 4096];
        let name = CString::new(name).unwrap();
        let length = rustix::fs::lgetxattr(path, &name, &mut value[..]).unwrap();
        String::from_utf8_lossy(&value[..length]).into_owned()
    };
    names.map(|name| (String::from_utf8_lossy(name).into_owned(), value(name))).collect()
}

/// What of a configuration is compared, in one form.
fn configuration(config: &Value) -> Facts {
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
    let mut found = Facts::new();
    for key in keys {
        let mut value = config["config"][key].clone();
        // Buildah's mark of itself.
        if let Some(labels) = value.as_object_mut().filter(|_| key == "Labels") {
            labels.remove("io.buildah.version");
        }
        // No directory at all is the root.
        if key == "WorkingDir" && value == "/" {
            value = Value::Null;
        }
        if !is_empty(&value) {
            found.insert(format!("config {key}"), value.to_string());
        }
    }
    for key in ["author", "os", "architecture", "variant"] {
        if let Some(value) = config.get(key).filter(|value| !is_empty(value)) {
            found.insert(format!("config {key}"), value.to_string());
        }
    }
    found
}
