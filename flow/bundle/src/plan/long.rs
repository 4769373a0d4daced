//! The long form of mounts, as the body of an API request has it.

use dockerapi::{BindOptions, Mount};

use crate::mount_rules::{check_destination, check_volume_name, clean_source};
use crate::{Access, BundleError, PlannedMount, PlannedSource, Propagation, VolumeWanted};
use crate::{paths, plan, tmpfs};

/// Checks one of `HostConfig.Mounts` and makes it a planned one. `volume_driver` is what a volume
/// has that names no driver of its own.
pub(super) fn plan(mount: &Mount, volume_driver: &str) -> Result<PlannedMount, BundleError> {
    let within = |err: BundleError| match err {
        later @ BundleError::Later { .. } => later,
        err => {
            let kind = &mount.kind;
            BundleError::invalid(format!("invalid mount config for type {kind:?}: {err}"))
        }
    };
    parts(mount, volume_driver).map_err(within)
}

fn parts(mount: &Mount, volume_driver: &str) -> Result<PlannedMount, BundleError> {
    check_fields(mount)?;
    let access = access(mount.read_only, mount.bind_options.as_ref())?;
    let mut propagation = None;
    let source = match mount.kind.as_str() {
        "bind" => {
            required("Source", &mount.source)?;
            let options = mount.bind_options.clone().unwrap_or_default();
            propagation = parse_propagation(&options.propagation)?;
            PlannedSource::Bind {
                path: clean_source(&mount.source)?,
                create: options.create_mountpoint,
                non_recursive: options.non_recursive,
            }
        }
        "volume" => PlannedSource::Volume(volume(mount, volume_driver)?),
        "tmpfs" => {
            if !mount.source.is_empty() {
                return Err(extra("Source"));
            }
            let options = tmpfs::from_long(mount.tmpfs_options.as_ref(), mount.read_only)?;
            PlannedSource::Tmpfs { options }
        }
        "image" => {
            return Err(BundleError::Later { what: "mounting an image".into(), hint: "" });
        }
        _ => return Err(BundleError::invalid("mount type unknown")),
    };
    Ok(PlannedMount { propagation, ..plan::planned(&mount.target, source, access) })
}

fn check_fields(mount: &Mount) -> Result<(), BundleError> {
    let fields = [
        ("bind", "BindOptions", mount.bind_options.is_some()),
        ("volume", "VolumeOptions", mount.volume_options.is_some()),
        ("image", "ImageOptions", mount.image_options.is_some()),
        ("tmpfs", "TmpfsOptions", mount.tmpfs_options.is_some()),
    ];
    for (kind, field, there) in fields {
        if there && kind != mount.kind {
            return Err(extra(field));
        }
    }
    required("Target", &mount.target)?;
    check_destination(&mount.target)
}

fn volume(mount: &Mount, volume_driver: &str) -> Result<VolumeWanted, BundleError> {
    let options = mount.volume_options.clone().unwrap_or_default();
    let anonymous = mount.source.is_empty();
    if !anonymous {
        check_volume_name(&mount.source)?;
    }
    if !options.subpath.is_empty() {
        if anonymous {
            return Err(BundleError::invalid("must not set Subpath when using anonymous volumes"));
        }
        if !paths::is_local(&options.subpath) {
            return Err(BundleError::invalid("subpath must be a relative path within the volume"));
        }
    }
    let driver = options.driver_config.unwrap_or_default();
    Ok(VolumeWanted {
        name: (!anonymous).then(|| mount.source.clone()),
        driver: if driver.name.is_empty() { volume_driver.to_owned() } else { driver.name },
        driver_options: driver.options,
        labels: options.labels,
        copy_up: !options.no_copy,
        subpath: options.subpath,
        anonymous,
    })
}

fn access(read_only: bool, options: Option<&BindOptions>) -> Result<Access, BundleError> {
    let (top, forced) = options
        .map_or((false, false), |o| (o.read_only_non_recursive, o.read_only_force_recursive));
    let conflict =
        |what: &str| Err(BundleError::conflict(format!("mount options conflict: {what}")));
    match (read_only, top, forced) {
        (_, true, true) => conflict("ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive"),
        (false, true, _) => conflict("!ReadOnly && BindOptions.ReadOnlyNonRecursive"),
        (false, _, true) => conflict("!ReadOnly && BindOptions.ReadOnlyForceRecursive"),
        (false, ..) => Ok(Access::ReadWrite),
        (true, true, _) => Ok(Access::ReadOnlyTop),
        (true, _, true) => Ok(Access::ReadOnlyForced),
        (true, ..) => Ok(Access::ReadOnly),
    }
}

fn parse_propagation(word: &str) -> Result<Option<Propagation>, BundleError> {
    match Propagation::parse(word) {
        None if !word.is_empty() => {
            Err(BundleError::invalid(format!("invalid propagation mode: {word}")))
        }
        propagation => Ok(propagation),
    }
}

fn required(field: &str, value: &str) -> Result<(), BundleError> {
    if value.is_empty() {
        return Err(BundleError::invalid(format!("field {field} must not be empty")));
    }
    Ok(())
}

fn extra(field: &str) -> BundleError {
    BundleError::invalid(format!("field {field} must not be specified"))
}
