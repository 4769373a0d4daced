//! Builds for several platforms, and for others than this machine's.

use std::path::Path;

use builder::{Event, EventSink};
use oci::Platform;

/// Tells of the steps of one platform's build among those of others.
pub(super) struct Shifted<'a> {
    pub(super) events: &'a dyn EventSink,
    /// What its first step is numbered.
    pub(super) first: usize,
    /// What its steps are called after.
    pub(super) platform: Option<String>,
}

impl Shifted<'_> {
    fn name(&self, name: String) -> String {
        match (&self.platform, name.strip_prefix('[')) {
            (Some(platform), Some(rest)) => format!("[{platform} {rest}"),
            _ => name,
        }
    }
}

impl EventSink for Shifted<'_> {
    fn event(&self, event: Event) {
        let first = self.first;
        self.events.event(match event {
            Event::Started { step, name } => {
                Event::Started { step: first + step, name: self.name(name) }
            }
            Event::Output { step, error, bytes } => {
                Event::Output { step: first + step, error, bytes }
            }
            Event::Ended { step, name, outcome, took } => {
                Event::Ended { step: first + step, name: self.name(name), outcome, took }
            }
        });
    }
}

/// Whether this machine runs programs of a platform: its own, the 32-bit one that its processor
/// has beside it, or one that binfmt_misc has an interpreter for.
///
/// Only an interpreter that the kernel has opened beforehand (flag `F`) is found from within a
/// container.
pub(super) fn is_runnable(platform: &Platform, binfmt: &Path) -> bool {
    let host = Platform::host();
    if platform.os != host.os {
        return false;
    }
    let own = (host.architecture.as_str(), platform.architecture.as_str());
    if own.0 == own.1 || own == ("amd64", "386") {
        return true;
    }
    let Some(header) = header(&platform.architecture) else { return false };
    let Ok(entries) = std::fs::read_dir(binfmt) else { return false };
    entries.flatten().any(|entry| {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        is_interpreted(&text, &header)
    })
}

/// Where the kernel tells of its interpreters.
pub(super) const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// The first twenty bytes of a program: class, byte order, type and machine. elf(5).
fn header(architecture: &str) -> Option<[u8; 20]> {
    let (is_64, is_big, machine): (bool, bool, u16) = match architecture {
        "386" => (false, false, 3),
        "mips" => (false, true, 8),
        "mipsle" => (false, false, 8),
        "mips64" => (true, true, 8),
        "mips64le" => (true, false, 8),
        "ppc64le" => (true, false, 21),
        "s390x" => (true, true, 22),
        "arm" => (false, false, 40),
        "amd64" => (true, false, 62),
        "arm64" => (true, false, 183),
        "riscv64" => (true, false, 243),
        "loong64" => (true, false, 258),
        _ => return None,
    };
    let mut header = [0; 20];
    header[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    header[4] += u8::from(is_64);
    header[5] += u8::from(is_big);
    let two = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    header[16..18].copy_from_slice(&two(2));
    header[18..].copy_from_slice(&two(machine));
    Some(header)
}

/// Whether an entry of binfmt_misc, as the kernel shows it, takes a program that begins so.
fn is_interpreted(entry: &str, header: &[u8; 20]) -> bool {
    let value = |key: &str| entry.lines().find_map(|line| line.strip_prefix(key));
    let hex = |text: &str| -> Option<Vec<u8>> {
        let digits = text.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).ok());
        digits.map(|two| u8::from_str_radix(two?, 16).ok()).collect()
    };
    let is_open = value("flags: ").is_some_and(|flags| flags.contains('F'));
    if !entry.starts_with("enabled") || !is_open || value("offset ") != Some("0") {
        return false;
    }
    let Some(magic) = value("magic ").and_then(hex) else { return false };
    let mask = value("mask ").and_then(hex).unwrap_or_else(|| vec![0xff; magic.len()]);
    magic.len() <= header.len()
        && magic.len() == mask.len()
        && magic
            .iter()
            .zip(&mask)
            .zip(header)
            .all(|((magic, mask), byte)| magic & mask == byte & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian's qemu-user-static registers it.
    const ARM64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\n\
        flags: POCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\n\
        mask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn interpreters_are_found_by_the_header_that_they_take() {
        let temp = tempfile::tempdir().unwrap();
        let is_runnable =
            |text: &str| super::is_runnable(&Platform::parse(text).unwrap(), temp.path());
        let foreign = match Platform::host().architecture.as_str() {
            "arm64" => "linux/s390x",
            _ => "linux/arm64",
        };
        assert!(is_runnable(&Platform::host().to_string()));
        assert!(!is_runnable(foreign) && !is_runnable("windows/amd64"));
        let entry = temp.path().join("qemu");
        std::fs::write(&entry, ARM64.replace("POCF", "POC")).unwrap();
        assert!(!is_runnable("linux/riscv64"));
        assert!(!is_interpreted(&ARM64.replace("POCF", "POC"), &header("arm64").unwrap()));
        assert!(!is_interpreted(&ARM64.replace("enabled", "disabled"), &header("arm64").unwrap()));
        assert!(is_interpreted(ARM64, &header("arm64").unwrap()));
        for other in ["riscv64", "arm", "s390x", "amd64"] {
            assert!(!is_interpreted(ARM64, &header(other).unwrap()), "{other}");
        }
        std::fs::write(&entry, ARM64).unwrap();
        assert!(is_runnable("linux/arm64"));
    }
}
