use std::net::IpAddr;

use oci::runtime::IdMapping;
use serde_json::{Value, json};

use super::*;
use crate::test_support::{devices, facts};
use crate::{Files, Joined, RootfsFacts, Userns, plan_mounts};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n";
const GROUP: &[u8] = b"root:x:0:\nextra:x:7:web\n";
const IDS: [IdMapping; 1] = [IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];

/// A container as it would be created and started.
fn with(facts: &HostFacts, config: Value, host: Value) -> Result<Bundle, BundleError> {
    let mut wishes: ContainerConfig = serde_json::from_value(config).unwrap();
    if wishes.cmd.is_empty() {
        wishes.cmd = vec!["sh".into()];
    }
    let host: HostConfig = serde_json::from_value(host).unwrap();
    let config = crate::merge(&Default::default(), &wishes)?;
    check(&config, &host, facts)?;
    let mut mounts = plan_mounts(&config, &host, &[])?;
    for mount in &mut mounts {
        if let crate::PlannedSource::Volume(wanted) = &mount.source {
            let name = wanted.name.as_deref().unwrap_or("anonymous");
            mount.host_path = Some(format!("/volumes/{name}/_data"));
        }
    }
    let filter = runtime::Seccomp { default_action: "SCMP_ACT_LOG".into(), ..Default::default() };
    spec(&Inputs {
        id: ID,
        config: &config,
        host: &host,
        rootfs: RootfsFacts { path: "/rootfs", passwd: Some(PASSWD), group: Some(GROUP) },
        mounts: &mounts,
        files: Files {
            hostname: Some("/c/hostname"),
            hosts: Some("/c/hosts"),
            resolv_conf: Some("/c/resolv.conf"),
            init: Some("/usr/bin/kista"),
        },
        joined: Joined {
            network: Some("/proc/9/ns/net"),
            made_network: None,
            pid: Some("/proc/9/ns/pid"),
            ipc: Some("/proc/9/ns/ipc"),
            shm: Some("/proc/9/root/dev/shm"),
            user: None,
        },
        userns: Userns::Available { uids: &IDS, gids: &IDS },
        devices: &devices,
        cgroups_path: "/kista/c",
        seccomp: Some(&filter),
        facts,
    })
}

fn bundle(config: Value, host: Value) -> Bundle {
    with(&facts(), config, host).unwrap()
}

fn refusal(host: Value) -> String {
    with(&facts(), json!({}), host).unwrap_err().to_string()
}

fn process(bundle: &Bundle) -> &Process {
    bundle.spec.process.as_ref().unwrap()
}

fn linux(bundle: &Bundle) -> &Linux {
    bundle.spec.linux.as_ref().unwrap()
}

fn mount<'a>(bundle: &'a Bundle, destination: &str) -> Option<&'a oci::Mount> {
    bundle.spec.mounts.iter().find(|mount| mount.destination == destination)
}

fn options(bundle: &Bundle, destination: &str) -> String {
    mount(bundle, destination).unwrap().options.join(",")
}

