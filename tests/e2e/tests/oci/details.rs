//! What runc's own tests expect of a container and found wanting here.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Output, needs};

use crate::support::{Oci, output};

fn run(oci: &Oci, flags: &[&str], args: &[&str], change: impl FnOnce(&mut Value)) -> Output {
    let bundle = oci.bundle(args, change);
    let id = oci.id("a");
    oci.run(&[&["run"], flags, &["--bundle", bundle.to_str().unwrap(), &id]].concat())
}

/// The kernel refuses a new procfs only where none that shows everything is in the namespace.
#[test]
fn without_pivot_the_hosts_procfs_is_not_left_under_the_root() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let nested = ["unshare", "-mrpf", "sh", "-c", "mount -t proc none /proc"];
    for flags in [&[][..], &["--no-pivot"]] {
        let out = run(&oci, flags, &nested, |spec| {
            for set in ["bounding", "effective", "permitted"] {
                spec["process"]["capabilities"][set] = json!(["CAP_SETFCAP"]);
            }
        });
        assert!(out.stderr.contains("ermission denied"), "{flags:?}: {}", out.stderr);
        assert_ne!(out.code, 0, "{flags:?}");
    }
}

#[test]
fn a_tmpfs_has_the_mode_of_what_it_hides_unless_told() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    for (destination, options, mode) in [
        ("/root", json!([]), "755"),
        ("/root", json!(["mode=700"]), "700"),
        ("/new", json!([]), "1777"),
    ] {
        let out = run(&oci, &[], &["stat", "-c", "%a", destination], |spec| {
            // A directory that is to be made needs a root that can be written to.
            spec["mounts"].as_array_mut().unwrap().insert(
                0,
                json!({
                "destination": "/work", "type": "tmpfs", "source": "tmpfs"}),
            );
            let tmpfs = json!({
                "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options});
            spec["mounts"].as_array_mut().unwrap().push(tmpfs);
        });
        assert_eq!(out.ok(), mode, "{destination} {options}");
    }
    let _ = fs::remove_dir(crate::support::rootfs().join("new"));
}

#[test]
fn a_root_can_share_its_mounts_and_a_mask_be_listed_twice() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let script = "grep ' / / \\| / ' /proc/self/mountinfo | head -n 1; mount | grep -c /home";
    let out = run(&oci, &[], &["sh", "-c", script], |spec| {
        spec["linux"]["rootfsPropagation"] = json!("shared");
        spec["linux"]["maskedPaths"] = json!(["/home", "/home"]);
    });
    let text = out.ok();
    assert!(text.contains(" shared:") && text.ends_with("\n1"), "{text}");
}

#[test]
fn a_container_runs_on_all_processors_though_its_maker_does_not() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let all = std::thread::available_parallelism().unwrap().get();
    let bundle = oci.bundle(&["sh", "-c", "nproc; sleep 1000"], |_| ());
    let id = oci.id("a");
    let out = oci.create(&id, &bundle);
    oci.ok(&["start", &id]);
    testkit::wait_until("output", || (!fs::read(&out).unwrap().is_empty()).then_some(()));
    let mut exec = Command::new("taskset");
    exec.args(["-c", "0"]).arg(oci.program()).arg("--root").arg(oci.root());
    let nproc = output(exec.args(["exec", &id, "nproc"]), oci.dir()).ok();
    assert_eq!(nproc, all.to_string());
}

#[test]
fn the_last_assignment_of_a_variable_counts() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let out = run(&oci, &[], &["env"], |spec| {
        spec["process"]["env"] = json!(["PATH=/bin", "ONE=1", "HOME=", "ONE=2"]);
    });
    assert_eq!(out.ok(), "PATH=/bin\nONE=2\nHOME=/root");
}

#[test]
fn a_terminal_in_the_foreground_is_copied_to_streams_that_are_none() {
    needs!(Root, Busybox);
    let oci = Oci::new();
    let out = run(&oci, &[], &["sh", "-c", "tty >/dev/null && echo one && echo two"], |spec| {
        spec["process"]["terminal"] = json!(true);
    });
    assert_eq!(out.ok(), "one\ntwo", "lines end as the program ends them");
}

#[test]
fn a_group_with_others_in_it_or_frozen_is_refused() {
    needs!(Root, Busybox, CgroupV1);
    let oci = Oci::new();
    let group = oci.id("group");
    let dir = std::path::Path::new("/sys/fs/cgroup/freezer").join(&group);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("freezer.state"), "FROZEN").unwrap();
    let path = format!("/{group}");
    let change = |spec: &mut Value| spec["linux"]["cgroupsPath"] = json!(path);
    run(&oci, &[], &["true"], change).fails(1, "container's cgroup unexpectedly frozen");
    fs::write(dir.join("freezer.state"), "THAWED").unwrap();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(dir.join("cgroup.procs"), other.id().to_string()).unwrap();
    run(&oci, &[], &["true"], change).fails(1, "container's cgroup is not empty: 1 process(es)");
    assert_eq!(other.try_wait().unwrap(), None, "another's process is not touched");
    other.kill().unwrap();
    other.wait().unwrap();
    run(&oci, &[], &["true"], change).ok();
    assert!(!dir.exists(), "a group that was taken goes with the container");
}
