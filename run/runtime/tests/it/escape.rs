//! Attempts to get out, of the kinds that worked on others.

use std::os::unix::fs::symlink;
use std::path::Path;

use oci::runtime::Process;

use crate::driver::Run;

/// A directory that must stay as it is, and what is in it.
fn canary(dir: &Path) -> std::path::PathBuf {
    let canary = dir.join("canary");
    std::fs::create_dir(&canary).unwrap();
    for name in ["ptmx", "null", "file"] {
        std::fs::write(canary.join(name), "alive").unwrap();
    }
    canary
}

fn assert_untouched(canary: &Path) {
    let mut names: Vec<_> = std::fs::read_dir(canary)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            assert_eq!(std::fs::read(entry.path()).unwrap(), b"alive", "{:?}", entry.path());
            entry.file_name().into_string().unwrap()
        })
        .collect();
    names.sort();
    assert_eq!(names, ["file", "null", "ptmx"]);
}

/// CVE-2023-27561, CVE-2023-28642, CVE-2025-54867, CVE-2026-41579, CVE-2026-47766.
///
/// Shown to bite: without `target::is_strict`.
#[test]
fn links_in_the_place_of_system_directories_are_refused() {
    let places = ["proc", "sys", "dev", "dev/pts", "dev/shm", "dev/mqueue", "sys/fs/cgroup"];
    for place in places {
        for kind in ["absolute", "relative", "chain", "dangling", "file"] {
            let run = Run::new(&["true"]);
            let canary = canary(run.dir());
            let path = run.rootfs().join(place);
            // What is mounted above would hide the place.
            let run = run.edit(|spec| {
                spec.mounts.retain(|mount| {
                    !format!("/{place}/").starts_with(&format!("{}/", mount.destination))
                        || mount.destination == format!("/{place}")
                });
            });
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = std::fs::remove_dir(&path);
            let up = "../".repeat(12);
            match kind {
                "absolute" => symlink(&canary, &path).unwrap(),
                "relative" => symlink(format!("{up}{}", canary.display()), &path).unwrap(),
                "chain" => {
                    symlink(&canary, run.rootfs().join("hop")).unwrap();
                    symlink("/hop", &path).unwrap();
                }
                "dangling" => symlink("/nowhere", &path).unwrap(),
                _ => std::fs::write(&path, "").unwrap(),
            }
            let out = run.run();
            assert!(out.refused().contains(&format!("/{place} ")), "{place} {kind}: {out:?}");
            assert_untouched(&canary);
        }
    }
}

/// CVE-2026-41579: no mount over /dev at all, and /dev is a link.
///
/// Shown to bite: without `target::is_strict`.
#[test]
fn devices_are_not_made_through_a_link() {
    let run = Run::new(&["true"]).edit(|spec| {
        spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    });
    let canary = canary(run.dir());
    std::fs::remove_dir(run.rootfs().join("dev")).unwrap();
    symlink(&canary, run.rootfs().join("dev")).unwrap();
    run.run().refused();
    assert_untouched(&canary);
}

/// CVE-2025-31133, CVE-2025-62161: what masks is not what the image calls /dev/null.
///
/// Shown to bite: with the container's own /dev/null as the mask, and without the look at what is
/// there already (`devices::check_existing`).
#[test]
fn masks_do_not_come_from_the_container() {
    for kind in ["link", "file", "fifo"] {
        let run = Run::shell(
            "stat -c %t:%T /proc/timer_list; echo x > /proc/timer_list; cat /etc/masked",
        )
        .edit(|spec| {
            spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
            let linux = spec.linux.as_mut().unwrap();
            linux.masked_paths = vec!["/proc/timer_list".into(), "/etc/masked".into()];
            linux.devices.clear();
        });
        let canary = canary(run.dir());
        std::fs::write(run.rootfs().join("etc/masked"), "secret").unwrap();
        let null = run.rootfs().join("dev/null");
        match kind {
            "link" => symlink(canary.join("file"), &null).unwrap(),
            "file" => std::fs::write(&null, "mine").unwrap(),
            _ => rustix::fs::mknodat(
                rustix::fs::CWD,
                &null,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o666),
                0,
            )
            .unwrap(),
        }
        let out = run.run();
        match &out.error {
            // A /dev/null that is something else is an error by itself.
            Some(error) => assert!(error.contains("/dev/null"), "{error}"),
            None => assert_eq!(out.ok(), "1:3"),
        }
        assert_untouched(&canary);
    }
}