/// To write the files anew, after a change that is meant: `GOLDEN_WRITE=1 cargo test -p bundle`.
#[test]
fn the_default_spec_of_each_profile() {
    let rows = [
        ("standard", json!({}), include_str!("golden/standard.json")),
        ("docker", json!({"Profile": "docker"}), include_str!("golden/docker.json")),
        ("strict", json!({"Profile": "strict"}), include_str!("golden/strict.json")),
        ("build", json!({"Profile": "build"}), include_str!("golden/build.json")),
        ("privileged", json!({"Privileged": true}), include_str!("golden/privileged.json")),
    ];
    for (name, host, expected) in rows {
        let spec = bundle(json!({}), host).spec;
        let text = format!("{}\n", serde_json::to_string_pretty(&spec).unwrap());
        if std::env::var_os("GOLDEN_WRITE").is_some() {
            let path = format!("{}/src/spec/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(path, &text).unwrap();
            continue;
        }
        assert_eq!(text, expected, "{name}");
    }
}

#[test]
fn who_and_what_is_run() {
    let bundle = bundle(
        json!({"User": "web", "Env": ["A=1"], "Tty": true, "WorkingDir": "/w", "Cmd": ["a", "b"],
            "Domainname": "example.org"}),
        json!({"GroupAdd": ["99"], "ConsoleSize": [24, 80], "OomScoreAdj": 500, "Init": true,
            "Annotations": {"k": "v"}}),
    );
    let process = process(&bundle);
    assert_eq!((process.user.uid, process.user.gid), (33, 33));
    assert_eq!(process.user.additional_gids, [33, 7, 99]);
    assert_eq!(process.args, ["/sbin/docker-init", "--", "a", "b"]);
    assert_eq!(process.cwd, "/w");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(process.env, [path, "HOSTNAME=0123456789ab", "TERM=xterm", "A=1", "HOME=/srv"]);
    assert_eq!(process.console_size, Some(ConsoleSize { height: 24, width: 80 }));
    assert_eq!(process.oom_score_adj, Some(500));
    assert_eq!(bundle.spec.hostname.as_deref(), Some("0123456789ab"));
    assert_eq!(bundle.spec.domainname.as_deref(), Some("example.org"));
    assert_eq!(bundle.spec.annotations["k"], "v");
    assert_eq!(mount(&bundle, INIT_PATH).unwrap().source.as_deref(), Some("/usr/bin/kista"));
}

#[test]
fn no_capability_is_inheritable_or_ambient() {
    for host in [json!({}), json!({"CapAdd": ["NET_ADMIN"]}), json!({"Privileged": true})] {
        let bundle = bundle(json!({"User": "1000"}), host);
        let sets = process(&bundle).capabilities.as_ref().unwrap();
        assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());
        assert_eq!(sets.bounding, sets.effective);
    }
}

#[test]
fn init_only_with_a_pid_namespace_of_its_own() {
    let bundle = bundle(json!({}), json!({"Init": true, "PidMode": "host"}));
    assert_eq!(process(&bundle).args, ["sh"]);
    assert!(mount(&bundle, INIT_PATH).is_none());
}

#[test]
fn mounts_are_in_order_and_the_users_replace_ours() {
    let bundle = bundle(
        json!({"Volumes": {"/data": {}}}),
        json!({"Binds": ["/x:/etc/hosts:ro", "/src:/a/b:ro", "logs:/a", "/m:/dev/mqueue"],
            "Tmpfs": {"/run": "exec,size=1m"}}),
    );
    let order: Vec<&str> = bundle.spec.mounts.iter().map(|mount| &*mount.destination).collect();
    let expected = [
        "/proc",
        "/dev",
        "/dev/pts",
        "/sys",
        "/sys/fs/cgroup",
        "/dev/shm",
        "/a",
        "/run",
        "/data",
        "/etc/hosts",
        "/a/b",
        "/dev/mqueue",
        "/etc/resolv.conf",
        "/etc/hostname",
    ];
    assert_eq!(order, expected);
    assert_eq!(options(&bundle, "/a/b"), "rbind,rro,rprivate");
    assert_eq!(options(&bundle, "/a"), "rbind,rprivate");
    assert_eq!(options(&bundle, "/run"), "nosuid,nodev,rprivate,exec,size=1m");
    let data = mount(&bundle, "/data").unwrap();
    assert_eq!(data.source.as_deref(), Some("/volumes/anonymous/_data"));
}

#[test]
fn a_dev_of_the_users_hides_all_of_ours() {
    let bundle = bundle(json!({}), json!({"Binds": ["/dev:/dev"]}));
    let below = bundle.spec.mounts.iter().filter(|mount| mount.destination.starts_with("/dev/"));
    assert_eq!(below.count(), 0);
}

