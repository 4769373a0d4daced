//! What `/proc/PID/stat` says about a process: enough to tell it from another of the same number.

use std::io;

use rustix::process::Pid;

/// A process as the process table has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcStat {
    /// `R`, `S`, `D`, `Z` and so on.
    pub state: char,
    /// When it started, in clock ticks since the machine did. No two processes that had the same
    /// number have the same.
    pub start_time: u64,
}

impl ProcStat {
    /// Looks a process up. `NotFound` if there is none.
    ///
    /// proc_pid_stat(5), fields 3 and 22.
    pub fn of(pid: Pid) -> io::Result<Self> {
        let stat = match std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
            // It ended between the opening and the reading.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            other => other?,
        };
        Self::parse(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(stat: &[u8]) -> Option<Self> {
        // The second field, a name in parentheses, may hold anything.
        let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
        let mut rest = str::from_utf8(stat.get(after_name..)?).ok()?.split(' ');
        let state = rest.next()?.chars().next()?;
        Some(Self { state, start_time: rest.nth(18)?.parse().ok()? })
    }

    /// Whether it has ended, and only its parent has not looked at it yet.
    pub fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_anything_in_it_does_not_mislead() {
        let line = b"12 (a) R 1 (b) Z) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 19 20\n";
        let stat = ProcStat::parse(line).unwrap();
        assert_eq!(stat, ProcStat { state: 'S', start_time: 777 });
        assert_eq!(ProcStat::parse(b"12 (a) S 1"), None);
        assert_eq!(ProcStat::parse(b""), None);
    }

    #[test]
    fn a_process_is_found_until_it_is_reaped() {
        assert!(!ProcStat::of(rustix::process::getpid()).unwrap().is_dead());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        while !ProcStat::of(pid).unwrap().is_dead() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(ProcStat::of(pid).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
