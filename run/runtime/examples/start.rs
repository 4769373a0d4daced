//! Creates, starts and awaits one container after another and says how long each took.
//!
//! `start [COUNT [ROOTFS]]`: the OCI's default mounts, masks, read-only paths and namespaces, with
//! busybox's `true`; without a cgroup, a filter and the start of another process around it.
//! With `FULL=1` in the environment also with Docker's filter, an overlay of five layers, and a
//! cgroup of its own, whose making and removing is not measured.
//! With `AHEAD=1` in the environment the network is made before and the mounts are taken apart
//! after what is measured.
//! Compare with `runc run`, `crun run` and `bwrap` on the same root file system.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use runtime::{Container, Options, Parent, Rootfs, Stdio};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};

#[path = "../tests/it/bundle.rs"]
mod bundle;

#[allow(clippy::print_stdout, reason = "what the program is for")]
fn main() {
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().map_or(1000, |count| count.parse().expect("a number"));
    let temp = std::env::temp_dir().join(format!("kista-bench-{}", std::process::id()));
    let rootfs = args.next().map_or_else(
        || {
            bundle::make_rootfs(&temp);
            temp.clone()
        },
        PathBuf::from,
    );
    let mut spec = bundle::spec(&["/bin/true"]);
    let ahead = std::env::var_os("AHEAD").is_some();
    let full = std::env::var_os("FULL").is_some();
    let layers = temp.with_extension("layers");
    let overlay = full.then(|| [overlay(&layers, &rootfs)]);
    let filter = full.then(|| {
        let capabilities = seccomp::profile::Capabilities::from_names(bundle::CAPABILITIES);
        seccomp::profile::Profile::Docker.program(capabilities, seccomp::Arch::NATIVE)
    });
    let hierarchy = cgroups::Hierarchy::detect().expect("cgroups");
    let group = cgroups::CgroupPath::new(&format!("kista-bench-{}", std::process::id()))
        .expect("a name without slashes");
    let mut times: Vec<[Duration; 4]> = Vec::with_capacity(count);
    for _ in 0..count {
        let network = ahead.then(|| runtime::new_network().expect("a network"));
        if let (Some(network), Some(linux)) = (&network, spec.linux.as_mut()) {
            let mut kinds = linux.namespaces.iter_mut();
            let kind = oci::runtime::NamespaceKind::Network;
            let entry = kinds.find(|entry| entry.kind == kind).expect("a network is asked for");
            entry.path = Some(sys::fs::fd_path(network.as_fd()));
        }
        let _ = std::fs::remove_dir_all(layers.join("work/work/incompat"));
        let cgroup = full.then(|| {
            let resources = oci::runtime::Resources {
                pids: Some(oci::runtime::Pids { limit: Some(2048) }),
                ..oci::runtime::Resources::default()
            };
            let options = cgroups::Options::default();
            hierarchy.create(&group, &resources, &options).expect("a cgroup")
        });
        let begin = Instant::now();
        let container = Container {
            id: "bench",
            spec: &spec,
            rootfs: match &overlay {
                Some(overlay) => Rootfs::Mounts(overlay),
                None => Rootfs::Directory(&rootfs),
            },
            seccomp: filter.as_ref(),
            cgroup: cgroup.as_ref(),
            resctrl: None,
            mover: None,
            stdio: Stdio::Inherit,
            parent: Parent::Own,
            death_signal: Some(Signal::KILL),
            preserved: &[],
            options: Options::default(),
        };
        let created = runtime::create(&container).expect("the container is created");
        let held = ahead.then(|| runtime::hold_mounts(&created).expect("it lives"));
        let create = begin.elapsed();
        created.start.start().expect("the container starts");
        let start = begin.elapsed();
        let status = waitid(WaitId::PidFd(created.pidfd.as_fd()), WaitIdOptions::EXITED);
        let end = begin.elapsed();
        assert_eq!(status.expect("a child").expect("an end").exit_status(), Some(0));
        drop(held);
        if let Some(cgroup) = cgroup {
            cgroup.remove(Duration::from_secs(5)).expect("nobody is in it");
        }
        times.push([create, start - create, end - start, end]);
    }
    for (column, name) in ["create", "start", "to the end", "together"].iter().enumerate() {
        let mut column: Vec<_> = times.iter().map(|row| row[column]).collect();
        column.sort_unstable();
        let at = |share: usize| column[(column.len() - 1) * share / 100];
        println!("{name:>10}: min {:?}  median {:?}  p90 {:?}", column[0], at(50), at(90));
    }
    for dir in [&temp, &layers] {
        if dir.exists() {
            std::fs::remove_dir_all(dir).expect("what was made can be removed");
        }
    }
}

/// The root file system as the lowest of five layers, with an upper one that need not last.
fn overlay(dir: &std::path::Path, rootfs: &std::path::Path) -> oci::Mount {
    let mut options = Vec::new();
    for name in ["4", "3", "2", "1"] {
        std::fs::create_dir_all(dir.join(name)).expect("a directory");
        options.push(format!("lowerdir+={}", dir.join(name).display()));
    }
    options.push(format!("lowerdir+={}", rootfs.display()));
    for name in ["upper", "work"] {
        std::fs::create_dir_all(dir.join(name)).expect("a directory");
        options.push(format!("{name}dir={}", dir.join(name).display()));
    }
    options.push("volatile".into());
    oci::Mount {
        destination: "/".into(),
        kind: Some("overlay".into()),
        source: Some("overlay".into()),
        options,
        ..oci::Mount::default()
    }
}
