//! Where a container's cgroup is, and its making and opening.
//!
//! `linux.cgroupsPath`, for the cgroupfs driver: an absolute path is below the mount points, a
//! relative one (and `/<id>`, if there is none) below the runtime's own group, as runc has it, if
//! that is the same in every hierarchy; otherwise below the mount points. On version 2 it is
//! below the parent of the runtime's own group, since a group with processes in it cannot have
//! limits below. With `--systemd-cgroup` it is `slice:prefix:name`, and systemd makes the unit
//! (`cgroups::Systemd`). runtime-spec 1.3.0, config-linux.md, "Cgroups Path".

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use cgroups::{
    Cgroup, CgroupError, CgroupPath, Delegation, FreezerState, Hierarchy, Instance, Mode, Options,
    Systemd, Unit,
};
use oci::runtime::{Resources, Spec};
use rustix::process::Pid;

use crate::Context;
use crate::error::OciError;
use crate::store::Record;

/// How long processes that were killed may take to go.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A cgroup to be.
#[derive(Debug)]
pub(crate) struct Plan {
    hierarchy: Hierarchy,
    /// Who makes it, if not we: the scope or slice that it is in systemd's words.
    systemd: Option<(Systemd, Unit)>,
    /// Where.
    pub(crate) path: CgroupPath,
    resources: Resources,
    /// Whether it may be done without.
    optional: bool,
}

impl Plan {
    /// What a container's configuration asks for. `None` if there are no cgroups at all, and
    /// nothing is asked for.
    pub(crate) fn new(context: &Context, id: &str, spec: &Spec) -> Result<Option<Self>, OciError> {
        let Some(linux) = &spec.linux else { return Ok(None) };
        let wanted = linux.cgroups_path.as_deref().filter(|path| !path.is_empty());
        let limits = linux.resources.as_ref().is_some_and(has_limits);
        let optional = context.rootless && wanted.is_none() && !limits;
        let hierarchy = match Hierarchy::detect() {
            Err(CgroupError::NotMounted) if optional => return Ok(None),
            other => other?,
        };
        if context.rootless
            && !context.systemd
            && let Delegation::Nothing { reason } = hierarchy.delegation()?
        {
            // Said before anything is made, with what would help.
            let resources = linux.resources.as_ref();
            let refused =
                resources.map_or(Ok(()), |wanted| hierarchy.refuse_limits(wanted, reason));
            refused.map_err(|error| {
                // The first words are runc's.
                let text = crate::error::chain(&error);
                OciError::State(format!(
                    "rootless needs no limits + no cgrouppath when no permission is granted for \
                     cgroups: {text}"
                ))
            })?;
            if wanted.is_none() {
                context.log.debug(|| format!("no cgroup: {reason}"));
                return Ok(None);
            }
        }
        let systemd = match context.systemd {
            false => None,
            true => {
                let unit = Unit::new(wanted, id)?.with_annotations(&spec.annotations)?;
                Some((Systemd::connect(instance())?, unit))
            }
        };
        let path = match (&systemd, wanted) {
            (Some((systemd, unit)), _) => systemd.path(unit)?,
            (None, Some(path)) if path.starts_with('/') => CgroupPath::new(path)?,
            (None, Some(path)) => CgroupPath::new(&below_own(&hierarchy, path)?)?,
            (None, None) => CgroupPath::new(&below_own(&hierarchy, id)?)?,
        };
        let mut resources = linux.resources.clone().unwrap_or_default();
        if context.rootless {
            // Nobody but root may set them, and there is no device that its user may not use.
            resources.devices.clear();
        } else {
            add_default_devices(&mut resources);
        }
        let plan = Self { hierarchy, systemd, path, resources, optional };
        // Before anything is written that names it as this container's, to be killed with it.
        match plan.hierarchy.open(&plan.path) {
            Err(CgroupError::NotFound { .. }) => {}
            other => refuse_others(&other?)?,
        }
        Ok(Some(plan))
    }

    /// The name of systemd's unit, if that makes the group.
    pub(crate) fn unit(&self) -> Option<&str> {
        self.systemd.as_ref().map(|(_, unit)| unit.name())
    }

    /// Makes the group, or takes one that is there and empty. `None` if it is done without. To be
    /// settled when the first process is inside.
    pub(crate) fn make(&mut self, context: &Context) -> Result<Option<Cgroup>, OciError> {
        if let Some((systemd, unit)) = &mut self.systemd {
            let options = Options::default();
            return Ok(Some(systemd.create(&self.hierarchy, unit, &self.resources, &options)?));
        }
        match self.hierarchy.create(&self.path, &self.resources, &Options::default()) {
            Ok(cgroup) => Ok(Some(cgroup)),
            Err(CgroupError::Exists { .. }) => self.adopt().map(Some),
            Err(error) if self.optional && is_denied(&error) => {
                context.log.debug(|| format!("no cgroup: {}", crate::error::chain(&error)));
                Ok(None)
            }
            Err(error) if context.rootless && is_denied(&error) => {
                // Which limit it is that cannot be had, and why.
                if let Delegation::Nothing { reason } = self.hierarchy.delegation()? {
                    self.hierarchy.refuse_limits(&self.resources, reason)?;
                }
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A group that somebody made for this container.
    fn adopt(&self) -> Result<Cgroup, OciError> {
        let mut cgroup = self.hierarchy.open(&self.path)?;
        refuse_others(&cgroup)?;
        self.hierarchy.extend(&mut cgroup, &self.resources)?;
        cgroup.apply(&self.resources)?;
        Ok(cgroup)
    }
}

/// A group with processes in it is another container's, or nobody's to take; in one that is frozen
/// the container would never come to be.
fn refuse_others(cgroup: &Cgroup) -> Result<(), OciError> {
    let count = cgroup.processes()?.len();
    if count > 0 {
        let text = format!("container's cgroup is not empty: {count} process(es) found");
        return Err(OciError::State(text));
    }
    match cgroup.freezer_state() {
        Ok(FreezerState::Freezing | FreezerState::Frozen) => {
            Err(OciError::State("container's cgroup unexpectedly frozen".into()))
        }
        _ => Ok(()),
    }
}

fn has_limits(resources: &Resources) -> bool {
    let rest = Resources { devices: Vec::new(), ..resources.clone() };
    rest != Resources::default()
}

fn is_denied(error: &CgroupError) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error, CgroupError::Io { source, .. } | CgroupError::Refused { source, .. }
        if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem))
}

