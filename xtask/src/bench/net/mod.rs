//! Networks: the way into one and out of it, how much passes, and how fast names are answered.
//!
//! Each engine has a host of its own, a network namespace with its bridges and its firewall, and a
//! wire to a second one that is the outside. What is sent and received comes from this process, with
//! sockets that it opens inside the containers' networks: so that what is measured is the way, and
//! no engine has another program at its ends.

mod names;
mod streams;

use std::error::Error;
use std::fs;
use std::process::Command;
use std::time::Duration;

use testkit::Host;

use super::Bench;
use super::measure::{Samples, Table, time};
use super::peers::{self, Engine};

/// Containers that are started and stopped together.
const HUNDRED: usize = 100;
/// How often that is done.
const ROUNDS: usize = 3;
/// The first port of the host that is published.
const FIRST_PORT: usize = 20_000;
/// The user-defined network.
const NETWORK: &str = "bench";

/// An engine with a host of its own.
struct Site {
    engine: Engine,
    host: Host,
    outside: Host,
}

/// The address of every site's host on the wire to the outside.
const HOST_ADDRESS: &str = "192.0.2.1";

impl Site {
    fn output(&self, arguments: &[&str]) -> Result<String, Box<dyn Error>> {
        let inside = || self.engine.output(arguments).map_err(|err| err.to_string());
        Ok(self.host.enter(inside)?)
    }

    fn time(&self, arguments: &[&str]) -> Result<Duration, Box<dyn Error>> {
        self.time_command(self.engine.command(arguments))
    }

    fn time_command(&self, mut command: Command) -> Result<Duration, Box<dyn Error>> {
        Ok(self.host.enter(move || time(&mut command).map_err(|err| err.to_string()))?)
    }

    fn image(&self) -> String {
        self.engine.image("busybox")
    }

    /// Starts an idle container; gives its network.
    fn idle(&self, name: &str, more: &[&str]) -> Result<Host, Box<dyn Error>> {
        let image = self.image();
        let first = ["run", "-d", "--stop-signal", "KILL", "--name", name];
        let words = [&first[..], more, &[&image, "sleep", "100000"]].concat();
        self.output(&words)?;
        Ok(Host::of(&self.output(&["inspect", "--format", "{{.State.Pid}}", name])?))
    }

    /// The address of a container in the user-defined network.
    fn address(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let format = format!("{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}");
        self.output(&["inspect", "--format", &format, name])
    }
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let (sites, absent) = sites(bench)?;
    let mut life = Table::new("Containers on a bridge", "ms", contenders(&sites));
    life.absent = absent;
    let images: Vec<String> = sites.iter().map(Site::image).collect();
    life.turns("run --rm true, default network", bench.runs, |at| {
        sites[at].time(&["run", "--rm", &images[at], "true"]).map(Some)
    })?;
    life.turns("run --rm -p 20000:80 true", bench.runs, |at| {
        sites[at].time(&["run", "--rm", "-p", "20000:80", &images[at], "true"]).map(Some)
    })?;
    hundred(&sites, &mut life)?;
    let mut tables = vec![life];
    tables.extend(traffic(bench, &sites)?);
    Ok(tables)
}

/// Without the life of containers, which takes longest with the peers.
pub(super) fn measure_traffic(bench: &Bench) -> Result<Vec<Table>, Box<dyn Error>> {
    let (sites, absent) = sites(bench)?;
    let mut tables = traffic(bench, &sites)?;
    tables[0].absent = absent;
    Ok(tables)
}

fn traffic(bench: &Bench, sites: &[Site]) -> Result<Vec<Table>, Box<dyn Error>> {
    for site in sites {
        site.output(&["network", "create", NETWORK])?;
    }
    let mut passing = Table::new("What passes (more is better)", "Gbit/s", contenders(sites));
    streams::measure(bench, sites, &mut passing)?;
    let title = "Names: answers per second (more is better)";
    let mut answers = Table::new(title, "1/s", contenders(sites));
    let mut latency = Table::new("Names: one question after another", "us", contenders(sites));
    names::measure(bench, sites, &mut answers, &mut latency)?;
    for site in sites {
        site.output(&["network", "rm", NETWORK])?;
    }
    Ok(vec![passing, answers, latency])
}

fn contenders(sites: &[Site]) -> Vec<String> {
    sites.iter().map(|site| site.engine.name.clone()).collect()
}

/// Kista first, then the peers that are here; the second list says why others are not.
fn sites(bench: &Bench) -> Result<(Vec<Site>, Vec<String>), Box<dyn Error>> {
    type Start<'a> = &'a (dyn Fn(&Host) -> Result<Engine, Box<dyn Error>> + Sync);
    let kista: Start<'_> = &|_| Ok(peers::kista(bench));
    let docker: Start<'_> = &|host| peers::docker(bench, Some(host));
    let podman: Start<'_> = &|_| peers::podman(bench, "runc");
    let archive = bench.work.path().join("busybox.tar");
    fs::write(&archive, testkit::Image::busybox("busybox").docker_archive())?;
    let (mut found, mut absent): (Vec<Site>, _) = (Vec::new(), Vec::new());
    for start in [kista, docker, podman] {
        let host = Host::new().ok_or("no network namespaces: not root?")?;
        let outside = Host::new().ok_or("no network namespaces: not root?")?;
        let (here, there) = (format!("{HOST_ADDRESS}/24"), "192.0.2.9/24");
        host.wire(&outside, "up0", &[&here], &[there]);
        match start(&host) {
            Ok(engine) => found.push(Site { engine, host, outside }),
            Err(err) => absent.push(err.to_string()),
        }
    }
    for site in &found {
        site.time_command(site.engine.load(&archive))?;
    }
    Ok((found, absent))
}

/// A hundred containers with a published port each.
fn hundred(sites: &[Site], table: &mut Table) -> Result<(), Box<dyn Error>> {
    let steps = ["start of 100 with a published port", "stop of them"];
    let mut samples = vec![vec![Samples::default(); sites.len()]; steps.len()];
    let names: Vec<String> = (0..HUNDRED).map(|number| format!("c{number}")).collect();
    let all = |verb: &'static str| {
        [verb].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>()
    };
    for (at, site) in sites.iter().enumerate() {
        let image = site.image();
        for (number, name) in names.iter().enumerate() {
            let port = format!("{}:80", FIRST_PORT + number);
            let first = ["create", "--stop-signal", "KILL", "--name", name, "-p", &port];
            site.output(&[&first[..], &[&image, "sleep", "100000"]].concat())?;
        }
        for _ in 0..ROUNDS {
            for (verb, samples) in ["start", "stop"].into_iter().zip(&mut samples) {
                samples[at].0.push(site.time(&all(verb))?.as_secs_f64() * 1e3);
            }
        }
        site.output(&[&["rm", "-f"][..], &all("rm")[1..]].concat())?;
    }
    for (step, samples) in steps.iter().zip(samples) {
        table.add(step, samples.into_iter().map(Some).collect());
    }
    Ok(())
}
