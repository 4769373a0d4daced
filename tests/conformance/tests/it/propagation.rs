//! Propagation of mounts. runtime-spec 1.3.0, config-linux.md, "Rootfs Mount Propagation", and
//! config.md, "Linux mount options".

use testkit::oci::{Bundle, Runtime};

/// The optional fields of a mount's line in mountinfo: `shared:N`, `master:N`, `unbindable`.
fn fields(bundle: &Bundle, place: &str) -> String {
    let out = Runtime::under_test().run(bundle).ok();
    let line = out.lines().find(|line| line.split(' ').nth(4) == Some(place)).unwrap();
    let words: Vec<_> = line.split(' ').skip(6).take_while(|word| *word != "-").collect();
    let names = words.iter().map(|word| word.split(':').next().unwrap());
    names.collect::<Vec<_>>().join(" ")
}

fn table() -> Bundle {
    Bundle::running(&["cat", "/proc/self/mountinfo"])
}

#[test]
fn a_mount_has_the_propagation_that_was_asked_for() {
    needs!(Root);
    for (option, shown) in [
        ("private", ""),
        ("rprivate", ""),
        ("shared", "shared"),
        ("rshared", "shared"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ] {
        let bundle = table();
        let data = bundle.directory("data");
        assert_eq!(fields(&bundle.bind(&data, "/data", &[option]), "/data"), shown, "{option}");
    }
}

#[test]
fn slaves_of_the_hosts_mount_receive_and_do_not_send() {
    needs!(Root);
    for option in ["slave", "rslave"] {
        // It ends by itself, should nothing come.
        let script =
            "grep ' /data ' /proc/self/mountinfo; mount -t tmpfs tmpfs /data/below; echo go
            i=0; while [ $i -lt 500 ]; do i=$((i + 1))
                [ -e /data/new/file ] && { echo came; exit; }; usleep 10000; done";
        let bundle = Bundle::script(script).capabilities(&["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
        let data = bundle.directory("data");
        std::fs::create_dir(data.join("new")).unwrap();
        std::fs::create_dir(data.join("below")).unwrap();
        let bundle = bundle.bind(&data, "/data", &[option]);
        bundle.write();
        let runtime = Runtime::under_test();
        let folder = bundle.path().to_str().unwrap();
        let line = runtime.command(&["run", "--bundle", folder, "conformance-slave"]);
        // In a namespace of its own, the test's shell plays the host.
        let script = "mount --bind $DATA $DATA && mount --make-shared $DATA || exit 1
            \"$0\" \"$@\" >$DATA/../out 2>&1 & pid=$!
            while ! grep -q go $DATA/../out && kill -0 $pid; do sleep 0.01; done
            mount -t tmpfs tmpfs $DATA/new && touch $DATA/new/file
            wait $pid; cat $DATA/../out; grep -c $DATA/below /proc/self/mountinfo";
        let output = std::process::Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(line.get_program())
            .args(line.get_args())
            .env("DATA", &data)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("master:") && text.ends_with("came\n0\n"), "{option}: {output:?}");
    }
}

#[test]
fn the_roots_propagation_is_as_configured() {
    needs!(Root);
    for (propagation, shown) in [("private", ""), ("rprivate", "")] {
        let bundle = table().set("linux.rootfsPropagation", propagation);
        assert_eq!(fields(&bundle, "/"), shown, "{propagation}");
    }
}

#[test]
fn a_shared_root_is() {
    needs!(Root);
    for propagation in ["shared", "rshared"] {
        let bundle = table().set("linux.rootfsPropagation", propagation);
        assert!(fields(&bundle, "/").contains("shared"), "{propagation}");
    }
}

#[test]
fn an_unbindable_root_is() {
    needs!(Root);
    let bundle = table().set("linux.rootfsPropagation", "unbindable");
    assert_eq!(fields(&bundle, "/"), "unbindable");
}

#[test]
fn a_slave_root_is_never_shared() {
    needs!(Root);
    for propagation in ["slave", "rslave"] {
        let bundle = table().set("linux.rootfsPropagation", propagation);
        assert!(!fields(&bundle, "/").contains("shared"), "{propagation}");
    }
    assert!(!fields(&table(), "/").contains("shared"));
}
