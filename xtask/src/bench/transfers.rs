//! Whole images over the loopback: pull with unpacking, push, and the floor below them.
//!
//! The image is Debian's, a layer of 20,000 small files and one of 300 MB, compressed by skopeo as
//! registries have them, in Debian's docker-registry. Before each pull the page cache is dropped.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::Bench;
use super::clients::{Client, clients};
use super::images::{entries, layers};
use super::measure::{Samples, Table, time};
use super::peers::find;
use super::registries::{Server, docker_registry};

/// How often each client pulls and pushes.
const ROUNDS: usize = 5;

/// Pulls.
pub(super) fn pulls(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let source = Source::new(bench)?;
    let (clients, absent) = clients(bench);
    let mut table = Table::new("Pull over the loopback, with unpacking", "ms", names(&clients));
    table.absent = absent;
    let mut samples = vec![Samples::default(); clients.len()];
    let mut peaks = vec![Samples::default(); clients.len()];
    for _ in 0..ROUNDS {
        for (client, (samples, peaks)) in clients.iter().zip(samples.iter_mut().zip(&mut peaks)) {
            cold()?;
            let (taken, peak) = bench.time_and_peak(&mut client.pull(&source.name))?;
            samples.0.push(taken.as_secs_f64() * 1e3);
            peaks.0.push(client.daemon_peak().unwrap_or(peak));
            client.remove(&source.name)?;
        }
    }
    let files = source.files;
    #[allow(clippy::cast_precision_loss, reason = "a count of files")]
    let per_second = |samples: &Samples| {
        Some(Samples(samples.0.iter().map(|ms| files as f64 * 1e3 / ms).collect()))
    };
    let rates = samples.iter().map(per_second).collect();
    table.add(&format!("{files} files"), samples.into_iter().map(Some).collect());
    let title = "The same, files per second";
    let mut speed = Table::new(title, "files per second (more is better)", names(&clients));
    speed.add("pull", rates);
    let title = "Peak memory: of the command, or of the daemon that does its work";
    let mut memory = Table::new(title, "MiB", names(&clients));
    memory.add("pull", peaks.into_iter().map(Some).collect());
    Ok(vec![table, speed, memory, source.floor(bench)?])
}

/// Pushes, each to a repository which has nothing that could be mounted or left out.
pub(super) fn pushes(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let source = Source::new(bench)?;
    let (clients, absent) = clients(bench);
    let mut table = Table::new("Push over the loopback to a new repository", "ms", names(&clients));
    table.absent = absent;
    let mut samples = vec![Samples::default(); clients.len()];
    for client in &clients {
        time(&mut client.pull(&source.name))?;
    }
    for round in 0..ROUNDS {
        for (number, (client, samples)) in clients.iter().zip(&mut samples).enumerate() {
            let target = format!("127.0.0.1:{}/r{round}/e{number}:1", source.server.port);
            client.tag(&source.name, &target)?;
            time(&mut Command::new("sync"))?;
            samples.0.push(time(&mut client.push(&target))?.as_secs_f64() * 1e3);
        }
    }
    table.add("push", samples.into_iter().map(Some).collect());
    Ok(vec![table])
}

fn names(clients: &[Client]) -> Vec<String> {
    clients.iter().map(|client| client.name().to_owned()).collect()
}

/// Nothing unwritten, and nothing of the disk's in memory.
fn cold() -> Result<(), Box<dyn Error>> {
    time(&mut Command::new("sync"))?;
    Ok(fs::write("/proc/sys/vm/drop_caches", "3")?)
}

/// The image, and the registry that has it.
struct Source {
    server: Server,
    name: String,
    files: usize,
    /// Its layers as they are before they are compressed.
    tars: Vec<PathBuf>,
    skopeo: Command,
}

impl Source {
    fn new(bench: &Bench) -> Result<Self, Box<dyn Error>> {
        let server = docker_registry(bench)?;
        let program = find("skopeo").ok_or("skopeo compresses the image, and is not here")?;
        let mut image = testkit::Image::new("bench");
        let (mut files, mut tars) = (0, Vec::new());
        for (number, (_, layer)) in layers().into_iter().enumerate() {
            files += entries(&layer);
            let path = bench.work.path().join(format!("layer-{number}.tar"));
            fs::write(&path, &layer)?;
            tars.push(path);
            image = image.layer(layer);
        }
        let archive = bench.work.path().join("bench.tar");
        fs::write(&archive, image.docker_archive())?;
        let name = format!("127.0.0.1:{}/bench:1", server.port);
        let policy = bench.work.path().join("policy.json");
        fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
        let skopeo = || {
            let mut skopeo = Command::new(&program);
            skopeo.arg("--policy").arg(&policy).arg("copy");
            skopeo
        };
        let mut copy = skopeo();
        copy.args(["--dest-tls-verify=false", "--dest-compress"]);
        copy.arg(format!("docker-archive:{}", archive.display())).arg(format!("docker://{name}"));
        time(&mut copy)?;
        fs::remove_file(&archive)?;
        let mut skopeo = skopeo();
        skopeo.arg("--src-tls-verify=false").arg(format!("docker://{name}"));
        Ok(Self { server, name, files, tars, skopeo })
    }

    /// What cannot be beaten by much: moving and hashing the blobs alone, and tar(1) alone with
    /// the layers in plain files that are in memory.
    fn floor(mut self, bench: &Bench) -> Result<Table, Box<dyn Error>> {
        let contenders = vec!["skopeo copy, nothing unpacked".into(), "tar -x, plain files".into()];
        let mut table = Table::new("Parts of it alone", "ms", contenders);
        let layout = bench.work.path().join("layout");
        self.skopeo.arg(format!("oci:{}:1", layout.display()));
        let (mut moved, mut unpacked) = (Samples::default(), Samples::default());
        for round in 0..ROUNDS {
            cold()?;
            moved.0.push(time(&mut self.skopeo)?.as_secs_f64() * 1e3);
            fs::remove_dir_all(&layout)?;
            let folder = bench.work.path().join(format!("untar-{round}"));
            fs::create_dir(&folder)?;
            for tar in &self.tars {
                fs::read(tar)?;
            }
            let mut taken = 0.0;
            for tar in &self.tars {
                let mut command = Command::new("tar");
                command.arg("-C").arg(&folder).arg("--overwrite").arg("-xf").arg(tar);
                taken += time(&mut command)?.as_secs_f64() * 1e3;
            }
            unpacked.0.push(taken);
            fs::remove_dir_all(&folder)?;
        }
        table.add("the same image", vec![Some(moved), Some(unpacked)]);
        Ok(table)
    }
}