#[test]
fn read_only_as_far_as_the_kernel_can() {
    let old = HostFacts { recursive_read_only: false, ..facts() };
    let bind = |options: Value| {
        json!({"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true,
            "BindOptions": options}]})
    };
    let rows = [
        (json!({}), "rbind,rro,rprivate", Some("rbind,ro,rprivate")),
        (json!({"ReadOnlyNonRecursive": true}), "rbind,ro,rprivate", Some("rbind,ro,rprivate")),
        (json!({"ReadOnlyForceRecursive": true}), "rbind,rro,rprivate", None),
        (
            json!({"NonRecursive": true, "Propagation": "rslave"}),
            "bind,rro,rslave",
            Some("bind,ro,rslave"),
        ),
    ];
    for (row, new_kernel, old_kernel) in rows {
        let new = bundle(json!({}), bind(row.clone()));
        assert_eq!(options(&new, "/b"), new_kernel, "{row}");
        let old = with(&old, json!({}), bind(row.clone()));
        assert_eq!(old.ok().map(|old| options(&old, "/b")).as_deref(), old_kernel, "{row}");
    }
}

#[test]
fn propagation_reaches_the_root() {
    let of = |binds: Value| {
        linux(&bundle(json!({}), json!({"Binds": binds}))).rootfs_propagation.clone()
    };
    assert_eq!(of(json!(["/a:/a"])), None);
    assert_eq!(of(json!(["/a:/a:slave"])).as_deref(), Some("rslave"));
    assert_eq!(of(json!(["/a:/a:slave", "/b:/b:rshared"])).as_deref(), Some("shared"));
}

#[test]
fn shared_memory_by_ipc_mode() {
    let shm = |host: Value| mount(&bundle(json!({}), host), "/dev/shm").cloned();
    assert!(shm(json!({"IpcMode": "none"})).is_none());
    let own = shm(json!({"ShmSize": 1 << 20})).unwrap();
    assert_eq!(own.options.join(","), "nosuid,noexec,nodev,mode=1777,size=1048576");
    assert_eq!(shm(json!({"IpcMode": "host"})).unwrap().source.as_deref(), Some("/dev/shm"));
    let joined = shm(json!({"IpcMode": "container:x"})).unwrap();
    assert_eq!(joined.source.as_deref(), Some("/proc/9/root/dev/shm"));
}

#[test]
fn a_read_only_root() {
    let bundle = bundle(json!({}), json!({"ReadonlyRootfs": true}));
    assert!(bundle.spec.root.as_ref().unwrap().readonly);
    assert_eq!(options(&bundle, "/etc/hosts"), "bind,rprivate,ro");
    assert!(!options(&bundle, "/dev/shm").contains("ro,"));
}

#[test]
fn privileged_takes_isolation_away_but_not_what_is_asked_for() {
    let plain = bundle(json!({}), json!({"Privileged": true}));
    assert!(linux(&plain).masked_paths.is_empty() && linux(&plain).readonly_paths.is_empty());
    assert_eq!(plain.needs.seccomp, None);
    assert_eq!(options(&plain, "/sys"), "nosuid,noexec,nodev");
    assert_eq!(options(&plain, "/sys/fs/cgroup"), "nosuid,noexec,nodev");
    assert_eq!(process(&plain).capabilities.as_ref().unwrap().bounding.len(), 41);
    let asked = bundle(
        json!({}),
        json!({"Privileged": true, "MaskedPaths": ["/proc//kcore"],
            "SecurityOpt": ["no-new-privileges", "seccomp=builtin", "writable-cgroups=false"]}),
    );
    assert_eq!(linux(&asked).masked_paths, ["/proc/kcore"]);
    assert!(process(&asked).no_new_privileges);
    assert_eq!(asked.needs.seccomp, Some(seccomp::profile::Profile::Standard));
    assert!(options(&asked, "/sys/fs/cgroup").starts_with("ro,"));
}

