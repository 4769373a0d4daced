//! `logs`: what a container wrote.

use testkit::{Kista, needs, wait_until};

fn written(kista: &Kista, flags: &[&str], script: &str) {
    let start = ["run", "-d", "--name", "box"];
    kista.ok(&[&start, flags, &["busybox", "sh", "-c", script]].concat());
    kista.ok(&["wait", "box"]);
}

#[test]
fn both_streams_are_kept_apart() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    written(&kista, &[], "echo one; echo two >&2; printf three");
    let out = kista.run(&["logs", "box"]);
    assert_eq!((out.code, &*out.stdout, &*out.stderr), (0, "one\nthree", "two\n"));
}

#[test]
fn tail_and_timestamps() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    written(&kista, &[], "seq 1000");
    assert_eq!(kista.ok(&["logs", "--tail", "2", "box"]), "999\n1000");
    assert_eq!(kista.ok(&["logs", "-n", "0", "box"]), "");
    assert_eq!(kista.ok(&["logs", "--tail", "all", "box"]).lines().count(), 1000);
    let line = kista.ok(&["logs", "-t", "--tail", "1", "box"]);
    let (time, text) = line.split_once(' ').unwrap();
    assert_eq!(text, "1000");
    assert!(time.len() == 30 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
}

#[test]
fn since_and_until() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    written(&kista, &[], "echo early; sleep 1.2; echo late");
    let stamped = kista.ok(&["logs", "-t", "box"]);
    let late = stamped.lines().last().unwrap().split(' ').next().unwrap();
    assert_eq!(kista.ok(&["logs", "--since", late, "box"]), "late");
    assert_eq!(kista.ok(&["logs", "--since", "1h", "box"]), "early\nlate");
    assert_eq!(kista.ok(&["logs", "--until", "1h", "box"]), "");
}

#[test]
fn following_ends_with_the_container() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    kista.ok(&["run", "-d", "--name", "box", "busybox", "sh", "-c", "echo a; sleep 0.5; echo b"]);
    assert_eq!(kista.ok(&["logs", "-f", "box"]), "a\nb");
}

#[test]
fn the_file_has_dockers_format() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    written(&kista, &[], "echo 'a \"quoted\" <line>'");
    let path = kista.format("{{.LogPath}}", "box");
    let text = std::fs::read_to_string(path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["log"], "a \"quoted\" <line>\n");
    assert_eq!(line["stream"], "stdout");
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn logs_are_bounded() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let bounds = ["--log-opt", "max-size=20k", "--log-opt", "max-file=3"];
    written(&kista, &bounds, "seq 20000");
    let path = std::path::PathBuf::from(kista.format("{{.LogPath}}", "box"));
    let folder = path.parent().unwrap();
    let files = std::fs::read_dir(folder).unwrap().flatten().filter(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .starts_with(&*path.file_name().unwrap().to_string_lossy())
    });
    let sizes: Vec<u64> = files.map(|entry| entry.metadata().unwrap().len()).collect();
    assert!(sizes.len() == 3 && sizes.iter().all(|size| *size <= 22_000), "{sizes:?}");
    let out = kista.ok(&["logs", "box"]);
    assert_eq!(out.lines().last(), Some("20000"));
    let first: u32 = out.lines().next().unwrap().parse().unwrap();
    assert_eq!(out.lines().count() as u32, 20_000 - first + 1, "no line is missing in between");
}

#[test]
fn without_a_log_there_is_none() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    written(&kista, &["--log-driver", "none"], "echo x");
    kista.run(&["logs", "box"]).fails(1, "configured logging driver does not support reading");
    kista.run(&["logs", "nope"]).fails(1, "No such container: nope");
}

#[test]
fn the_local_driver_reads_back_the_same() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "echo one; echo two >&2; sleep 0.1; seq 5";
    written(&kista, &["--log-driver", "local"], script);
    let out = kista.run(&["logs", "box"]);
    assert_eq!((&*out.stdout, &*out.stderr), ("one\n1\n2\n3\n4\n5\n", "two\n"));
    assert_eq!(kista.ok(&["logs", "--tail", "1", "box"]), "5");
}

#[test]
fn output_goes_to_the_log_when_nobody_is_attached_any_more() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let script = "echo first; sleep 0.5; echo second";
    let mut child = kista.command(&["run", "--name", "box", "busybox", "sh", "-c", script]).spawn();
    wait_until("the first line", || {
        kista.run(&["logs", "box"]).stdout.contains("first").then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    kista.ok(&["wait", "box"]);
    assert_eq!(kista.ok(&["logs", "box"]), "first\nsecond");
}
