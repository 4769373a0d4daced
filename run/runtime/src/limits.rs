//! Resource limits, scheduling, priorities: what a process takes along that is just a number.

use oci::runtime::{IoPriority, Personality, Process, Rlimit, Scheduler};
use rustix::process::{Pid, Resource, getrlimit, setrlimit};
use rustix::thread::CpuSet;
use sys::schedule::SchedAttr;

use crate::RuntimeError;
use crate::error::{Step, spec_error};

/// The numbers of a process, looked up.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    rlimits: Vec<(Resource, &'static str, rustix::process::Rlimit)>,
    scheduler: Option<SchedAttr>,
    io_priority: Option<(u8, u8)>,
    affinity: Option<CpuSet>,
    initial_affinity: Option<CpuSet>,
}

impl Limits {
    pub(crate) fn new(process: &Process) -> Result<Self, RuntimeError> {
        let mut rlimits = Vec::with_capacity(process.rlimits.len());
        for (index, limit) in process.rlimits.iter().enumerate() {
            rlimits.push(rlimit(limit, index, &rlimits)?);
        }
        let cpus = |field: &str, list: Option<&String>| match list {
            None => Ok(None),
            Some(list) => cpu_list(list)
                .map(Some)
                .ok_or_else(|| spec_error(format!("process.execCPUAffinity.{field}"), "no list")),
        };
        let affinity = process.exec_cpu_affinity.as_ref();
        Ok(Self {
            rlimits,
            scheduler: process.scheduler.as_ref().map(scheduler).transpose()?,
            io_priority: process.io_priority.as_ref().map(io_priority).transpose()?,
            initial_affinity: cpus("initial", affinity.and_then(|cpus| cpus.initial.as_ref()))?,
            affinity: cpus("final", affinity.and_then(|cpus| cpus.final_.as_ref()))?,
        })
    }

    /// Before the process enters its cgroup; only for processes that `exec` adds.
    pub(crate) fn apply_initial_affinity(&self) -> Result<(), RuntimeError> {
        match &self.initial_affinity {
            None => Ok(()),
            Some(cpus) => rustix::thread::sched_setaffinity(None, cpus)
                .inside(|| "set the initial CPU affinity".into()),
        }
    }

    /// When it is in its cgroup; likewise. `execCPUAffinity` is not for a container's first process.
    pub(crate) fn apply_affinity(&self) -> Result<(), RuntimeError> {
        match &self.affinity {
            None => Ok(()),
            Some(cpus) => rustix::thread::sched_setaffinity(None, cpus)
                .inside(|| "set the CPU affinity".into()),
        }
    }

    /// Before privileges go. A hard limit above our own is cut down to it with a warning where
    /// CAP_SYS_RESOURCE is missing.
    pub(crate) fn apply(&self, warnings: &mut Vec<String>) -> Result<(), RuntimeError> {
        for (resource, name, limit) in &self.rlimits {
            let limit = match resource {
                Resource::Nofile => at_least(*limit, getrlimit(Resource::Nofile)),
                _ => *limit,
            };
            set_rlimit(*resource, name, limit, warnings)?;
        }
        if let Some((class, level)) = self.io_priority {
            sys::schedule::set_io_priority(class, level)
                .inside(|| "set process.ioPriority".into())?;
        }
        Ok(())
    }

    /// The number of open files comes down as late as can be: until then this process has more of
    /// them than its program may. Needs no privilege after [`Self::apply`].
    pub(crate) fn apply_last(&self) -> Result<(), RuntimeError> {
        for (resource, name, limit) in &self.rlimits {
            if *resource == Resource::Nofile {
                set_rlimit(*resource, name, *limit, &mut Vec::new())?;
            }
        }
        Ok(())
    }