#[test]
fn a_rootless_container_on_the_hosts_cgroups_cannot_write_them() {
    let facts = HostFacts { rootless: true, ..facts() };
    let host = json!({"Privileged": true, "CgroupnsMode": "host"});
    let bundle = with(&facts, json!({}), host).unwrap();
    assert!(options(&bundle, "/sys/fs/cgroup").starts_with("ro,"));
}

#[test]
fn filters() {
    let need = |options: Value| bundle(json!({}), json!({"SecurityOpt": options}));
    let default = need(json!([]));
    assert_eq!(default.needs.seccomp, Some(seccomp::profile::Profile::Standard));
    assert!(linux(&default).seccomp.is_none());
    let custom = need(json!(["seccomp={}"]));
    assert_eq!(custom.needs.seccomp, None);
    assert_eq!(linux(&custom).seccomp.as_ref().unwrap().default_action, "SCMP_ACT_LOG");
    let none = need(json!(["seccomp=unconfined"]));
    assert!(none.needs.seccomp.is_none() && linux(&none).seccomp.is_none());
    let without = HostFacts { seccomp: false, ..facts() };
    let err = with(&without, json!({}), json!({"SecurityOpt": ["seccomp={}"]})).unwrap_err();
    assert!(err.to_string().starts_with("seccomp is not enabled in your kernel"));
}

#[test]
fn strict_has_ids_of_its_own_and_no_set_user_id() {
    let strict = bundle(
        json!({}),
        json!({"Profile": "strict", "Binds": ["/a:/b"], "Tmpfs": {"/t": "suid"}}),
    );
    assert!(process(&strict).no_new_privileges);
    assert_eq!(linux(&strict).uid_mappings, IDS);
    assert_eq!(strict.needs.rootfs_uids, IDS);
    assert_eq!(strict.needs.rootfs_options, ["nosuid", "nodev"]);
    assert_eq!(options(&strict, "/b"), "rbind,rprivate,nosuid,nodev,idmap");
    assert_eq!(mount(&strict, "/b").unwrap().uid_mappings, IDS);
    assert_eq!(options(&strict, "/t"), "noexec,nodev,rprivate,suid");
    assert_eq!(linux(&strict).sysctl["net.ipv4.ping_group_range"], "0 65535");
    let relaxed = bundle(
        json!({}),
        json!({"Profile": "strict", "UsernsMode": "host",
            "SecurityOpt": ["no-new-privileges=false"]}),
    );
    assert!(!process(&relaxed).no_new_privileges);
    assert!(linux(&relaxed).uid_mappings.is_empty());
}

#[test]
fn sysctls_of_a_network_of_its_own() {
    let of = |host: Value| linux(&bundle(json!({}), host)).sysctl.clone();
    let own = of(json!({"Sysctls": {"net.ipv4.ip_unprivileged_port_start": "1024"}}));
    assert_eq!(own["net.ipv4.ip_unprivileged_port_start"], "1024");
    assert_eq!(own["net.ipv4.ping_group_range"], "0 2147483647");
    assert!(of(json!({"NetworkMode": "host"})).is_empty());
    assert!(of(json!({"NetworkMode": "container:x"})).is_empty());
}

#[test]
fn the_hosts_name_where_it_is_shared() {
    for host in [json!({"NetworkMode": "host"}), json!({"UTSMode": "host"})] {
        let bundle = bundle(json!({}), host);
        assert!(process(&bundle).env.contains(&"HOSTNAME=host".into()));
    }
    let bundle = bundle(json!({}), json!({"UTSMode": "host"}));
    assert_eq!(bundle.spec.hostname, None);
}

