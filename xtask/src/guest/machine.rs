//! Running a guest: QEMU, what it prints, and how it ends.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::Parts;

/// What the closing line counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// Boots a guest and shows its console until it has said its closing line and is off.
pub(super) fn run(parts: &Parts, patience: Duration) -> Result<Closing, Box<dyn Error>> {
    let mut machine = Machine(start(parts)?);
    let console = machine.0.stdout.take().ok_or("the machine has no console")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut log = File::create(&parts.log)?;
    // It goes off by itself before that.
    let mut deadline = Instant::now() + patience + Duration::from_secs(30);
    let mut closing = None;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("| {line}");
                writeln!(log, "{line}")?;
                if closing.is_none()
                    && let Some(found) = parse(&line)
                {
                    closing = Some(found);
                    // Switching off is the end of it, and nothing that is tested.
                    deadline = Instant::now() + Duration::from_secs(20);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) if closing.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {
                return Err("the machine did not go off in time and was ended".into());
            }
        }
    }
    closing.ok_or_else(|| {
        let log = parts.log.display();
        format!("the machine ended without its closing line: see {log}").into()
    })
}

/// A machine that ends with us.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `-M microvm`: no PCI, no firmware to speak of; devices are found through ACPI, since Debian's
/// kernel does not look for them on its command line.
fn start(parts: &Parts) -> Result<Child, Box<dyn Error>> {
    let mut append = format!(
        "console=ttyS0 quiet loglevel=3 reboot=t panic=-1 mitigations=off guest.init={} {}",
        parts.guest.init(),
        parts.guest.options().join(" "),
    );
    // There is no other clock to measure the processor's against, and without it the kernel
    // waits for an interrupt that never comes.
    append.push_str(&format!(" tsc_early_khz={}", clock_khz()));
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-M", "microvm,pit=off,pic=off,rtc=on", "-accel", "tcg,thread=multi"])
        .args(["-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"])
        .arg("-kernel")
        .arg(&parts.kernel)
        .arg("-initrd")
        .arg(&parts.initramfs)
        .arg("-append")
        .arg(append)
        .arg("-drive")
        // Changes are thrown away, and nobody waits for the host's disk.
        .arg(format!(
            "if=none,id=disk,format=raw,snapshot=on,cache=unsafe,file={}",
            parts.disk.display()
        ))
        .args(["-device", "virtio-blk-device,drive=disk"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.spawn().map_err(|err| {
        format!("cannot run qemu-system-x86_64 (package qemu-system-x86): {err}").into()
    })
}

/// The clock of the host's processor, which software emulation shows to the guest.
fn clock_khz() -> u64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("cpu MHz"));
    let mhz = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    (mhz.unwrap_or(2000.0) * 1000.0) as u64
}

/// `guest: 5 passed, 0 failed, 1 skipped`
fn parse(line: &str) -> Option<Closing> {
    let mut counts = line.strip_prefix("guest: ")?.split(", ");
    let mut count = |name: &str| counts.next()?.strip_suffix(name)?.trim_end().parse().ok();
    Some(Closing { passed: count("passed")?, failed: count("failed")?, skipped: count("skipped")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_closing_line_counts() {
        let want = Closing { passed: 5, failed: 0, skipped: 12 };
        assert_eq!(parse("guest: 5 passed, 0 failed, 12 skipped"), Some(want));
        assert_eq!(parse("guest: suite e2e: exit 0, 5 passed, 0 failed"), None);
        assert_eq!(parse("5 passed, 0 failed, 12 skipped"), None);
    }
}
