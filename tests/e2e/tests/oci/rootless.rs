//! The runtime in the hands of an ordinary user, by itself and under Podman.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};
use testkit::{Image, Output, User, needs, wait_until};

use crate::support::output;

/// A user with a bundle of busybox's that runs a script.
struct Rootless {
    user: User,
}

impl Rootless {
    fn new(user: User) -> Self {
        let own = |path: &PathBuf| chown(path, Some(User::ID), Some(User::ID)).unwrap();
        let bundle = user.home().join("bundle");
        let bin = bundle.join("rootfs/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for name in ["sh", "id", "sleep", "cat", "tr", "stat", "touch", "chown"] {
            symlink("busybox", bin.join(name)).unwrap();
        }
        let state = user.home().join("state");
        fs::create_dir(&state).unwrap();
        for path in [&bundle, &bundle.join("rootfs"), &bin, &state] {
            own(path);
        }
        let this = Self { user };
        let program = testkit::program();
        let mut spec = this.user.command(&program, &["oci", "spec", "--rootless"]);
        output(spec.current_dir(&bundle), &bundle).ok();
        this
    }

    fn bundle(&self) -> PathBuf {
        self.user.home().join("bundle")
    }

    /// Changes the configuration, of which the runtime made the first one itself.
    fn configure(&self, script: &str, change: impl FnOnce(&mut Value)) {
        let path = self.bundle().join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sh", "-c", script]);
        spec["root"]["readonly"] = json!(false);
        change(&mut spec);
        fs::write(path, serde_json::to_vec(&spec).unwrap()).unwrap();
    }

    fn run(&self, words: &[&str]) -> Output {
        let state = self.user.home().join("state").display().to_string();
        let words = [&["oci", "--root", &state], words].concat();
        let mut command = self.user.command(&testkit::program(), &words);
        output(command.current_dir(self.bundle()), &self.user.home())
    }

    fn status(&self, id: &str) -> String {
        let state: Value = serde_json::from_str(&self.run(&["state", id]).ok()).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_user_with_one_id_has_all_commands() {
    needs!(Root, Busybox, Uidmap);
    let oci = Rootless::new(User::with_ids(""));
    oci.configure("id -u; tr -s ' ' < /proc/self/uid_map; exec sleep 1000", |_| {});
    oci.run(&["create", "one"]).ok();
    assert_eq!(oci.status("one"), "created");
    oci.run(&["start", "one"]).ok();
    assert_eq!(oci.status("one"), "running");
    assert_eq!(oci.run(&["exec", "one", "id", "-u"]).ok(), "0");
    assert!(oci.run(&["list"]).ok().contains("kistatest"));
    oci.run(&["kill", "one", "KILL"]).ok();
    wait_until("its end", || (oci.status("one") == "stopped").then_some(()));
    oci.run(&["delete", "one"]).ok();
    let once = "id -u; tr -s ' ' < /proc/self/uid_map; touch /new; stat -c %u:%g /new";
    oci.configure(once, |_| {});
    assert_eq!(oci.run(&["run", "two"]).ok(), format!("0\n 0 {} 1\n0:0", User::ID));
}

#[test]
fn further_ids_are_those_that_the_host_gives() {
    needs!(Root, Busybox, Uidmap);
    let oci = Rootless::new(User::new());
    let more = |spec: &mut Value| {
        for kind in ["uidMappings", "gidMappings"] {
            let map = json!({"containerID": 1, "hostID": User::FIRST, "size": 1000});
            spec["linux"][kind].as_array_mut().unwrap().push(map);
        }
        spec["process"]["user"] = json!({"uid": 33, "gid": 34, "additionalGids": [5]});
    };
    oci.configure("id -u; id -G", more);
    assert_eq!(oci.run(&["run", "one"]).ok(), "33\n34 5");
    // What is another's is refused by those who look after it, and leaves nothing.
    oci.configure("true", |spec| spec["linux"]["uidMappings"][1]["hostID"] = json!(900_000));
    let out = oci.run(&["run", "two"]);
    assert!(out.code != 0 && out.stderr.contains("newuidmap"), "{}", out.stderr);
    assert_eq!(oci.run(&["list", "--quiet"]).ok(), "");
}

#[test]
fn limits_that_a_user_cannot_have_are_named() {
    needs!(Root, Busybox, Uidmap, CgroupV1);
    let oci = Rootless::new(User::new());
    let limit =
        |spec: &mut Value| spec["linux"]["resources"] = json!({"memory": {"limit": 1 << 26}});
    oci.configure("true", limit);
    let out = oci.run(&["run", "one"]);
    let wanted = "memory.limit cannot be set by this user: cgroup version 1";
    assert!(out.code != 0 && out.stderr.contains(wanted), "{}", out.stderr);
    let update = oci.run(&["update", "--pids-limit", "5", "one"]);
    assert_ne!(update.code, 0);
    assert_eq!(oci.run(&["list", "--quiet"]).ok(), "");
}

#[test]
fn podman_of_a_user_runs_its_containers_through_it() {
    needs!(Root, Busybox, Uidmap, Podman);
    let user = User::new();
    let home = user.home();
    // Its sockets are below this, whose names must not be long.
    let short = tempfile::Builder::new().prefix("kr").tempdir().unwrap();
    chown(short.path(), Some(User::ID), Some(User::ID)).unwrap();
    let config = "[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = \"cgroupfs\"\n\
        events_logger = \"file\"\n";
    fs::write(home.join("containers.conf"), config).unwrap();
    let policy = home.join("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).unwrap();
    let archive = home.join("image.tar");
    fs::write(&archive, Image::busybox("busybox").docker_archive()).unwrap();
    for path in ["containers.conf", "policy.json", "image.tar"] {
        fs::set_permissions(home.join(path), PermissionsExt::from_mode(0o644)).unwrap();
    }
    let runtime = user.oci_runtime().display().to_string();
    let podman = |words: &[&str]| {
        let words = [&["podman", "--runtime", &runtime], words].concat();
        let mut command = user.beside(&testkit::program(), &words);
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", short.path());
        command.env("CONTAINERS_CONF", home.join("containers.conf"));
        command.env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        output(&mut command, &home)
    };
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    podman(&["load", "--signature-policy", &text(&policy), "-i", &text(&archive)]).ok();
    let image = "localhost/busybox";
    let map =
        podman(&["run", "--rm", "--network", "none", image, "cat", "/proc/self/uid_map"]).ok();
    assert_eq!(map.split_whitespace().nth(1), Some(User::ID.to_string().as_str()), "{map}");
    podman(&["run", "-d", "--name", "one", "--network", "none", image, "sleep", "1000"]).ok();
    assert_eq!(podman(&["exec", "-u", "33", "one", "id", "-u"]).ok(), "33");
    podman(&["stop", "-t", "0", "one"]).ok();
    podman(&["rm", "-f", "one"]).ok();
    // What it keeps running of its own namespace.
    podman(&["system", "migrate"]).ok();
}
