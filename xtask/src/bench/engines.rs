//! The life of containers, with Docker and Podman.

use std::error::Error;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::Bench;
use super::measure::{Samples, Table, time};
use super::peers::{Engine, engines};

/// A container that only a signal ends, and at once.
const SLEEP: &[&str] = &["sleep", "100000"];
const OPTIONS: &[&str] = &["--network", "none", "--stop-signal", "KILL"];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let (engines, absent) = engines(bench);
    let archive = bench.work.path().join("busybox.tar");
    fs::write(&archive, testkit::Image::busybox("busybox").docker_archive())?;
    for engine in &engines {
        time(&mut engine.load(&archive))?;
    }
    let names = || engines.iter().map(|engine| engine.name.clone()).collect();
    let mut single = Table::new("One container", "ms", names());
    single.absent = absent;
    run_and_exec(bench, &engines, &mut single)?;
    life(bench, &engines, &mut single)?;
    let mut many = Table::new("Many containers", "ms", names());
    hundred(&engines, &mut many)?;
    thousand(bench, &engines, &mut many)?;
    let mut memory = Table::new("Supervision of one idle container", "KiB of PSS", names());
    shims(&engines, &mut memory)?;
    Ok(vec![single, many, memory])
}

/// `VERB OPTIONS WORDS IMAGE COMMAND`
fn words<'a>(verb: &[&'a str], image: &'a str, command: &[&'a str]) -> Vec<&'a str> {
    [verb, OPTIONS, &[image], command].concat()
}

fn run_and_exec(
    bench: &Bench,
    engines: &[Engine],
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let images: Vec<String> = engines.iter().map(|engine| engine.image("busybox")).collect();
    table.turns("run --rm --network none true", bench.runs, |index| {
        let run = ["run", "--rm", "--network", "none", &images[index], "true"];
        Ok(Some(time(&mut engines[index].command(&run))?))
    })?;
    let mut ids = Vec::new();
    for (engine, image) in engines.iter().zip(&images) {
        ids.push(engine.output(&words(&["run", "-d"], image, SLEEP))?);
    }
    table.turns("exec true", bench.runs, |index| {
        Ok(Some(time(&mut engines[index].command(&["exec", &ids[index], "true"]))?))
    })?;
    for (engine, id) in engines.iter().zip(&ids) {
        engine.output(&["rm", "-f", id])?;
    }
    Ok(())
}

/// create, start, stop and rm of one container after another.
fn life(bench: &Bench, engines: &[Engine], table: &mut Table) -> Result<(), Box<dyn Error>> {
    let steps = ["create", "start", "stop", "rm"];
    let mut samples = vec![vec![Samples::default(); engines.len()]; steps.len()];
    for round in 0..=bench.runs {
        for (index, engine) in engines.iter().enumerate() {
            let image = engine.image("busybox");
            for (step, samples) in steps.iter().zip(&mut samples) {
                let mut command = match *step {
                    "create" => {
                        engine.command(&words(&["create", "--name", "bench"], &image, SLEEP))
                    }
                    step => engine.command(&[step, "bench"]),
                };
                let taken = time(&mut command)?;
                if round > 0 {
                    samples[index].0.push(taken.as_secs_f64() * 1e3);
                }
            }
        }
    }
    for (step, samples) in steps.iter().zip(samples) {
        table.add(step, samples.into_iter().map(Some).collect());
    }
    Ok(())
}

/// A hundred at a time.
fn hundred(engines: &[Engine], table: &mut Table) -> Result<(), Box<dyn Error>> {
    const COUNT: usize = 100;
    const ROUNDS: usize = 3;
    let operations = [
        "100 detached starts one after another",
        "rm -f of 100 running",
        "100 detached starts at once",
        "errors among 100 at once (a count)",
    ];
    let mut samples = vec![vec![Samples::default(); engines.len()]; operations.len()];
    for _ in 0..ROUNDS {
        for (index, engine) in engines.iter().enumerate() {
            let image = engine.image("busybox");
            let run = words(&["run", "-d"], &image, SLEEP);
            let start = Instant::now();
            for _ in 0..COUNT {
                time(&mut engine.command(&run))?;
            }
            push(&mut samples[0][index], start.elapsed());
            push(&mut samples[1][index], remove_all(engine)?);
            let start = Instant::now();
            let mut children = Vec::new();
            for _ in 0..COUNT {
                let mut command = engine.command(&run);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                children.push(command.spawn()?);
            }
            let mut errors = 0.0;
            for mut child in children {
                errors += f64::from(u8::from(!child.wait()?.success()));
            }
            push(&mut samples[2][index], start.elapsed());
            samples[3][index].0.push(errors);
            remove_all(engine)?;
        }
    }
    for (operation, samples) in operations.iter().zip(samples) {
        table.add(operation, samples.into_iter().map(Some).collect());
    }
    Ok(())
}

fn push(samples: &mut Samples, taken: Duration) {
    samples.0.push(taken.as_secs_f64() * 1e3);
}

fn remove_all(engine: &Engine) -> Result<Duration, Box<dyn Error>> {
    let ids = engine.output(&["ps", "-aq"])?;
    let mut arguments = vec!["rm", "-f"];
    arguments.extend(ids.lines());
    time(&mut engine.command(&arguments))
}

/// `ps` with a thousand stopped ones.
fn thousand(bench: &Bench, engines: &[Engine], table: &mut Table) -> Result<(), Box<dyn Error>> {
    for engine in engines {
        let image = engine.image("busybox");
        for _ in 0..1000 {
            time(&mut engine.command(&words(&["create"], &image, SLEEP)))?;
        }
    }
    table.turns("ps -a with 1,000 containers", bench.runs, |index| {
        Ok(Some(time(&mut engines[index].command(&["ps", "-a"]))?))
    })?;
    for engine in engines {
        remove_all(engine)?;
    }
    Ok(())
}

/// The parent of a container's first process.
fn shims(engines: &[Engine], table: &mut Table) -> Result<(), Box<dyn Error>> {
    let mut all = Vec::new();
    for engine in engines {
        let mut samples = Samples::default();
        for _ in 0..5 {
            let image = engine.image("busybox");
            let id = engine.output(&words(&["run", "-d"], &image, SLEEP))?;
            let pid = engine.output(&["inspect", "--format", "{{.State.Pid}}", &id])?;
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
            let parent = parent.ok_or("a process without a parent")?;
            // What it needed for the start alone is given back a moment later.
            std::thread::sleep(Duration::from_millis(1500));
            let rollup = fs::read_to_string(format!("/proc/{parent}/smaps_rollup"))?;
            let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            let pss = pss.and_then(|text| text.trim().split(' ').next()).unwrap_or("nan");
            samples.0.push(pss.parse()?);
            engine.output(&["rm", "-f", &id])?;
        }
        all.push(Some(samples));
    }
    table.add("parent of its first process", all);
    Ok(())
}
