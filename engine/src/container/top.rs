//! `top`: the processes of a container, as ps(1) on the host shows them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::container::state::is_up;
use crate::{Engine, EngineError};

/// The processes of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Top {
    /// Column heads.
    pub titles: Vec<String>,
    /// One row per process.
    pub processes: Vec<Vec<String>>,
}

impl Engine {
    /// The processes of a running container, with the columns of ps(1) (`-ef` if `ps_args` is
    /// empty). The host's ps is run, never the image's.
    pub fn top_container(&self, container: &str, ps_args: &[String]) -> Result<Top, EngineError> {
        let (found, status) = self.look_up(container)?;
        if !is_up(&status) {
            return Err(EngineError::Conflict {
                message: format!("container {} is not running", found.id()),
            });
        }
        let pids: Vec<String> = match status.cgroup.is_empty() {
            true => in_namespace_of(status.pid).map_err(EngineError::io("list", "/proc"))?,
            false => self
                .cgroup_of(&status)?
                .processes()?
                .into_iter()
                .map(|pid| pid.as_raw_nonzero().get().to_string())
                .collect(),
        };
        let default = ["-ef".to_owned()];
        let args = if ps_args.is_empty() { &default[..] } else { ps_args };
        let output = Command::new("ps")
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .map_err(EngineError::io("run", "ps"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(EngineError::Invalid { message: format!("ps: {}", text.trim()) });
        }
        select(&String::from_utf8_lossy(&output.stdout), &pids)
    }
}

/// The processes in the pid namespace of another one: those of a container without a cgroup, which
/// always has one of its own.
fn in_namespace_of(init: i32) -> io::Result<Vec<String>> {
    let namespace = |pid: &str| std::fs::metadata(format!("/proc/{pid}/ns/pid"));
    let wanted = namespace(&init.to_string())?.ino();
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        // Of others' processes nothing is said.
        if is_number && namespace(&name).is_ok_and(|found| found.ino() == wanted) {
            pids.push(name);
        }
    }
    Ok(pids)
}

/// Keeps the rows of `pids`; the last column holds what is left of a row, spaces and all.
fn select(output: &str, pids: &[String]) -> Result<Top, EngineError> {
    let mut lines = output.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let Some(pid_column) = titles.iter().position(|title| title == "PID") else {
        return Err(EngineError::Invalid {
            message: "Couldn't find PID field in ps output".into(),
        });
    };
    let processes = lines
        .map(|line| columns(line, titles.len()))
        .filter(|row| row.get(pid_column).is_some_and(|pid| pids.contains(pid)))
        .collect();
    Ok(Top { titles, processes })
}

fn columns(line: &str, count: usize) -> Vec<String> {
    let mut rest = line.trim_start();
    let mut row = Vec::with_capacity(count);
    while row.len() + 1 < count {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        row.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    row.push(rest.trim_end().to_owned());
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_rows_are_kept() {
        let output = "UID   PID CMD\nroot    1 init\nroot   22 sh -c  x y\n";
        let top = select(output, &["22".to_owned()]).unwrap();
        assert_eq!(top.titles, ["UID", "PID", "CMD"]);
        assert_eq!(top.processes, [["root", "22", "sh -c  x y"]]);
        assert!(select("UID CMD\n", &[]).is_err());
    }
}
