//! Version 2 beside version 1, where the kernel's real one can be tried: device programs and
//! killing in one step.

use std::path::Path;

use cgroups::{CgroupPath, Hierarchy, Options};
use oci::runtime::Resources;

use testkit::needs;

use crate::{PATIENCE, Parent, enter, sleep, wait};

/// The version 2 hierarchy of a hybrid machine, by itself.
fn unified_alone(parent: &Parent) -> Hierarchy {
    let mounts = parent.hierarchy.mounts();
    let mount = mounts.iter().find(|mount| mount.version == cgroups::Version::V2).unwrap();
    Hierarchy::unified(&mount.path).unwrap()
}

#[test]
fn device_programs_hold_for_those_inside() {
    needs!(Root, CgroupHybrid);
    let parent = Parent::new();
    let unified = unified_alone(&parent);
    let devices = cgroups::default_device_rules();
    let resources = Resources { devices, ..Resources::default() };
    let made = unified.create(&parent.path("devices"), &resources, &Options::default());
    let group = match made {
        Err(cgroups::CgroupError::Io { source, .. })
            if source.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) =>
        {
            println!("skipped: this kernel has no device programs");
            return;
        }
        made => made.unwrap(),
    };
    let opens = |path: &'static str| {
        let handle = group.join_handle().unwrap();
        let child = enter(&handle, || {
            let flags = rustix::fs::OFlags::RDONLY;
            i32::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).is_ok())
        });
        wait(&child) == 1
    };
    assert!(opens("/dev/null"));
    assert!(!opens("/dev/kmsg"));
    // Replaced, twice, so that a program that stayed behind would be seen.
    let mut wider = cgroups::default_device_rules();
    wider.push(oci::runtime::DeviceRule {
        allow: true,
        kind: Some("c".to_owned()),
        major: Some(1),
        minor: Some(11),
        access: Some("r".to_owned()),
    });
    group.apply(&Resources { devices: wider, ..Resources::default() }).unwrap();
    assert!(opens("/dev/kmsg"));
    group.apply(&resources).unwrap();
    assert!(!opens("/dev/kmsg"));
    group.remove(PATIENCE).unwrap();
}

#[test]
fn a_child_is_born_inside_and_killed_in_one_step() {
    needs!(Root, CgroupHybrid);
    let parent = Parent::new();
    let unified = unified_alone(&parent);
    let group =
        unified.create(&parent.path("born"), &Resources::default(), &Options::default()).unwrap();
    let child = enter(&group.join_handle().unwrap(), sleep);
    assert_eq!(group.processes().unwrap(), [child.pid]);
    group.freeze().unwrap();
    group.kill(PATIENCE).unwrap();
    assert_eq!(wait(&child), -9);
    group.remove(PATIENCE).unwrap();
    assert!(!Path::new("/sys/fs/cgroup/unified").join(group.path().as_str()).exists());
}

#[test]
fn a_parent_with_processes_cannot_pass_controllers_on() {
    needs!(Root, CgroupHybrid);
    let parent = Parent::new();
    let unified = unified_alone(&parent);
    if unified.controllers().is_empty() {
        println!("skipped: version 2 has no controller here");
        return;
    }
    let outer = parent.path("outer");
    let options = Options::default();
    let group = unified.create(&outer, &Resources::default(), &options).unwrap();
    let child = enter(&group.join_handle().unwrap(), sleep);
    let inner = CgroupPath::new(&format!("{outer}/inner")).unwrap();
    let error = unified.create(&inner, &Resources::default(), &options).unwrap_err();
    assert!(error.to_string().contains("give another parent"), "{error}");
    group.kill(PATIENCE).unwrap();
    wait(&child);
    assert!(unified.children(&outer).unwrap().is_empty());
}

/// As where the caller is in a group of its own, and makes others below that.
#[test]
fn groups_are_made_below_one_that_has_processes() {
    needs!(Root, CgroupHybrid);
    let parent = Parent::new();
    let make = |path: &str| {
        let path = parent.path(path);
        parent.hierarchy.create(&path, &Resources::default(), &Options::default()).unwrap()
    };
    let above = make("above");
    let child = enter(&above.join_handle().unwrap(), sleep);
    let below = make("above/below");
    let second = enter(&below.join_handle().unwrap(), sleep);
    assert_eq!(below.processes().unwrap(), [second.pid]);
    for (group, child) in [(below, second), (above, child)] {
        group.kill(PATIENCE).unwrap();
        wait(&child);
        group.remove(PATIENCE).unwrap();
    }
}
