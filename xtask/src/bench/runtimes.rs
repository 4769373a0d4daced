//! Beside what only starts processes: runc, crun, bubblewrap.
//!
//! crun refuses a machine with both cgroup versions, so all of this runs in a mount namespace
//! without the unified one, where that is mounted beside version 1. The bundle is `runc spec`'s
//! own with another root and command, once without a seccomp filter and once with Docker's.
//! `KISTA_BENCH_RUNTIMES=NAME=PATH,...` adds others.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::Bench;
use super::measure::{Samples, Table, time};
use super::peers::{Engine, find, kista, podman};

/// Tells the program that it runs in the namespace already.
const INSIDE: &str = "KISTA_BENCH_INSIDE";
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// A name, and what makes the command of one turn.
type Contender = (String, Box<dyn Fn() -> Command>);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    if Path::new(UNIFIED).exists() && std::env::var_os(INSIDE).is_none() {
        return inside(bench);
    }
    let rootfs = bench.work.path().join("rootfs");
    fs::create_dir_all(&rootfs)?;
    let archive = bench.work.path().join("rootfs.tar");
    fs::write(&archive, testkit::image::busybox_layer())?;
    time(Command::new("tar").arg("-xpf").arg(&archive).arg("-C").arg(&rootfs))?;
    let image = bench.work.path().join("busybox.tar");
    fs::write(&image, testkit::Image::busybox("busybox").docker_archive())?;

    let mut contenders: Vec<Contender> = Vec::new();
    let mut absent = Vec::new();
    let add_engine = |engine: Engine, contenders: &mut Vec<Contender>| {
        time(&mut engine.load(&image))?;
        let name = engine.image("busybox");
        contenders.push((
            engine.name.clone(),
            Box::new(move || engine.command(&["run", "--rm", "--network", "none", &name, "true"])),
        ));
        Ok::<(), Box<dyn Error>>(())
    };
    add_engine(kista(bench), &mut contenders)?;
    let bundles =
        [("run", bundle(bench, &rootfs, false)), ("run + seccomp", bundle(bench, &rootfs, true))];
    // By its name as a runtime.
    let own = bench.work.path().join("kista-oci");
    let linked = std::os::unix::fs::symlink(fs::canonicalize(&bench.kista)?, &own);
    let own = linked.is_ok().then_some(own);
    let installed = ["runc", "crun"].map(|name| (name.to_owned(), find(name)));
    let runtimes = std::iter::once(("kista-oci".to_owned(), own)).chain(installed);
    for (runtime, program) in runtimes.chain(others()) {
        for (what, bundle) in &bundles {
            match (&program, bundle) {
                (None, _) => absent.push(format!("{runtime}: not installed")),
                (_, Err(err)) => absent.push(format!("{runtime}: no bundle: {err}")),
                (Some(program), Ok(bundle)) => {
                    let state = bench.work.path().join(format!("state-{runtime}"));
                    let (program, bundle) = (program.clone(), bundle.clone());
                    contenders.push((
                        format!("{runtime} {what}"),
                        Box::new(move || {
                            let mut command = Command::new(&program);
                            command.arg("--root").arg(&state).args(["run", "--bundle"]);
                            command.arg(&bundle).arg("kista-bench");
                            command
                        }),
                    ));
                }
            }
        }
    }
    match find("bwrap") {
        None => absent.push("bubblewrap: not installed".into()),
        Some(program) => contenders.push((
            "bwrap".into(),
            Box::new(move || {
                let mut command = Command::new(&program);
                command.args(["--unshare-all", "--ro-bind"]).arg(&rootfs).arg("/");
                command.args(["--proc", "/proc", "--dev", "/dev", "/bin/true"]);
                command
            }),
        )),
    }
    match podman(bench, "crun") {
        Err(err) => absent.push(err.to_string()),
        Ok(engine) => match add_engine(engine, &mut contenders) {
            Ok(()) => {}
            Err(err) => absent.push(format!("podman + crun: {err}")),
        },
    }
    // A contender that cannot even do it once is named and left out.
    contenders.retain(|(name, command)| match time(&mut command()) {
        Ok(_) => true,
        Err(err) => {
            absent.push(format!("{name}: {err}"));
            name == "kista"
        }
    });
    let names = contenders.iter().map(|(name, _)| name.clone()).collect();
    let mut table = Table::new("Beside what starts processes only", "ms", names);
    table.absent = absent;
    table.turns("run of true", bench.runs, |index| Ok(Some(time(&mut contenders[index].1())?)))?;
    let mut tables = vec![table];
    // Of engines this says little: what they leave to daemons and shims is not among it.
    contenders.retain(|(name, _)| name.contains(" run"));
    match find("time") {
        Some(_) if !contenders.is_empty() => tables.push(memory(bench, &contenders)?),
        _ => eprintln!("bench:   no peak memory: time(1) or the runtimes are not installed"),
    }
    Ok(tables)
}

/// Further runtimes, as `NAME=PATH` with commas between.
const OTHERS: &str = "KISTA_BENCH_RUNTIMES";

/// Those that were built for this: a current crun, youki.
fn others() -> Vec<(String, Option<PathBuf>)> {
    let list = std::env::var(OTHERS).unwrap_or_default();
    let pairs = list.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, path)| (name.to_owned(), fs::canonicalize(path).ok())).collect()
}

/// The most memory that a process of a runtime's has had: the largest of all that it waited for,
/// itself among them, as getrusage(2) has it. The container's own `true` is smaller than any.
fn memory(bench: &Bench, all: &[Contender]) -> Result<Table, Box<dyn Error>> {
    let names = all.iter().map(|(name, _)| name.clone()).collect();
    let mut table = Table::new("Peak memory of a runtime's processes", "MiB", names);
    let mut samples = vec![Samples::default(); all.len()];
    for _ in 0..bench.runs {
        for ((_, command), samples) in all.iter().zip(&mut samples) {
            let (_, peak) = bench.time_and_peak(&mut command())?;
            samples.0.push(peak);
        }
    }
    table.add("run of true", samples.into_iter().map(Some).collect());
    Ok(table)
}

/// Does it all again in a mount namespace, and prints from there.
fn inside(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let script = format!("umount {UNIFIED} && exec \"$0\" bench runtimes {}", bench.runs);
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .arg(std::env::current_exe()?)
        .env(INSIDE, "1")
        .env("KISTA_BIN", &bench.kista)
        .status()?;
    if status.success() { Ok(Vec::new()) } else { Err(format!("bench runtimes: {status}").into()) }
}

fn bundle(bench: &Bench, rootfs: &Path, filtered: bool) -> Result<PathBuf, Box<dyn Error>> {
    let folder = bench.work.path().join(if filtered { "bundle-seccomp" } else { "bundle" });
    fs::create_dir_all(&folder)?;
    let runc = find("runc").ok_or("no runc to write one")?;
    time(Command::new(runc).arg("spec").current_dir(&folder))?;
    let path = folder.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&path)?)?;
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = serde_json::json!(["true"]);
    // More than root may set on some machines.
    spec["process"]["rlimits"] = serde_json::json!([]);
    // What cannot be ambient is warned of, which costs whoever says so.
    spec["process"]["capabilities"]["ambient"] = serde_json::json!([]);
    spec["root"]["path"] = rootfs.to_string_lossy().into_owned().into();
    if filtered {
        let profile = seccomp::profile::docker(seccomp::profile::Capabilities::NONE);
        spec["linux"]["seccomp"] = serde_json::to_value(profile)?;
    }
    fs::write(&path, spec.to_string())?;
    Ok(folder)
}
