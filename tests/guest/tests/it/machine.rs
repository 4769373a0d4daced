//! That the guest is what it promises to be.

use std::fs;

use testkit::needs;

#[test]
fn all_controllers_are_version_2s() {
    needs!(Root, CgroupV2);
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    let controllers: Vec<&str> = controllers.split_ascii_whitespace().collect();
    for wanted in ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"] {
        assert!(controllers.contains(&wanted), "{controllers:?}");
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(" - cgroup "), "{mounts}");
}
