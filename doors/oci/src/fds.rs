//! Descriptors that engines hand to a container through us.
//!
//! ```text
//! 0 1 2 | LISTEN_FDS of systemd's socket activation | --preserve-fds
//! ```

use std::os::fd::{OwnedFd, RawFd};

use crate::args::Parsed;
use crate::error::{OciError, Step};

/// What is passed on as 3 and so on.
#[derive(Debug, Default)]
pub(crate) struct Preserved {
    /// In their order.
    pub(crate) fds: Vec<OwnedFd>,
    /// How many of them are sockets of systemd's.
    pub(crate) listen: usize,
}

impl Preserved {
    /// Takes what the environment and `--preserve-fds` say over. An `exec` gets no sockets: they
    /// are the container's.
    pub(crate) fn take(parsed: &Parsed, with_listen: bool) -> Result<Self, OciError> {
        let listen = if with_listen { listen_fds() } else { 0 };
        let more = match parsed.some("preserve-fds") {
            None => 0,
            Some(text) => text.parse().map_err(|_| {
                OciError::Usage(format!("invalid value \"{text}\" for flag -preserve-fds"))
            })?,
        };
        let mut fds = Vec::new();
        let total = listen.saturating_add(more);
        for index in 0..total {
            let number = RawFd::try_from(index + 3).unwrap_or(RawFd::MAX);
            let taken = sys::inherit::take(number).to(|| {
                let (place, count) = (index.saturating_sub(listen), more);
                format!("stat preserved-fd {place} (of {count}), descriptor {number}")
            })?;
            fds.push(taken);
        }
        Ok(Self { fds, listen })
    }

    /// Tells the program about systemd's sockets.
    pub(crate) fn announce(&self, env: &mut Vec<String>) {
        if self.listen > 0 {
            env.push(format!("LISTEN_FDS={}", self.listen));
            env.push("LISTEN_PID=1".to_owned());
        }
    }
}

/// sd_listen_fds(3): how many, if they are meant for this process.
fn listen_fds() -> usize {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() => count as usize,
        _ => 0,
    }
}