    /// How it is scheduled: this process, or that one. Apart, since a process may not be able to
    /// hand it on to its children (`SCHED_FLAG_RESET_ON_FORK`, `SCHED_DEADLINE`).
    pub(crate) fn apply_scheduler(&self, pid: Option<Pid>) -> Result<(), RuntimeError> {
        match &self.scheduler {
            None => Ok(()),
            Some(attr) => sys::schedule::set_scheduler(pid, attr).map_err(|source| {
                // The kernel gives no deadlines to who may not run everywhere. sched_setattr(2).
                let why = match source.kind() {
                    std::io::ErrorKind::PermissionDenied if attr.policy == SCHED_DEADLINE => {
                        ": process scheduler can't be used together with AllowedCPUs, and needs \
                         CAP_SYS_NICE"
                    }
                    _ => "",
                };
                RuntimeError::Inside { action: format!("set process.scheduler{why}"), source }
            }),
        }
    }
}

/// Lets the process run on every processor that its cgroup allows, whatever its maker was held to.
pub(crate) fn reset_affinity() {
    let mut all = CpuSet::new();
    for cpu in 0..CpuSet::MAX_CPU {
        all.set(cpu);
    }
    // The kernel keeps to what the cgroup has; it refuses only where that is nothing.
    let _ = rustix::thread::sched_setaffinity(None, &all);
}

/// The larger of both, hard and soft; `None` is no limit.
fn at_least(
    one: rustix::process::Rlimit,
    other: rustix::process::Rlimit,
) -> rustix::process::Rlimit {
    let most = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.max(b));
    rustix::process::Rlimit {
        current: most(one.current, other.current),
        maximum: most(one.maximum, other.maximum),
    }
}

fn set_rlimit(
    resource: Resource,
    name: &str,
    mut limit: rustix::process::Rlimit,
    warnings: &mut Vec<String>,
) -> Result<(), RuntimeError> {
    match setrlimit(resource, limit) {
        Err(rustix::io::Errno::PERM) => {}
        other => return other.inside(|| format!("set {name}")),
    }
    let own = getrlimit(resource);
    let least = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    };
    limit.maximum = least(limit.maximum, own.maximum);
    limit.current = least(limit.current, limit.maximum);
    setrlimit(resource, limit).inside(|| format!("set {name}"))?;
    let most = own.maximum.map_or_else(|| "unlimited".into(), |most| most.to_string());
    warnings.push(format!("{name} is held at {most}: raising it needs CAP_SYS_RESOURCE"));
    Ok(())
}

fn rlimit(
    limit: &Rlimit,
    index: usize,
    before: &[(Resource, &'static str, rustix::process::Rlimit)],
) -> Result<(Resource, &'static str, rustix::process::Rlimit), RuntimeError> {
    let field = |name: &str| format!("process.rlimits[{index}].{name}");
    let Some((name, resource)) = RESOURCES.into_iter().find(|(name, _)| *name == limit.kind) else {
        return Err(spec_error(field("type"), format!("no resource \"{}\"", limit.kind)));
    };
    if before.iter().any(|(_, known, _)| *known == name) {
        return Err(spec_error(field("type"), format!("{name} is there twice")));
    }
    if limit.soft > limit.hard {
        return Err(spec_error(field("soft"), "is more than the hard limit"));
    }
    // The kernel's infinity is the largest number.
    let number = |value: u64| (value != u64::MAX).then_some(value);
    let value =
        rustix::process::Rlimit { current: number(limit.soft), maximum: number(limit.hard) };
    Ok((resource, name, value))
}

/// The limits that a process can have, by the names of the runtime-spec.
pub const RESOURCES: [(&str, Resource); 16] = [
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_STACK", Resource::Stack),
];

fn scheduler(wanted: &Scheduler) -> Result<SchedAttr, RuntimeError> {
    let number = |names: &[(&str, u64)], name: &str| {
        names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
    };
    let policy = number(&POLICIES, &wanted.policy).ok_or_else(|| {
        spec_error("process.scheduler.policy", format!("no policy \"{}\"", wanted.policy))
    })?;
    let mut flags = 0;
    for flag in &wanted.flags {
        flags |= number(&SCHEDULER_FLAGS, flag)
            .ok_or_else(|| spec_error("process.scheduler.flags", format!("no flag \"{flag}\"")))?;
    }
    let priority = u32::try_from(wanted.priority)
        .map_err(|_| spec_error("process.scheduler.priority", "is negative"))?;
    let mut attr = SchedAttr::default();
    attr.policy = policy as u32;
    attr.flags = flags;
    attr.nice = wanted.nice;
    attr.priority = priority;
    attr.runtime = wanted.runtime;
    attr.deadline = wanted.deadline;
    attr.period = wanted.period;
    Ok(attr)
}

/// The policy that is about time.
const SCHED_DEADLINE: u32 = 6;
/// sched(7).
const POLICIES: [(&str, u64); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", SCHED_DEADLINE as u64),
];

/// sched_setattr(2).
const SCHEDULER_FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x1),
    ("SCHED_FLAG_RECLAIM", 0x2),
    ("SCHED_FLAG_DL_OVERRUN", 0x4),
    ("SCHED_FLAG_KEEP_POLICY", 0x8),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

fn io_priority(wanted: &IoPriority) -> Result<(u8, u8), RuntimeError> {
    let class = match wanted.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        class => return Err(spec_error("process.ioPriority.class", format!("no \"{class}\""))),
    };
    match u8::try_from(wanted.priority) {
        Ok(level @ 0..=7) => Ok((class, level)),
        _ => Err(spec_error("process.ioPriority.priority", "is not between 0 and 7")),
    }
}

