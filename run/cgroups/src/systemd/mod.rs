//! Groups that systemd makes: where it is pid 1, the tree of groups is its own, and others ask.
//!
//! ```text
//! Systemd::connect(Instance) -- create(hierarchy, unit, resources) --> Cgroup -- settle()
//!        |                          |  StartTransientUnit, Delegate=yes        the first process
//!        |                          |  the rest as directories and files       is inside
//!        +-- enclose(unit, pid)                 StartTransientUnit around one that runs
//!        +-- update(cgroup, name, resources)    SetUnitProperties, then files
//!        +-- stop(name)                         StopUnit
//! ```
//!
//! Limits are said twice: to systemd, which would undo what it does not know, and to the files of
//! the group, which is delegated, for all that systemd has no word for.

mod anchor;
mod annotation;
mod bus;
mod devices;
mod instance;
mod message;
mod properties;
mod unit;
mod value;

use std::time::Instant;

use oci::runtime::Resources;
use rustix::process::Pid;

pub(crate) use anchor::Anchor;
use bus::{Bus, CallError, PATIENCE};
pub use instance::Instance;
use message::Method;
pub use unit::Unit;
use value::Value;

use crate::hierarchy::Version;
use crate::{Cgroup, CgroupError, CgroupPath, FreezerState, Hierarchy, Mode, Options};

/// A connection to a running systemd.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
    instance: Instance,
    /// 252
    version: u32,
    /// The group of a user's own systemd, below which all of its units are; empty for pid 1.
    group: String,
}

impl Systemd {
    /// Connects to an instance. [`CgroupError::NoSystemd`] if it does not run, or refuses us.
    pub fn connect(instance: Instance) -> Result<Self, CgroupError> {
        let bus = instance.connect()?;
        let mut systemd = Self { bus, instance, version: 0, group: String::new() };
        let version = systemd.manager_property("Version")?;
        systemd.version = number(&version).ok_or_else(|| CgroupError::NoSystemd {
            at: instance.to_string(),
            source: std::io::Error::other(format!("its version is {version:?}")),
        })?;
        if instance == Instance::User {
            systemd.group = systemd.manager_property("ControlGroup")?;
        }
        Ok(systemd)
    }

    /// Where the group of a unit is, or will be.
    pub fn path(&self, unit: &Unit) -> Result<CgroupPath, CgroupError> {
        unit.path(&self.group, self.instance.slice())
    }

    /// Has systemd make a unit, delegated to us, and sets its limits.
    ///
    /// A scope holds a process that does nothing until [`Cgroup::settle`] is called, or the value
    /// is dropped: by then the container's first process must have entered. The caller must have
    /// one thread.
    ///
    /// [`CgroupError::Exists`] if there is such a unit with processes. Other errors as of
    /// [`Hierarchy::create`], and [`CgroupError::Unit`] for what systemd refuses. On failure the
    /// unit is stopped.
    pub fn create(
        &mut self,
        hierarchy: &Hierarchy,
        unit: &Unit,
        resources: &Resources,
        options: &Options,
    ) -> Result<Cgroup, CgroupError> {
        if self.instance == Instance::User && hierarchy.mode() != Mode::V2 {
            return Err(CgroupError::Unsupported {
                setting: "a group of a user's systemd".to_owned(),
                reason: "it can give rights to groups of version 2 only, alone",
            });
        }
        let path = self.path(unit)?;
        let unified = hierarchy.mode() == Mode::V2;
        let (limits, written) = properties::of(resources, unified, self.version)?;
        let anchor = match unit.is_slice() {
            true => None,
            false => Some(Anchor::new().map_err(|source| CgroupError::Io {
                action: "make a process for",
                path: path.as_str().into(),
                source,
            })?),
        };
        let mut properties = self.basics(unit, anchor.as_ref().map(Anchor::pid), unified);
        properties.extend(limits);
        properties.extend(unit.properties.iter().cloned());
        self.start(unit, &properties)?;
        let made = hierarchy.adopt(&path, &written, options, anchor);
        if made.is_err() {
            // Its own failure would say less than the one that there is.
            let _ = self.stop(unit.name());
        }
        made
    }

