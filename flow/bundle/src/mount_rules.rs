//! Rules that the short and the long form of mounts share.

use crate::{BundleError, PlannedMount, PlannedSource, paths};

/// Files of procfs that lxcfs and the like put something better in front of. Nothing of security
/// is decided by their content.
const PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// Refuses a destination that is relative, the root itself, or no path at all.
pub(crate) fn check_destination(destination: &str) -> Result<(), BundleError> {
    if !destination.starts_with('/') || destination.contains('\0') {
        return Err(BundleError::invalid(format!(
            "invalid mount path: '{destination}' mount path must be absolute"
        )));
    }
    if paths::clean(destination) == "/" {
        return Err(BundleError::invalid("invalid specification: destination can't be '/'"));
    }
    Ok(())
}

/// A source path, absolute and clean.
pub(crate) fn clean_source(source: &str) -> Result<String, BundleError> {
    if !source.starts_with('/') || source.contains('\0') {
        return Err(BundleError::invalid(format!(
            "invalid mount path: '{source}' mount path must be absolute"
        )));
    }
    Ok(paths::clean(source))
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, in Docker's words.
pub(crate) fn check_volume_name(name: &str) -> Result<(), BundleError> {
    if name.len() == 1 {
        return Err(BundleError::invalid(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric \
             characters"
        )));
    }
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && name.len() <= 255;
    if !good {
        return Err(BundleError::invalid(format!(
            "create {name}: {name:?} includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
             use absolute path"
        )));
    }
    Ok(())
}

/// Refuses mounts that would take the place of the kernel's own files, through which labels,
/// sysctls and masks work (CVE-2015-3631, CVE-2019-16884, CVE-2025-52881).
///
/// Over `/proc` only the host's own procfs may come, as `-v /proc:/proc`, and over a few files of
/// it any file of the host; over `/sys` and what is below it, directories of the host (`-v
/// /sys/fs/cgroup:/sys/fs/cgroup`) and a tmpfs (below it only), since those are the user's own
/// words. A volume never, and so nothing that an image asks for.
pub(crate) fn check_kernel_files(mount: &PlannedMount) -> Result<(), BundleError> {
    let destination = mount.destination.as_str();
    let good = if destination == "/proc" {
        matches!(&mount.source, PlannedSource::Bind { path, .. } if path == "/proc")
    } else if paths::is_at_or_below(destination, "/proc") {
        matches!(mount.source, PlannedSource::Bind { .. }) && PROC_FILES.contains(&destination)
    } else if paths::is_at_or_below(destination, "/sys") {
        match &mount.source {
            PlannedSource::Bind { path, .. } => destination != "/sys" || path == "/sys",
            PlannedSource::Tmpfs { .. } => destination != "/sys",
            PlannedSource::Volume(_) => false,
        }
    } else {
        true
    };
    if good {
        return Ok(());
    }
    Err(BundleError::invalid(format!(
        "cannot mount over {destination}: it belongs to the kernel, and isolation depends on it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VolumeWanted;

    #[test]
    fn kernel_files_stay_the_kernels() {
        let bind = |path: &str| PlannedSource::Bind {
            path: path.into(),
            create: true,
            non_recursive: false,
        };
        let tmpfs = || PlannedSource::Tmpfs { options: Vec::new() };
        let volume = || PlannedSource::Volume(VolumeWanted::default());
        let rows = [
            ("/proc", volume(), false),
            ("/proc", tmpfs(), false),
            ("/proc", bind("/srv"), false),
            ("/proc", bind("/proc"), true),
            ("/proc/self", tmpfs(), false),
            ("/proc/self/attr", volume(), false),
            ("/proc/self/attr", bind("/srv"), false),
            ("/proc/sys", bind("/srv"), false),
            ("/proc/sys", bind("/proc/sys"), false),
            ("/proc/meminfo", bind("/var/lib/lxcfs/proc/meminfo"), true),
            ("/proc/meminfo", volume(), false),
            ("/sys", tmpfs(), false),
            ("/sys", volume(), false),
            ("/sys", bind("/srv"), false),
            ("/sys", bind("/sys"), true),
            ("/sys/fs/cgroup", bind("/sys/fs/cgroup"), true),
            ("/sys/fs/cgroup", tmpfs(), true),
            ("/sys/fs/cgroup", volume(), false),
            ("/process", volume(), true),
            ("/system", tmpfs(), true),
        ];
        for (destination, source, good) in rows {
            let mount = PlannedMount {
                destination: destination.into(),
                source,
                access: Default::default(),
                propagation: None,
                mode: String::new(),
                host_path: None,
            };
            assert_eq!(check_kernel_files(&mount).is_ok(), good, "{mount:?}");
        }
    }
}