/// What is bound from the host's /dev is the host's node: its mode and owner are out of reach.
#[test]
fn nodes_of_the_host_are_bound_read_only() {
    let script = "while read -r id parent dev top place options rest; do case $place in
        /proc/timer_list|/dev/zero) echo $place $options;; esac; done < /proc/self/mountinfo;
        echo x > /proc/timer_list && head -c 1 /dev/zero | wc -c";
    // In a user namespace no node can be made, so that /dev/zero is bound too.
    let run = Run::shell(script).linux(|linux| {
        linux.masked_paths = vec!["/proc/timer_list".into()];
        linux
            .namespaces
            .push(oci::runtime::Namespace { kind: oci::runtime::NamespaceKind::User, path: None });
        let map = oci::runtime::IdMapping { container_id: 0, host_id: 0, size: 65536 };
        linux.uid_mappings = vec![map];
        linux.gid_mappings = vec![map];
    });
    let out = run.run();
    let lines: Vec<_> = out.ok().lines().collect();
    let [places @ .., count] = lines.as_slice() else { panic!("{out:?}") };
    assert_eq!((places.len(), *count), (2, "1"), "{out:?}");
    for line in places {
        let (_, options) = line.split_once(' ').unwrap();
        assert!(options.split(',').any(|option| option == "ro"), "{line}");
    }
}

/// CVE-2015-3627, CVE-2026-87766: parents of a bind mount's place lead out.
///
/// Shown to bite: without `RESOLVE_IN_ROOT` in `target::find`.
#[test]
fn places_of_bind_mounts_stay_inside() {
    for target in ["absolute", "relative"] {
        let run = Run::new(&["true"]);
        let canary = canary(run.dir());
        let up = "../".repeat(12);
        let link = run.rootfs().join("srv");
        match target {
            "absolute" => symlink(&canary, &link).unwrap(),
            _ => symlink(format!("{up}{}", canary.display()), &link).unwrap(),
        }
        let run = run.edit(|spec| {
            for destination in ["/srv/file", "/srv/new", "/srv/deep/er"] {
                spec.mounts.push(oci::Mount {
                    destination: destination.into(),
                    kind: Some("bind".into()),
                    source: Some("/etc/hostname".into()),
                    ..oci::Mount::default()
                });
            }
        });
        run.run().ok();
        assert_untouched(&canary);
    }
}

/// CVE-2024-21626: a working directory that is a descriptor of the runtime.
///
/// Shown to bite: without `RESOLVE_NO_MAGICLINKS` and without the look at getcwd(2) after.
#[test]
fn a_working_directory_outside_is_refused() {
    for number in 0..32 {
        for process in ["self", "thread-self"] {
            let cwd = format!("/proc/{process}/fd/{number}");
            let run = Run::shell("pwd")
                .process(|process| process.cwd = cwd.clone())
                .request(|request| request.decoys = 4);
            assert!(run.run().refused().contains("chdir to cwd"), "{cwd}");
        }
        if number > 2 {
            continue;
        }
        let run = Run::shell("pwd").process(|process| process.cwd = "/work".into());
        symlink(format!("/proc/self/fd/{number}"), run.rootfs().join("work")).unwrap();
        run.run().refused();
    }
}

