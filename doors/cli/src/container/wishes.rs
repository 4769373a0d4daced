//! From the flags of `run` and `create` to what the engine is asked for.
//!
//! Nothing is decided here that another door would have to decide too: texts become the fields
//! that they stand for, files are read, conflicts between flags are named. Everything is checked
//! in the order in which Docker's client checks it, so that of two mistakes the same one is told.

use std::collections::BTreeMap;

use dockerapi::{
    ContainerConfig, DeviceRequest, HealthConfig, HostConfig, LogConfig, RestartPolicy,
};
use engine::{CreateContainer, PullPolicy};
use oci::Platform;

use super::network::FirstNetwork;
use super::options::RunArgs;
use super::{network, publish, security, volumes};
use crate::config_file::ConfigFile;
use crate::files;
use crate::refused;
use crate::text::quote;

/// What `--pull` says.
pub(crate) fn pull_policy(text: Option<&str>) -> Result<PullPolicy, String> {
    match text {
        None | Some("missing" | "") => Ok(PullPolicy::Missing),
        Some("always") => Ok(PullPolicy::Always),
        Some("never") => Ok(PullPolicy::Never),
        Some(other) => Err(format!(
            "invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""
        )),
    }
}

/// What a `--platform` says that can be repeated: each value a platform or several with commas.
pub(crate) fn platforms(texts: &[String]) -> Result<Vec<Platform>, String> {
    let mut found = Vec::new();
    for text in texts.iter().flat_map(|text| text.split(',')) {
        match platform(Some(text.trim())) {
            Ok(one) => found.extend(one),
            Err(why) => return Err(format!("invalid platform: {why}")),
        }
    }
    Ok(found)
}

/// What `--platform`, or else `DOCKER_DEFAULT_PLATFORM`, says: `os/arch[/variant]` or one of
/// the two.
pub(crate) fn platform(text: Option<&str>) -> Result<Option<Platform>, String> {
    let default = || files::own_variable("DOCKER_DEFAULT_PLATFORM");
    let Some(text) = text.map(str::to_owned).or_else(default).filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let host = Platform::host();
    let full = match text.to_ascii_lowercase().as_str() {
        word @ ("linux" | "windows" | "darwin" | "freebsd") => {
            format!("{word}/{}", host.architecture)
        }
        "amd64" | "x86_64" | "x86-64" | "arm64" | "aarch64" | "arm" | "armhf" | "armel" | "386"
        | "i386" | "riscv64" | "ppc64le" | "s390x" => format!("linux/{text}"),
        _ => text.clone(),
    };
    match Platform::parse(&full) {
        Some(platform) => Ok(Some(platform)),
        None => Err(format!(
            "{}: unknown operating system or architecture: invalid argument",
            quote(&text)
        )),
    }
}

