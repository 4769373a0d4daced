//! The corpus (`tests/e2e/corpus`): Kista and others make the same of it.
//!
//! What the classic builder knows is built beside it, what is newer beside those that know it: the
//! BuildKit in Debian's Docker, and Debian's Buildah. Everything is built beside a current BuildKit
//! where `TEST_BUILDKIT` names one, and what is newer beside what one has given where it does not:
//! `corpus/results`, which `TEST_RECORD=1` writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use testkit::{Image, Kista, needs};

use super::contexts::Web;
use crate::registry::Dockerd;

mod case;
mod facts;
mod peers;

use case::{Case, cases};
use facts::Facts;
use peers::{Build, Buildah, Buildkit, Docker, Ours, Peer};

/// When the files of a context were changed; what is as old in an image has kept its time.
const OLD: i64 = 1_000_000_000;

/// What a builder made of a case: an image, or what it said.
type Made = Result<Facts, String>;

fn build(peer: &dyn Peer, case: &Case, web: &str, base: &Facts) -> Made {
    let context = case.context(web);
    let temp = tempfile::tempdir().unwrap();
    let archive = temp.path().join("image.tar");
    let options = case.options(&context);
    peer.build(&Build { options: &options, context: &context, archive: &archive })?;
    Ok(facts::without_base(facts::of_archive(&archive), base))
}

/// What is wrong with a case beside one peer.
fn compare(case: &Case, peer: &str, ours: &Made, theirs: &Made) -> Option<String> {
    let problem = match (ours, theirs) {
        (Err(_), Err(_)) if case.fails => None,
        (Ok(ours), Ok(theirs)) if !case.fails => {
            let found = facts::differences(ours, theirs, peer);
            (!found.is_empty()).then(|| found.join("\n    "))
        }
        _ => {
            let said = |made: &Made| match made {
                Ok(_) => "builds it".to_owned(),
                Err(text) => format!("refuses it:\n{text}"),
            };
            Some(format!("kista {}, {peer} {}", said(ours), said(theirs)))
        }
    };
    match (problem, case.differs.contains_key(peer)) {
        (Some(problem), false) => Some(format!("{} ({peer}):\n    {problem}", case.name)),
        (None, true) => Some(format!("{} ({peer}): there is no difference any more", case.name)),
        _ => None,
    }
}

/// The file of what a current BuildKit has made of a file of cases.
fn record_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/results/{name}.txt"))
}

/// Cases as in the corpus, each followed by its facts: a name, a tabulator, what is known.
fn recorded(name: &str) -> BTreeMap<String, Made> {
    let text = fs::read_to_string(record_path(name)).unwrap_or_default();
    let mut made: BTreeMap<String, Made> = BTreeMap::new();
    let mut case = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            name.clone_into(&mut case);
            made.insert(case.clone(), Ok(Facts::new()));
        } else if line == "refused" {
            made.insert(case.clone(), Err("as recorded".into()));
        } else if let (Some(Ok(facts)), Some((name, known))) =
            (made.get_mut(&case), line.split_once('\t'))
        {
            facts.insert(name.to_owned(), known.to_owned());
        }
    }
    made
}

/// Writes what is known of these cases, in their order.
fn record(name: &str, cases: &[Case], known: &BTreeMap<String, Made>) {
    let mut text = String::new();
    for (case, made) in cases.iter().filter_map(|case| Some((case, known.get(&case.name)?))) {
        text += &format!("== {}\n", case.name);
        match made {
            Err(_) => text += "refused\n",
            Ok(facts) => {
                facts.iter().for_each(|(name, known)| text += &format!("{name}\t{known}\n"));
            }
        }
    }
    fs::create_dir_all(record_path(name).parent().unwrap()).unwrap();
    fs::write(record_path(name), text).unwrap();
}

/// Serves what cases add from the web.
fn web() -> Web {
    let context = Case::default().context("");
    let read = |name: &str| fs::read(context.file(name)).unwrap();
    let files = [("/a.txt", "a.txt"), ("/a.txt?x=1", "b.txt"), ("/archive.tar", "archive.tar")];
    Web::on_this_machine(&files.map(|(path, name)| (path, read(name))))
}

