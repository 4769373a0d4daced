//! Builds: many small steps, nothing to do in a large context, stages beside each other.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::Bench;
use super::measure::{Table, time};
use super::peers::{Engine, engines};

/// Files of the large context, and the bytes of each: 200 MB.
const FILES: usize = 5_000;
const FILE_BYTES: usize = 40 << 10;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let (engines, absent) = engines(bench);
    let archive = bench.work.path().join("busybox.tar");
    fs::write(&archive, testkit::Image::busybox("busybox:bench").docker_archive())?;
    for engine in &engines {
        time(&mut engine.load(&archive))?;
    }
    let names = engines.iter().map(|engine| engine.name.clone()).collect();
    let mut table = Table::new("Builds", "ms", names);
    table.absent = absent;
    // A slow peer takes seconds for each.
    let runs = (bench.runs / 5).max(3);

    let steps = context(bench, "steps", |engine| {
        let mut text = format!("FROM {engine}\n");
        for step in 0..20 {
            let _ = writeln!(text, "RUN echo {step} > /file-{step}");
        }
        text
    })?;
    table.turns("20 trivial RUNs, nothing known", runs, |index| {
        build(&engines[index], &steps, &["--no-cache"]).map(Some)
    })?;
    table.turns("the same, all known", runs, |index| {
        build(&engines[index], &steps, &[]).map(Some)
    })?;

    let large = context(bench, "large", |engine| format!("FROM {engine}\nCOPY . /x\nRUN true\n"))?;
    for file in 0..FILES {
        let folder = large.join(format!("d{}", file / 100));
        fs::create_dir_all(&folder)?;
        let line = format!("{file}\n");
        fs::write(folder.join(format!("f{file}")), line.repeat(FILE_BYTES / line.len()))?;
    }
    table.turns("200 MB in 5,000 files, all known", runs, |index| {
        build(&engines[index], &large, &[]).map(Some)
    })?;

    let stages = context(bench, "stages", |engine| {
        let mut text = String::new();
        for stage in 0..4 {
            let _ = writeln!(
                text,
                "FROM {engine} AS s{stage}\nRUN i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo $i > /r{stage}"
            );
        }
        let _ = writeln!(text, "FROM {engine}");
        for stage in 0..4 {
            let _ = writeln!(text, "COPY --from=s{stage} /r{stage} /");
        }
        text
    })?;
    table.turns("four stages that compute", runs, |index| {
        build(&engines[index], &stages, &["--no-cache"]).map(Some)
    })?;
    Ok(vec![table])
}

/// A directory with a Dockerfile for each way to name the base image.
fn context(
    bench: &Bench,
    name: &str,
    dockerfile: impl Fn(&str) -> String,
) -> Result<PathBuf, Box<dyn Error>> {
    let folder = bench.work.path().join(name);
    fs::create_dir_all(&folder)?;
    for base in ["busybox:bench", "localhost/busybox:bench"] {
        fs::write(folder.join(file_name(base)), dockerfile(base))?;
    }
    // So that a Dockerfile beside it is no content.
    fs::write(folder.join(".dockerignore"), "*.Dockerfile\n.dockerignore\n")?;
    Ok(folder)
}

fn file_name(base: &str) -> String {
    format!("{}.Dockerfile", base.replace(['/', ':'], "-"))
}

fn build(
    engine: &Engine,
    context: &Path,
    arguments: &[&str],
) -> Result<std::time::Duration, Box<dyn Error>> {
    let file = context.join(file_name(&engine.image("busybox:bench")));
    let mut command = engine.command(&["build", "-q", "-t", "built"]);
    command.args(arguments).arg("-f").arg(file).arg(context);
    if engine.name.starts_with("docker") {
        // The classic builder: what this daemon has without a plugin.
        command.env("DOCKER_BUILDKIT", "0");
    }
    if engine.name.starts_with("podman") {
        // As the others: a layer for each step. And the daemon of neither makes a network.
        command.args(["--layers", "--network=none"]);
    }
    time(&mut command)
}
