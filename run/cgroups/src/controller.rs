//! Controllers: the resources that the kernel can limit, and sets of them.

use std::fmt;

/// A resource that the kernel limits or counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Controller {
    /// Processor shares, quota and real time.
    Cpu,
    /// Processor time used (v1; part of `cpu` in v2).
    Cpuacct,
    /// Which processors and memory nodes.
    Cpuset,
    /// Memory and swap.
    Memory,
    /// Which devices (v1; a BPF program in v2).
    Devices,
    /// Stopping all processes at once (v1; part of the core in v2).
    Freezer,
    /// Block devices: `blkio` in v1, `io` in v2.
    Io,
    /// Number of tasks.
    Pids,
    /// Huge pages.
    Hugetlb,
    /// RDMA handles.
    Rdma,
    /// Countable odds and ends.
    Misc,
    /// Classes of network packets (v1).
    NetCls,
    /// Priorities of network packets (v1).
    NetPrio,
    /// perf events by group.
    PerfEvent,
}

impl Controller {
    /// Every controller.
    pub const ALL: [Self; 14] = [
        Self::Cpu,
        Self::Cpuacct,
        Self::Cpuset,
        Self::Memory,
        Self::Devices,
        Self::Freezer,
        Self::Io,
        Self::Pids,
        Self::Hugetlb,
        Self::Rdma,
        Self::Misc,
        Self::NetCls,
        Self::NetPrio,
        Self::PerfEvent,
    ];

    /// The kernel's name; `Io` is called differently in v1.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
            Self::Io => "io",
            Self::Pids => "pids",
            Self::Hugetlb => "hugetlb",
            Self::Rdma => "rdma",
            Self::Misc => "misc",
            Self::NetCls => "net_cls",
            Self::NetPrio => "net_prio",
            Self::PerfEvent => "perf_event",
        }
    }

    /// The controller of that name, in the spelling of either version.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "blkio" => Some(Self::Io),
            _ => Self::ALL.into_iter().find(|controller| controller.name() == name),
        }
    }
}

/// A set of controllers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Controllers(u16);

impl Controllers {
    /// No controller.
    pub const NONE: Self = Self(0);
    /// Every controller.
    pub const ALL: Self = Self((1 << Controller::ALL.len()) - 1);

    /// The set of these.
    pub const fn of(controllers: &[Controller]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < controllers.len() {
            set |= 1 << controllers[at] as u8;
            at += 1;
        }
        Self(set)
    }

    /// The set with one more.
    #[must_use]
    pub const fn with(self, controller: Controller) -> Self {
        Self(self.0 | 1 << controller as u8)
    }

    /// Everything that is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is in the set.
    pub const fn contains(self, controller: Controller) -> bool {
        self.0 & 1 << controller as u8 != 0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in the set.
    pub fn iter(self) -> impl Iterator<Item = Controller> {
        Controller::ALL.into_iter().filter(move |controller| self.contains(*controller))
    }
}

impl fmt::Debug for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Controller::name)).finish()
    }
}

impl FromIterator<Controller> for Controllers {
    fn from_iter<I: IntoIterator<Item = Controller>>(controllers: I) -> Self {
        controllers.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways_and_blkio_is_io() {
        for controller in Controller::ALL {
            assert_eq!(Controller::by_name(controller.name()), Some(controller));
        }
        assert_eq!(Controller::by_name("blkio"), Some(Controller::Io));
        assert_eq!(Controller::by_name("process_api"), None);
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = Controllers::of(&[Controller::Cpu, Controller::PerfEvent]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Controller::Cpu, Controller::PerfEvent]);
        assert_eq!(Controllers::ALL.difference(set).union(set), Controllers::ALL);
        assert!(set.intersection(Controllers::of(&[Controller::Memory])).is_empty());
    }
}
