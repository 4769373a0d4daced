//! `bench`: Kista beside its peers, on this machine, in one run.
//!
//! An absolute figure moves by half from hour to hour, so a claim is a ratio: the commands are
//! run in turns, A B C A B C, and the ratio is taken turn by turn. Whole commands are timed
//! from outside, as a shell sees them. Peers that are not here are named as absent.

mod builders;
mod builds;
mod clients;
mod engines;
mod images;
mod measure;
mod net;
mod peers;
mod registries;
mod runtimes;
mod transfers;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use measure::Table;

use crate::workspace::Workspace;
use crate::{Outcome, dist};

/// What the groups need to know.
pub(crate) struct Bench {
    /// The released `kista`.
    kista: PathBuf,
    /// How often each command is run; slow ones less often.
    runs: usize,
    /// A new directory, on the disk where images would be.
    work: tempfile::TempDir,
    /// Another with a short path, which Podman wants for sockets.
    short: tempfile::TempDir,
}

impl Bench {
    /// How long a command takes, and the most memory that one of its processes has, in MiB.
    fn time_and_peak(&self, command: &mut Command) -> Result<(Duration, f64), Box<dyn Error>> {
        let report = self.work.path().join("peak");
        let time = peers::find("time").ok_or("time(1) is not installed")?;
        // By a small program: a child's figure begins with the memory of whoever made it.
        let mut outer = Command::new(time);
        outer.args(["-f", "%M", "-o"]).arg(&report);
        outer.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            outer.env(name, value.unwrap_or_default());
        }
        let taken = measure::time(&mut outer)?;
        let kibibytes: f64 = fs::read_to_string(&report)?.trim().parse()?;
        Ok((taken, kibibytes / 1024.0))
    }
}

/// A name, and what measures it.
type Group = (&'static str, fn(&Bench) -> Result<Vec<Table>, Box<dyn Error>>);

/// `run` is the life of containers, `images` is unpacking, `pull` and `push` are
/// whole images over the loopback, `registry` is servers under load, `build` is building, `net` is networks,
/// `traffic` is the part of it without the life of containers, `all` is everything.
pub(crate) fn run(what: &str, runs: usize) -> Outcome {
    let workspace = Workspace::load(false)?;
    let kista = match std::env::var_os("KISTA_BIN") {
        Some(path) => path.into(),
        None => dist::build()?,
    };
    let folder = workspace.target_directory.join("bench");
    fs::create_dir_all(&folder)?;
    let work = tempfile::Builder::new().prefix("work-").tempdir_in(&folder)?;
    let short = tempfile::Builder::new().prefix("kb-").tempdir_in("/tmp")?;
    let bench = Bench { kista, runs, work, short };
    let mut tables: Vec<Table> = Vec::new();
    let groups: &[Group] = match what {
        "run" => &[("engines", engines::measure), ("runtimes", runtimes::measure)],
        "engines" => &[("engines", engines::measure)],
        "runtimes" => &[("runtimes", runtimes::measure)],
        "images" => &[("images", images::measure)],
        "pull" => &[("pull", transfers::pulls)],
        "push" => &[("push", transfers::pushes)],
        "registry" => &[("registry", registries::servers)],
        "build" => &[("build", builds::measure)],
        "net" => &[("net", net::measure)],
        "traffic" => &[("traffic", net::measure_traffic)],
        "all" => &[
            ("engines", engines::measure),
            ("runtimes", runtimes::measure),
            ("images", images::measure),
            ("pull", transfers::pulls),
            ("push", transfers::pushes),
            ("registry", registries::servers),
            ("build", builds::measure),
            ("net", net::measure),
        ],
        _ => return Err(format!("there is no benchmark {what}").into()),
    };
    for (name, group) in groups {
        eprintln!("bench: {name}");
        let found = group(&bench)?;
        for table in &found {
            println!("{}", table.markdown());
        }
        tables.extend(found);
    }
    let json = serde_json::Value::from_iter(tables.iter().map(Table::json));
    let path = folder.join(format!("{what}.json"));
    fs::write(&path, serde_json::to_vec_pretty(&json)?)?;
    eprintln!("bench: {}", path.display());
    Ok(())
}
