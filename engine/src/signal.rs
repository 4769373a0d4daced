//! Whether a process would notice a signal.

/// SIGKILL.
pub(crate) const KILL: i32 = 9;
/// SIGTERM.
pub(crate) const TERM: i32 = 15;

/// Whether process `pid` has a handler for the signal, or blocks it (to read it from a
/// descriptor or by sigwait). True when that cannot be found out.
pub(crate) fn handles(pid: i32, signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let mask = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    match (mask("SigCgt:"), mask("SigBlk:")) {
        (Some(caught), Some(blocked)) => (caught | blocked) & (1 << (signal - 1)) != 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_handlers_is_deaf_and_a_missing_one_is_not_judged() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(!handles(pid, TERM));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(handles(pid, TERM));
    }
}
