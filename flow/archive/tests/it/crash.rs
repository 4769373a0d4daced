//! kill -9 at any moment of a load: what is left is recognised and swept.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fixture::*;

const ROOT: &str = "ARCHIVE_TEST_CHILD_ROOT";
const FILE: &str = "ARCHIVE_TEST_CHILD_FILE";

/// Not a test of its own: what the test below starts and kills.
#[test]
fn child() {
    let (Some(root), Some(file)) = (std::env::var_os(ROOT), std::env::var_os(FILE)) else { return };
    let stores = open(Path::new(&root));
    archive::load(std::fs::File::open(file).unwrap(), &stores, &Default::default()).unwrap();
}

fn archive_of_several_layers() -> Vec<u8> {
    let mut tar = Tar::default();
    let layers: Vec<Vec<u8>> = (0..6)
        .map(|number: u8| {
            let mut tar = Tar::default();
            for file in 0..60 {
                let data = vec![number; 1000 + 997 * file];
                tar = tar.file(&format!("usr/lib{number}/{file}"), data);
            }
            tar.bytes()
        })
        .collect();
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        tar = tar.file(&format!("{number}.tar"), layer);
        names.push(format!("{number}.tar"));
    }
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let manifest = json!([{"Config": "c", "RepoTags": ["app:1", "app:2"], "Layers": names}]);
    tar.file("c", config(&layers)).file("manifest.json", manifest.to_string()).bytes()
}

fn start(root: &Path, file: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(ROOT, root)
        .env(FILE, file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_load_killed_at_any_moment_leaves_only_garbage() {
    if !needs_root() {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("archive");
    std::fs::write(&file, archive_of_several_layers()).unwrap();
    let began = Instant::now();
    assert!(start(&temp.path().join("whole"), &file).wait().unwrap().success());
    let whole = began.elapsed();

    let rounds = 25;
    let mut outcomes = [0; 3];
    for round in 0..rounds {
        let root = temp.path().join(format!("root{round}"));
        let mut child = start(&root, &file);
        let delay = whole.mul_f64(f64::from(round) / f64::from(rounds) * 1.1);
        std::thread::sleep(delay.max(Duration::from_millis(1)));
        child.kill().unwrap();
        child.wait().unwrap();
        if !root.exists() {
            continue;
        }
        let stores = open(&root);
        let names: usize = stores.images.list().unwrap().iter().map(|(_, names)| names.len()).sum();
        outcomes[names] += 1;
        check(&stores);
        // It can be done again, and then all is there.
        let loaded = load(&stores, &std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(loaded.lines(), ["Loaded image: app:1", "Loaded image: app:2"]);
        check(&stores);
        std::fs::remove_dir_all(&root).unwrap();
    }
    eprintln!("kills by names that were left: {outcomes:?}");
    assert!(outcomes[0] > 0, "no kill came early enough: {outcomes:?}");
}
