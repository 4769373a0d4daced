//! Developer tasks: `cargo xtask TASK`.
//!
//! Each task is a module with a `run`. Nothing here is part of the product, and nothing in
//! the product depends on it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that talks to a developer")]

mod bench;
mod ci;
mod compat;
mod dist;
mod fuzz;
mod guest;
mod licences;
mod process;
mod tidy;
mod workspace;

use std::error::Error;
use std::process::ExitCode;

/// What a task gives back; the text is for a person.
type Outcome = Result<(), Box<dyn Error>>;

const USAGE: &str = "\
usage: cargo xtask TASK

  ci [PIECE ...]      what CI runs: fmt tidy licences clippy build compat fuzz test peers guest
  tidy                the rules of the tree that a machine can see
  licences            licences and bans of deny.toml, from the lock file
  compat [--check]    write docs/compat/docker-cli.md from the built kista, or compare with it
  fuzz [SECONDS]      run every fuzz target for a while
  guest [plain|systemd|hybrid] [SUITE[=FILTER] ...]
                      tests in virtual machines, with another kernel
  bench WHAT [RUNS]   Kista beside its peers: run, engines, runtimes, images,
                      transfers, registry, build or all
  dist                build the static kista of a release, into target/dist
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["ci", pieces @ ..] => ci::run(pieces),
        ["tidy"] => tidy::run(),
        ["licences"] => licences::run(),
        ["compat"] => compat::run(false),
        ["compat", "--check"] => compat::run(true),
        ["fuzz"] => fuzz::run(60),
        ["fuzz", seconds] => match seconds.parse() {
            Ok(seconds) => fuzz::run(seconds),
            Err(_) => Err(USAGE.into()),
        },
        ["guest", words @ ..] => guest::run(words),
        ["bench", what] => bench::run(what, 30),
        ["bench", what, runs] => match runs.parse() {
            Ok(runs) => bench::run(what, runs),
            Err(_) => Err(USAGE.into()),
        },
        ["dist"] => dist::run(),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{err}");
            ExitCode::FAILURE
        }
    }
}
