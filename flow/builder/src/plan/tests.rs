//! Plans: what is a step, what it needs, what the image will say.

use std::collections::BTreeMap;

use dockerfile::NetworkMode;
use oci::{Digest, ImageConfig, Platform};

use super::{Action, MountFrom, Origin, Plan, PlannedHistory, plan};
use crate::request::{BaseImage, BaseImages, Request};
use crate::{BuildError, Located};

/// One image, `base`, with a layer, an environment and a trigger if one is wanted.
#[derive(Default)]
struct Images {
    triggers: Vec<String>,
}

impl BaseImages for Images {
    fn find(&self, name: &str, platform: &Platform) -> Result<BaseImage, BuildError> {
        if name != "base" {
            return Err(BuildError::NoImage { name: name.to_owned() });
        }
        let mut config = ImageConfig { platform: platform.clone(), ..ImageConfig::default() };
        config.config.env = vec!["PATH=/bin".into(), "A=base".into()];
        config.config.on_build.clone_from(&self.triggers);
        Ok(BaseImage {
            name: "docker.io/library/base:latest".into(),
            config,
            diff_ids: vec![content::sha256(b"layer")],
            digest: Some(content::sha256(b"index")),
        })
    }
}

fn try_plan(text: &str, change: impl FnOnce(&mut Request)) -> Result<Plan, Located> {
    let mut request = Request { dockerfile: text.into(), ..Request::default() };
    change(&mut request);
    plan(&request, &Images::default())
}

fn planned(text: &str) -> Plan {
    try_plan(text, |_| {}).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.names().collect()
}

#[test]
fn steps_are_named_and_counted() {
    let plan = planned("FROM base\nENV X=1\nCOPY a$X /b\nRUN echo $X \"$Y\"\nWORKDIR /w\n");
    assert_eq!(
        names(&plan),
        [
            "[1/4] FROM docker.io/library/base:latest",
            "[2/4] COPY a1 /b",
            "[3/4] RUN echo 1 \"$Y\"",
            "[4/4] WORKDIR /w",
        ]
    );
    let plan = planned("FROM base AS one\nRUN x\nFROM base\nCOPY --from=one /a /b\n");
    assert_eq!(
        names(&plan),
        [
            "[stage-1 1/2] FROM docker.io/library/base:latest",
            "[one 1/2] FROM docker.io/library/base:latest",
            "[one 2/2] RUN x",
            "[stage-1 2/2] COPY --from=one /a /b",
        ]
    );
}

#[test]
fn what_the_target_does_not_need_is_not_planned() {
    let text = "FROM nowhere AS unused\nRUN x\nFROM base AS a\nRUN a\nFROM base AS b\nRUN b\n";
    let plan = try_plan(text, |request| request.target = "A".into()).unwrap();
    assert_eq!(names(&plan).last(), Some(&"[a 2/2] RUN a"));
    assert_eq!(plan.steps.len(), 2);
}

#[test]
fn steps_need_what_they_look_at() {
    let plan = planned(
        "FROM base AS a\nRUN a\nFROM base AS b\nRUN b\nFROM scratch\nCOPY --from=a /x /\n\
         RUN --mount=from=b,target=/m --mount=type=cache,target=/c,from=a y\n",
    );
    let by_name = |text: &str| names(&plan).iter().position(|name| name.ends_with(text)).unwrap();
    let (a, b) = (by_name("RUN a"), by_name("RUN b"));
    let copy = by_name("COPY --from=a /x /");
    assert_eq!(plan.steps[copy].needs(), [a]);
    let mut wanted = vec![a, b, copy];
    wanted.sort_unstable();
    assert_eq!(plan.steps[plan.target.unwrap()].needs(), wanted);
    for (index, step) in plan.steps.iter().enumerate() {
        assert!(step.needs().iter().all(|need| *need < index), "{}", step.name);
    }
}

#[test]
fn variables_have_the_values_of_their_place() {
    let plan = try_plan(
        "ARG G=global\nFROM base\nARG G\nARG D=default\nARG P\nENV A=$A-$G\nRUN x\n",
        |request| {
            request.arguments = BTreeMap::from([
                ("P".into(), "given".into()),
                ("unused".into(), "x".into()),
                ("HTTP_PROXY".into(), "http://proxy".into()),
            ]);
        },
    )
    .unwrap();
    let Action::Run(run) = &plan.steps[plan.target.unwrap()].action else { panic!() };
    assert_eq!(run.environment, ["PATH=/bin", "A=base-global", "G=global", "D=default", "P=given"]);
    assert_eq!(run.proxies, ["HTTP_PROXY=http://proxy", "http_proxy=http://proxy"]);
    assert_eq!(plan.config.config.env, ["PATH=/bin", "A=base-global"], "arguments stay out");
    let Some(PlannedHistory::Own { created_by, .. }) = plan.history.last() else { panic!() };
    assert_eq!(created_by, "RUN |3 G=global D=default P=given /bin/sh -c x # buildkit");
}

#[test]
fn destinations_are_absolute() {
    for (text, want) in [
        ("COPY a /x", "/x"),
        ("COPY a /x/", "/x/"),
        ("COPY a .", "/w/"),
        ("COPY a ./x/../y", "/w/y"),
        ("COPY a ../../..", "/"),
        ("COPY a b c/", "/w/c/"),
    ] {
        let plan = planned(&format!("FROM base\nWORKDIR /w\n{text}\n"));
        let Action::Copy(copy) = &plan.steps[plan.target.unwrap()].action else { panic!() };
        assert_eq!(copy.destination, want, "{text}");
        assert_eq!(copy.from, Origin::Context(String::new()));
    }
}

