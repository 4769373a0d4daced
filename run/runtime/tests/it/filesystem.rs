//! Mounts, devices, masks.

use oci::Mount;
use oci::runtime::Device;

use crate::driver::Run;

fn bind(source: &std::path::Path, destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some("bind".into()),
        source: Some(source.to_str().unwrap().into()),
        options: options.iter().map(|&option| option.into()).collect(),
        ..Mount::default()
    }
}

fn tmpfs(destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some("tmpfs".into()),
        options: options.iter().map(|&option| option.into()).collect(),
        ..Mount::default()
    }
}

#[test]
fn masked_paths_are_empty_and_read_only_ones_are() {
    let script = "cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; \
        stat -c %t:%T /proc/timer_list; \
        echo 1 > /proc/sys/kernel/panic 2>/dev/null || echo ro; \
        echo h > /proc/sysrq-trigger 2>/dev/null || echo ro; \
        touch /sys/firmware/x 2>/dev/null || echo ro; \
        touch /sys/x 2>/dev/null || echo ro";
    let out = Run::shell(script).run();
    assert_eq!(out.ok().lines().collect::<Vec<_>>(), ["0", "0", "1:3", "ro", "ro", "ro", "ro"]);
}

#[test]
fn the_default_devices_and_links_are_there() {
    let script = "for d in null zero full random urandom tty; do stat -c '%n %F %t:%T %a' /dev/$d; done; \
        for l in ptmx fd stdin stdout stderr; do readlink /dev/$l; done; echo x > /dev/null && echo ok";
    let out = Run::shell(script).run();
    let text = out.ok();
    for line in [
        "/dev/null character special file 1:3 666",
        "/dev/tty character special file 5:0 666",
        "pts/ptmx",
        "/proc/self/fd/2",
        "ok",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn devices_of_the_spec_are_made_with_mode_and_owner() {
    let device = |path: &str, kind: &str| Device {
        kind: kind.into(),
        path: path.into(),
        major: 1,
        minor: 5,
        file_mode: Some(0o640),
        uid: Some(7),
        gid: Some(8),
    };
    let out = Run::shell("stat -c '%F %t:%T %a %u:%g' /dev/net/zero; stat -c %F /dev/pipe")
        .linux(|linux| {
            linux.devices = vec![device("/dev/net/zero", "c"), device("/dev/pipe", "p")];
        })
        .run();
    assert_eq!(
        out.ok().lines().collect::<Vec<_>>(),
        ["character special file 1:5 640 7:8", "fifo"]
    );
}

#[test]
fn bind_mounts_make_their_places_and_keep_their_options() {
    let run = Run::shell(
        "cat /etc/given; echo x > /etc/given 2>/dev/null || echo ro; cat /srv/deep/place/file; \
         echo y > /srv/deep/place/file && echo rw; grep ' /etc/given ' /proc/self/mountinfo",
    );
    let source = run.dir().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "shared\n").unwrap();
    let file = source.join("file");
    let run = run.edit(|spec| {
        spec.mounts.push(bind(&file, "/etc/given", &["bind", "ro", "nosuid"]));
        spec.mounts.push(bind(&source, "/srv/deep/place", &["rbind", "rw", "rprivate"]));
    });
    let out = run.run();
    let lines: Vec<_> = out.ok().lines().collect();
    assert_eq!(lines[..4], ["shared", "ro", "shared", "rw"]);
    assert!(lines[4].contains("ro,nosuid"), "{lines:?}");
    assert!(!lines[4].contains("shared:"), "{lines:?}");
}

#[test]
fn recursive_read_only_reaches_what_is_mounted_below() {
    let run = Run::shell(
        "echo x > /plain/proc/x 2>/dev/null; echo x > /deep/shm/x 2>/dev/null || echo ro; \
         echo x > /plain/shm/kista-test && echo rw; rm /plain/shm/kista-test",
    )
    .edit(|spec| {
        let dev = std::path::Path::new("/dev");
        spec.mounts.push(bind(dev, "/deep", &["rbind", "rro"]));
        spec.mounts.push(bind(dev, "/plain", &["rbind", "ro"]));
    });
    // The host's /dev must have something mounted below it for this to mean anything.
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    if !table.lines().any(|line| line.split(' ').nth(4) == Some("/dev/shm")) {
        return;
    }
    assert_eq!(run.run().ok(), "ro\nrw");
}

#[test]
fn a_read_only_root_is_and_volumes_in_it_are_not() {
    let run = Run::shell(
        "touch /x 2>/dev/null || echo ro; touch /vol/x && echo rw; touch /dev/shm/x && echo rw",
    )
    .edit(|spec| {
        spec.root.as_mut().unwrap().readonly = true;
        spec.mounts.push(tmpfs("/vol", &["size=64k"]));
    });
    assert_eq!(run.run().ok(), "ro\nrw\nrw");
    assert!(!run.rootfs().join("x").exists());
}

#[test]
fn a_tmpfs_can_begin_with_what_it_hides() {
    let run = Run::shell(
        "cat /data/sub/file; readlink /data/link; stat -c '%a %u' /data/sub; \
        echo new > /data/sub/file; cat /other/* 2>/dev/null | wc -c",
    );
    let data = run.rootfs().join("data/sub");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("file"), "old\n").unwrap();
    std::os::unix::fs::symlink("sub/file", run.rootfs().join("data/link")).unwrap();
    std::os::unix::fs::chown(&data, Some(5), None).unwrap();
    std::fs::create_dir(run.rootfs().join("other")).unwrap();
    std::fs::write(run.rootfs().join("other/hidden"), "hidden").unwrap();
    let run = run.edit(|spec| {
        spec.mounts.push(tmpfs("/data", &["tmpcopyup"]));
        spec.mounts.push(tmpfs("/other", &[]));
    });
    assert_eq!(run.run().ok(), "old\nsub/file\n755 5\n0");
    assert_eq!(std::fs::read_to_string(data.join("file")).unwrap(), "old\n");
}

