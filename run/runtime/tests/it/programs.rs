//! Starting the program: names, directories, errors, exit codes.

use crate::driver::Run;

#[test]
fn exit_codes_and_signals_are_the_programs() {
    assert_eq!(Run::shell("exit 42").run().code, Some(42));
    // Number one dies of no signal from inside that it has no handler for.
    let out = Run::new(&["sh", "-c", "sh -c 'kill -TERM $$'; echo $?"]).run();
    assert_eq!(out.ok(), "143");
}

#[test]
fn output_and_errors_stay_apart() {
    let out = Run::shell("echo out; echo err >&2; cat; echo -n end").run();
    assert_eq!((out.ok(), out.stderr.as_str()), ("out\nend", "err\n"));
}

#[test]
fn a_program_that_cannot_be_executed_is_named() {
    let check = |args: &[&str], code: u8, text: &str| {
        let run = Run::new(args);
        std::fs::write(run.rootfs().join("etc/plain"), "x").unwrap();
        std::fs::write(run.rootfs().join("bin/foreign"), "MZ").unwrap();
        std::fs::write(run.rootfs().join("bin/orphan"), "#!/nonexistent\n").unwrap();
        for name in ["foreign", "orphan"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(run.rootfs().join("bin").join(name), mode).unwrap();
        }
        let out = run.run();
        assert_eq!((out.refused(), out.exec_error), (text, Some(code)), "{args:?}");
    };
    check(&["foo"], 127, "exec: \"foo\": executable file not found in $PATH");
    check(&["/x"], 127, "exec: \"/x\": stat /x: no such file or directory");
    check(&["/etc/plain"], 126, "exec: \"/etc/plain\": permission denied");
    check(&["/"], 126, "exec: \"/\": is a directory");
    check(&["foreign"], 126, "exec /bin/foreign: exec format error");
    check(&["/bin/orphan"], 127, "exec /bin/orphan: no such file or directory");
}

#[test]
fn the_working_directory_is_entered_made_or_missed() {
    let run =
        |cwd: &str| Run::shell("pwd; stat -c %u:%g .").process(|process| process.cwd = cwd.into());
    assert_eq!(run("/root").run().ok(), "/root\n0:0");
    let out = run("/missing").run();
    let wanted =
        "error during container init: cannot chdir to cwd (\"/missing\") set in config.json";
    assert!(out.refused().starts_with(wanted), "{out:?}");
    let out = run("/srv/app").request(|request| request.make_cwd = Some((7, 8))).run();
    assert_eq!(out.ok(), "/srv/app\n7:8");
}

#[test]
fn a_working_directory_that_only_its_user_may_enter_is_entered_by_it() {
    let run = Run::shell("pwd").process(|process| {
        process.user.uid = 1000;
        process.cwd = "/home".into();
        process.capabilities = None;
    });
    let home = run.rootfs().join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(1000), None).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(run.run().ok(), "/home");
}

#[test]
fn bad_specs_are_refused_by_the_name_of_the_field() {
    for (field, run) in [
        ("process.args", Run::new(&[])),
        ("process.cwd", Run::new(&["true"]).process(|process| process.cwd = "x".into())),
        ("process.env", Run::new(&["true"]).process(|process| process.env.push("a\0b".into()))),
        (
            "linux.namespaces[6]",
            Run::new(&["true"]).linux(|linux| {
                let twice = linux.namespaces[0].clone();
                linux.namespaces.push(twice);
            }),
        ),
        (
            "hostname",
            Run::new(&["true"]).linux(|linux| {
                linux
                    .namespaces
                    .retain(|namespace| namespace.kind != oci::runtime::NamespaceKind::Uts);
            }),
        ),
        (
            "process.oomScoreAdj",
            Run::new(&["true"]).process(|process| process.oom_score_adj = Some(2000)),
        ),
    ] {
        assert!(run.run().refused().starts_with(field), "{field}");
    }
}

#[test]
fn a_stage_makes_the_container_its_parents_child() {
    let out = Run::shell("echo done; exit 3")
        .request(|request| {
            request.sibling = true;
            request.death_signal = true;
        })
        .run();
    assert_eq!((out.code, out.stdout.as_str()), (Some(3), "done\n"));
}

#[test]
fn a_container_that_nobody_starts_ends() {
    let run = Run::new(&["sleep", "60"]).request(|request| request.only_create = true);
    // Standard input ends at once.
    run.run();
}
