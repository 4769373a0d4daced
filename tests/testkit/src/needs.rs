//! What a test needs of the machine.
//!
//! `needs!(Root, Strace)` at the start of a test skips it by name where one of them is
//! missing. `TEST_PROMISED`, a list of names separated by commas or blanks, turns that into a
//! failure: CI installs what tests need, so that a need that is missing there is a mistake.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// User id 0 with CAP_SYS_ADMIN.
    Root,
    /// A static busybox at /bin/busybox (package busybox-static).
    Busybox,
    /// A `kista` that containers can execute too: it is their init, and the image `hello`.
    StaticKista,
    /// mmdebstrap and a Debian mirror, or an image made earlier.
    Debian,
    /// skopeo.
    Skopeo,
    /// git, with its daemon.
    Git,
    /// runc.
    Runc,
    /// strace.
    Strace,
    /// zstd and xz.
    Compressors,
    /// nft(8), to look at what the kernel has.
    Nftables,
    /// Links of these kinds in the kernel.
    Macvlan,
    Ipvlan,
    Vlan,
    Dummy,
    /// nftables for bridges that knows a port's bridge, and nft(8).
    BridgeFilter,
    /// Sockets of SCTP.
    Sctp,
    /// A kernel without them.
    NoSctp,
    /// The memory controller on a cgroup v1 hierarchy.
    CgroupV1,
    /// Control groups of version 2 alone, as in the guests of `cargo xtask guest`.
    CgroupV2,
    /// Version 2 beside version 1.
    CgroupHybrid,
    /// systemd as pid 1, as in one of the guests.
    Systemd,
    /// A controller of huge pages, in whatever version the machine has.
    HugetlbCgroup,
    /// A resctrl file system at its usual place.
    Resctrl,
    /// None anywhere.
    NoResctrl,
    /// A block device of the machine.
    Disk,
    /// systemd-notify.
    SystemdNotify,
    /// dockerd, its client, and the containerd that it brings.
    Dockerd,
    /// Debian's registry.
    DockerRegistry,
    /// openssl, which makes certificates.
    Openssl,
    /// podman and conmon.
    Podman,
    /// buildah, and the runc that it is told to use.
    Buildah,
    /// newuidmap and newgidmap (package uidmap), and a kernel that lets users make namespaces.
    Uidmap,
    /// pasta (package passt).
    Pasta,
    /// containerd, its shim for runc, and ctr.
    Containerd,
}

impl Need {
    /// As `TEST_PROMISED` spells it.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Why it is missing; `None` if it is there.
    pub fn missing(self) -> Option<String> {
        let (there, why) = match self {
            Self::Root => (rustix::process::geteuid().is_root(), "not root"),
            Self::Busybox => (is_static("/bin/busybox".as_ref()), "no static /bin/busybox"),
            Self::StaticKista => {
                (is_static(&crate::kista::program()), "kista is linked dynamically")
            }
            Self::Debian => (
                in_path("mmdebstrap") || crate::image::debian_path("minbase").exists(),
                "no mmdebstrap",
            ),
            Self::Skopeo => (in_path("skopeo"), "no skopeo"),
            Self::Git => (in_path("git"), "no git"),
            Self::Runc => (in_path("runc"), "no runc"),
            Self::Strace => (in_path("strace"), "no strace"),
            Self::Compressors => (in_path("zstd") && in_path("xz"), "no zstd or no xz"),
            Self::SystemdNotify => (in_path("systemd-notify"), "no systemd-notify"),
            Self::Dockerd => (in_path("dockerd") && in_path("docker"), "no dockerd or no docker"),
            Self::DockerRegistry => (in_path("docker-registry"), "no docker-registry"),
            Self::Openssl => (in_path("openssl"), "no openssl"),
            Self::Podman => (in_path("podman") && in_path("conmon"), "no podman or no conmon"),
            Self::Buildah => (in_path("buildah") && in_path("runc"), "no buildah or no runc"),
            Self::Uidmap => (
                in_path("newuidmap") && in_path("newgidmap") && in_path("setpriv"),
                "no newuidmap, no newgidmap or no setpriv",
            ),
            Self::Pasta => (
                in_path("pasta") && Path::new("/dev/net/tun").exists(),
                "no pasta or no /dev/net/tun",
            ),
            Self::Containerd => {
                let all = ["containerd", "ctr", "containerd-shim-runc-v2"];
                (all.into_iter().all(in_path), "no containerd, no ctr or no shim")
            }
            Self::Nftables => (in_path("nft"), "no nft"),
            Self::Macvlan => (has_links("macvlan"), "no macvlan links in the kernel"),
            Self::Ipvlan => (has_links("ipvlan"), "no ipvlan links in the kernel"),
            Self::Vlan => (has_links("vlan"), "no VLANs in the kernel"),
            Self::Dummy => (has_links("dummy"), "no dummy links in the kernel"),
            Self::BridgeFilter => {
                (has_bridge_filter(), "no nft_meta_bridge in the kernel, or no nft")
            }
            Self::Sctp => (has_sctp(), "no SCTP in the kernel"),
            Self::NoSctp => (!has_sctp(), "SCTP in the kernel"),
            Self::CgroupV1 => {
                (Path::new("/sys/fs/cgroup/memory/tasks").exists(), "no v1 memory hierarchy")
            }
            Self::CgroupV2 => {
                (Path::new("/sys/fs/cgroup/cgroup.controllers").exists(), "not cgroup v2 alone")
            }
            Self::CgroupHybrid => {
                let unified = Path::new("/sys/fs/cgroup/unified/cgroup.procs");
                (unified.exists(), "no cgroup v2 beside v1")
            }
            Self::Systemd => (Path::new("/run/systemd/system").exists(), "systemd is not running"),
            Self::HugetlbCgroup => (has_hugetlb(), "no hugetlb controller"),
            Self::Resctrl => {
                (Path::new("/sys/fs/resctrl/schemata").exists(), "no resctrl is mounted")
            }
            Self::NoResctrl => {
                let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
                (!table.contains(" - resctrl "), "a resctrl is mounted")
            }
            Self::Disk => (has_disk(), "no disk"),
        };
        (!there).then(|| why.to_owned())
    }

