//! `create`: from an image and wishes to a record. Nothing runs yet.

use bundle::{PlannedMount, PlannedSource};
use cgroups::Delegation;
use dockerapi::{ContainerConfig, HostConfig};
use metadata::{NewContainer, OperationLock, Status};
use oci::{ImageConfig, Platform, Timestamp};

use super::{CreateContainer, CreatedContainer, PullPolicy, Record};
use crate::image::Image;
use crate::{Engine, EngineError, launch, names};

/// How often a generated name may be taken before we give up.
const NAME_ATTEMPTS: u32 = 16;

/// A container that was just made, with what its maker knows anyway.
pub(crate) struct Fresh {
    pub(crate) container: metadata::Container,
    pub(crate) operation: OperationLock,
    pub(crate) record: Record,
    pub(crate) status: Status,
    pub(crate) created: CreatedContainer,
}

impl Engine {
    /// Makes a container and does not start it.
    pub fn create_container(
        &self,
        request: &CreateContainer,
    ) -> Result<CreatedContainer, EngineError> {
        self.make_container(request, names::new_id(), false).map(|fresh| fresh.created)
    }

    /// Validates everything, then makes the directory, the volumes and the name, and shows it.
    /// `launching`: it is to be started at once.
    pub(crate) fn make_container(
        &self,
        request: &CreateContainer,
        id: String,
        launching: bool,
    ) -> Result<Fresh, EngineError> {
        let store = self.store_lock()?;
        let image = self.find_or_make_image(request)?;
        let mut warnings = Vec::new();
        check_platform(&image.config, request.platform.as_ref(), &mut warnings);

        let config = bundle::merge(&image.config.config, &request.config)?;
        let host = self.completed_host(&request.host)?;
        refuse_unsupported(&request.config, &host)?;
        if config.healthcheck.is_some() && request.config.healthcheck.is_none() {
            warnings.push(
                "The image's health check is not run: health checks are not supported yet".into(),
            );
        }
        let facts = self.facts()?;
        self.refuse_rootless(&host)?;
        warnings.extend(bundle::check(&config, &host, facts)?);
        if let Delegation::Nothing { reason } = self.delegation()?
            && warnings.iter().any(|warning| warning.contains("discarded"))
        {
            warnings.push(format!("This user's containers have no control groups: {reason}"));
        }
        self.check_network_wishes(&config, &host, &request.networking)?;
        let command = bundle::command(&config)?;
        let inherited = self.mounts_of(&host.volumes_from)?;
        let mut mounts = bundle::plan_mounts(&config, &host, &inherited)?;
        name_anonymous_volumes(&mut mounts);

        let claimed = self.claim_ids(&id, &host)?;
        let status = Status {
            image: request.config.image.clone(),
            image_id: image.record.id.to_string(),
            command: shown_command(&command),
            created: Timestamp::now(),
            labels: config.labels.clone(),
            mounts: mounts.iter().filter_map(shown_source).collect(),
            network: host.network_mode.clone(),
            auto_remove: host.auto_remove,
            cgroup: self.cgroup_path(&id, &host.cgroup_parent)?,
            launching,
            ..Status::default()
        };
        let record = Record {
            id: id.clone(),
            created: status.created,
            image_id: image.record.id.clone(),
            platform: image.config.platform.clone(),
            diff_ids: image.config.rootfs.diff_ids,
            command,
            volatile: host.auto_remove,
            config,
            host,
            networking: request.networking.clone(),
            mounts,
            ids: claimed.as_ref().map(|claimed| claimed.range),
        };
        let mut status = status;
        launch::log_plan(&record, request.name.as_deref().unwrap_or_default())?;
        let wanted = request.name.as_deref().map(|name| name.strip_prefix('/').unwrap_or(name));
        let first = wanted.map_or_else(|| names::generate(0), str::to_owned);
        status.name = first;
        let mut new = self.containers().create(&record, &status, &["upper", "work"])?;
        let volumes = self.volumes_for(&record.mounts)?;
        let result = self
            .make_volumes(&record.mounts)
            .and_then(|()| self.claim_name(&mut new, wanted.is_some(), &mut status));
        if let Err(error) = result {
            // Before the record that names them, so that nobody forgets them.
            self.unmake_volumes(&record.mounts);
            return Err(error);
        }
        let (container, operation) = match new.publish() {
            Ok(published) => published,
            Err(error) => {
                self.unmake_volumes(&record.mounts);
                return Err(error.into());
            }
        };
        if let Some(claimed) = claimed {
            claimed.keep();
        }
        drop((store, volumes));
        let created = CreatedContainer { id, name: status.name.clone(), warnings };
        Ok(Fresh { container, operation, record, status, created })
    }