/// The number that personality(2) takes.
pub(crate) fn personality(wanted: &Personality) -> Result<u32, RuntimeError> {
    if let Some(flag) = wanted.flags.first() {
        return Err(spec_error("linux.personality.flags", format!("no flag \"{flag}\"")));
    }
    match wanted.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        domain => Err(spec_error("linux.personality.domain", format!("no domain \"{domain}\""))),
    }
}

/// A list such as `0-3,7`.
/// The processors of a list such as `0-3,7` as a hexadecimal mask, lowest bit first; `None` if it is
/// no list. For those who print it.
pub fn cpu_mask(list: &str) -> Option<String> {
    let set = cpu_list(list)?;
    let words = CpuSet::MAX_CPU / 64;
    let word = |index: usize| {
        (0..64).filter(|bit| set.is_set(index * 64 + bit)).fold(0_u64, |word, bit| word | 1 << bit)
    };
    let mut mask = String::new();
    for word in (0..words).rev().map(word) {
        match (mask.is_empty(), word) {
            (true, 0) => {}
            (true, word) => mask = format!("{word:x}"),
            (false, word) => mask.push_str(&format!("{word:016x}")),
        }
    }
    Some(format!("0x{}", if mask.is_empty() { "0" } else { &mask }))
}

fn cpu_list(list: &str) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        for cpu in first..=last {
            if cpu >= CpuSet::MAX_CPU {
                return None;
            }
            set.set(cpu);
        }
        if first > last {
            return None;
        }
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        let count = |list| cpu_list(list).map(|set| set.count());
        for (list, mask) in [("0", "0x1"), ("0-1,3", "0xb"), ("64", "0x10000000000000000")] {
            assert_eq!(cpu_mask(list).as_deref(), Some(mask));
        }
        assert_eq!(cpu_mask("3-1"), None);
        assert_eq!(count("0-3,7"), Some(5));
        assert_eq!(count("1"), Some(1));
        for list in ["", "3-1", "x", "0-99999999", "1,"] {
            assert_eq!(count(list), None, "{list}");
        }
    }

    #[test]
    fn limits_are_checked_whole() {
        let check = |limits: &[(&str, u64, u64)]| {
            let rlimits = limits
                .iter()
                .map(|(kind, soft, hard)| Rlimit { kind: (*kind).into(), soft: *soft, hard: *hard })
                .collect();
            Limits::new(&Process { rlimits, ..Process::default() }).is_ok()
        };
        assert!(check(&[("RLIMIT_NOFILE", 1, 2), ("RLIMIT_CORE", 0, u64::MAX)]));
        assert!(!check(&[("RLIMIT_NOFILE", 2, 1)]));
        assert!(!check(&[("RLIMIT_NOFILE", 1, 1), ("RLIMIT_NOFILE", 1, 1)]));
        assert!(!check(&[("NOFILE", 1, 1)]));
    }
}
