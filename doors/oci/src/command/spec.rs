//! `spec`: an example of a configuration, to begin with. runtime-spec 1.3.0, config.md.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize as _;
use serde_json::ser::PrettyFormatter;
use serde_json::{Value, json};

use crate::Context;
use crate::args::{Parsed, switch, valued};
use crate::command::Command;
use crate::error::{OciError, Step};
use crate::exit::Exit;

pub(crate) const SPEC: Command = Command {
    arguments: "",
    flags: &[
        valued(&["bundle", "b"], "DIR", "where to write it (default: working directory)"),
        switch(&["rootless"], "for a user without privileges"),
    ],
    counts: (0, 0),
    ..Command::plain("spec", "write a new config.json", run)
};

fn run(_context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let path = Path::new(parsed.some("bundle").unwrap_or(".")).join("config.json");
    let mut spec = example(Path::new("/sys/fs/cgroup/cgroup.controllers").exists());
    if parsed.is_on("rootless") {
        make_rootless(&mut spec);
    }
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    spec.serialize(&mut serializer).map_err(|error| OciError::State(error.to_string()))?;
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    match file {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = "File config.json exists. Remove it first";
            return Err(OciError::State(text.into()));
        }
        other => other.and_then(|mut file| file.write_all(&bytes)),
    }
    .to(|| format!("write {}", path.display()))?;
    Ok(Exit::SUCCESS)
}

/// A container that can be run as it is on any root file system with a shell.
fn example(unified: bool) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mut spec = json!({
        "ociVersion": oci::runtime::VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "kista",
        "mounts": mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"},
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    });
    if unified && let Some(namespaces) = spec["linux"]["namespaces"].as_array_mut() {
        namespaces.push(json!({"type": "cgroup"}));
    }
    spec
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &str| {
        let mut mount = json!({"destination": destination, "type": kind, "source": source});
        if !options.is_empty() {
            mount["options"] = options.split(',').collect();
        }
        mount
    };
    Value::from(vec![
        mount("/proc", "proc", "proc", ""),
        mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
        ),
        mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
    ])
}

/// A user namespace with one id instead of a network namespace, in which a user without
/// privileges could not do more than with it; the host's /sys, since a new one shows a network.
fn make_rootless(spec: &mut Value) {
    let id = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
    let linux = &mut spec["linux"];
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "user"}));
    }
    linux["uidMappings"] = id(rustix::process::geteuid().as_raw());
    linux["gidMappings"] = id(rustix::process::getegid().as_raw());
    if let Some(linux) = linux.as_object_mut() {
        linux.remove("resources");
    }
    for mount in spec["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/sys" {
            let options = json!(["rbind", "nosuid", "noexec", "nodev", "ro"]);
            *mount = json!({
                "destination": "/sys", "type": "none", "source": "/sys", "options": options,
            });
        }
        if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            options.retain(|option| option != "gid=5");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_understood_by_ourselves() {
        for unified in [false, true] {
            let mut spec = example(unified);
            let plain: oci::runtime::Spec = serde_json::from_value(spec.clone()).unwrap();
            assert_eq!(plain.linux.unwrap().namespaces.len(), 5 + usize::from(unified));
            make_rootless(&mut spec);
            let rootless: oci::runtime::Spec = serde_json::from_value(spec).unwrap();
            let linux = rootless.linux.unwrap();
            assert_eq!((linux.uid_mappings.len(), linux.resources), (1, None));
            let devpts = rootless.mounts.iter().find(|mount| mount.destination == "/dev/pts");
            assert!(!devpts.unwrap().options.iter().any(|option| option.starts_with("gid=")));
        }
    }
}