impl RunArgs {
    /// The request that the flags and arguments stand for.
    pub(crate) fn into_request(
        self,
        args: Vec<String>,
        client: &ConfigFile,
    ) -> Result<CreateContainer, String> {
        let pull = pull_policy(self.pull.as_deref())?;
        let mut args = args.into_iter();
        let image = args.next().unwrap_or_default();
        let command: Vec<String> = args.collect();
        let attached = |stream: &str| self.attach.0.iter().any(|name| name == stream);
        let by_default = self.attach.0.is_empty();
        let attach_stdin = self.interactive.is_on() || attached("stdin");

        if let Some(swappiness) = self.memory_swappiness.0.filter(|s| !(-1..=100).contains(s)) {
            return Err(format!(
                "invalid value: {swappiness}. Valid memory swappiness range is 0-100"
            ));
        }
        let mounts = volumes::sort(&self.volume.0)?;
        let mut exposed_ports = exposed_ports(&self.expose.0)?;
        let port_bindings = publish::bindings(&self.publish.0)?;
        for port in port_bindings.keys() {
            exposed_ports.insert(port.clone(), serde_json::json!({}));
        }
        let (by_name, nodes): (Vec<&String>, Vec<&String>) =
            self.device.0.iter().partition(|text| cdi::Name::parse(text).is_some());
        let devices =
            nodes.into_iter().map(|text| security::device(text)).collect::<Result<_, _>>()?;
        // As Docker's client asks for them.
        let device_requests = match by_name.as_slice() {
            [] => Vec::new(),
            names => vec![DeviceRequest {
                driver: "cdi".into(),
                device_ids: names.iter().map(|name| (*name).clone()).collect(),
                ..DeviceRequest::default()
            }],
        };
        let env = self.environment(client)?;
        let labels = self.labels()?;
        self.check_namespaces()?;
        let restart_policy = restart_policy(self.restart.as_deref())?;
        let log_options = to_map(&self.log_opt.0);
        if self.log_driver.text() == "none" && !log_options.is_empty() {
            return Err("invalid logging opts for driver none".to_owned());
        }
        let security = security::security_options(&self.security_opt.0)?;
        let opened = || security.open_paths.then(Vec::new);
        let (cap_add, cap_drop) = security::capabilities(&self.cap_add.0, &self.cap_drop.0);
        let first = FirstNetwork {
            aliases: [self.network_alias.0, self.net_alias.0].concat(),
            ipv4: self.ip.text().to_owned(),
            ipv6: self.ip6.text().to_owned(),
            mac: self.mac_address.text().to_owned(),
            link_local: self.link_local_ip.0,
        };
        let (network_mode, networking) = network::networks(self.network, self.net, first)?;
        let text = |text: &crate::flags::Text| text.text().to_owned();

        let config = ContainerConfig {
            hostname: text(&self.hostname),
            domainname: text(&self.domainname),
            exposed_ports,
            user: text(&self.user),
            tty: self.tty.is_on(),
            open_stdin: self.interactive.is_on(),
            attach_stdin,
            attach_stdout: by_default || attached("stdout"),
            attach_stderr: by_default || attached("stderr"),
            // A container whose input comes from its creator has no input once that is gone.
            stdin_once: self.interactive.is_on() && attach_stdin,
            env,
            cmd: command,
            healthcheck: self
                .no_healthcheck
                .is_on()
                .then(|| HealthConfig { test: vec!["NONE".into()], ..HealthConfig::default() }),
            image,
            volumes: mounts.anonymous,
            working_dir: text(&self.workdir),
            // `--entrypoint ""` takes the image's away, which an empty list would keep.
            entrypoint: self.entrypoint.as_deref().map(|entry| vec![entry.to_owned()]),
            labels,
            stop_signal: self.stop_signal.0.clone().filter(|signal| !signal.is_empty()),
            stop_timeout: self.stop_timeout.0,
            ..ContainerConfig::default()
        };
        let host = HostConfig {
            binds: mounts.binds,
            container_id_file: text(&self.cidfile),
            log_config: LogConfig { kind: text(&self.log_driver), config: log_options },
            network_mode,
            port_bindings,
            publish_all_ports: self.publish_all.is_on(),
            links: self.link.0,
            restart_policy,
            auto_remove: self.rm.is_on(),
            volume_driver: text(&self.volume_driver),
            volumes_from: self.volumes_from.0,
            mounts: self.mount.0,
            console_size: console_size(),
            annotations: self.annotation.0,
            cap_add,
            cap_drop,
            cgroupns_mode: text(&self.cgroupns),
            dns: self.dns.0,
            dns_options: [self.dns_option.0, self.dns_opt.0].concat(),
            dns_search: self.dns_search.0,
            extra_hosts: self.add_host.0,
            group_add: self.group_add.0,
            ipc_mode: text(&self.ipc),
            oom_score_adj: self.oom_score_adj.0.unwrap_or(0),
            pid_mode: text(&self.pid),
            privileged: self.privileged.is_on(),
            readonly_rootfs: self.read_only.is_on(),
            masked_paths: opened(),
            readonly_paths: opened(),
            security_opt: security.options,
            tmpfs: volumes::tmpfs(&self.tmpfs.0),
            uts_mode: text(&self.uts),
            userns_mode: text(&self.userns),
            shm_size: self.shm_size.0,
            sysctls: self.sysctl.0,
            runtime: text(&self.runtime),
            isolation: text(&self.isolation),
            profile: text(&self.profile),
            cpu_shares: self.cpu_shares.0.unwrap_or(0),
            memory: self.memory.0,
            nano_cpus: self.cpus.0,
            cgroup_parent: text(&self.cgroup_parent),
            blkio_weight: self.blkio_weight.0.unwrap_or(0),
            blkio_weight_device: self.blkio_weight_device.0,
            blkio_device_read_bps: self.device_read_bps.0,
            blkio_device_write_bps: self.device_write_bps.0,
            blkio_device_read_iops: self.device_read_iops.0,
            blkio_device_write_iops: self.device_write_iops.0,
            cpu_period: self.cpu_period.0.unwrap_or(0),
            cpu_quota: self.cpu_quota.0.unwrap_or(0),
            cpu_realtime_period: self.cpu_rt_period.0.unwrap_or(0),
            cpu_realtime_runtime: self.cpu_rt_runtime.0.unwrap_or(0),
            cpuset_cpus: text(&self.cpuset_cpus),
            cpuset_mems: text(&self.cpuset_mems),
            devices,
            device_requests,
            device_cgroup_rules: self.device_cgroup_rule.0,
            memory_reservation: self.memory_reservation.0,
            memory_swap: self.memory_swap.0,
            memory_swappiness: self.memory_swappiness.0.filter(|swappiness| *swappiness >= 0),
            oom_kill_disable: self.oom_kill_disable.0,
            init: self.init.0,
            pids_limit: self.pids_limit.0,
            ulimits: self.ulimit.into_list(),
            ..HostConfig::default()
        };
        if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
            return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
        }
        if !matches!(host.restart_policy.name.as_str(), "" | "no") {
            let name = &host.restart_policy.name;
            return Err(format!("--restart {name} is not supported yet: {}", refused::RESTART));
        }
        Ok(CreateContainer {
            name: self.name.0.filter(|name| !name.is_empty()),
            config,
            host,
            networking,
            platform: platform(self.platform.as_deref())
                .map_err(|error| format!("error parsing specified platform: {error}"))?,
            pull,
        })
    }

    /// Files first, so that `--env` has the last word; proxies only where nothing is said.
    fn environment(&self, client: &ConfigFile) -> Result<Vec<String>, String> {
        let mut env = client.proxy_env(&self.env.0);
        env.extend(read_pairs("--env-file", &self.env_file.0, &files::own_variable)?);
        env.extend(self.env.0.iter().cloned());
        Ok(env)
    }

    fn labels(&self) -> Result<BTreeMap<String, String>, String> {
        let mut labels = read_pairs("--label-file", &self.label_file.0, &|_| None)?;
        labels.extend(self.label.0.iter().cloned());
        Ok(to_map(&labels))
    }

    fn check_namespaces(&self) -> Result<(), String> {
        let joins = |mode: &str| {
            mode.strip_prefix("container:").is_some_and(|container| !container.is_empty())
        };
        let (pid, uts) = (self.pid.text(), self.uts.text());
        if !matches!(pid, "" | "host") && !joins(pid) {
            return Err("--pid: invalid PID mode".to_owned());
        } else if !matches!(uts, "" | "host") {
            return Err("--uts: invalid UTS mode".to_owned());
        } else if !matches!(self.userns.text(), "" | "host" | "auto" | "private") {
            return Err("--userns: invalid USER mode".to_owned());
        } else if !matches!(self.cgroupns.text(), "" | "host" | "private") {
            return Err("--cgroupns: invalid CGROUP mode".to_owned());
        }
        Ok(())
    }
}

