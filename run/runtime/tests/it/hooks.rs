//! Programs called at the turning points.

use oci::runtime::{Hook, Hooks};

use crate::driver::Run;

fn hook(script: String) -> Hook {
    Hook {
        path: "/bin/sh".into(),
        args: vec!["sh".into(), "-c".into(), script],
        env: vec!["PATH=/bin:/usr/bin".into()],
        timeout: Some(30),
    }
}

#[test]
fn hooks_are_called_in_their_order_and_places() {
    let run = Run::shell("cat /tmp/inside");
    let log = run.dir().join("log").display().to_string();
    // Which root is seen, which network, what is told.
    let look = |name: &str| {
        hook(format!(
            "[ -e /etc/passwd.canary ] && root=inside || root=outside; \
             net=$(readlink /proc/self/ns/net); \
             status=$(grep -o '\"status\":\"[a-z]*\"'); echo {name} $root $net $status >> {log}"
        ))
    };
    std::fs::write(run.rootfs().join("etc/passwd.canary"), "").unwrap();
    let run = run.edit(|spec| {
        spec.hooks = Some(Hooks {
            prestart: vec![look("prestart")],
            create_runtime: vec![look("one"), look("two")],
            create_container: vec![look("container")],
            start_container: vec![hook("cat > /tmp/inside".into())],
            ..Hooks::default()
        });
    });
    let out = run.run();
    assert!(out.ok().contains("\"status\":\"created\""), "{out:?}");
    let log = std::fs::read_to_string(run.dir().join("log")).unwrap();
    let host = std::fs::read_link("/proc/self/ns/net").unwrap();
    let lines: Vec<Vec<_>> = log.lines().map(|line| line.split(' ').collect()).collect();
    let names: Vec<_> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(names, ["prestart", "one", "two", "container"]);
    for line in &lines {
        assert_eq!((line[1], line[3]), ("outside", "\"status\":\"creating\""), "{log}");
        assert_eq!(line[2] == host.to_str().unwrap(), line[0] != "container", "{log}");
    }
}

#[test]
fn a_hook_that_fails_ends_it_all() {
    for point in ["createRuntime", "createContainer", "startContainer"] {
        let run = Run::new(&["sh", "-c", "touch /started"]).edit(|spec| {
            let failing = vec![hook("exit 9".into())];
            let mut hooks = Hooks::default();
            match point {
                "createRuntime" => hooks.create_runtime = failing,
                "createContainer" => hooks.create_container = failing,
                _ => hooks.start_container = failing,
            }
            spec.hooks = Some(hooks);
        });
        let out = run.run();
        assert_eq!(out.refused(), format!("error running {point} hook #0: /bin/sh: exit status 9"));
        assert!(!run.rootfs().join("started").exists());
    }
}

#[test]
fn hooks_find_files_of_the_container_from_where_they_begin() {
    let run = Run::shell("cat /from-hook; cat /tmp/home");
    let run = run
        .edit(|spec| {
            let mut own = hook("echo $HOME:$PATH:$ONLY > /tmp/home".into());
            own.env = Vec::new();
            spec.hooks = Some(Hooks {
                create_container: vec![hook("echo made > ./from-hook".into())],
                start_container: vec![own],
                ..Hooks::default()
            });
        })
        .process(|process| process.env = vec!["PATH=/bin".into(), "ONLY=this".into()])
        .request(|request| request.set_home = true);
    assert_eq!(run.run().ok(), "made\n/root:/bin:this");
}
