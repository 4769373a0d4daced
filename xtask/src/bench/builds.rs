//! Builds: many small steps, nothing to do in a large context, stages beside each other, and the
//! memory that they take.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Bench;
use super::builders::{BASE, Builder, builders};
use super::measure::{Samples, Table, time};
use super::peers::{find, high_water};

/// Files of the large context, and the bytes of each: 200 MB.
const FILES: usize = 5_000;
const FILE_BYTES: usize = 40 << 10;
/// Those of the largest: 1 GB.
const MORE_FILES: usize = 20_000;
const MORE_FILE_BYTES: usize = 50 << 10;
/// What each of the stages counts to: some tenths of a second.
const COUNT: usize = 200_000;
const STAGES: usize = 4;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let (builders, absent) = builders(bench)?;
    let names: Vec<String> = builders.iter().map(|builder| builder.name.clone()).collect();
    let mut table = Table::new("Builds", "ms", names.clone());
    table.absent = absent;
    let mut memory = Table::new("Peak memory of a build, with its daemon", "MB", names);
    // A slow peer takes seconds for each.
    let runs = (bench.runs / 5).max(3);
    let mut rows = Rows { bench, builders: &builders, table: &mut table, memory: &mut memory };

    let steps = context(bench, "steps", |base| {
        let mut text = format!("FROM {base}\n");
        for step in 0..20 {
            let _ = writeln!(text, "RUN echo {step} > /file-{step}");
        }
        text
    })?;
    rows.add("20 trivial RUNs, nothing known", &steps, runs, true)?;
    rows.add("the same, all known", &steps, runs, false)?;

    let copy = |base: &str| format!("FROM {base}\nCOPY . /x\nRUN true\n");
    let large = context(bench, "large", copy)?;
    files(&large, FILES, FILE_BYTES)?;
    rows.add("200 MB in 5,000 files, nothing known", &large, 2, true)?;
    rows.add("the same, all known", &large, runs, false)?;

    let largest = context(bench, "largest", copy)?;
    files(&largest, MORE_FILES, MORE_FILE_BYTES)?;
    rows.add("1 GB in 20,000 files, second build", &largest, 2, false)?;

    let one = context(bench, "stage", |base| stages(base, 1))?;
    rows.add("one stage that computes", &one, runs, true)?;
    let four = context(bench, "stages", |base| stages(base, STAGES))?;
    rows.add("four of them", &four, runs, true)?;
    Ok(vec![table, memory])
}

struct Rows<'a> {
    bench: &'a Bench,
    builders: &'a [Builder],
    table: &'a mut Table,
    memory: &'a mut Table,
}

impl Rows<'_> {
    /// Measures one context, `fresh` without what is known, and once the memory.
    fn add(
        &mut self,
        name: &str,
        context: &Path,
        runs: usize,
        fresh: bool,
    ) -> Result<(), Box<dyn Error>> {
        let (bench, builders) = (self.bench, self.builders);
        let command = |builder: &Builder| {
            builder.build(context, &context.join(file_name(&builder.base())), fresh)
        };
        self.table.turns(name, runs, |index| time(&mut command(&builders[index])).map(Some))?;
        let peaks = builders.iter().map(|builder| peak(bench, builder, &mut command(builder)));
        let peaks: Vec<Option<f64>> = peaks.collect::<Result<_, Box<dyn Error>>>()?;
        let samples = peaks.into_iter().map(|peak| peak.map(|peak| Samples(vec![peak])));
        self.memory.add(name, samples.collect());
        Ok(())
    }
}

/// Stages that compute, each for itself, and one that takes from all.
fn stages(base: &str, count: usize) -> String {
    let mut text = String::new();
    for stage in 0..count {
        let _ = writeln!(
            text,
            "FROM {base} AS s{stage}\n\
             RUN i=0; while [ $i -lt {COUNT} ]; do i=$((i+1)); done; echo $i > /r{stage}"
        );
    }
    let _ = writeln!(text, "FROM {base}");
    for stage in 0..count {
        let _ = writeln!(text, "COPY --from=s{stage} /r{stage} /");
    }
    text
}

/// The largest resident size, in MB, of any process of the command, and of its daemon and what
/// that has started, together. `None` without GNU time.
fn peak(
    bench: &Bench,
    builder: &Builder,
    command: &mut Command,
) -> Result<Option<f64>, Box<dyn Error>> {
    if find("time").is_none() {
        return Ok(None);
    }
    let family = builder.daemon().map(family).unwrap_or_default();
    for id in &family {
        // Forgets the peak so far. proc(5), /proc/PID/clear_refs.
        let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
    }
    let (_, own) = bench.time_and_peak(command)?;
    let served = family.iter().filter_map(|id| high_water(*id)).sum::<f64>();
    Ok(Some(own + served))
}

/// A process and all that descend from it.
fn family(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut at = 0;
    while let Some(id) = all.get(at).copied() {
        at += 1;
        let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    all
}

/// A directory with a Dockerfile for each way to name the base image.
fn context(
    bench: &Bench,
    name: &str,
    dockerfile: impl Fn(&str) -> String,
) -> Result<PathBuf, Box<dyn Error>> {
    let folder = bench.work.path().join(name);
    fs::create_dir_all(&folder)?;
    for base in [BASE.to_owned(), format!("localhost/{BASE}")] {
        fs::write(folder.join(file_name(&base)), dockerfile(&base))?;
    }
    // So that a Dockerfile beside it is no content.
    fs::write(folder.join(".dockerignore"), "*.Dockerfile\n.dockerignore\n")?;
    Ok(folder)
}

fn files(folder: &Path, count: usize, bytes: usize) -> Result<(), Box<dyn Error>> {
    for file in 0..count {
        let folder = folder.join(format!("d{}", file / 100));
        fs::create_dir_all(&folder)?;
        let line = format!("{file}\n");
        fs::write(folder.join(format!("f{file}")), line.repeat(bytes / line.len()))?;
    }
    Ok(())
}

fn file_name(base: &str) -> String {
    format!("{}.Dockerfile", base.replace(['/', ':'], "-"))
}
