//! Mounts with mapped ids. runtime-spec 1.3.0, config.md, `uidMappings`, `idmap`, `ridmap`.

use std::fs;
use std::os::unix::fs::chown;

use serde_json::{Value, json};
use testkit::oci::{Bundle, Runtime};

fn mapped(options: &[&str], more: &Value) -> Bundle {
    let bundle = Bundle::script("stat -c '%u %g' /data/file; touch /data/new");
    let data = bundle.directory("data");
    fs::write(data.join("file"), "").unwrap();
    chown(data.join("file"), Some(5), Some(6)).unwrap();
    let mut mount = json!({
        "destination": "/data", "type": "none", "source": data.to_str().unwrap(),
        "options": options,
    });
    for (key, value) in more.as_object().unwrap() {
        mount[key] = value.clone();
    }
    bundle.push("mounts", mount)
}

fn maps(host: u32) -> Value {
    let map = json!([{"containerID": 0, "hostID": host, "size": 1000}]);
    json!({"uidMappings": map, "gidMappings": map})
}

/// Without a user namespace: what is 5 on the disk is 10005 in the container.
#[test]
fn ids_of_the_disk_are_mapped() {
    needs!(Root);
    for options in [&["bind", "idmap"][..], &["rbind", "ridmap"]] {
        let out = Runtime::under_test().run(&mapped(options, &maps(10_000)));
        assert_eq!(out.stdout, "10005 10006\n", "{options:?} {out:?}");
    }
}

#[test]
fn mappings_without_the_option_are_applied_too() {
    needs!(Root);
    let out = Runtime::under_test().run(&mapped(&["bind"], &maps(10_000)));
    assert_eq!(out.stdout, "10005 10006\n", "{out:?}");
}

#[test]
fn in_a_user_namespace_files_belong_to_whom_they_say() {
    needs!(Root);
    let bundle = mapped(&["bind", "idmap"], &maps(100_000)).user_namespace(100_000);
    let data = bundle.path().join("data");
    let out = Runtime::under_test().run(&bundle);
    assert_eq!(out.stdout, "5 6\n", "{out:?}");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(data.join("new")).unwrap().uid(), 0);
}

#[test]
fn the_option_alone_means_the_containers_mapping() {
    needs!(Root);
    let bundle = mapped(&["bind", "idmap"], &json!({})).user_namespace(100_000);
    assert_eq!(Runtime::under_test().run(&bundle).stdout, "5 6\n");
}

#[test]
fn the_option_alone_is_an_error_without_a_user_namespace() {
    needs!(Root);
    let runtime = Runtime::under_test();
    let bundle = mapped(&["bind", "idmap"], &json!({}));
    assert!(runtime.try_create(&bundle).is_err());
    runtime.assert_nothing_left(&bundle);
}

#[test]
fn one_mapping_without_the_other_is_an_error() {
    needs!(Root);
    let runtime = Runtime::under_test();
    for name in ["uidMappings", "gidMappings"] {
        let mut more = maps(10_000);
        more.as_object_mut().unwrap().shift_remove(name);
        let bundle = mapped(&["bind", "idmap"], &more);
        assert!(runtime.try_create(&bundle).is_err(), "{name}");
        runtime.assert_nothing_left(&bundle);
    }
}
