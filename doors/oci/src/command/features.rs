//! `features`: what this runtime can do, for engines. runtime-spec 1.3.0, features.md.

use std::io::Write as _;

use runtime::hooks::HookPoint;
use seccomp::Arch;
use serde_json::{Value, json};

use crate::Context;
use crate::args::Parsed;
use crate::command::Command;
use crate::error::{OciError, Step};
use crate::exit::Exit;

pub(crate) const FEATURES: Command = Command {
    arguments: "",
    counts: (0, 0),
    ..Command::plain("features", "show what is supported, as JSON", run)
};

fn run(_context: &Context, _parsed: &Parsed) -> Result<Exit, OciError> {
    let mut text = serde_json::to_string_pretty(&features())
        .map_err(|error| OciError::State(error.to_string()))?;
    text.push('\n');
    std::io::stdout().write_all(text.as_bytes()).to(|| "write the features".into())?;
    Ok(Exit::SUCCESS)
}

fn features() -> Value {
    let architectures = Arch::ALL.into_iter().filter(|arch| arch.runs_on(Arch::NATIVE));
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": oci::runtime::VERSION,
        "hooks": HookPoint::ALL.map(HookPoint::name),
        "mountOptions": runtime::MOUNT_OPTIONS.as_slice(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": runtime::capability_names().collect::<Vec<_>>(),
            "cgroup": {
                "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true,
            },
            "seccomp": {
                "enabled": true,
                "actions": seccomp::ACTIONS,
                "operators": seccomp::OPERATORS,
                "archs": architectures.map(Arch::oci_name).collect::<Vec<_>>(),
                "knownFlags": seccomp::FLAGS,
                "supportedFlags": seccomp::FLAGS,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
            "memoryPolicy": {
                "modes": runtime::MEMORY_MODES.map(|(name, _)| name),
                "flags": runtime::MEMORY_FLAGS.map(|(name, _)| name),
            },
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
        },
        "annotations": {
            "org.opencontainers.runc.checkpoint.enabled": "false",
            "io.kista.version": env!("CARGO_PKG_VERSION"),
        },
        "potentiallyUnsafeConfigAnnotations": [],
    })
}
