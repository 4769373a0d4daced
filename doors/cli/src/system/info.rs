//! `info`: facts about this installation and the system.

use std::io::{self, Write};

use engine::{ContainerState, Engine, EngineError, ListContainers, ListImages};
use gotemplate::Template;
use serde_json::{Value, json};

use crate::command::{Arity, Call, Command};
use crate::flags::{Text, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `info`.
    InfoArgs {
        /// Print with a Go template, or `json`
        format: Text = long("format").short('f'),
    }
}

impl Command for InfoArgs {
    const PATH: &'static str = "system info";
    const USAGE: &'static str = "[OPTIONS]";
    const ARGS: Arity = Arity::None;

    fn run(self, _args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let facts = match call.engine().and_then(|engine| facts(&engine)) {
            Ok(facts) => facts,
            Err(error) => return ui.report(&error),
        };
        if let Some(text) = self.format.as_deref().filter(|text| !text.is_empty()) {
            return print_one(text, &facts, ui);
        }
        let text = |name: &str| match &facts[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut options = String::new();
        let mut out = ui.out();
        writeln!(out, "Client:\n Version:    {}\n Context:    default", text("ServerVersion"))?;
        writeln!(out, "\nServer:")?;
        for (title, name) in [
            ("Containers", "Containers"),
            (" Running", "ContainersRunning"),
            (" Paused", "ContainersPaused"),
            (" Stopped", "ContainersStopped"),
            ("Images", "Images"),
            ("Server Version", "ServerVersion"),
            ("Storage Driver", "Driver"),
            ("Logging Driver", "LoggingDriver"),
            ("Cgroup Driver", "CgroupDriver"),
            ("Cgroup Version", "CgroupVersion"),
            ("Default Runtime", "DefaultRuntime"),
            ("Kernel Version", "KernelVersion"),
            ("Operating System", "OperatingSystem"),
            ("OSType", "OSType"),
            ("Architecture", "Architecture"),
            ("CPUs", "NCPU"),
            ("Total Memory", "MemTotal"),
            ("Name", "Name"),
            ("Docker Root Dir", "DockerRootDir"),
            ("Security Options", "SecurityOptions"),
        ] {
            let value = match name {
                "SecurityOptions" => {
                    for option in facts[name].as_array().into_iter().flatten() {
                        let option = option.as_str().unwrap_or_default();
                        let option = option.strip_prefix("name=").unwrap_or(option);
                        options.push_str("\n  ");
                        options.push_str(&option.replace(",profile=", "\n   Profile: "));
                    }
                    std::mem::take(&mut options)
                }
                "MemTotal" => memory(facts[name].as_u64().unwrap_or(0)),
                _ => text(name),
            };
            let blank = if value.starts_with('\n') { "" } else { " " };
            writeln!(out, " {title}:{blank}{value}")?;
        }
        Ok(Exit::Success)
    }
}

/// Prints one value by a template; `json` stands for all of it.
pub(crate) fn print_one(format: &str, value: &Value, ui: &mut Ui) -> io::Result<Exit> {
    let text = if format == "json" { "{{json .}}" } else { format };
    let printed = Template::parse(text).and_then(|template| template.execute(value));
    match printed {
        Ok(text) => {
            writeln!(ui.out(), "{text}")?;
            Ok(Exit::Success)
        }
        Err(error) => {
            ui.fail(format_args!("template parsing error: {error}"))?;
            Ok(Exit::Failure(64))
        }
    }
}

/// Names and order are those of the Engine API's `GET /info`.
fn facts(engine: &Engine) -> Result<Value, EngineError> {
    let all = ListContainers { all: true, ..ListContainers::default() };
    let containers = engine.list_containers(&all)?;
    let images = engine.list_images(&ListImages::default())?.len();
    let count = |test: fn(ContainerState) -> bool| {
        containers.iter().filter(|container| test(container.state)).count()
    };
    let running = count(|state| state == ContainerState::Running);
    let paused = count(|state| state == ContainerState::Paused);
    let system = rustix::system::uname();
    let memory = rustix::system::sysinfo();
    Ok(json!({
        "Containers": containers.len(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": containers.len() - running - paused,
        "Images": images,
        "Driver": "overlay",
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Log": ["journald", "json-file", "local", "none"],
        },
        "SystemTime": oci::Timestamp::now().to_string(),
        "LoggingDriver": "json-file",
        "CgroupDriver": if engine.has_cgroups()? { "cgroupfs" } else { "none" },
        "CgroupVersion": cgroup_version(),
        "KernelVersion": system.release().to_string_lossy(),
        "OperatingSystem": operating_system(),
        "OSType": "linux",
        "Architecture": system.machine().to_string_lossy(),
        "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "MemTotal": memory.totalram * u64::from(memory.mem_unit),
        "DockerRootDir": engine.root().to_string_lossy(),
        "Name": system.nodename().to_string_lossy(),
        "ServerVersion": env!("CARGO_PKG_VERSION"),
        "SecurityOptions": security_options(engine.is_rootless()),
        "Runtimes": { "kista": { "path": "kista" } },
        "DefaultRuntime": "kista",
    }))
}

/// As Docker's daemon names them.
fn security_options(rootless: bool) -> Vec<&'static str> {
    let mut options = vec!["name=seccomp,profile=builtin", "name=cgroupns"];
    if rootless {
        options.push("name=rootless");
    }
    options
}

/// `2` where the unified hierarchy is all there is.
fn cgroup_version() -> &'static str {
    const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
    match rustix::fs::statfs("/sys/fs/cgroup") {
        Ok(system) if system.f_type == CGROUP2_SUPER_MAGIC => "2",
        _ => "1",
    }
}

/// os-release(5), `PRETTY_NAME`.
fn operating_system() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

/// A size in units of 1024, as Docker's `info` shows memory.
fn memory(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit < UNITS.len() - 1 {
        size /= 1024.0;
        unit += 1;
    }
    let places = if size >= 100.0 {
        1
    } else if size >= 10.0 {
        2
    } else {
        3
    };
    format!("{size:.places$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_four_digits() {
        assert_eq!(memory(25_276_502_016), "23.54GiB");
        assert_eq!(memory(0), "0.000B");
    }

    #[test]
    fn one_value_by_a_template() {
        let mut ui = Ui::captured();
        let value = json!({"Server": {"Version": "1"}});
        print_one("{{.Server.Version}}", &value, &mut ui).unwrap();
        print_one("json", &value, &mut ui).unwrap();
        assert_eq!(ui.into_texts().0, "1\n{\"Server\":{\"Version\":\"1\"}}\n");
    }
}