/// CVE-2024-21626, CVE-2016-8649: nothing but 0, 1 and 2, whatever the caller had open.
///
/// Shown to bite: without `birth::let_go` and with descriptors not closed on exec.
#[test]
fn no_descriptor_of_the_caller_is_inside() {
    let script =
        "ls /proc/self/fd | tr '\\n' ' '; for f in /proc/1/fd/*; do readlink $f; done; true";
    let out = Run::shell(script).request(|request| request.decoys = 50).run();
    let lines: Vec<_> = out.ok().lines().collect();
    // 3 is the directory that ls reads; number one has the shell's own three.
    assert_eq!(lines[0], "0 1 2 3 /dev/null", "{lines:?}");
    assert_eq!(lines.len(), 3, "{lines:?}");
}

/// CVE-2016-9962: whoever joins is out of reach until it is the container's own program.
#[test]
fn a_joining_process_shows_nothing_to_the_container() {
    let spy = "while :; do for p in /proc/[0-9]*; do \
        for f in $p/fd/*; do l=$(readlink $f) && case $l in /proc/*|pipe*|/dev/null|*/stdout|*/stderr|/|*/fd) ;; \
        *socket*|*cgroup*|*) echo \"$f $l\" >> /tmp/seen;; esac; done 2>/dev/null; done; done";
    let mut process = crate::bundle::spec(&["sh", "-c", "true"]).process.unwrap();
    process.args = vec!["sh".into(), "-c".into(), "cat /tmp/seen 2>/dev/null; true".into()];
    for _ in 0..5 {
        let out = Run::shell(spy).request(|request| request.exec = Some(process.clone())).run();
        assert_eq!(out.ok(), "");
    }
}

/// CVE-2016-9962, for a container that may trace: not being dumpable is no protection then, so
/// there is nothing of the host's to be had in a process that joins, from its first instant.
///
/// Shown to bite: with the process born inside while it has the host's rights, as it was until
/// then, the spy finds `rights CapPrm: 1fffeffffff`, `no filter`, other namespaces, descriptors of
/// the host and its environment.
#[test]
fn nothing_of_the_host_is_in_a_joining_process() {
    for no_new_privileges in [true, false] {
        let confine = |process: &mut Process| process.no_new_privileges = no_new_privileges;
        let mut process = crate::bundle::spec(&["true"]).process.unwrap();
        confine(&mut process);
        let out = Run::new(&["sleep", "60"])
            .process(confine)
            .linux(|linux| linux.seccomp = Some(crate::confined::deny(&["mkdir", "mkdirat"])))
            .request(|request| {
                request.exec = Some(process);
                request.spied = 30;
            })
            .run();
        out.ok();
        assert!(out.met > 0, "not exercised");
        assert_eq!(out.found, std::collections::BTreeSet::new(), "met {}", out.met);
    }
}