    fn is_promised(self) -> bool {
        let promised = std::env::var("TEST_PROMISED").unwrap_or_default();
        promised.split([',', ' ']).any(|name| name == self.name())
    }
}

/// The first need that is missing and may be; panics if it was promised.
///
/// The skip is printed, and noted in the file that `TEST_SKIPS` names.
pub fn skips(needs: &[Need]) -> bool {
    let Some((need, why)) = needs.iter().find_map(|need| need.missing().map(|why| (*need, why)))
    else {
        return false;
    };
    assert!(!need.is_promised(), "{need:?} was promised, but: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("skipped: {test} needs {need:?}: {why}\n");
    print!("{line}");
    if let Some(list) = std::env::var_os("TEST_SKIPS") {
        let file = OpenOptions::new().create(true).append(true).open(list);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
    true
}

/// Leaves the test, by name, unless the machine has all that is listed.
#[macro_export]
macro_rules! needs {
    ($($need:ident),+ $(,)?) => {
        if $crate::needs::skips(&[$($crate::Need::$need),+]) {
            return;
        }
    };
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(sbin).any(|folder| folder.join(program).exists())
}

fn has_bridge_filter() -> bool {
    let Some(host) = crate::Host::new() else { return false };
    let rules = "table bridge trial { chain c { type filter hook prerouting priority 0; \
        meta ibrname \"br0\" drop; }; }";
    in_path("nft") && host.succeeds(&["nft", rules])
}

fn has_sctp() -> bool {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
    let flags = SocketFlags::CLOEXEC;
    socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::SCTP)).is_ok()
}

/// Whether a host of the test's own can have links of this kind.
fn has_links(kind: &str) -> bool {
    let Some(host) = crate::Host::new() else { return false };
    let add = ["ip", "link", "add"];
    let base = ["wire0", "type", "veth", "peer", "name", "wire1"];
    host.succeeds(&[&add[..], &base].concat())
        && match kind {
            "dummy" => host.succeeds(&[&add[..], &["one0", "type", kind]].concat()),
            "vlan" => {
                let words = ["link", "wire0", "name", "one0", "type", kind, "id", "7"];
                host.succeeds(&[&add[..], &words].concat())
            }
            _ => {
                let words = ["link", "wire0", "name", "one0", "type", kind];
                host.succeeds(&[&add[..], &words].concat())
            }
        }
}

fn has_hugetlb() -> bool {
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    Path::new("/sys/fs/cgroup/hugetlb/tasks").exists()
        || controllers.is_ok_and(|list| list.split_whitespace().any(|one| one == "hugetlb"))
}

fn has_disk() -> bool {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices.into_iter().any(|device| device.path().join("device").exists())
}

/// Whether the file is an ELF program that asks for no interpreter. elf(5), Elf64_Ehdr.
fn is_static(path: &Path) -> bool {
    const INTERPRETER: u8 = 3;
    let Ok(file) = std::fs::read(path) else { return false };
    let half =
        |at: usize| file.get(at..at + 2).map_or(0, |b| usize::from(b[0]) | usize::from(b[1]) << 8);
    let (table, size, count) = (half(32), half(54), half(56));
    let asks = (0..count).any(|index| file.get(table + index * size) == Some(&INTERPRETER));
    file.starts_with(b"\x7fELF") && !asks
}
