//! `ci`: the pieces that must hold for a change to land, in the order in which they fail fast.
//!
//! The tests run under nextest. A test that skips itself, because this machine lacks what it
//! needs, writes its name to the file that `TEST_SKIPS` names; the list is printed at the end,
//! and the closing line counts those as skipped and not as passed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::process::{cargo, run as spawn};
use crate::workspace::{Workspace, root};
use crate::{Outcome, compat, dist, fuzz, guest, licences, tidy};

type Piece = (&'static str, fn() -> Outcome);

const PIECES: &[Piece] = &[
    ("fmt", || spawn(&mut cargo(&["fmt", "--all", "--check"]))),
    ("tidy", tidy::run),
    ("licences", licences),
    ("clippy", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--"];
        spawn(cargo(&arguments).args(["-D", "warnings"]))
    }),
    ("build", || dist::build().map(|_| ())),
    ("compat", || compat::run(true)),
    ("fuzz", || fuzz::run(5)),
    ("test", test),
    ("peers", peers),
    ("guest", guest::run_if_possible),
];

/// Runs the pieces named, or all; goes on after a failure so that one run shows all of them.
pub(crate) fn run(names: &[&str]) -> Outcome {
    if let Some(unknown) = names.iter().find(|name| !PIECES.iter().any(|(known, _)| known == *name))
    {
        return Err(format!("ci has no piece {unknown}").into());
    }
    let mut failed = Vec::new();
    let mut closing = None;
    for (name, piece) in PIECES.iter().filter(|(name, _)| names.is_empty() || names.contains(name))
    {
        println!("== {name}");
        let start = Instant::now();
        if let Err(err) = piece() {
            println!("{err}");
            failed.push(*name);
        }
        println!("== {name}: {} s", start.elapsed().as_secs());
        if *name == "test" {
            closing =
                fs::read_to_string(Workspace::load(false)?.target_directory.join(CLOSING)).ok();
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    if let Some(line) = closing {
        println!("{line}");
    }
    if failed.is_empty() { Ok(()) } else { Err("ci failed".into()) }
}

/// Our own check, and cargo-deny's where it is installed.
fn licences() -> Outcome {
    licences::run()?;
    let asked = cargo(&["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !asked.is_ok_and(|status| status.success()) {
        println!("skipped: cargo-deny is not installed (advisories are not checked)");
        return Ok(());
    }
    let arguments =
        ["deny", "--offline", "check", "--disable-fetch", "licenses", "bans", "sources"];
    spawn(&mut cargo(&arguments))
}

/// The conformance tests against the runtimes of others, so that the tests are tested.
fn peers() -> Outcome {
    let promised = std::env::var("TEST_PROMISED").unwrap_or_default();
    let mut failed = Vec::new();
    for (name, path) in [("runc", "/usr/sbin/runc"), ("crun", "/usr/bin/crun")] {
        if Path::new(path).exists() {
            let arguments = ["nextest", "run", "-P", "ci", "-p", "conformance", "--locked"];
            let mut command = cargo(&arguments);
            if spawn(command.arg("--no-fail-fast").env("RUNTIME", path)).is_err() {
                failed.push(name);
            }
        } else if promised.split_whitespace().any(|need| need == name) {
            return Err(format!("{name} was promised, but there is no {path}").into());
        } else {
            println!("skipped: there is no {path}");
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("conformance tests failed on {}", failed.join(", ")).into()),
    }
}

/// Where the closing line is kept, in the target directory.
const CLOSING: &str = "closing-line";

fn test() -> Outcome {
    let workspace = Workspace::load(false)?;
    let skips = workspace.target_directory.join("skipped-tests");
    let closing = workspace.target_directory.join(CLOSING);
    for old in [&skips, &closing] {
        match fs::remove_file(old) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => return Err(err.into()),
            _ => {}
        }
    }
    let mut command = cargo(&["nextest", "run", "-P", "ci", "--workspace", "--locked"]);
    command.arg("--no-fail-fast");
    // Those have a piece of their own.
    command.args(["--exclude", "guest"]);
    command.env("KISTA_BIN", workspace.released()).env("TEST_SKIPS", &skips).current_dir(root());
    if std::env::var_os("CRASH_LIFECYCLES").is_none() {
        command.env("CRASH_LIFECYCLES", "500");
    }
    let (success, summary) = watched(&mut command)?;
    let skipped = report_skips(&skips);
    if let Some(counts) = Counts::parse(&summary) {
        let passed = counts.passed.saturating_sub(skipped);
        let skipped = counts.skipped + skipped;
        let line = format!("{passed} passed, {} failed, {skipped} skipped", counts.failed);
        fs::write(&closing, line)?;
    }
    let flaky = Counts::flaky(&summary);
    if flaky > FLAKY_LIMIT {
        return Err(format!("{flaky} tests needed a second try; {FLAKY_LIMIT} may").into());
    }
    if success { Ok(()) } else { Err("tests failed".into()) }
}

/// How many tests of a run may need a second try: more are no bad luck.
const FLAKY_LIMIT: usize = 4;

/// Runs nextest and shows what it prints; gives its summary line.
fn watched(command: &mut Command) -> Result<(bool, String), Box<dyn std::error::Error>> {
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    let mut summary = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            if line.contains("Summary [") {
                summary.clone_from(&line);
            }
            let mut out = std::io::stderr().lock();
            writeln!(out, "{line}")?;
        }
    }
    Ok((child.wait()?.success(), summary))
}

fn report_skips(list: &Path) -> usize {
    let text = fs::read_to_string(list).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    for line in &lines {
        println!("{line}");
    }
    lines.len()
}

/// What nextest says in `Summary [ 12.3s] 5 tests run: 3 passed (1 slow), 2 failed, 1 skipped`.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    /// `None` if no test ran.
    fn parse(summary: &str) -> Option<Self> {
        let plain = without_colours(summary);
        let (_, results) = plain.split_once("run: ")?;
        Some(Self {
            passed: count(results, &["passed"]),
            failed: count(results, &["failed", "timed", "exec"]),
            skipped: count(results, &["skipped"]),
        })
    }

    /// How many passed on a second try only.
    fn flaky(summary: &str) -> usize {
        count(&without_colours(summary), &["flaky"])
    }
}

/// The sum of the numbers before these words.
fn count(results: &str, names: &[&str]) -> usize {
    let words: Vec<&str> = results.split([' ', ',', '(']).filter(|w| !w.is_empty()).collect();
    let pairs = words.windows(2).filter(|pair| names.contains(&pair[1].trim_end_matches(')')));
    pairs.filter_map(|pair| pair[0].parse::<usize>().ok()).sum()
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_counted() {
        let line = "     \u{1b}[31;1mSummary\u{1b}[0m [   1.0s] 9 tests run: 5 passed (1 slow, 1 flaky), 2 failed, 1 timed out, 3 skipped";
        assert_eq!(Counts::parse(line), Some(Counts { passed: 5, failed: 3, skipped: 3 }));
        assert_eq!(Counts::flaky(line), 1);
        assert_eq!(Counts::parse("nothing"), None);
    }
}
