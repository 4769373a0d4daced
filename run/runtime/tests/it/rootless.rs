//! Containers of an ordinary user, who has nothing but its own two ids, or some more by
//! /etc/subuid.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};

use oci::runtime::{IdMapping, Namespace, NamespaceKind};

use crate::driver::{Report, Run};

/// `nobody` and `nogroup`, who have an entry in every /etc/passwd.
const USER: u32 = 65_534;

fn map(container_id: u32, host_id: u32, size: u32) -> IdMapping {
    IdMapping { container_id, host_id, size }
}

/// A script in a container of that user's, with these ids.
fn container(script: &str, ids: &[IdMapping]) -> Run {
    Run::shell(script)
        .linux(|linux| {
            linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
            (linux.uid_mappings, linux.gid_mappings) = (ids.to_vec(), ids.to_vec());
        })
        .edit(|spec| {
            // A group that does not exist inside, as the runtimes' own rootless specs leave it out.
            for mount in &mut spec.mounts {
                mount.options.retain(|option| option != "gid=5");
            }
        })
}

/// Runs it as that user, with `subordinate` as its line in /etc/subuid and /etc/subgid: in a mount
/// namespace of its own, since these are the host's.
fn run(run: &Run, subordinate: &str) -> Report {
    let program = run.dir().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let driver = run.command_of(&program);
    std::fs::write(run.dir().join("sub"), subordinate).unwrap();
    std::fs::set_permissions(run.dir(), PermissionsExt::from_mode(0o755)).unwrap();
    for path in [run.dir().to_owned(), run.rootfs(), run.dir().join("request")] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    for entry in std::fs::read_dir(run.rootfs()).unwrap() {
        chown(entry.unwrap().path(), Some(USER), Some(USER)).unwrap();
    }
    let script = format!(
        "mount --bind $0/sub /etc/subuid && mount --bind $0/sub /etc/subgid && \
         exec setpriv --reuid {USER} --regid {USER} --clear-groups -- \"$@\""
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(run.dir())
        .arg(driver.get_program())
        .args(driver.get_args())
        .env("RUNTIME_DRIVER", run.dir())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    run.report()
}

const LOOK: &str = "id -u; cat /proc/self/uid_map | tr -s ' '; touch /new && stat -c %u:%g /new; \
    hostname; echo x > /dev/null && echo null; cat /proc/kcore | wc -c; ls /sys/class/net; \
    grep CapEff /proc/self/status";

#[test]
fn one_id_is_enough() {
    let container = container(LOOK, &[map(0, USER, 1)]);
    let out = run(&container, "");
    let wanted = "0\n 0 65534 1\n0:0\ntestbox\nnull\n0\nlo\nCapEff:\t00000000a80425fb";
    assert_eq!(out.ok(), wanted);
    assert_eq!(std::fs::metadata(container.rootfs().join("new")).unwrap().uid(), USER);
}

#[test]
fn subordinate_ids_are_given_by_the_helpers() {
    let ids = [map(0, USER, 1), map(1, 700_000, 1000)];
    let script = "touch /new && chown 7:8 /new && stat -c %u:%g /new; \
        tr -s ' ' < /proc/self/gid_map | tail -n 1";
    let other = container(script, &ids);
    let out = run(&other, "nobody:700000:1000\n");
    assert_eq!(out.ok(), "7:8\n 1 700000 1000");
    assert_eq!(std::fs::metadata(other.rootfs().join("new")).unwrap().uid(), 700_006);
    // What the host does not give, the helpers do not.
    let out = run(&container(script, &ids), "nobody:800000:1000\n");
    assert!(out.refused().contains("newuidmap"), "{out:?}");
}

#[test]
fn its_processes_and_binds_are_as_those_of_others() {
    let mut process = crate::bundle::spec(&["sh", "-c", "id -u; cat /bound; echo $$"]);
    let process = process.process.take().unwrap();
    let container = container("sleep 60", &[map(0, USER, 1)])
        .edit(|spec| {
            spec.mounts.push(oci::Mount {
                destination: "/bound".into(),
                kind: Some("bind".into()),
                source: Some("/proc/sys/kernel/ostype".into()),
                options: ["bind", "ro", "nosuid", "nodev", "noexec"].map(String::from).to_vec(),
                ..oci::Mount::default()
            });
        })
        .request(|request| request.exec = Some(process));
    let out = run(&container, "");
    assert_eq!(out.ok().lines().take(2).collect::<Vec<_>>(), ["0", "Linux"]);
}

#[test]
fn a_namespace_that_they_have_no_rights_over_is_named() {
    let container = container("true", &[map(0, USER, 1)]).linux(|linux| {
        let ipc = linux.namespaces.iter_mut().find(|one| one.kind == NamespaceKind::Ipc).unwrap();
        ipc.path = Some("/proc/self/ns/ipc".into());
    });
    let out = run(&container, "");
    assert!(out.refused().contains("join the ipc namespace /proc/self/ns/ipc"), "{out:?}");
}