    /// Claims the name that was asked for, or the first made-up one that is free.
    pub(crate) fn claim_name(
        &self,
        new: &mut NewContainer<'_>,
        asked: bool,
        status: &mut Status,
    ) -> Result<(), EngineError> {
        let mut attempt = 0;
        loop {
            match new.claim_name(&status.name) {
                Ok(()) if attempt == 0 => return Ok(()),
                Ok(()) => {
                    new.container()
                        .update_status(|written| written.name.clone_from(&status.name))?;
                    return Ok(());
                }
                Err(metadata::MetadataError::NameTaken { .. })
                    if !asked && attempt < NAME_ATTEMPTS =>
                {
                    attempt += 1;
                    status.name = names::generate(attempt);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What the host gives to root alone.
    fn refuse_rootless(&self, host: &HostConfig) -> Result<(), EngineError> {
        if !self.is_rootless() {
            return Ok(());
        }
        if host.pid_mode == "host" {
            return Err(EngineError::Unsupported {
                message: "--pid host needs root: the kernel lets no ordinary user show all \
                          processes in a file system of their own"
                    .into(),
            });
        }
        if !host.pid_mode.is_empty() && matches!(self.delegation()?, Delegation::Nothing { .. }) {
            // What the first process leaves behind could not be found and ended with it.
            return Err(self.no_cgroup(&format!("--pid {}", host.pid_mode)));
        }
        match bundle::has_own_ids(host)? {
            true => Err(bundle::no_own_ids(
                host,
                "the kernel maps the ids of layers for root only, and this user is none",
            )
            .into()),
            false => Ok(()),
        }
    }

    fn find_or_make_image(&self, request: &CreateContainer) -> Result<Image, EngineError> {
        let (name, pull) = (&request.config.image, request.pull);
        match self.resolve_image_for(name, request.platform.as_ref()) {
            Err(EngineError::NoImage { .. }) if self.is_embedded(name) => {
                self.make_embedded_image()
            }
            // The name may have it for that platform, where it comes from.
            Ok(image) if pull == PullPolicy::Missing && is_for_another(&image, request) => {
                Err(EngineError::NoLocalImage { name: name.clone() })
            }
            Err(EngineError::NoImage { name }) if pull != PullPolicy::Never => {
                Err(EngineError::NoLocalImage { name })
            }
            other => other,
        }
    }

    /// The wishes with this engine's defaults, as `inspect` shows them.
    pub(crate) fn completed_host(&self, host: &HostConfig) -> Result<HostConfig, EngineError> {
        let mut host = host.clone();
        if matches!(host.network_mode.as_str(), "" | "default") {
            let default = self.settings()?.default_network.as_deref();
            let own = match sys::namespace::has_network() {
                true => crate::network::DEFAULT,
                false => crate::network::PASTA,
            };
            default.unwrap_or(own).clone_into(&mut host.network_mode);
        }
        let default = |field: &mut String, value: &str| {
            if field.is_empty() {
                value.clone_into(field);
            }
        };
        default(&mut host.log_config.kind, "json-file");
        default(&mut host.ipc_mode, "private");
        default(&mut host.cgroupns_mode, "private");
        default(&mut host.restart_policy.name, "no");
        default(&mut host.runtime, "kista");
        default(&mut host.profile, "standard");
        if host.shm_size == 0 {
            host.shm_size = 64 << 20;
        }
        for mode in [&mut host.network_mode, &mut host.ipc_mode, &mut host.pid_mode] {
            if let Some(other) = mode.strip_prefix("container:") {
                let (container, _) = self.look_up(other)?;
                *mode = format!("container:{}", container.id());
            }
        }
        Ok(host)
    }

    /// The mounts of the containers that `--volumes-from` names, read-only where it says `:ro`.
    fn mounts_of(&self, sources: &[String]) -> Result<Vec<PlannedMount>, EngineError> {
        let mut all = Vec::new();
        for source in sources {
            let (name, read_only) = bundle::parse_volumes_from(source)?;
            let access = read_only.then_some(bundle::Access::ReadOnly);
            let (container, _) = self.look_up(name)?;
            let record: Record = container.record()?;
            let mounts = record
                .mounts
                .into_iter()
                .filter(|mount| !matches!(mount.source, PlannedSource::Tmpfs { .. }));
            all.extend(mounts.map(|mut mount| {
                mount.access = access.unwrap_or(mount.access);
                if let PlannedSource::Volume(volume) = &mut mount.source {
                    // It belongs to the container that it was made for.
                    volume.anonymous = false;
                }
                mount
            }));
        }
        Ok(all)
    }
}

/// Whether an image that was named, and not by its id, is for another platform than was asked for.
fn is_for_another(image: &Image, request: &CreateContainer) -> bool {
    let id = image.id.to_string();
    let name = &request.config.image;
    let is_id = id.starts_with(name) || image.id.hex().starts_with(name.as_str());
    let own = &image.config.platform;
    let differs = |wanted: &Platform| !own.os.is_empty() && !own.satisfies(wanted);
    !is_id && request.platform.as_ref().is_some_and(differs)
}

/// What must be there before a container can be made for it.
fn check_platform(image: &ImageConfig, wanted: Option<&Platform>, warnings: &mut Vec<String>) {
    let asked = wanted.cloned().unwrap_or_else(Platform::host);
    // An image that names no platform fits everywhere.
    if !image.platform.os.is_empty() && !image.platform.satisfies(&asked) {
        warnings.push(format!(
            "The requested image's platform ({}) does not match the {} platform ({asked})",
            image.platform,
            if wanted.is_some() { "requested" } else { "detected host" },
        ));
    }
}

/// What a later piece of work brings; each is refused by name, whoever asks for it.
fn refuse_unsupported(config: &ContainerConfig, host: &HostConfig) -> Result<(), EngineError> {
    let later = |what: String, when: &str| {
        Err(EngineError::Unsupported { message: format!("{what} is not supported yet: {when}") })
    };
    if !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return later(
            format!("restart policy {:?}", host.restart_policy.name),
            "restarts come with a later version",
        );
    }
    let asks =
        |check: &dockerapi::HealthConfig| check.test.first().is_none_or(|word| word != "NONE");
    if config.healthcheck.as_ref().is_some_and(asks) {
        return later("a health check".into(), "health checks come with a later version");
    }
    if host.device_requests.iter().any(|request| request.driver != "cdi") {
        return later(
            "--gpus".into(),
            "devices by driver come with a later version; use --device vendor.com/class=name",
        );
    }
    crate::cdi::check(&host.device_requests)?;
    if !matches!(host.volume_driver.as_str(), "" | "local") {
        return later(
            format!("volume driver {:?}", host.volume_driver),
            "only local volumes exist",
        );
    }
    crate::runtimes::find(&host.runtime)?;
    if !matches!(host.isolation.as_str(), "" | "default" | "process") {
        return later(format!("isolation {:?}", host.isolation), "only process isolation exists");
    }
    if !host.storage_opt.is_empty() {
        return later("--storage-opt".into(), "the writable layer cannot be limited");
    }
    Ok(())
}

/// The command in one line, as `ps` shows it: Docker puts arguments with blanks in quotes.
fn shown_command(command: &[String]) -> String {
    let shown = command.iter().enumerate().map(|(index, word)| {
        let quoted = index > 0 && word.contains(' ');
        if quoted { format!("'{word}'") } else { word.clone() }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Gives each anonymous volume its name, so that the record holds it before it is made.
fn name_anonymous_volumes(mounts: &mut [PlannedMount]) {
    for mount in mounts {
        if let PlannedSource::Volume(volume) = &mut mount.source
            && volume.name.is_none()
        {
            volume.name = Some(names::new_id());
            volume.anonymous = true;
        }
    }
}

/// What `ps` shows of a mount: the volume's name or the host's path.
fn shown_source(mount: &PlannedMount) -> Option<String> {
    match &mount.source {
        PlannedSource::Bind { path, .. } => Some(path.clone()),
        PlannedSource::Volume(volume) => volume.name.clone(),
        PlannedSource::Tmpfs { .. } => None,
    }
}
