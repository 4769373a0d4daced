//! From flags to what the engine is asked for.

use std::path::PathBuf;

use dockerapi::HostConfig;
use dockerfile::NetworkMode;
use engine::{
    AllowedDevices, BuildAgent, BuildError, BuildImage, BuildRequest, BuildSecret, Engine,
    FoundDockerfile, GitKeys, Registries, SecretSource,
};
use oci::Platform;

use super::args::BuildArgs;
use super::outputs::{Flags, boolean};
use super::progress::Printer;
use super::{attests, caches, contexts, resources};

/// A build, and the Dockerfile for messages.
pub(super) struct Wanted {
    pub(super) build: BuildImage,
    /// What to build for; one at least.
    pub(super) platforms: Vec<Platform>,
    pub(super) file: FoundDockerfile,
}

/// Reads the flags, the Dockerfile and the ignore file.
pub(super) fn read(
    args: BuildArgs,
    context: &str,
    (engine, registries): (&Engine, &Registries),
    printer: &Printer<'_>,
) -> Result<Wanted, BuildError> {
    let platforms = platforms(&args.platform.0)?;
    let mut request = BuildRequest {
        target: args.target.text().to_owned(),
        no_cache: args.no_cache.is_on(),
        no_cache_stages: args.no_cache_filter.0.clone(),
        ..BuildRequest::default()
    };
    for text in &args.build_arg.0 {
        match text.split_once('=') {
            Some((name, value)) => drop(request.arguments.insert(name.into(), value.into())),
            None => {
                let value = std::env::var(text).ok();
                request.arguments.extend(value.map(|value| (text.clone(), value)));
            }
        }
    }
    // As buildx does: the variable of the caller counts, unless it is given as an argument.
    if let Some((name, epoch)) = epoch_argument() {
        request.arguments.entry(name).or_insert(epoch);
    }
    if let Some(text) = request.arguments.get("BUILDKIT_DOCKERFILE_CHECK") {
        let options = dockerfile::lint::LintOptions::parse(text).map_err(BuildError::Invalid)?;
        request.lint = Some(options);
    }
    let argument = |name: &str| request.arguments.get(name).map(String::as_str);
    let is_set = |name: &str| argument(name).and_then(boolean).unwrap_or(false);
    let keeps_directory = is_set("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
    let is_inline = is_set("BUILDKIT_INLINE_CACHE");
    let always_index = is_set("BUILDKIT_MULTI_PLATFORM");
    let hostname = argument("BUILDKIT_SANDBOX_HOSTNAME").unwrap_or_default().to_owned();
    let cache_namespace = argument("BUILDKIT_CACHE_MOUNT_NS").unwrap_or_default().to_owned();
    let mut attests = attests::of_arguments(&request.arguments);
    attests.extend(args.attest.0.iter().cloned());
    request.always_index = always_index;
    request.hostname = hostname;
    request.cache_namespace = cache_namespace;
    for text in &args.label.0 {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        request.labels.insert(key.into(), value.into());
    }
    let mut devices = AllowedDevices::default();
    for what in &args.allow.0 {
        match what.as_str() {
            "network.host" => request.allow_host_network = true,
            "security.insecure" => request.allow_insecure = true,
            // All of them, or one by its name; or one by the name that a step calls it.
            "device" => devices.all = true,
            other => match other.strip_prefix("device=") {
                Some(text) => devices.names.extend(device(text)?),
                None => {
                    return Err(BuildError::Invalid(format!(
                        "invalid entitlement {other:?}: network.host, security.insecure and device \
                         are there"
                    )));
                }
            },
        }
    }
    request.secrets = args.secret.0.iter().map(|text| secret(text)).collect::<Result<_, _>>()?;
    request.agents = args.ssh.0.iter().map(|text| agent(text)).collect::<Result<_, _>>()?;
    let network = args.network.text();
    request.network = match network {
        "none" => NetworkMode::None,
        "host" => NetworkMode::Host,
        _ => NetworkMode::Default,
    };
    let name = |text: &String| text.split(['=', ':']).next().unwrap_or_default().to_owned();
    request.host_names = args.add_host.0.iter().map(name).collect();
    // Who says that all commands are on the host's network allows it to each of them.
    request.allow_host_network |= network == "host";
    let mut host = HostConfig {
        network_mode: network.to_owned(),
        extra_hosts: args.add_host.0.iter().map(|text| text.replacen('=', ":", 1)).collect(),
        shm_size: args.shm_size.0,
        ulimits: args.ulimit.into_list(),
        cgroup_parent: args.cgroup_parent.text().to_owned(),
        memory: args.memory.0,
        memory_swap: args.memory_swap.0,
        cpu_shares: args.cpu_shares.0.unwrap_or(0),
        cpu_period: args.cpu_period.0.unwrap_or(0),
        cpu_quota: args.cpu_quota.0.unwrap_or(0),
        cpuset_cpus: args.cpuset_cpus.text().to_owned(),
        cpuset_mems: args.cpuset_mems.text().to_owned(),
        ..HostConfig::default()
    };
    resources::read(&args.resource.0, &mut host)?;
    request.client = Some(registries.for_files());
    let opener = contexts::Opener {
        engine,
        registries,
        keys: GitKeys { agent: request.agent(), secrets: &request.secrets, keeps_directory },
    };
    let (opened, file) = opener.main(context, args.file.as_deref())?;
    let named = opener.named(&args.build_context.0)?;
    request.contexts.extend(opened.map(|opened| (String::new(), opened)));
    for (name, context) in named {
        match context {
            contexts::Named::Directory(context) => {
                request.contexts.insert(name, context);
            }
            contexts::Named::Image(reference) => {
                request.image_contexts.insert(name, reference);
            }
        }
    }
    printer.internal("[internal] load .dockerignore", "transferring context: done");
    request.dockerfile.clone_from(&file.content);
    request.file_name.clone_from(&file.name);
    request.attest = attests::read(&attests, args.provenance.text(), args.sbom.text())?;
    let flags = Flags {
        outputs: &args.output.0,
        tags: &args.tag.0,
        annotations: &args.annotation.0,
        load: args.load.is_on(),
        push: args.push.is_on(),
        several: platforms.len() > 1,
    };
    let outputs = flags.read()?;
    let inline = is_inline.then(|| "type=inline".to_owned());
    let caches: Vec<String> = args.cache_to.0.iter().cloned().chain(inline).collect();
    let caches = caches::exports(&caches)?;
    request.imported = caches::imports(&args.cache_from.0, engine, registries, printer)?;
    Ok(Wanted { build: BuildImage { request, host, devices, outputs, caches }, platforms, file })
}

/// `NAME[,alias=NAME]`: both count.
fn device(text: &str) -> Result<Vec<String>, BuildError> {
    let invalid = |why: String| BuildError::Invalid(format!("invalid device {text:?}: {why}"));
    let mut fields = dockerfile::csv_fields(text).map_err(invalid)?.into_iter();
    let mut names: Vec<String> = fields.next().into_iter().collect();
    for field in fields {
        match field.split_once('=') {
            Some(("alias", alias)) => names.push(alias.to_owned()),
            _ => return Err(invalid(format!("unknown device config {field:?}"))),
        }
    }
    Ok(names)
}

/// `SOURCE_DATE_EPOCH` of the caller's environment, as a build argument.
pub(crate) fn epoch_argument() -> Option<(String, String)> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    std::env::var(NAME).ok().map(|epoch| (NAME.to_owned(), epoch))
}