/// Builds a file of cases beside the peers that know all of it, or those that the case names.
fn check(name: &str, text: &str, beside: &[&str]) {
    let kista = Kista::on_this_machine();
    kista.load(&Image::busybox("busybox"));
    let web = web();
    let ours = Ours(kista);
    let dockerd = Dockerd::start(&[]);
    let mut peers = Docker::both(&dockerd);
    let plain = cases("== base\nFROM busybox\n").remove(0);
    let base = build(&ours, &plain, &web.base, &Facts::new()).unwrap();
    let cases = cases(text);
    let names = |case: &Case| match &case.beside {
        Some(names) => names.clone(),
        None => beside.iter().map(|name| (*name).to_owned()).collect(),
    };
    if cases.iter().any(|case| names(case).iter().any(|name| name == "buildah")) {
        peers.push(Box::new(Buildah::new()));
    }
    let current = Buildkit::named();
    let mut known = recorded(name);
    let only = std::env::var("CORPUS_ONLY").unwrap_or_default();
    let mut problems = Vec::new();
    for case in cases.iter().filter(|case| case.name.contains(&only)) {
        let made = build(&ours, case, &web.base, &base);
        let wanted = names(case);
        for peer in peers.iter().filter(|peer| wanted.iter().any(|name| name == peer.name())) {
            let theirs = build(peer.as_ref(), case, &web.base, &base);
            problems.extend(compare(case, peer.name(), &made, &theirs));
        }
        let theirs = match &current {
            Some(current) => build(current, case, &web.base, &base),
            // What the classic builder knows was not recorded.
            None if known.is_empty() => continue,
            None => known.get(&case.name).cloned().unwrap_or_else(|| {
                panic!("{}: not in corpus/results: see corpus/README.md", case.name)
            }),
        };
        problems.extend(compare(case, "buildkit", &made, &theirs));
        known.insert(case.name.clone(), theirs);
    }
    if current.is_some() && std::env::var_os("TEST_RECORD").is_some() {
        record(name, &cases, &known);
    }
    assert!(problems.is_empty(), "{} problems\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn corpus_of_copy() {
    needs!(Root, Busybox, Dockerd);
    check("copy", include_str!("../../../../corpus/copy.txt"), &["classic"]);
}

#[test]
fn corpus_of_add() {
    needs!(Root, Busybox, Dockerd, Compressors);
    check("add", include_str!("../../../../corpus/add.txt"), &["classic"]);
}

#[test]
fn corpus_of_run() {
    needs!(Root, Busybox, Dockerd);
    check("run", include_str!("../../../../corpus/run.txt"), &["classic"]);
}

#[test]
fn corpus_of_configurations() {
    needs!(Root, Busybox, Dockerd);
    check("config", include_str!("../../../../corpus/config.txt"), &["classic"]);
}

#[test]
fn corpus_of_stages() {
    needs!(Root, Busybox, Dockerd);
    check("stages", include_str!("../../../../corpus/stages.txt"), &["classic"]);
}

#[test]
fn corpus_of_the_language() {
    needs!(Root, Busybox, Dockerd);
    check("parser", include_str!("../../../../corpus/parser.txt"), &["classic"]);
}

#[test]
fn corpus_of_heredocs() {
    needs!(Root, Busybox, Dockerd);
    check("heredocs", include_str!("../../../../corpus/heredocs.txt"), &[]);
}

#[test]
fn corpus_of_mounts() {
    needs!(Root, Busybox, Dockerd, Buildah);
    check("mounts", include_str!("../../../../corpus/mounts.txt"), &["docker", "buildah"]);
}

#[test]
fn corpus_of_newer_copies() {
    needs!(Root, Busybox, Dockerd, Buildah, Compressors);
    check("newer", include_str!("../../../../corpus/newer.txt"), &[]);
}

#[test]
fn corpus_of_variables() {
    needs!(Root, Busybox, Dockerd, Buildah);
    check("variables", include_str!("../../../../corpus/variables.txt"), &[]);
}

#[test]
fn corpus_of_contexts() {
    needs!(Root, Busybox, Dockerd, Buildah);
    check("contexts", include_str!("../../../../corpus/contexts.txt"), &["buildah"]);
}