#[test]
fn what_cannot_be_is_refused() {
    let rows = [
        (
            json!({"Profile": "nope"}),
            "unknown profile \"nope\": it is one of standard, docker, strict, build",
        ),
        (json!({"ShmSize": -1}), "SHM size can not be less than 0"),
        (
            json!({"OomScoreAdj": 1001}),
            "Invalid value 1001, range for oom score adj is [-1000, 1000]",
        ),
        (
            json!({"Sysctls": {"kernel.core_pattern": "x"}}),
            "sysctl 'kernel.core_pattern' is not allowed",
        ),
        (
            json!({"Sysctls": {"net.core.somaxconn": "1"}, "NetworkMode": "host"}),
            "sysctl 'net.core.somaxconn' is not allowed in the host's network namespace",
        ),
        (json!({"Isolation": "hyperv"}), "invalid isolation 'hyperv' on linux"),
        (json!({"Isolation": "vm"}), "isolation \"vm\" is not supported yet"),
        (json!({"DeviceRequests": [{"Count": -1}]}), "--gpus is not supported yet"),
        (json!({"StorageOpt": {"size": "1g"}}), "--storage-opt is not supported yet"),
        (json!({"MaskedPaths": ["x"]}), "invalid path \"x\": it must be absolute"),
        (
            json!({"SecurityOpt": ["apparmor=mine"]}),
            "AppArmor profile \"mine\" cannot be used: AppArmor is not enabled on this host",
        ),
        (
            json!({"SecurityOpt": ["label=type:x"]}),
            "SELinux label \"type:x\" cannot be used: SELinux is not enabled on this host",
        ),
        (
            json!({"SecurityOpt": ["writable-cgroups"], "UsernsMode": "auto"}),
            "option WritableCgroups conflicts with user namespaces and rootless mode",
        ),
        (
            json!({"Annotations": {"": "x"}}),
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ),
    ];
    for (host, expected) in rows {
        assert_eq!(refusal(host), expected);
    }
}

#[test]
fn a_warning_where_docker_warns() {
    let config: ContainerConfig = serde_json::from_value(json!({"Cmd": ["x"]})).unwrap();
    let host: HostConfig =
        serde_json::from_value(json!({"PublishAllPorts": true, "NetworkMode": "host"})).unwrap();
    let warnings = check(&config, &host, &facts()).unwrap();
    assert_eq!(warnings, ["Published ports are discarded when using host network mode"]);
}

/// CVE-2014-6408, CVE-2026-94603: whatever an image says, isolation stays.
#[test]
fn an_image_cannot_choose_policy() {
    let keys = [
        "io.podman.annotations.privileged",
        "io.containerd.runc.v2.group",
        "org.systemd.property.ExecStart",
        "run.oci.handler",
        "io.kubernetes.cri-o.UnifiedCgroup.x",
        "cdi.k8s.io/x",
        "checkpoint",
        "profile",
        "Profile",
    ];
    let labels: serde_json::Map<_, _> =
        keys.iter().map(|key| ((*key).to_owned(), json!("true"))).collect();
    let image: oci::ImageConfig = serde_json::from_value(json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {"Cmd": ["sh"], "Labels": labels, "Privileged": true, "HostConfig": {"Privileged": true},
            "SecurityOpt": ["seccomp=unconfined"]},
    }))
    .unwrap();
    let host = HostConfig::default();
    let plain = bundle(json!({}), json!({}));
    let config = crate::merge(&image.config, &ContainerConfig::default()).unwrap();
    let config = serde_json::to_value(config).unwrap();
    assert_eq!(bundle(config, serde_json::to_value(host).unwrap()), plain);
}

#[test]
fn hosts_and_names_agree() {
    let bundle = bundle(json!({"Hostname": "box"}), json!({}));
    let hosts = crate::hosts_file(&crate::HostsFile {
        hostname: bundle.spec.hostname.as_deref().unwrap(),
        addresses: &[IpAddr::from([10, 0, 0, 2])],
        ..Default::default()
    });
    assert!(hosts.unwrap().ends_with("10.0.0.2\tbox\n"));
}
