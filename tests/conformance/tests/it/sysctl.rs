//! `sysctl`. runtime-spec 1.3.0, config-linux.md, "Sysctl".

use serde_json::json;
use testkit::oci::{Bundle, Runtime};

#[test]
fn parameters_of_own_namespaces_are_set() {
    needs!(Root);
    let bundle = Bundle::script(
        "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax fs/mqueue/msg_max",
    )
    .namespace("network")
    .set(
        "linux.sysctl",
        json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096", "fs.mqueue.msg_max": "7"}),
    );
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "1\n4096\n7");
}

#[test]
fn slashes_are_taken_for_dots() {
    needs!(Root);
    let bundle = Bundle::script("cat /proc/sys/net/ipv4/conf/lo/forwarding")
        .namespace("network")
        .set("linux.sysctl", json!({"net/ipv4/conf/lo/forwarding": "1"}));
    assert_eq!(Runtime::under_test().run(&bundle).ok(), "1");
}

#[test]
fn parameters_of_the_host_are_refused() {
    needs!(Root);
    let runtime = Runtime::under_test();
    // Each names something that the container shares with the host, and its present value.
    for (name, file) in [
        ("vm.swappiness", "vm/swappiness"),
        ("kernel.panic", "kernel/panic"),
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("fs.file-max", "fs/file-max"),
    ] {
        let value = std::fs::read_to_string(format!("/proc/sys/{file}")).unwrap();
        let mut sysctl = json!({});
        sysctl[name] = value.trim().into();
        let bundle = Bundle::running(&["true"]).set("linux.sysctl", sysctl);
        let out = runtime.try_create(&bundle);
        assert!(out.is_err(), "{name}");
        assert!(out.unwrap_err().stderr.contains(name), "{name}");
        runtime.assert_nothing_left(&bundle);
    }
}

#[test]
fn message_queues_need_an_ipc_namespace() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"])
        .without_namespace("ipc")
        .without_mounts("/dev/mqueue")
        .set("linux.sysctl", json!({"kernel.msgmax": "8192"}));
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn a_value_that_the_kernel_refuses_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = Bundle::running(&["true"]).set("linux.sysctl", json!({"kernel.msgmax": "words"}));
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}