/// The same for a container that joins another's processes (`--pid container:`): there is nothing
/// but its own mounts and names that the other does not have.
///
/// Shown to bite as the test above, in a build in which the kernel's help is not asked for
/// (`procfs::can_show`).
#[test]
fn nothing_of_the_host_is_in_a_container_that_joins_anothers_processes() {
    let mut spec = crate::bundle::spec(&["true"]);
    let filter = Some(crate::confined::deny(&["mkdir", "mkdirat"]));
    spec.linux.as_mut().unwrap().seccomp = filter.clone();
    let out = Run::new(&["sleep", "60"])
        .linux(|linux| linux.seccomp = filter)
        .request(|request| {
            request.joining = Some(spec);
            request.spied = 30;
        })
        .run();
    out.ok();
    assert!(out.met > 0, "not exercised");
    let is_its_own = |text: &str| {
        let own = ["cgroup:", "ipc:", "mnt:", "net:", "uts:"];
        own.iter().any(|kind| text.contains(kind))
            || text == "another root"
            || text == "another cwd"
    };
    let found: Vec<_> = out.found.iter().filter(|text| !is_its_own(text)).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// The death of the one who waits is the death of the container.
#[test]
fn the_container_dies_with_its_parent() {
    let run = Run::new(&["sleep", "60"]).request(|request| {
        request.hold = true;
        request.death_signal = true;
    });
    let mut driver = run
        .command()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = crate::namespaces::wait_for(&run.dir().join("pid"));
    driver.kill().unwrap();
    driver.wait().unwrap();
    let status = format!("/proc/{pid}/status");
    for _ in 0..500 {
        match std::fs::read_to_string(&status) {
            Ok(text) if !text.contains("State:\tZ") => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            _ => return,
        }
    }
    panic!("{pid} lives on");
}

/// CVE-2019-5736: the program that enters containers cannot be written to through any of them.
#[test]
fn our_own_program_stays_as_it_is() {
    use rustix::fs::{Mode, OFlags};
    for guarded in [true, false] {
        let run = Run::new(&["true"]).request(|request| {
            request.guarded = guarded;
            request.only_create = true;
        });
        // A copy, so that nobody else keeps it busy.
        let program = run.dir().join("program");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let mut driver = run
            .command_of(&program)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = crate::namespaces::wait_for(&run.dir().join("pid"));
        let exe = rustix::fs::open(format!("/proc/{pid}/exe"), OFlags::PATH, Mode::empty());
        let exe = exe.unwrap();
        drop(driver.stdin.take());
        assert!(driver.wait().unwrap().success());

        let again = sys::fs::fd_path(std::os::fd::AsFd::as_fd(&exe));
        let opened = rustix::fs::open(again, OFlags::WRONLY, Mode::empty()).map(drop);
        match guarded {
            true => assert_eq!(opened, Err(rustix::io::Errno::ROFS)),
            // The control: without the guard the attempt succeeds.
            false => assert_eq!(opened, Ok(())),
        }
    }
}

/// Exchanges two names as fast as it goes until dropped.
pub(crate) struct Racer {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Racer {
    pub(crate) fn start(one: std::path::PathBuf, two: std::path::PathBuf) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut swaps = 0;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let cwd = rustix::fs::CWD;
                rustix::fs::renameat_with(cwd, &one, cwd, &two, flags).unwrap();
                swaps += 1;
            }
            swaps
        });
        Self { stop, thread: Some(thread) }
    }

    pub(crate) fn swaps(mut self) -> u64 {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// CVE-2019-19921, CVE-2021-30465, CVE-2024-45310: a volume that another container has too, in
/// which a place and its parents become links while mounts are put there.
///
/// Shown to bite: without `RESOLVE_IN_ROOT` in `target::find`, or without `target::is_strict`.
#[test]
fn a_race_for_a_place_is_not_won() {
    let run = Run::new(&["true"]);
    let canary = canary(run.dir());
    let volume = run.dir().join("volume");
    std::fs::create_dir_all(volume.join("place/deep")).unwrap();
    symlink(format!("{}{}", "../".repeat(12), canary.display()), volume.join("link")).unwrap();
    // Of others' mounts there may be more and fewer meanwhile.
    let name = run.dir().file_name().unwrap().to_string_lossy().into_owned();
    let table = || {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = |line: &&str| line.contains(&name) || line.contains(" /etc");
        table.lines().filter(own).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = table();
    let run = run
        .edit(|spec| {
            let bind = |source: &Path, destination: &str| oci::Mount {
                destination: destination.into(),
                kind: Some("bind".into()),
                source: Some(source.to_str().unwrap().into()),
                ..oci::Mount::default()
            };
            spec.mounts.push(bind(&volume, "/vol"));
            spec.mounts.push(bind(Path::new("/etc/hostname"), "/vol/place/file"));
            spec.mounts.push(bind(Path::new("/etc"), "/vol/place/missing/very/deep"));
            let linux = spec.linux.as_mut().unwrap();
            linux.masked_paths.push("/vol/place/deep".into());
            linux.readonly_paths.push("/vol/place".into());
        })
        .request(|request| request.repeat = 300);
    let racer = Racer::start(volume.join("place"), volume.join("link"));
    run.run();
    let swaps = racer.swaps();
    assert!(swaps > 1000, "not exercised: {swaps} exchanges");
    assert_untouched(&canary);
    assert_eq!(table(), before);
    // What the link led to instead: the same path, inside.
    assert!(run.rootfs().join(canary.strip_prefix("/").unwrap()).exists(), "never met the link");
}
