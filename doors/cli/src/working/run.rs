//! `run --working NAME -- COMMAND`: a command in a working container, which keeps what it wrote.
//!
//! Its flags are those of a build's command, and not of a container: `--working` comes first and
//! says so. The exit code is the command's; 125 if it could not be run.

use std::io;

use dockerapi::HostConfig;
use dockerfile::{CommandLine, Kind, NetworkMode, SecurityMode};
use engine::{BuildImage, BuildRequest, Growth};
use oci::Mount;

use super::{failed, grow};
use crate::build::{agent, secret};
use crate::command::{Arity, Call, Command};
use crate::flags::{Bytes, List, SwapBytes, Switch, Text, Ulimits, Words, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `run --working`.
    WorkingRunArgs {
        /// Add a line to the hosts file (NAME:ADDRESS)
        add_host: Words = long("add-host"),
        /// Allow the command all that a privileged container may
        allow_insecure: Switch = long("allow-insecure"),
        /// Use what an earlier run of the same gave, if there is one: nothing is printed then
        cache: Switch = long("cache"),
        /// Cgroup to put the command below
        cgroup_parent: Text = long("cgroup-parent"),
        /// Set a variable for this command (NAME=VALUE, or NAME from the environment)
        env: List = long("env").short('e'),
        /// Most memory of the command, in bytes or with a unit (b, k, m, g)
        memory: Bytes = long("memory").short('m'),
        /// Most memory and swap together; -1 for no limit
        memory_swap: SwapBytes = long("memory-swap"),
        /// Mount something as RUN --mount does (type=bind|cache|tmpfs|secret|ssh,...)
        mount: List = long("mount"),
        /// Network of the command: default, none or host
        network: Text = long("network"),
        /// Let the command mount a secret (id=ID[,src=FILE|,env=VARIABLE])
        secret: List = long("secret"),
        /// Size of /dev/shm
        shm_size: Bytes = long("shm-size"),
        /// Let the command use an agent's socket (default, or ID=SOCKET)
        ssh: List = long("ssh"),
        /// Limit a resource (NAME=SOFT[:HARD])
        ulimit: Ulimits = long("ulimit"),
        /// User of the command (NAME|UID[:GROUP|GID])
        user: Text = long("user").short('u'),
        /// Mount a directory of the host (PATH:PATH[:ro])
        volume: List = long("volume").short('v'),
        /// Working directory of the command
        workdir: Text = long("workdir").short('w'),
        /// The working container
        working: Text = long("working"),
    }
}

/// Whether the words behind `run` are for a working container.
pub(crate) fn is_working_run(words: &[String]) -> bool {
    words.first().is_some_and(|word| word == "--working" || word.starts_with("--working="))
}

impl Command for WorkingRunArgs {
    const PATH: &'static str = "run --working";
    const USAGE: &'static str = "NAME [OPTIONS] -- COMMAND [ARG...]";
    const ARGS: Arity = Arity::AtLeast(1);
    const INTERSPERSED: bool = false;

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let name = self.working.text().to_owned();
        let (growth, build) = match self.wishes(args) {
            Ok(wishes) => wishes,
            Err(error) => return failed(&error, ui),
        };
        grow(&name, growth, build, call, ui)
    }
}

impl WorkingRunArgs {
    fn wishes(self, args: Vec<String>) -> Result<(Growth, BuildImage), engine::BuildError> {
        let network = self.network.text().to_owned();
        let request = BuildRequest {
            no_cache: !self.cache.is_on(),
            secrets: self.secret.0.iter().map(|text| secret(text)).collect::<Result<_, _>>()?,
            agents: self.ssh.0.iter().map(|text| agent(text)).collect::<Result<_, _>>()?,
            binds: self.volume.0.iter().map(|text| bind(text)).collect::<Result<_, _>>()?,
            allow_host_network: network == "host",
            allow_insecure: self.allow_insecure.is_on(),
            ..BuildRequest::default()
        };
        if self.cache.is_on() && !request.binds.is_empty() {
            return Err(invalid(
                "--cache and --volume exclude each other: what a directory of the \
                host holds is not looked at; use --mount=type=bind"
                    .into(),
            ));
        }
        let host = HostConfig {
            network_mode: network,
            extra_hosts: self.add_host.0.iter().map(|text| text.replacen('=', ":", 1)).collect(),
            shm_size: self.shm_size.0,
            ulimits: self.ulimit.into_list(),
            cgroup_parent: self.cgroup_parent.text().to_owned(),
            memory: self.memory.0,
            memory_swap: self.memory_swap.0,
            ..HostConfig::default()
        };
        let mut environment = Vec::new();
        for text in self.env.0 {
            match text.contains('=') {
                true => environment.push(text),
                false => {
                    let value = std::env::var(&text).ok();
                    environment.extend(value.map(|value| format!("{text}={value}")));
                }
            }
        }
        let security = match self.allow_insecure.is_on() {
            true => SecurityMode::Insecure,
            false => SecurityMode::Sandbox,
        };
        let source = format!("RUN {}", args.join(" "));
        let run = dockerfile::Run {
            command: CommandLine { words: args, shell: false },
            heredocs: Vec::new(),
            mounts: self.mount.0,
            network: NetworkMode::Default,
            security,
            devices: Vec::new(),
        };
        let growth = Growth {
            instruction: Kind::Run(run),
            source,
            environment,
            user: self.user.0,
            directory: self.workdir.0,
        };
        Ok((growth, BuildImage { request, host, ..BuildImage::default() }))
    }
}

/// `-v SOURCE:TARGET[:ro|rw]`, directories or files by absolute paths.
fn bind(text: &str) -> Result<Mount, engine::BuildError> {
    let wrong = |why: &str| invalid(format!("invalid volume {text:?}: {why}"));
    let mut parts = text.split(':');
    let (Some(source), Some(target), option, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong("PATH:PATH[:ro] is wanted"));
    };
    if !source.starts_with('/') || !target.starts_with('/') || target == "/" {
        return Err(wrong("both are absolute paths, and not / inside"));
    }
    let mut options = vec!["rbind".to_owned(), "rprivate".to_owned()];
    match option {
        None | Some("rw") => {}
        Some("ro") => options.push("rro".to_owned()),
        Some(_) => return Err(wrong("the options are ro and rw")),
    }
    if !std::path::Path::new(source).exists() {
        return Err(wrong("it is not there on the host"));
    }
    Ok(Mount {
        destination: target.to_owned(),
        kind: Some("bind".into()),
        source: Some(source.to_owned()),
        options,
        ..Mount::default()
    })
}

fn invalid(message: String) -> engine::BuildError {
    engine::BuildError::Invalid(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_paths_of_the_host() {
        let mount = bind("/tmp:/x:ro").unwrap();
        assert_eq!((mount.destination.as_str(), mount.source.as_deref()), ("/x", Some("/tmp")));
        assert_eq!(mount.options, ["rbind", "rprivate", "rro"]);
        for text in ["/tmp", "name:/x", "/tmp:x", "/tmp:/", "/tmp:/x:z", "/nowhere:/x", "/:/a:ro:b"]
        {
            assert!(bind(text).is_err(), "{text}");
        }
    }
}
