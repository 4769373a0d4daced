//! Being told when a group runs out of memory.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, inotify};

use crate::hierarchy::Version;
use crate::{Cgroup, CgroupError, Controller, file};

impl Cgroup {
    /// A descriptor that becomes readable when the group runs out of memory, or is removed.
    ///
    /// Close-on-exec and non-blocking; `None` without a memory controller. What can be read from
    /// it says nothing: read it to clear it, then look at [`Cgroup::oom_kills`]. In version 1 it
    /// is an eventfd(2), in version 2 an inotify(7) watch of `memory.events`, which also becomes
    /// readable for lesser events.
    pub fn oom_events(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let Some(group) = self.group_of(Controller::Memory) else { return Ok(None) };
        let dir = &group.dir;
        let failed = |action, errno: rustix::io::Errno| CgroupError::Io {
            action,
            path: dir.clone(),
            source: errno.into(),
        };
        match group.version {
            Version::V1 => {
                let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                    .map_err(|errno| failed("make an eventfd for", errno))?;
                let control = dir.join("memory.oom_control");
                let control =
                    rustix::fs::open(&control, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                        .map_err(|errno| failed("open memory.oom_control of", errno))?;
                // The kernel keeps what it needs of both: the second one may be closed.
                let value = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
                file::set(dir, "cgroup.event_control", "memory events", value)?;
                Ok(Some(event))
            }
            Version::V2 => {
                let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
                let watch =
                    inotify::init(flags).map_err(|errno| failed("make a watch of", errno))?;
                let mask = inotify::WatchFlags::MODIFY;
                inotify::add_watch(&watch, dir.join("memory.events"), mask)
                    .map_err(|errno| failed("watch memory.events of", errno))?;
                Ok(Some(watch))
            }
        }
    }
}