    /// Has systemd make a scope around a process of ours, delegated to us, and moves it there.
    ///
    /// For users whose session is in a part of the tree that is not theirs: beside the scope they
    /// may make groups, and what is born in the scope may enter them. A hierarchy that is detected
    /// afterwards says so. The scope ends with the last process in it.
    ///
    /// [`CgroupError::Unit`] for what systemd refuses.
    pub fn enclose(&mut self, unit: &Unit, pid: Pid) -> Result<(), CgroupError> {
        let properties = self.basics(unit, Some(pid), true);
        self.start(unit, &properties)
    }

    /// Sets limits of a unit; what is absent stays as it is.
    pub fn update(
        &mut self,
        cgroup: &Cgroup,
        unit: &str,
        resources: &Resources,
    ) -> Result<(), CgroupError> {
        let unified = cgroup.directories().all(|(_, version)| version == Version::V2);
        let (limits, written) = properties::of(resources, unified, self.version)?;
        cgroup.check_memory_use(resources)?;
        // In version 1 systemd forbids all devices for a moment while it writes their rules.
        let frozen = !unified
            && !resources.devices.is_empty()
            && cgroup.freezer_state().is_ok_and(|state| state == FreezerState::Thawed)
            && cgroup.freeze().is_ok();
        let arguments = [Value::text(unit), Value::Bool(true), pairs(&limits)];
        let set = self.call("SetUnitProperties", &arguments, "set limits of", unit);
        let applied = set.and_then(|()| cgroup.apply(&written));
        if frozen {
            cgroup.thaw()?;
        }
        applied
    }

    /// Moves a process of ours into a unit.
    ///
    /// For users, whose session is in another part of the tree than their systemd: the kernel lets
    /// them enter no group there, and pid 1 does it for them. Whoever is to make a container moves
    /// itself, so that the container is born inside, and then settles the group.
    pub fn attach(&mut self, unit: &str, pid: Pid) -> Result<(), CgroupError> {
        let pid = Value::U32(pid.as_raw_nonzero().get().unsigned_abs());
        let arguments = [Value::text(unit), Value::text(""), Value::Array("u".into(), vec![pid])];
        self.call("AttachProcessesToUnit", &arguments, "move a process to", unit)
    }

    /// Stops a unit, and waits until systemd has; none there is no error. Kills what is in it.
    pub fn stop(&mut self, unit: &str) -> Result<(), CgroupError> {
        let arguments = [Value::text(unit), Value::text("replace")];
        let stopped = match self.job("StopUnit", &arguments, "stop", unit) {
            Err(CgroupError::Unit { name, .. }) if name.ends_with(".NoSuchUnit") => return Ok(()),
            other => other,
        };
        // One that failed stays until then.
        let _ = self.call("ResetFailedUnit", &[Value::text(unit)], "forget", unit);
        stopped
    }

    /// What every unit of ours is. runc's are the same.
    fn basics(&self, unit: &Unit, first: Option<Pid>, unified: bool) -> Vec<(String, Value)> {
        let slice = unit.slice_or(self.instance.slice());
        let io = if unified { "IOAccounting" } else { "BlockIOAccounting" };
        let mut properties =
            vec![("Description", Value::text(format!("Kista container {}", unit.name())))];
        match first {
            Some(pid) => {
                let pid = pid.as_raw_nonzero().get().unsigned_abs();
                properties.push(("Slice", Value::text(slice)));
                properties.push(("Delegate", Value::Bool(true)));
                properties.push(("PIDs", Value::Array("u".into(), vec![Value::U32(pid)])));
            }
            None => properties.push(("Wants", Value::texts([slice]))),
        }
        for name in ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"] {
            properties.push((name, Value::Bool(true)));
        }
        properties.push(("DefaultDependencies", Value::Bool(false)));
        properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn start(&mut self, unit: &Unit, properties: &[(String, Value)]) -> Result<(), CgroupError> {
        let name = unit.name();
        let none = Value::Array("(sa(sv))".into(), Vec::new());
        let arguments = [Value::text(name), Value::text("replace"), pairs(properties), none];
        let mut start = || self.job("StartTransientUnit", &arguments, "start", name);
        match start() {
            Err(CgroupError::Unit { name: error, .. }) if error.ends_with(".UnitExists") => {
                if unit.is_slice() {
                    return Ok(());
                }
                // It may be what is left of one that failed.
                let _ = self.call("ResetFailedUnit", &[Value::text(name)], "forget", name);
                match self.job("StartTransientUnit", &arguments, "start", name) {
                    Err(CgroupError::Unit { name: error, .. })
                        if error.ends_with(".UnitExists") =>
                    {
                        Err(CgroupError::Exists { path: name.to_owned() })
                    }
                    other => other,
                }
            }
            other => other,
        }
    }