fn read_pairs(
    flag: &str,
    paths: &[String],
    look_up: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(files::pairs(path, look_up).map_err(|error| format!("{flag}: {error}"))?);
    }
    Ok(all)
}

/// `key=value` each; without `=` the value is empty. The last one counts.
pub(crate) fn to_map(pairs: &[String]) -> BTreeMap<String, String> {
    let split = |pair: &String| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key.to_owned(), value.to_owned())
    };
    pairs.iter().map(split).collect()
}

fn restart_policy(text: Option<&str>) -> Result<RestartPolicy, String> {
    let text = text.unwrap_or("no");
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, Some(count)),
        None => (text, None),
    };
    if name.is_empty() && count.is_some() {
        return Err("invalid restart policy format: no policy provided before colon".to_owned());
    }
    let maximum_retry_count = match count.filter(|count| !count.is_empty()) {
        Some(count) => count.parse().map_err(|_| {
            "invalid restart policy format: maximum retry count must be an integer".to_owned()
        })?,
        None => 0,
    };
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

/// `80`, `80/udp`, `8000-8010/tcp` as the keys of a map.
fn exposed_ports(values: &[String]) -> Result<BTreeMap<String, serde_json::Value>, String> {
    let mut ports = BTreeMap::new();
    for value in values {
        let fail = |why: String| format!("invalid range format for --expose: {why}");
        let (range, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let port = |text: &str| {
            text.parse::<u16>()
                .map_err(|_| fail(format!("invalid port '{text}' in {}", quote(value))))
        };
        let (first, last) = (port(first)?, port(last)?);
        if last < first {
            return Err(fail(format!("the range {range} ends before it begins")));
        } else if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err(fail(format!("invalid protocol: {protocol}")));
        }
        for port in first..=last {
            ports.insert(format!("{port}/{protocol}"), serde_json::json!({}));
        }
    }
    Ok(ports)
}