#[test]
fn triggers_come_first_and_are_gone() {
    let request = Request { dockerfile: b"FROM base\nRUN b\n".to_vec(), ..Request::default() };
    let images = Images { triggers: vec!["RUN a".into(), "ENV T=1".into()] };
    let plan = plan(&request, &images).unwrap();
    assert_eq!(names(&plan)[1..], ["[2/4] ONBUILD RUN a", "[3/4] RUN b"]);
    assert!(plan.config.config.on_build.is_empty());
    assert!(plan.config.config.env.contains(&"T=1".to_owned()));
}

/// CVE-2024-23653 (BuildKit). Shown with `check_allowed` letting both through.
#[test]
fn more_than_a_container_gets_must_be_allowed() {
    let text = "FROM base\nRUN --network=host x\n";
    assert!(try_plan(text, |_| {}).is_err());
    let plan = try_plan(text, |request| request.allow_host_network = true).unwrap();
    let Action::Run(run) = &plan.steps[plan.target.unwrap()].action else { panic!() };
    assert_eq!(run.network, NetworkMode::Host);
    let text = "FROM base\nRUN --security=insecure x\n";
    assert!(try_plan(text, |request| request.allow_host_network = true).is_err());
    assert!(try_plan(text, |request| request.allow_insecure = true).is_ok());
}

/// CVE-2024-9407 (Buildah), CVE-2026-61711 (BuildKit): what is not known is an error, and never
/// passed on or taken for something else.
#[test]
fn words_that_mean_nothing_are_refused() {
    for flag in [
        "--mount=type=bind,target=/x,bind-propagation=shared",
        "--mount=type=bind,target=/x,suid",
        "--mount=type=bind,target=/x,rw=maybe",
        "--mount=type=cache,target=/c,sharing=all",
        "--mount=type=cache,target=/c,mode=u+s",
        "--mount=type=devpts,target=/x",
        "--security=none",
        "--security=1",
        "--network=container:x",
        "--network=-1",
    ] {
        let text = format!("FROM base\nRUN {flag} x\n");
        let planned = try_plan(&text, |request| {
            (request.allow_host_network, request.allow_insecure) = (true, true);
        });
        assert!(planned.is_err(), "{flag}");
    }
    let text = "FROM base\nRUN --mount=type=bind,target=/x --security=sandbox --network=none x\n";
    planned(text);
}

#[test]
fn secrets_have_their_places() {
    for (mount, target, file, variable) in [
        ("id=a", "/run/secrets/a", true, None),
        ("id=a,target=b", "/w/b", true, None),
        ("id=a,env=V", "/run/secrets/a", false, Some("V")),
        ("id=a,env=V,target=/b", "/b", true, Some("V")),
        ("target=/c/d", "/c/d", true, None),
    ] {
        let text = format!("FROM base\nWORKDIR /w\nRUN --mount=type=secret,{mount} x\n");
        let plan = planned(&text);
        let Action::Run(run) = &plan.steps[plan.target.unwrap()].action else { panic!() };
        assert_eq!(run.mounts[0].target, target, "{mount}");
        let MountFrom::Secret { file: found, variable: name, .. } = &run.mounts[0].from else {
            panic!("{mount}")
        };
        assert_eq!((*found, name.as_deref()), (file, variable), "{mount}");
    }
}

#[test]
fn stages_that_need_each_other_without_end_are_an_error() {
    let mut text = String::from("FROM base AS s0\n");
    for stage in 1..200 {
        text += &format!("FROM s{} AS s{stage}\n", stage - 1);
    }
    let error = try_plan(&text, |_| {}).unwrap_err().to_string();
    assert_eq!(error, "more than 60 stages need each other");
}

#[test]
fn an_epoch_is_a_number() {
    let text = "FROM base\n";
    let with = |value: &str| {
        let value = value.to_owned();
        try_plan(text, |request| {
            drop(request.arguments.insert("SOURCE_DATE_EPOCH".into(), value));
        })
    };
    assert_eq!(with("7").unwrap().epoch.unwrap().unix_seconds(), 7);
    assert!(with("").unwrap().epoch.is_none());
    assert!(with("yesterday").is_err());
}

#[test]
fn a_base_is_a_step_with_its_layers() {
    let plan = planned("FROM base\n");
    let Action::Base(layers) = &plan.steps[plan.target.unwrap()].action else { panic!() };
    let want: Digest = content::sha256(b"layer");
    assert_eq!(layers, &[want]);
    assert!(planned("FROM scratch\n").target.is_none());
}

/// Shown for stages and instructions with `check_size` taken out.
#[test]
fn a_file_that_would_take_all_memory_is_refused() {
    let refused = |text: String| try_plan(&text, |_| {}).unwrap_err().error.to_string();
    let stages = "FROM scratch\n".repeat(301);
    assert!(refused(stages).contains("301 stages"));
    let variables: String =
        (0..2501).map(|number| format!("ENV A{number}=1 B{number}=2\n")).collect();
    assert!(refused(format!("FROM scratch\n{variables}")).contains("5002 instructions"));
    let doubled: String = (0..40).map(|_| "ENV A=$A$A\n").collect();
    let text = format!("FROM scratch\nENV A={}\n{doubled}", "x".repeat(100));
    assert!(refused(text).contains("variables add more than 1048576 bytes"));
}