#[test]
fn an_overlay_is_mounted_for_the_container_alone() {
    let run = Run::shell("cat /top /both; touch /new; rm /top; ls /");
    let dir = run.dir().to_owned();
    for sub in ["upper", "work", "layer"] {
        std::fs::create_dir(dir.join(sub)).unwrap();
    }
    std::fs::write(dir.join("layer/top"), "top\n").unwrap();
    std::fs::write(dir.join("layer/both"), "layer\n").unwrap();
    std::fs::write(dir.join("rootfs/both"), "base\n").unwrap();
    // One path too long for fsconfig(2).
    let long = dir.join("l".repeat(150)).join("l".repeat(150));
    std::fs::create_dir_all(&long).unwrap();
    std::fs::write(long.join("long"), "long\n").unwrap();
    let option = |key: &str, path: &std::path::Path| format!("{key}={}", path.display());
    let overlay = Mount {
        destination: "/".into(),
        kind: Some("overlay".into()),
        source: Some("overlay".into()),
        options: vec![
            option("lowerdir+", &dir.join("layer")),
            option("lowerdir+", &long),
            option("lowerdir+", &dir.join("rootfs")),
            option("upperdir", &dir.join("upper")),
            option("workdir", &dir.join("work")),
            "volatile".into(),
        ],
        ..Mount::default()
    };
    let run = run.request(|request| request.mounts = Some(vec![overlay]));
    let out = run.run();
    let lines: Vec<_> = out.ok().lines().collect();
    assert_eq!(lines[..2], ["top", "layer"]);
    let names = &lines[2..];
    assert!(
        names.contains(&"long") && names.contains(&"new") && !names.contains(&"top"),
        "{lines:?}"
    );
    assert!(dir.join("upper/new").exists() && dir.join("layer/top").exists());
}

#[test]
fn a_containers_own_ids_are_nobody_elses_on_disk() {
    use oci::runtime::{IdMapping, Namespace, NamespaceKind};
    use std::os::unix::fs::MetadataExt;

    let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: 65_536 }];
    let run = Run::shell(
        "id -u; stat -c %u:%g /etc/passwd /; touch /new /vol/new; stat -c %u /new /vol/new; \
         cat /proc/self/uid_map",
    );
    let dir = run.dir().to_owned();
    for sub in ["upper", "work", "vol"] {
        std::fs::create_dir(dir.join(sub)).unwrap();
    }
    let option = |key: &str, sub: &str| format!("{key}={}", dir.join(sub).display());
    let overlay = Mount {
        destination: "/".into(),
        kind: Some("overlay".into()),
        options: vec![
            option("lowerdir+", "rootfs"),
            option("upperdir", "upper"),
            option("workdir", "work"),
            "idmap".into(),
        ],
        ..Mount::default()
    };
    let volume = dir.join("vol");
    let run = run
        .linux(|linux| {
            linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
            linux.uid_mappings = map(100_000);
            linux.gid_mappings = map(100_000);
        })
        .edit(|spec| {
            let mut mount = bind(&volume, "/vol", &["idmap"]);
            mount.uid_mappings = map(100_000);
            mount.gid_mappings = map(100_000);
            spec.mounts.push(mount);
        })
        .request(|request| request.mounts = Some(vec![overlay]));
    let out = run.run();
    let lines: Vec<_> = out.ok().lines().map(str::trim).collect();
    assert_eq!(lines[..5], ["0", "0:0", "0:0", "0", "0"]);
    assert!(lines[5].contains("100000"), "{lines:?}");
    for file in ["upper/new", "vol/new"] {
        assert_eq!(std::fs::metadata(dir.join(file)).unwrap().uid(), 0, "{file}");
    }
}