/// Rows and columns of the terminal that output goes to; zeros if it goes elsewhere.
fn console_size() -> [u16; 2] {
    crate::attach::terminal_size().map_or([0, 0], |size| [size.0, size.1])
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::options::CreateArgs;
    use super::*;
    use crate::flags::parse;

    /// What docker 28.2.2 sent for each of these, recorded at a socket; empty fields are left out.
    const RECORDED: &str = include_str!("../../testdata/docker-create.json");
    /// The file that stands for `FILE` in them.
    const FILE: &str = "\u{feff}# comment\n\nA=1\n  B= x \nC=\nNOVALUE_KISTA\n";

    #[derive(serde::Deserialize)]
    struct Case {
        args: Vec<String>,
        body: Value,
    }

    fn request(args: Vec<String>) -> Result<CreateContainer, String> {
        let parsed = parse::<CreateArgs>(args, false).map_err(|error| format!("{error:?}"))?;
        parsed.flags.0.into_request(parsed.args, &ConfigFile::default())
    }

    /// Without what is empty, where empty and missing mean the same. `name` is the field's.
    fn slim(name: &str, value: Value) -> Value {
        const KEPT: [&str; 4] = ["Init", "StopTimeout", "MaskedPaths", "ReadonlyPaths"];
        let is_set = matches!(name, "ExposedPorts" | "Volumes");
        let says = |key: &str, value: &Value| match value {
            Value::Null => false,
            _ if KEPT.contains(&key) => true,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => is_set || !map.is_empty(),
        };
        match value {
            Value::Object(map) => map
                .into_iter()
                .map(|(key, value)| (key.clone(), slim(&key, value)))
                .filter(|(key, value)| says(key, value))
                .collect(),
            Value::Array(list) => list.into_iter().map(|value| slim("", value)).collect(),
            other => other,
        }
    }

    fn body(request: &CreateContainer) -> Value {
        let mut host = serde_json::to_value(&request.host).unwrap();
        // The size of the terminal that the tests happen to run in.
        host["ConsoleSize"] = Value::Null;
        let mut body = serde_json::to_value(&request.config).unwrap();
        body["HostConfig"] = host;
        body
    }

    /// Docker's client keeps variables and binds in a Go map, and so in any order.
    fn sorted(mut body: Value) -> Value {
        let sort = |list: Option<&mut Value>| {
            if let Some(Value::Array(list)) = list {
                list.sort_by_key(Value::to_string);
            }
        };
        sort(body.get_mut("Env"));
        sort(body.get_mut("HostConfig").and_then(|host| host.get_mut("Binds")));
        body
    }

    #[test]
    fn wishes_are_those_that_dockers_client_sends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), FILE).unwrap();
        let cases: Vec<Case> = serde_json::from_str(RECORDED).unwrap();
        assert!(cases.len() > 60);
        for case in cases {
            let path = file.path().to_str().unwrap();
            let args: Vec<String> = case.args.iter().map(|arg| arg.replace("FILE", path)).collect();
            let request = request(args).unwrap_or_else(|error| panic!("{:?}: {error}", case.args));
            let (sent, recorded) = (slim("", body(&request)), slim("", case.body));
            assert_eq!(sorted(sent), sorted(recorded), "{:?}", case.args);
        }
    }

    #[test]
    fn conflicts_and_nonsense_are_named_in_dockers_words() {
        for (line, want) in [
            (
                "--pull x i",
                "invalid pull option: 'x': must be one of \"always\", \"missing\" or \"never\"",
            ),
            (
                "--rm --restart always i",
                "conflicting options: cannot specify both --restart and --rm",
            ),
            ("--restart always i", "--restart always is not supported yet: "),
            ("--restart :3 i", "invalid restart policy format: no policy provided before colon"),
            ("--pid x i", "--pid: invalid PID mode"),
            ("--pid container: i", "--pid: invalid PID mode"),
            ("--uts x i", "--uts: invalid UTS mode"),
            ("--userns x i", "--userns: invalid USER mode"),
            ("--cgroupns x i", "--cgroupns: invalid CGROUP mode"),
            (
                "--memory-swappiness 101 i",
                "invalid value: 101. Valid memory swappiness range is 0-100",
            ),
            ("--log-driver none --log-opt a=b i", "invalid logging opts for driver none"),
            ("--env-file /nope i", "--env-file: open /nope: no such file or directory"),
            ("--label-file /nope i", "--label-file: open /nope: no such file or directory"),
            ("--expose x i", "invalid range format for --expose: "),
            ("--expose 9-8 i", "invalid range format for --expose: "),
            (
                "--platform x i",
                "error parsing specified platform: \"x\": unknown operating system or architecture: invalid argument",
            ),
        ] {
            let error = request(line.split(' ').map(str::to_owned).collect()).unwrap_err();
            assert!(error.starts_with(want), "{line}: {error}");
        }
    }

    #[test]
    fn platforms_may_be_short() {
        let host = Platform::host();
        for (text, want) in [
            ("linux/arm64", "linux/arm64".to_owned()),
            ("arm64", "linux/arm64".to_owned()),
            ("linux", format!("linux/{}", host.architecture)),
            ("linux/arm/v7", "linux/arm/v7".to_owned()),
        ] {
            assert_eq!(platform(Some(text)).unwrap().unwrap().to_string(), want);
        }
        assert_eq!(platform(Some("")), Ok(None));
    }
}