    /// Calls a method that queues a job for a unit, and waits until the job is done.
    fn job(
        &mut self,
        method: &'static str,
        arguments: &[Value],
        action: &'static str,
        unit: &str,
    ) -> Result<(), CgroupError> {
        let answer = self
            .bus
            .call(&manager(method), arguments)
            .map_err(|error| self.failed(action, unit, error))?;
        let job = answer.body().text().unwrap_or_default();
        // id, path of the job, unit, result. org.freedesktop.systemd1(5)
        let result = self.bus.signal(Instant::now() + PATIENCE, |signal| {
            let mut body = signal.body();
            let (_, path, _) = (body.u32()?, body.text()?, body.text()?);
            (signal.member == "JobRemoved" && path == job).then(|| body.text())?
        });
        match result {
            Ok(result) if result == "done" => Ok(()),
            Ok(result) => {
                let _ = self.call("ResetFailedUnit", &[Value::text(unit)], "forget", unit);
                Err(CgroupError::Job { action, unit: unit.to_owned(), result })
            }
            Err(source) => Err(self.failed(action, unit, CallError::Io(source))),
        }
    }

    fn call(
        &mut self,
        method: &'static str,
        arguments: &[Value],
        action: &'static str,
        unit: &str,
    ) -> Result<(), CgroupError> {
        match self.bus.call(&manager(method), arguments) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(action, unit, error)),
        }
    }

    fn manager_property(&mut self, name: &str) -> Result<String, CgroupError> {
        const GET: Method = Method {
            destination: DESTINATION,
            path: PATH,
            interface: "org.freedesktop.DBus.Properties",
            name: "Get",
        };
        let arguments = [Value::text(MANAGER), Value::text(name)];
        let answer = self
            .bus
            .call(&GET, &arguments)
            .map_err(|error| self.failed("look at", "its manager", error))?;
        Ok(answer.body().text_in_variant().unwrap_or_default())
    }

    fn failed(&self, action: &'static str, unit: &str, error: CallError) -> CgroupError {
        match error {
            CallError::Refused { name, text } => {
                CgroupError::Unit { action, unit: unit.to_owned(), name, text }
            }
            CallError::Io(source) => {
                CgroupError::NoSystemd { at: self.instance.to_string(), source }
            }
        }
    }
}

const DESTINATION: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

const fn manager(name: &'static str) -> Method {
    Method { destination: DESTINATION, path: PATH, interface: MANAGER, name }
}

/// `a(sv)`
fn pairs(properties: &[(String, Value)]) -> Value {
    let pair = |(name, value): &(String, Value)| {
        Value::Struct(vec![Value::text(name), value.clone().variant()])
    };
    Value::Array("(sv)".into(), properties.iter().map(pair).collect())
}

/// The number in `252.39-1~deb12u2`, `v245-1.fc32`.
fn number(version: &str) -> Option<u32> {
    let version = version.trim_start_matches('v');
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn versions_begin_with_a_number() {
        for text in ["252.39-1~deb12u2", "252", "v252-1.fc32"] {
            assert_eq!(number(text), Some(252));
        }
        assert_eq!(number("unknown"), None);
    }
}