/// `--platform`; `DOCKER_DEFAULT_PLATFORM` if it is not given, else this machine's.
fn platforms(given: &[String]) -> Result<Vec<Platform>, BuildError> {
    let default = std::env::var("DOCKER_DEFAULT_PLATFORM").unwrap_or_default();
    let given: Vec<&str> = match given {
        [] => vec![default.as_str()],
        given => given.iter().map(String::as_str).collect(),
    };
    let mut platforms = Vec::new();
    for text in given.into_iter().filter(|text| !text.is_empty()) {
        let platform = match text {
            "local" => Platform::host(),
            text => Platform::parse(text).ok_or_else(|| {
                BuildError::Invalid(format!(
                    "failed to parse platform {text:?}: want os/arch[/variant]"
                ))
            })?,
        };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    if platforms.is_empty() {
        platforms.push(Platform::host());
    }
    Ok(platforms)
}

/// `--secret id=ID[,type=file|env][,src=FILE][,env=VARIABLE]`
pub(crate) fn secret(text: &str) -> Result<BuildSecret, BuildError> {
    let invalid = |why: String| BuildError::Invalid(format!("invalid secret {text:?}: {why}"));
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for field in dockerfile::csv_fields(text).map_err(invalid)? {
        let Some((key, value)) = field.split_once('=') else {
            return Err(invalid(format!("invalid field '{field}' must be a key=value pair")));
        };
        match key.to_lowercase().as_str() {
            "id" => id = Some(value.to_owned()),
            "source" | "src" => file = Some(value.to_owned()),
            "env" => variable = Some(value.to_owned()),
            "type" if matches!(value, "file" | "env") => kind = Some(value.to_owned()),
            "type" => return Err(invalid(format!("unsupported secret type {value:?}"))),
            _ => return Err(invalid(format!("unexpected key '{key}' in '{field}'"))),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| invalid("id is missing".into()))?;
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = file.take();
    }
    let source = match (variable, file) {
        (Some(name), _) => SecretSource::Variable(name),
        (None, Some(path)) => SecretSource::File(path.into()),
        (None, None) if std::env::var_os(&id).is_some() && kind.as_deref() != Some("file") => {
            SecretSource::Variable(id.clone())
        }
        (None, None) => SecretSource::File(id.clone().into()),
    };
    if let SecretSource::File(path) = &source
        && !path.is_file()
    {
        return Err(invalid(format!("{} is not a file", path.display())));
    }
    Ok(BuildSecret { id, source })
}

/// `--ssh default`, `--ssh ID=SOCKET`
pub(crate) fn agent(text: &str) -> Result<BuildAgent, BuildError> {
    let (id, path) = match text.split_once('=') {
        Some((id, path)) => (id, PathBuf::from(path)),
        None => {
            let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
            let socket = socket.ok_or_else(|| {
                BuildError::Invalid(format!(
                    "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set for --ssh {text}"
                ))
            })?;
            (text, PathBuf::from(socket))
        }
    };
    use std::os::unix::fs::FileTypeExt;
    match std::fs::metadata(&path) {
        Ok(facts) if facts.file_type().is_socket() => {
            Ok(BuildAgent { id: id.to_owned(), socket: path })
        }
        Ok(_) => Err(BuildError::Unsupported {
            what: format!("the key file {}", path.display()),
            instead: "add it to an agent with ssh-add, and give the agent's socket",
        }),
        Err(source) => Err(BuildError::Io { action: "open", path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read() {
        let file = secret("id=a,src=/etc/passwd").unwrap();
        assert!(
            matches!(file.source, SecretSource::File(path) if path == std::path::Path::new("/etc/passwd"))
        );
        let variable = secret("id=a,env=B").unwrap();
        assert!(matches!(variable.source, SecretSource::Variable(name) if name == "B"));
        for text in ["src=/etc/passwd", "id=a,src=/nowhere", "id=a,foo=b", "x", "id=a,type=z"] {
            assert!(secret(text).is_err(), "{text}");
        }
    }
}