/// The specification's devices are there in every container, and can be used whatever its rules
/// say, unless they are about the devices by name. Without rules all others are denied.
fn add_default_devices(resources: &mut Resources) {
    // The first one denies all, which is where the list begins anyway.
    resources.devices.extend(cgroups::default_device_rules().into_iter().skip(1));
}

/// The systemd that a user's containers are made by: pid 1 for root, otherwise the user's own.
fn instance() -> Instance {
    match crate::is_root() {
        true => Instance::System,
        false => Instance::User,
    }
}

fn below_own(hierarchy: &Hierarchy, path: &str) -> Result<String, OciError> {
    let mut own: Option<&str> = None;
    for mount in hierarchy.mounts() {
        let here = hierarchy.own_group(mount)?.unwrap_or("");
        match own {
            None => own = Some(here),
            Some(there) if there == here => {}
            Some(_) => return Ok(path.to_owned()),
        }
    }
    let own = own.unwrap_or("");
    let above = match hierarchy.mode() {
        Mode::V2 => own.rsplit_once('/').map_or("", |(parent, _)| parent),
        Mode::V1 | Mode::Hybrid => own,
    };
    Ok(format!("{above}/{path}"))
}

/// The group of a container that was made; `None` if it has none or that is gone.
pub(crate) fn open(record: &Record) -> Result<Option<Cgroup>, OciError> {
    let Some(path) = &record.cgroup else { return Ok(None) };
    match Hierarchy::detect()?.open(&CgroupPath::new(path)?) {
        Ok(cgroup) => Ok(Some(cgroup)),
        Err(CgroupError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As [`open`], for commands that can do nothing without one.
pub(crate) fn need(record: &Record) -> Result<Cgroup, OciError> {
    open(record)?.ok_or_else(|| OciError::State("cgroup not exist".into()))
}

/// Moves processes into a unit of a user's own systemd, which the kernel lets the user's session
/// not enter: pid 1 does it, asked by the user's.
#[derive(Debug)]
pub(crate) struct Attacher {
    systemd: RefCell<Systemd>,
    unit: String,
}

impl Attacher {
    /// Whether processes cannot enter a container's group by themselves, if it is a unit's.
    pub(crate) fn is_needed(unit: Option<&str>) -> bool {
        unit.is_some() && instance() == Instance::User
    }

    /// One for a container's unit; `None` if none is needed.
    pub(crate) fn of(unit: Option<&str>) -> Result<Option<Self>, OciError> {
        match unit.filter(|_| Self::is_needed(unit)) {
            None => Ok(None),
            Some(unit) => {
                let systemd = RefCell::new(Systemd::connect(instance())?);
                Ok(Some(Self { systemd, unit: unit.to_owned() }))
            }
        }
    }

    pub(crate) fn attach(&self, pid: Pid) -> io::Result<()> {
        let attached = self.systemd.borrow_mut().attach(&self.unit, pid);
        attached.map_err(|error| io::Error::other(crate::error::chain(&error)))
    }
}

/// Kills what is in the group and removes it; none there is no error.
pub(crate) fn destroy(record: &Record) -> Result<(), OciError> {
    let Some(path) = &record.cgroup else { return Ok(()) };
    let hierarchy = match Hierarchy::detect() {
        Err(CgroupError::NotMounted) => return Ok(()),
        other => other?,
    };
    let path = CgroupPath::new(path)?;
    if let Some(unit) = &record.unit {
        match hierarchy.open(&path) {
            Err(CgroupError::NotFound { .. }) => {}
            other => other?.kill(PATIENCE)?,
        }
        // A scope goes by itself when it is empty; one that failed stays until it is stopped.
        match Systemd::connect(instance())?.stop(unit) {
            Ok(()) | Err(CgroupError::Unit { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(hierarchy.destroy(&path, PATIENCE)?)
}

/// Changes limits of a container; what is absent stays as it is.
pub(crate) fn update(record: &Record, resources: &Resources) -> Result<(), OciError> {
    let mut group = need(record)?;
    match &record.unit {
        Some(unit) => Systemd::connect(instance())?.update(&group, unit, resources)?,
        None => {
            Hierarchy::detect()?.extend(&mut group, resources)?;
            group.apply(resources)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_of_a_configuration_come_before_the_devices_of_every_container() {
        let mut resources = Resources::default();
        assert!(!has_limits(&resources));
        add_default_devices(&mut resources);
        assert!(resources.devices.iter().all(|rule| rule.allow));
        assert!(!has_limits(&resources), "rules about devices are no limits");
        resources.pids = Some(oci::runtime::Pids { limit: Some(1) });
        assert!(has_limits(&resources));
    }
}
