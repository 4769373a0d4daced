//! `fuzz`: a short run of every fuzz target, so that none rots; longer runs are by hand.
//!
//! The targets are in fuzz/, a workspace of its own. They are built by the stable compiler
//! with the coverage that libFuzzer steers by, and without a sanitizer: the code is safe Rust,
//! so what is looked for are panics, runaway memory and broken invariants.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::process::{cargo, run as spawn};
use crate::workspace::root;

const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions -Clink-dead-code=no --cfg fuzzing";

/// Runs each target for `seconds`; inputs that break it are left in fuzz/artifacts.
pub(crate) fn run(seconds: u64) -> Outcome {
    let folder = root().join("fuzz");
    let target = folder.join("target");
    let mut build = cargo(&["build", "--release", "--locked", "--bins", "--manifest-path"]);
    build
        .arg(folder.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", COVERAGE);
    // A target of its own keeps these flags away from build scripts.
    build.args(["--target", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)]);
    spawn(&mut build)?;
    let built = target.join(format!("{}-unknown-linux-gnu/release", std::env::consts::ARCH));
    let mut names: Vec<_> = fs::read_dir(folder.join("fuzz_targets"))?.collect::<Result<_, _>>()?;
    names.sort_by_key(fs::DirEntry::file_name);
    for entry in names {
        let Some(name) = entry.path().file_stem().map(std::ffi::OsStr::to_owned) else { continue };
        let corpus = folder.join("corpus").join(&name);
        let artifacts = folder.join("artifacts").join(&name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        seed(&name.to_string_lossy(), &corpus)?;
        let mut fuzzer = Command::new(built.join(&name));
        fuzzer.arg(&corpus).arg(format!("-artifact_prefix={}/", artifacts.display()));
        fuzzer.arg(format!("-max_total_time={seconds}"));
        fuzzer.args(["-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=0", "-verbosity=0"]);
        let output = fuzzer.output()?;
        let log = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{log}\nthe fuzz target {} failed", name.display()).into());
        }
        println!("fuzz: {} for {seconds} s: nothing found", name.display());
    }
    Ok(())
}

/// Honest inputs to start from, where random bytes would never get far.
fn seed(target: &str, corpus: &Path) -> Outcome {
    let programs: &[(&str, &[&str])] = match target {
        "tar" => &[
            ("tar", &["--format=v7", "-cf", "-", "deny.toml", ".cargo"]),
            ("tar", &["--format=ustar", "-cf", "-", "deny.toml", ".cargo"]),
            ("tar", &["--format=gnu", "-cf", "-", "deny.toml", ".cargo"]),
            ("tar", &["--format=pax", "--xattrs", "-cf", "-", "deny.toml", ".cargo"]),
        ],
        "decompress" => &[
            ("gzip", &["-c", "deny.toml"]),
            ("xz", &["-c", "deny.toml"]),
            ("zstd", &["-c", "deny.toml"]),
        ],
        _ => &[],
    };
    for (index, (program, arguments)) in programs.iter().enumerate() {
        // A machine without the program fuzzes from fewer seeds.
        if let Ok(output) = Command::new(program).args(*arguments).current_dir(root()).output() {
            fs::write(corpus.join(format!("seed-{index}")), output.stdout)?;
        }
    }
    Ok(())
}
