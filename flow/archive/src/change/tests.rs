use super::*;

fn changed(changes: &[&str]) -> Result<ContainerDefaults, String> {
    let mut config = ContainerDefaults::default();
    let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
    apply_changes(&mut config, &changes).map(|()| config).map_err(|error| error.to_string())
}

#[test]
fn each_instruction_sets_its_field() {
    let config = changed(&[
        r#"CMD ["sh", "-l"]"#,
        "entrypoint exec top -b",
        r#"ENV A=1 B="two words" C=it\ is"#,
        "ENV D the rest  of $A",
        "EXPOSE 80 443/TCP 53/udp 8000-8002",
        r#"LABEL a.b="c d" e=f"#,
        "USER 1000:staff",
        r#"VOLUME ["/data", "/x y"]"#,
        "VOLUME /v1 /v2",
        "WORKDIR /srv/app",
        "WORKDIR ../$A/./b",
        "STOPSIGNAL SIGRTMIN+3",
        "ONBUILD RUN make",
        "HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost",
    ])
    .unwrap();
    assert_eq!(config.cmd, ["sh", "-l"]);
    assert_eq!(config.entrypoint, ["/bin/sh", "-c", "exec top -b"]);
    assert_eq!(config.env, ["A=1", "B=two words", "C=it is", "D=the rest  of 1"]);
    let ports: Vec<&str> = config.exposed_ports.keys().map(String::as_str).collect();
    assert_eq!(ports, ["443/tcp", "53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
    assert_eq!(config.labels["a.b"], "c d");
    assert_eq!(config.user, "1000:staff");
    assert_eq!(config.volumes.len(), 4);
    assert_eq!(config.working_dir, "/srv/1/b");
    assert_eq!(config.stop_signal, "SIGRTMIN+3");
    assert_eq!(config.on_build, ["RUN make"]);
    assert_eq!(
        config.healthcheck.unwrap(),
        json!({"Interval": 90_000_000_000_i64, "Retries": 3,
               "Test": ["CMD-SHELL", "curl -f localhost"]})
    );
}

#[test]
fn a_later_instruction_counts_and_an_entrypoint_takes_an_older_command_away() {
    let config = changed(&["ENV A=1", "ENV A=2", "CMD a", "CMD b"]).unwrap();
    assert_eq!(config.env, ["A=2"]);
    assert_eq!(config.cmd, ["/bin/sh", "-c", "b"]);

    let mut config = ContainerDefaults { cmd: vec!["old".into()], ..Default::default() };
    apply_changes(&mut config, &["ENTRYPOINT [\"/init\"]".into()]).unwrap();
    assert_eq!((config.cmd.len(), config.entrypoint), (0, vec!["/init".to_owned()]));
}

#[test]
fn several_lines_comments_and_continuations_are_read() {
    let config = changed(&["# remark\nENV A=1 \\\n  B=2\n\nCMD []"]).unwrap();
    assert_eq!(config.env, ["A=1", "B=2"]);
    assert!(config.cmd.is_empty());
}

#[test]
fn what_is_wrong_is_refused_with_the_line() {
    assert_eq!(changed(&["RUN ls"]).unwrap_err(), "run is not a valid change command");
    assert_eq!(changed(&["From x"]).unwrap_err(), "from is not a valid change command");
    for bad in [
        "ENV",
        "ENV A",
        "ENV A=1 B",
        "ENV =x",
        "ENV A=\"open",
        "EXPOSE x",
        "EXPOSE 80/icmp",
        "EXPOSE 70000",
        "EXPOSE 9-8",
        "USER a b",
        "USER",
        "STOPSIGNAL -1",
        "STOPSIGNAL 99",
        "ONBUILD ONBUILD RUN x",
        "ONBUILD FROM x",
        "HEALTHCHECK",
        "HEALTHCHECK CMD",
        "HEALTHCHECK NONE x",
        "HEALTHCHECK --interval=1ns CMD x",
        "HEALTHCHECK --foo=1 CMD x",
    ] {
        let text = changed(&[bad]).unwrap_err();
        assert!(text.starts_with(&format!("invalid change {bad:?}: ")), "{text}");
    }
}
