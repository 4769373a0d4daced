//! The embedded image `hello`: this program's own executable, which shows what it sees inside.
//!
//! The image goes through the same store, snapshot, bundle, shim and runtime as any other. It is
//! made when somebody asks for it and no image of that name is there.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use archive::Durability;
use oci::{ContainerDefaults, History, ImageConfig, Platform, Reference, Timestamp};

use crate::image::Image;
use crate::{Engine, EngineError};

/// The image's name, as a user types it.
const NAME: &str = "hello";
/// Where the executable is inside. Its file name tells the program what to be.
const PROGRAM: &str = "/hello";

impl Engine {
    /// Whether `name` stands for the embedded image.
    pub(crate) fn is_embedded(&self, name: &str) -> bool {
        name.parse::<Reference>()
            .is_ok_and(|reference| reference.with_default_tag().familiar() == "hello:latest")
    }

    /// Makes the embedded image of the running executable's bytes.
    pub(crate) fn make_embedded_image(&self) -> Result<Image, EngineError> {
        let executable = std::fs::File::open("/proc/self/exe")
            .map_err(EngineError::io("open", "/proc/self/exe"))?;
        let created = Some(Timestamp::now());
        let config = ImageConfig {
            created,
            platform: Platform::host(),
            config: ContainerDefaults {
                entrypoint: vec![PROGRAM.into()],
                env: vec!["PATH=/".into()],
                working_dir: "/".into(),
                ..ContainerDefaults::default()
            },
            ..ImageConfig::default()
        };
        let name: Reference = NAME.parse().map_err(|error: oci::ReferenceError| {
            EngineError::Invalid { message: error.to_string() }
        })?;
        let layer = layer(executable).map_err(EngineError::io("read", "/proc/self/exe"))?;
        let history =
            History { created, comment: "embedded in kista".into(), ..History::default() };
        let name = name.with_default_tag();
        archive::from_layer(
            &layer[..],
            config,
            history,
            Some(&name),
            &self.stores()?,
            Durability::Process,
        )?;
        self.resolve_image(NAME)
    }
}

/// The tar of one file: the executable.
fn layer(executable: std::fs::File) -> std::io::Result<Vec<u8>> {
    let size = executable.metadata()?.len();
    let mut writer =
        unpack::tar::Writer::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 4096));
    let entry = unpack::tar::Entry {
        path: PROGRAM.trim_start_matches('/').into(),
        mode: 0o755,
        size,
        ..unpack::tar::Entry::default()
    };
    writer.append(&entry, executable)?;
    writer.finish()
}

/// The whole of a process that was called as `hello`: prints what it sees, and exits with 0.
pub fn hello() -> ExitCode {
    let mut text = String::from("Hello from inside a container made by Kista.\n\n");
    describe(&mut text);
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Everything that this process can tell about its surroundings, one fact a line.
fn describe(text: &mut String) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let status = read("/proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or("?").trim().to_owned()
    };
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<16}{value}");
    };
    fact("process id", &std::process::id().to_string());
    fact("host name", &rustix::system::uname().nodename().to_string_lossy());
    fact(
        "user",
        &format!(
            "uid {}, gid {}, groups [{}]",
            first(&field("Uid")),
            first(&field("Gid")),
            field("Groups")
        ),
    );
    for line in read("/proc/self/uid_map").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [inside, outside, count] = words[..] {
            fact("user ids", &format!("{count} from {inside} inside are {outside} outside"));
        }
    }
    fact("capabilities", &capabilities(&field("CapEff")));
    let privileges = if field("NoNewPrivs") == "1" {
        "can never be gained"
    } else {
        "can be gained by set-user-ID programs"
    };
    fact("new privileges", privileges);
    let filter = match field("Seccomp").as_str() {
        "2" => "in force",
        _ => "none",
    };
    fact("call filter", filter);
    for name in ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"] {
        let link = std::fs::read_link(format!("/proc/self/ns/{name}"));
        fact(
            "namespace",
            &link.map_or_else(
                |_| format!("{name}: not there"),
                |link| link.to_string_lossy().into_owned(),
            ),
        );
    }
    for (name, controller, file) in [
        ("memory limit", "memory", "memory.limit_in_bytes"),
        ("memory limit", "", "memory.max"),
        ("process limit", "pids", "pids.max"),
        ("process limit", "", "pids.max"),
    ] {
        let value = read(&format!("/sys/fs/cgroup/{controller}/{file}"));
        match value.trim().parse::<u64>() {
            // Version 1 writes no limit as the largest number of pages.
            Ok(limit) if limit < 1 << 60 => fact(name, value.trim()),
            Err(_) if value.trim().is_empty() => {}
            _ => fact(name, "none"),
        }
    }
    for line in read("/proc/self/limits").lines() {
        if line.starts_with("Max open files") || line.starts_with("Max processes") {
            fact("limit", &line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    let mut hidden = 0;
    for line in read("/proc/self/mounts").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, target, kind, options, ..] = words[..] else { continue };
        let options: Vec<&str> = options.split(',').collect();
        let below = |top: &str| target.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'));
        if kind != "cgroup" && kind != "cgroup2" && (below("/proc") || below("/sys")) {
            hidden += 1;
        } else if !below("/dev") && !below("/sys/fs/cgroup") {
            fact("mount", &format!("{target} ({kind}, {})", options[0]));
        }
    }
    fact("hidden", &format!("{hidden} places below /proc and /sys are masked or read-only"));
    let entries = std::fs::read_dir("/").map(|entries| {
        entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    });
    let mut names = entries.unwrap_or_default();
    names.sort();
    fact("files in /", &names.join(" "));
}

fn first(words: &str) -> &str {
    words.split_whitespace().next().unwrap_or("?")
}

/// The names of the capabilities in a mask, as `/proc/PID/status` has it.
fn capabilities(mask: &str) -> String {
    const NAMES: [&str; 41] = [
        "chown",
        "dac_override",
        "dac_read_search",
        "fowner",
        "fsetid",
        "kill",
        "setgid",
        "setuid",
        "setpcap",
        "linux_immutable",
        "net_bind_service",
        "net_broadcast",
        "net_admin",
        "net_raw",
        "ipc_lock",
        "ipc_owner",
        "sys_module",
        "sys_rawio",
        "sys_chroot",
        "sys_ptrace",
        "sys_pacct",
        "sys_admin",
        "sys_boot",
        "sys_nice",
        "sys_resource",
        "sys_time",
        "sys_tty_config",
        "mknod",
        "lease",
        "audit_write",
        "audit_control",
        "setfcap",
        "mac_override",
        "mac_admin",
        "syslog",
        "wake_alarm",
        "block_suspend",
        "audit_read",
        "perfmon",
        "bpf",
        "checkpoint_restore",
    ];
    let Ok(mask) = u64::from_str_radix(mask, 16) else { return "unknown".into() };
    let held: Vec<&str> = NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| mask & (1 << bit) != 0)
        .map(|(_, name)| *name)
        .collect();
    if held.is_empty() { "none".into() } else { held.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_become_names() {
        assert_eq!(capabilities("0000000000000000"), "none");
        assert_eq!(capabilities("0000000000000021"), "chown kill");
        assert_eq!(capabilities("nonsense"), "unknown");
    }

    #[test]
    fn the_description_tells_of_process_and_namespaces() {
        let mut text = String::new();
        describe(&mut text);
        for wanted in ["process id", "capabilities", "namespace", "mount"] {
            assert!(text.contains(wanted), "{wanted} is missing in {text}");
        }
    }
}
