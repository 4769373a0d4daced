use dockerapi::{BindOptions, Mount, VolumeOptions};
use serde_json::json;

use super::*;

fn host(value: serde_json::Value) -> HostConfig {
    serde_json::from_value(value).unwrap()
}

fn plan(
    image_volumes: &[&str],
    value: serde_json::Value,
) -> Result<Vec<PlannedMount>, BundleError> {
    let volumes = image_volumes.iter().map(|path| ((*path).to_owned(), json!({}))).collect();
    let config = ContainerConfig { volumes, ..Default::default() };
    plan_mounts(&config, &host(value), &[])
}

/// Destination and kind of each.
fn shape(mounts: &[PlannedMount]) -> Vec<(&str, &str)> {
    let kind = |mount: &PlannedMount| match &mount.source {
        PlannedSource::Bind { .. } => "bind",
        PlannedSource::Volume(wanted) if wanted.anonymous => "anonymous",
        PlannedSource::Volume(_) => "volume",
        PlannedSource::Tmpfs { .. } => "tmpfs",
    };
    mounts.iter().map(|mount| (&*mount.destination, kind(mount))).collect()
}

#[test]
fn parents_come_first_and_the_user_wins_over_the_image() {
    let mounts = plan(
        &["/data", "/a/b/c", "/run"],
        json!({
            "Binds": ["/x:/a/b", "logs:/a", "/src:/data/"],
            "Tmpfs": {"/run": "ro,size=1m"},
            "Mounts": [{"Type": "volume", "Target": "/z/z/z/z"}],
        }),
    )
    .unwrap();
    let expected = [
        ("/a", "volume"),
        ("/data", "bind"),
        ("/run", "tmpfs"),
        ("/a/b", "bind"),
        ("/a/b/c", "anonymous"),
        ("/z/z/z/z", "anonymous"),
    ];
    assert_eq!(shape(&mounts), expected);
    assert_eq!(mounts[2].access, Access::ReadOnly);
}

#[test]
fn inherited_mounts_give_way_to_own_ones() {
    let inherited = |destination: &str, volume: &str| {
        let wanted = VolumeWanted { name: Some(volume.into()), ..Default::default() };
        planned(destination, PlannedSource::Volume(wanted), Access::ReadOnly)
    };
    let config =
        ContainerConfig { volumes: [("/v".to_owned(), json!({}))].into(), ..Default::default() };
    let given = [inherited("/v", "first"), inherited("/v", "second"), inherited("/w", "third")];
    let mounts = plan_mounts(&config, &host(json!({"Binds": ["/x:/w"]})), &given).unwrap();
    assert_eq!(shape(&mounts), [("/v", "volume"), ("/w", "bind")]);
    assert!(matches!(&mounts[0].source,
        PlannedSource::Volume(wanted) if wanted.name.as_deref() == Some("second")));
    assert_eq!(mounts[0].access, Access::ReadOnly);
}

#[test]
fn a_destination_twice_is_an_error() {
    let rows = [
        json!({"Binds": ["/a:/x", "/b:/x/."]}),
        json!({"Binds": ["/a:/x"], "Tmpfs": {"/x": ""}}),
        json!({"Binds": ["/a:/x"], "Mounts": [{"Type": "tmpfs", "Target": "/x"}]}),
    ];
    for row in rows {
        let err = plan(&[], row).unwrap_err().to_string();
        assert_eq!(err, "Duplicate mount point: /x");
    }
}

#[test]
fn volumes_of_an_image_stay_inside_and_off_the_kernels_files() {
    let mounts = plan(&["/../../canary", "data"], json!({})).unwrap();
    assert_eq!(shape(&mounts), [("/canary", "anonymous"), ("/data", "anonymous")]);
    for bad in ["/", "/..", "", "/proc", "/proc/self", "/proc/self/attr", "/sys", "//proc/."] {
        assert!(plan(&[bad], json!({})).is_err(), "{bad}");
        assert!(plan(&[], json!({"Tmpfs": {bad: ""}})).is_err(), "{bad}");
    }
}

#[test]
fn the_long_form_is_checked_with_dockers_words() {
    let mount = |kind: &str, source: &str, target: &str| Mount {
        kind: kind.into(),
        source: source.into(),
        target: target.into(),
        ..Default::default()
    };
    let bind_options =
        |options: BindOptions| Mount { bind_options: Some(options), ..mount("bind", "/a", "/b") };
    let subpath = |name: &str, subpath: &str| Mount {
        volume_options: Some(VolumeOptions { subpath: subpath.into(), ..Default::default() }),
        ..mount("volume", name, "/b")
    };
    let rows = [
        (mount("bind", "/a", ""), "bind", "field Target must not be empty"),
        (mount("bind", "", "/b"), "bind", "field Source must not be empty"),
        (mount("bind", "a", "/b"), "bind", "invalid mount path: 'a' mount path must be absolute"),
        (mount("bind", "/a", "/"), "bind", "invalid specification: destination can't be '/'"),
        (mount("tmpfs", "/a", "/b"), "tmpfs", "field Source must not be specified"),
        (mount("npipe", "/a", "/b"), "npipe", "mount type unknown"),
        (mount("", "/a", "/b"), "", "mount type unknown"),
        (
            Mount { kind: "tmpfs".into(), ..bind_options(BindOptions::default()) },
            "tmpfs",
            "field BindOptions must not be specified",
        ),
        (
            bind_options(BindOptions { propagation: "x".into(), ..Default::default() }),
            "bind",
            "invalid propagation mode: x",
        ),
        (
            bind_options(BindOptions { read_only_force_recursive: true, ..Default::default() }),
            "bind",
            "mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive",
        ),
        (subpath("", "x"), "volume", "must not set Subpath when using anonymous volumes"),
        (subpath("vol", "../x"), "volume", "subpath must be a relative path within the volume"),
        (subpath("vol", "/x"), "volume", "subpath must be a relative path within the volume"),
    ];
    for (mount, kind, expected) in rows {
        let host = HostConfig { mounts: vec![mount], ..Default::default() };
        let err = plan_mounts(&ContainerConfig::default(), &host, &[]).unwrap_err().to_string();
        assert_eq!(err, format!("invalid mount config for type {kind:?}: {expected}"));
    }
}

#[test]
fn read_only_reaches_as_far_as_asked() {
    let rows = [
        (json!({}), Access::ReadOnly),
        (json!({"ReadOnlyNonRecursive": true}), Access::ReadOnlyTop),
        (json!({"ReadOnlyForceRecursive": true}), Access::ReadOnlyForced),
    ];
    for (options, access) in rows {
        let mounts = plan(
            &[],
            json!({"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true,
                "BindOptions": options}]}),
        )
        .unwrap();
        assert_eq!(mounts[0].access, access);
    }
}

#[test]
fn what_comes_later_says_so() {
    for value in [
        json!({"Mounts": [{"Type": "image", "Source": "x", "Target": "/b"}]}),
        json!({"VolumeDriver": "nfs", "Binds": ["vol:/b"]}),
    ] {
        assert!(matches!(plan(&[], value), Err(BundleError::Later { .. })));
    }
}

#[test]
fn a_plan_survives_the_record() {
    let mounts =
        plan(&["/v"], json!({"Binds": ["/x:/a:ro,rslave", "vol:/b"], "Tmpfs": {"/t": "exec"}}))
            .unwrap();
    let text = serde_json::to_string(&mounts).unwrap();
    assert_eq!(serde_json::from_str::<Vec<PlannedMount>>(&text).unwrap(), mounts);
}
