use oci::runtime::User;
use serde_json::json;

use super::*;
use crate::test_support::facts;

const PASSWD: &[u8] = b"root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n";

fn check(change: impl Fn(&mut Exec<'_>)) -> Result<Process, BundleError> {
    let config: ContainerConfig = serde_json::from_value(json!({
        "Env": ["A=1", "B=2"], "User": "web", "WorkingDir": "/w", "Tty": false,
    }))
    .unwrap();
    let host = HostConfig { group_add: vec!["9".into()], ..Default::default() };
    let spec = Spec {
        hostname: Some("box".into()),
        process: Some(Process {
            capabilities: Some(sets(CapSet::of(&["CAP_KILL"]))),
            no_new_privileges: true,
            oom_score_adj: Some(7),
            apparmor_profile: Some("p".into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let command = ["ls".to_owned()];
    let facts = facts();
    let mut exec = Exec {
        spec: &spec,
        config: &config,
        host: &host,
        command: &command,
        user: "",
        env: &[],
        working_dir: "",
        tty: false,
        privileged: false,
        console_size: Some(ConsoleSize { height: 1, width: 2 }),
        passwd: Some(PASSWD),
        group: None,
        facts: &facts,
    };
    change(&mut exec);
    exec_process(&exec)
}

#[test]
fn as_confined_as_the_first_process() {
    let process = check(|_| {}).unwrap();
    assert_eq!(process.args, ["ls"]);
    assert_eq!(process.cwd, "/w");
    assert_eq!(process.capabilities.unwrap().bounding, ["CAP_KILL"]);
    assert!(process.no_new_privileges && !process.terminal);
    assert_eq!((process.oom_score_adj, process.apparmor_profile.as_deref()), (Some(7), Some("p")));
    assert_eq!(process.console_size, None);
    let user = User { uid: 33, gid: 33, umask: None, additional_gids: vec![33, 9] };
    assert_eq!(process.user, user);
    assert_eq!(process.env[1..], ["HOSTNAME=box", "A=1", "B=2", "HOME=/srv"]);
}

#[test]
fn with_its_own_wishes() {
    let env = ["A".to_owned(), "B=3".to_owned(), "TERM=dumb".to_owned()];
    let process = check(|exec| {
        exec.user = "0:5";
        exec.env = [].as_slice();
        exec.working_dir = "/x/../y";
        exec.tty = true;
        exec.privileged = true;
    })
    .unwrap();
    assert_eq!((process.user.uid, process.user.gid), (0, 5));
    assert_eq!(process.cwd, "/y");
    assert!(process.terminal && process.console_size.is_some());
    let sets = process.capabilities.unwrap();
    assert_eq!(sets.bounding.len(), 41);
    assert!(sets.inheritable.is_empty() && sets.ambient.is_empty());
    assert!(
        process.env.contains(&"TERM=xterm".into()) && process.env.contains(&"HOME=/root".into())
    );

    let config: ContainerConfig = serde_json::from_value(json!({"Env": ["A=1", "B=2"]})).unwrap();
    let mut list = env::base(&config, "box", true);
    env::apply(&mut list, &env);
    assert_eq!(list[1..], ["HOSTNAME=box", "TERM=dumb", "B=3"]);
}

#[test]
fn nonsense_is_refused() {
    assert_eq!(
        check(|exec| exec.command = &[]).unwrap_err().to_string(),
        "No exec command specified"
    );
    assert_eq!(
        check(|exec| exec.working_dir = "x").unwrap_err().to_string(),
        "the working directory 'x' is invalid, it needs to be an absolute path"
    );
    assert_eq!(
        check(|exec| exec.user = "nobody").unwrap_err().to_string(),
        "unable to find user nobody: no matching entries in passwd file"
    );
    // CVE-2026-30892: each of these must be that user or an error.
    for bad in ["+1", " 1", "-1", "1e0", "4294967296"] {
        assert!(check(|exec| exec.user = bad).is_err(), "{bad}");
    }
    assert_eq!(check(|exec| exec.user = "1").unwrap().user.uid, 1);
    let group_alone = check(|exec| exec.user = ":1").unwrap().user;
    assert_eq!((group_alone.uid, group_alone.gid), (0, 1));
}
