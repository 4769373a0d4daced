//! Devices of vendors, by their CDI names: in builds and in containers.

use std::path::PathBuf;

use testkit::{Kista, needs};

use super::Context;

/// A description on this machine, under a vendor that no other test has.
struct Description(PathBuf);

impl Description {
    fn new(vendor: &str) -> Self {
        let folder = PathBuf::from("/var/run/cdi");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{vendor}-{}.json", std::process::id()));
        let text = format!(
            r#"{{"cdiVersion": "0.6.0", "kind": "{vendor}/d", "devices": [
                {{"name": "null", "containerEdits": {{"env": ["GIVEN=yes"],
                    "deviceNodes": [{{"path": "/dev/given", "hostPath": "/dev/null"}}],
                    "mounts": [{{"hostPath": "/etc/hostname", "containerPath": "/given",
                        "options": ["ro", "nosuid"]}}]}}}},
                {{"name": "open", "containerEdits": {{"env": ["OPEN=yes"]}},
                    "annotations": {{"org.mobyproject.buildkit.device.autoallow": "true"}}}},
                {{"name": "with-hook", "containerEdits": {{
                    "hooks": [{{"hookName": "createContainer", "path": "/bin/true"}}]}}}}]}}"#
        );
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const TRIES: &str = "echo gone > /dev/given && cat /given && echo $GIVEN";

#[test]
fn a_step_gets_the_devices_that_it_may_have() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let _description = Description::new("step.kista.test");
    let build = |run: &str, flags: &[&str]| {
        let context = Context::new(&format!("FROM busybox\nRUN {run}\n"), &[]);
        context.build(&kista, flags)
    };
    let run = format!("--device=step.kista.test/d=null {TRIES} > /out; test \"$GIVEN\" = yes");
    build(&run, &[]).fails(1, "allow it with --allow device=step.kista.test/d=null");
    build(&run, &["--allow", "device=step.kista.test/d=open"]).fails(1, "is not allowed");
    for allowed in ["device", "device=step.kista.test/d=null", "device=step.kista.test/d"] {
        build(&run, &["--no-cache", "--allow", allowed]).ok();
    }
    // The first of its kind, and one that each build may use.
    build("--device=step.kista.test/d test \"$GIVEN\" = yes", &["--allow", "device"]).ok();
    build("--device=step.kista.test/d=open test \"$OPEN\" = yes", &[]).ok();
    build("--device=step.kista.test/d=no,required true", &[]).fails(1, "is not registered");
    build("--device=step.kista.test/d=no true", &[]).ok();
    let hook = "--device=step.kista.test/d=with-hook true";
    build(hook, &["--allow", "device"]).fails(1, "it wants the hook createContainer (/bin/true)");
    build("true", &["--allow", "devices"]).fails(1, "invalid entitlement \"devices\"");
}

#[test]
fn a_container_gets_devices_by_name() {
    needs!(Root, Busybox);
    let kista = Kista::with_busybox();
    let _description = Description::new("run.kista.test");
    let run = |device: &str| {
        kista.run(&["run", "--rm", "--device", device, "busybox", "sh", "-c", TRIES])
    };
    let host = std::fs::read_to_string("/etc/hostname").unwrap();
    let out = run("run.kista.test/d=null");
    assert_eq!((out.code, out.stdout), (0, format!("{host}yes\n")), "{}", out.stderr);
    run("run.kista.test/d=no").fails(125, "device \"run.kista.test/d=no\" is not registered");
    run("run.kista.test/d=with-hook").fails(125, "it wants the hook createContainer");
    // It is there after a restart as well.
    kista.ok(&["create", "--name", "dev", "--device", "run.kista.test/d=open", "busybox", "env"]);
    assert!(kista.ok(&["start", "-a", "dev"]).contains("OPEN=yes"));
    assert_eq!(
        kista.ok(&["inspect", "-f", "{{(index .HostConfig.DeviceRequests 0).DeviceIDs}}", "dev"]),
        "[run.kista.test/d=open]"
    );
}