#[test]
fn places_that_must_stay_what_they_are_cannot_be_mounted_over() {
    for (destination, kind) in [
        ("/", "tmpfs"),
        ("/proc", "tmpfs"),
        ("/proc/self", "tmpfs"),
        ("/proc/self/attr", "bind"),
        ("/tmp/../proc/sys", "bind"),
        ("/proc", "bind"),
        ("/sys", "tmpfs"),
        ("/sys", "bind"),
    ] {
        let run = Run::new(&["true"]);
        let source = run.dir().join("source");
        std::fs::create_dir(&source).unwrap();
        let run = run.edit(|spec| {
            let mut mount = bind(&source, destination, &[]);
            mount.kind = Some(kind.into());
            spec.mounts.push(mount);
        });
        assert!(run.run().refused().starts_with("mounts[7]."), "{destination} {kind}");
    }
}

/// Nor by way of the container's own tree, and no link in that leads out of it.
#[test]
fn a_source_inside_is_no_way_around_that() {
    let run = Run::new(&["true"]);
    let inside = run.rootfs().join("mnt");
    let run = run.edit(|spec| {
        spec.mounts.push(tmpfs("/mnt", &[]));
        spec.mounts.push(bind(&inside, "/proc", &["bind"]));
    });
    assert!(run.run().refused().starts_with("mounts[8].source"));

    let run = Run::shell("ls /out");
    let canary = run.dir().join("canary");
    std::fs::create_dir(&canary).unwrap();
    let rootfs = run.rootfs();
    let way = format!("{}{}", "../".repeat(12), canary.display());
    std::os::unix::fs::symlink(way, rootfs.join("link")).unwrap();
    let run = run.edit(|spec| {
        spec.mounts.push(tmpfs("/link", &[]));
        spec.mounts.push(bind(&rootfs.join("link"), "/out", &["bind"]));
    });
    assert_eq!(run.run().ok(), "", "the place is made inside, as the link says");
    assert!(std::fs::read_dir(&canary).unwrap().next().is_none());
}

#[test]
fn without_pivot_the_root_is_the_same() {
    let run = Run::shell(
        "ls / | sort | tr '\\n' ' '; ls /..| wc -l; cat /proc/1/root/etc/passwd | wc -l",
    )
    .request(|request| request.no_pivot = true);
    assert_eq!(run.run().ok(), "bin dev etc proc root sys tmp usr 8\n1");
}

#[test]
fn a_read_only_tmpfs_is_that_when_all_is_in_it() {
    let run = Run::shell(
        "touch /dev/x 2>/dev/null || echo ro; test -c /dev/null && ls -d /dev/pts /dev/shm; \
         touch /low/x 2>/dev/null || echo ro; touch /low/deep/x && echo rw",
    )
    .edit(|spec| {
        let dev = spec.mounts.iter_mut().find(|mount| mount.destination == "/dev").unwrap();
        dev.options.push("ro".into());
        spec.mounts.push(tmpfs("/low", &["ro"]));
        spec.mounts.push(tmpfs("/low/deep", &[]));
    });
    let out = run.run();
    assert_eq!(out.ok().lines().collect::<Vec<_>>(), ["ro", "/dev/pts", "/dev/shm", "ro", "rw"]);
}

#[test]
fn a_tmpfs_shows_the_mode_that_it_takes_from_what_it_hides() {
    let script = "grep ' /hidden ' /proc/mounts | grep -o mode=[0-7]*; stat -c %a /hidden /new; \
        grep ' /new ' /proc/mounts | grep -c mode=";
    let run = Run::shell(script);
    let hidden = run.dir().join("rootfs/hidden");
    std::fs::create_dir(&hidden).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o710);
    std::fs::set_permissions(&hidden, mode).unwrap();
    let run = run.edit(|spec| {
        spec.mounts.extend([tmpfs("/hidden", &[]), tmpfs("/new", &[])]);
    });
    let out = run.run();
    assert_eq!(out.stdout, "mode=710\n710\n1777\n0\n", "{out:?}");
}

#[test]
fn a_mount_inside_can_be_the_source_of_a_later_one() {
    let run = Run::shell("cat /final/file /deep/again/mapped; stat -c %u /deep/again/mapped");
    let source = run.dir().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "one\n").unwrap();
    std::fs::write(source.join("mapped"), "two\n").unwrap();
    std::os::unix::fs::chown(source.join("mapped"), Some(5), None).unwrap();
    let rootfs = run.rootfs();
    let run = run.edit(|spec| {
        let inside = |path: &str| rootfs.join(path).display().to_string();
        spec.mounts.push(bind(&source, "/mnt", &["bind"]));
        spec.mounts.push(bind(&rootfs.join("mnt"), &inside("final"), &["rbind", "ro"]));
        let mut mapped = bind(&rootfs.join("final"), "/deep/again", &["rbind", "idmap"]);
        let map = oci::runtime::IdMapping { container_id: 0, host_id: 100, size: 50 };
        (mapped.uid_mappings, mapped.gid_mappings) = (vec![map], vec![map]);
        spec.mounts.push(mapped);
    });
    assert_eq!(run.run().ok(), "one\ntwo\n105");
}
