//! `inspect` of a container.

use std::collections::BTreeMap;

use bundle::{PlannedMount, PlannedSource};
use dockerapi::{ContainerConfig, ContainerInspect, DriverData, MountPoint};
use metadata::{Container, Phase, Status};

use super::Record;
use super::state::{is_up, state_of};
use crate::{Engine, EngineError};

impl Engine {
    /// All about one container; with `size`, also the bytes that it wrote.
    pub fn inspect_container(
        &self,
        container: &str,
        size: bool,
    ) -> Result<ContainerInspect, EngineError> {
        let (found, status) = self.look_up(container)?;
        let mut record: Record = found.record()?;
        if let Some(working) = crate::working::read(&found)? {
            record.config = bundle::merge(&working.image.config, &Default::default())?;
            record.diff_ids = working.image.rootfs.diff_ids;
            record.platform = working.image.platform;
        }
        let sizes = if size { Some(self.container_size(&found)?) } else { None };
        let file = |name: &str| {
            let path = found.path().join(name);
            if path.exists() { path.to_string_lossy().into_owned() } else { String::new() }
        };
        let (program, args) =
            record.command.split_first().map_or((String::new(), Vec::new()), |(program, args)| {
                (program.clone(), args.to_vec())
            });
        let log_path = match record.host.log_config.kind.as_str() {
            "json-file" | "" => {
                found.path().join(shim::log::FILE_NAME).to_string_lossy().into_owned()
            }
            _ => String::new(),
        };
        Ok(ContainerInspect {
            id: record.id.clone(),
            created: record.created.to_string(),
            path: program,
            args,
            state: state(&status),
            image: record.image_id.to_string(),
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path,
            name: format!("/{}", status.name),
            restart_count: 0,
            driver: "overlay".into(),
            platform: record.platform.os.clone(),
            graph_driver: DriverData {
                name: "overlay".into(),
                data: self.directories(&found, &record)?,
            },
            size_rw: sizes.map(|(own, _)| i64::try_from(own).unwrap_or(i64::MAX)),
            size_root_fs: sizes.map(|(_, all)| i64::try_from(all).unwrap_or(i64::MAX)),
            mounts: record
                .mounts
                .iter()
                .map(|mount| self.mount_point(mount))
                .collect::<Result<_, _>>()?,
            network_settings: self.network_settings(&found, &record, &status)?,
            config: shown_config(record.config, &record.id),
            host_config: shown_host(record.host, record.ids, self.facts()?)?,
            ..ContainerInspect::default()
        })
    }

    /// The part of the configuration that an attaching client needs: terminal, stdin, streams.
    pub fn container_config(&self, container: &str) -> Result<ContainerConfig, EngineError> {
        let (found, _) = self.look_up(container)?;
        let record: Record = found.record()?;
        Ok(record.config)
    }

    /// Bytes that the container wrote, and bytes with its image's.
    pub(crate) fn container_size(&self, container: &Container) -> Result<(u64, u64), EngineError> {
        let own = sys::usage::of(&container.path().join("upper")).unwrap_or(0);
        let record: Record = container.record()?;
        let mut all = own;
        for diff_id in &record.diff_ids {
            all += self.snapshots()?.usage(diff_id)?.bytes;
        }
        Ok((own, all))
    }

    fn directories(
        &self,
        container: &Container,
        record: &Record,
    ) -> Result<BTreeMap<String, String>, EngineError> {
        let snapshots = self.snapshots()?;
        let own = |name: &str| container.path().join(name).to_string_lossy().into_owned();
        let lower: Vec<String> = record
            .diff_ids
            .iter()
            .rev()
            .map(|diff_id| snapshots.path_of(diff_id).to_string_lossy().into_owned())
            .collect();
        Ok(BTreeMap::from([
            ("LowerDir".to_owned(), lower.join(":")),
            ("UpperDir".to_owned(), own("upper")),
            ("WorkDir".to_owned(), own("work")),
        ]))
    }

    fn mount_point(&self, mount: &PlannedMount) -> Result<MountPoint, EngineError> {
        let mut point = MountPoint {
            destination: mount.destination.clone(),
            mode: mount.mode.clone(),
            rw: mount.access.is_writable(),
            propagation: mount.propagation.map(|how| how.as_str().to_owned()).unwrap_or_default(),
            ..MountPoint::default()
        };
        match &mount.source {
            PlannedSource::Bind { path, .. } => {
                "bind".clone_into(&mut point.kind);
                point.source.clone_from(path);
                if point.propagation.is_empty() {
                    "rprivate".clone_into(&mut point.propagation);
                }
            }
            PlannedSource::Volume(volume) => {
                let name = volume.name.clone().unwrap_or_default();
                "volume".clone_into(&mut point.kind);
                "local".clone_into(&mut point.driver);
                point.source = self.volume_path(&name)?;
                point.name = name;
            }
            PlannedSource::Tmpfs { .. } => "tmpfs".clone_into(&mut point.kind),
        }
        Ok(point)
    }
}

/// Docker shows the host name that a container has, also when nobody chose it.
fn shown_config(mut config: ContainerConfig, id: &str) -> ContainerConfig {
    if config.hostname.is_empty() {
        id[..12].clone_into(&mut config.hostname);
    }
    config
}

/// Docker shows lists where a wish was left to the profile.
fn shown_host(
    mut host: dockerapi::HostConfig,
    ids: Option<metadata::IdRange>,
    facts: &bundle::HostFacts,
) -> Result<dockerapi::HostConfig, EngineError> {
    let profile = bundle::Profile::of(&host)?;
    if !host.privileged {
        host.masked_paths.get_or_insert_with(|| profile.masked_paths(facts));
        host.readonly_paths.get_or_insert_with(|| profile.readonly_paths());
    }
    host.oom_kill_disable.get_or_insert(false);
    host.id_mappings = ids.map(|ids| {
        let map = |first| vec![format!("0:{first}:{}", ids.size)];
        dockerapi::IdMappings { uid_map: map(ids.uid), gid_map: map(ids.gid) }
    });
    Ok(host)
}

fn state(status: &Status) -> dockerapi::ContainerState {
    dockerapi::ContainerState {
        status: state_of(status).as_str().into(),
        running: is_up(status),
        paused: status.phase == Phase::Paused,
        restarting: false,
        oom_killed: status.oom_killed,
        dead: false,
        pid: i64::from(status.pid),
        exit_code: i64::from(status.exit_code),
        error: status.error.clone(),
        started_at: status.started.to_string(),
        finished_at: status.finished.to_string(),
    }
}
