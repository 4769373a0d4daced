//! `guest`: tests in a virtual machine, for what the machine at hand cannot show: another kernel,
//! control groups of version 2 alone, and systemd.
//!
//! ```text
//! kernel (Debian's for clouds) + initramfs (busybox, modules, `init`) + disk (kista, tests, `run`)
//!     -> QEMU's microvm in software emulation -> serial console -> the closing line
//! ```
//!
//! Needs no root, no KVM and no network of its own. What runs inside is in `tests/guest/inside`,
//! and [`suites`] says which tests do. The machine has no network either.

mod debian;
mod disk;
mod initramfs;
mod kernel;
mod machine;
mod suites;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::workspace::Workspace;
use crate::{Outcome, dist};

/// What runs as pid 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guest {
    /// busybox.
    Plain,
    /// systemd, in a small Debian.
    Systemd,
    /// The same with control groups of version 1, and version 2 beside them.
    Hybrid,
}

impl Guest {
    const ALL: [Self; 3] = [Self::Plain, Self::Systemd, Self::Hybrid];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Systemd => "systemd",
            Self::Hybrid => "hybrid",
        }
    }

    /// The program that the initramfs hands over to.
    fn init(self) -> &'static str {
        match self {
            Self::Plain => "/guest/start",
            Self::Systemd | Self::Hybrid => "/lib/systemd/systemd",
        }
    }

    /// What its kernel is told besides.
    fn options(self) -> &'static [&'static str] {
        const SYSTEMD: &[&str] = &[
            "systemd.show_status=false",
            "systemd.log_level=warning",
            "systemd.unit=multi-user.target",
            "systemd.mask=serial-getty@ttyS0.service",
            // Only here:
            "systemd.unified_cgroup_hierarchy=0",
        ];
        match self {
            Self::Plain => &[],
            Self::Systemd => &SYSTEMD[..SYSTEMD.len() - 1],
            Self::Hybrid => SYSTEMD,
        }
    }

    /// After which it goes off, whatever it is doing.
    fn patience(self) -> Duration {
        Duration::from_secs(600)
    }
}

/// Runs the guests named in `words`, or all, with the suites named, or theirs.
///
/// A suite is `NAME`, or `NAME=FILTER` for those of its tests whose names contain the filter.
pub(crate) fn run(words: &[&str]) -> Outcome {
    let is_guest = |word: &str| Guest::ALL.iter().find(|guest| guest.name() == word).copied();
    let named: Vec<Guest> = words.iter().filter_map(|word| is_guest(word)).collect();
    let wanted: Vec<&str> = words.iter().copied().filter(|word| is_guest(word).is_none()).collect();
    let guests = if named.is_empty() { Guest::ALL.to_vec() } else { named };
    let workspace = Workspace::load(false)?;
    let kernel = kernel::find(&workspace.target_directory)?;
    let kista = workspace.released();
    if !kista.is_file() {
        dist::build()?;
    }
    let mut failed = Vec::new();
    for guest in guests {
        let start = Instant::now();
        let suites = suites::build(guest, &wanted)?;
        let place = workspace.target_directory.join("guest").join(guest.name());
        let parts = Parts::new(guest, place, &kernel, &kista, &suites)?;
        println!("guest {}: made in {:.1} s", guest.name(), start.elapsed().as_secs_f32());
        let start = Instant::now();
        let closing = machine::run(&parts, guest.patience());
        match closing {
            Ok(closing) => {
                let seconds = start.elapsed().as_secs_f32();
                println!("guest {}: {closing} in {seconds:.1} s", guest.name());
                if closing.failed != 0 || closing.passed == 0 {
                    failed.push(guest.name());
                }
            }
            Err(err) => {
                println!("guest {}: {err}", guest.name());
                failed.push(guest.name());
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("guests failed: {}", failed.join(", ")).into()),
    }
}

/// As [`run`], in CI: without a kernel it is left out by name, unless `guest` was promised.
pub(crate) fn run_if_possible() -> Outcome {
    let missing = kernel::find(&Workspace::load(false)?.target_directory).err();
    let promised = std::env::var("TEST_PROMISED").unwrap_or_default();
    match missing {
        Some(why) if !promised.split([',', ' ']).any(|name| name == "guest") => {
            println!("skipped: guests: {why}");
            Ok(())
        }
        Some(why) => Err(why),
        None => run(&[]),
    }
}

/// The files that a machine is made of.
struct Parts {
    kernel: PathBuf,
    initramfs: PathBuf,
    disk: PathBuf,
    /// What is on the console is kept here.
    log: PathBuf,
    guest: Guest,
}

impl Parts {
    fn new(
        guest: Guest,
        place: PathBuf,
        kernel: &kernel::Kernel,
        kista: &std::path::Path,
        suites: &[suites::Built],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        fs::create_dir_all(&place)?;
        let parts = Self {
            kernel: kernel.image.clone(),
            initramfs: place.join("initramfs"),
            disk: place.join("disk"),
            log: place.join("log"),
            guest,
        };
        fs::write(&parts.initramfs, initramfs::make(kernel)?)?;
        let root = place.join("root");
        match guest {
            Guest::Plain => disk::skeleton(&root)?,
            Guest::Systemd | Guest::Hybrid => {
                debian::unpack(&root, &place.with_file_name("debian"))?;
            }
        }
        disk::fill(&root, guest, kista, suites)?;
        disk::format(&root, &parts.disk)?;
        fs::remove_dir_all(&root)?;
        Ok(parts)
    }
}
