//! What a shim costs and how fast it is: `cargo run --release --example measure` as root.
//!
//! Prints the memory of an idle shim, the throughput from a container's pipe to a client and to
//! the logs (beside a plain pipe to `cat`), and how long `true` takes from spawn to exit code.
//! Figures are of this moment's machine: compare within one run.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement, not a program")]

#[allow(dead_code, unreachable_pub, reason = "the tests use all of it")]
#[path = "../tests/it/support.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use shim::client::Incoming;
use shim::frame::Frame;
use shim::log::{LogFacts, LogPlan};
use shim::{Streams, client};
use support::{Container, parent_of, shim_program};

const BYTES: u64 = 1 << 30;
/// Lines of 100 bytes, as logs have them.
const LINES: &str = "yes $(printf %099d 0)";

fn main() {
    if std::env::var_os("ONLY_START").is_some() {
        return start();
    }
    idle();
    start();
    pipe();
    to_client();
    for driver in ["json-file", "local"] {
        to_log(driver);
    }
}

/// One that has worked: output into a log, a client that came and went.
fn idle() {
    let script = format!("{LINES} | head -c 20000000; exec sleep 1000");
    let mut container = Container::shell(&script);
    container.launch.plan.log = LogPlan::parse("json-file", [], &LogFacts::default()).unwrap();
    let (mut session, pid) = container.started();
    let mut total = 0;
    while total < 20_000_000 {
        if let Some(Frame::Stdout(bytes)) = session.recv().unwrap() {
            total += bytes.len();
        }
    }
    session.detach().unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    let shim = parent_of(pid);
    let rollup = std::fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
    println!("idle shim:");
    for name in ["Rss", "Pss", "Pss_Anon", "Pss_File", "Private_Dirty"] {
        let line = rollup.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
        println!("  {line}");
    }
    if std::env::var_os("LOOK").is_some() {
        println!("  look at {shim}");
        std::thread::sleep(Duration::from_secs(10));
    }
    end(&container);
}

fn end(container: &Container) {
    let mut session = client::connect(&container.dir(), Streams::NONE).unwrap();
    session.signal(9).unwrap();
    while session.recv().unwrap().is_some() {}
    container.events();
}

fn start() {
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let mut container = Container::new(&["/bin/busybox", "true"]);
            container.launch.plan.listen = true;
            let started = Instant::now();
            let pending = client::spawn_early_as(&shim_program(), &shim::Early::default()).unwrap();
            let mut session = pending.launch(&container.launch).unwrap();
            let code = loop {
                match session.recv().unwrap() {
                    Some(Frame::Exited { code }) => break code,
                    Some(_) => {}
                    None => panic!("the shim died"),
                }
            };
            let took = started.elapsed();
            assert_eq!(code, 0);
            container.events();
            took
        })
        .collect();
    times.sort();
    println!(
        "true, from spawn to its exit code, {} runs: min {:?}, median {:?}, p90 {:?}",
        times.len(),
        times[0],
        times[times.len() / 2],
        times[times.len() * 9 / 10]
    );
}

fn report(what: &str, took: Duration, shim: Option<f64>) {
    let rate = |seconds: f64| BYTES as f64 / seconds / 1e6;
    print!("{what}: {:.0} MB/s", rate(took.as_secs_f64()));
    match shim {
        Some(seconds) => println!("; {:.0} MB per second of the shim's own time", rate(seconds)),
        None => println!(),
    }
}

/// What the producer does without any of this.
fn pipe() {
    let started = Instant::now();
    let status = Command::new("/bin/busybox")
        .args(["sh", "-c", &format!("{LINES} | head -c {BYTES}")])
        .stdout(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            let mut buffer = vec![0; 65_536];
            let mut output = child.stdout.take().unwrap();
            while std::io::Read::read(&mut output, &mut buffer)? > 0 {}
            child.wait()
        });
    assert!(status.unwrap().success());
    report("plain pipe, no container", started.elapsed(), None);
}

/// From a container that waits at its end, so that its shim can be looked at.
fn throughput(what: &str, change: impl FnOnce(&mut Container), want: Streams) {
    let script = format!("{LINES} | head -c {BYTES}; echo all >&2; read end");
    let mut container = Container::shell(&script).with_stdin();
    container.launch.plan.attach = want;
    change(&mut container);
    let started = Instant::now();
    let (mut session, pid) = container.started();
    let mut total = 0;
    let took = loop {
        match session.try_recv().unwrap() {
            Incoming::Frame(Frame::Stdout(bytes)) => total += bytes.len() as u64,
            Incoming::Frame(Frame::Stderr(_)) => break started.elapsed(),
            Incoming::Frame(_) => {}
            Incoming::End => panic!("the shim died"),
            Incoming::Nothing => {
                support::wait_readable(&session, Instant::now() + 10 * support::PATIENCE);
            }
        }
    };
    report(what, took, Some(seconds_of(parent_of(pid))));
    session.send_stdin_eof().unwrap();
    while let Some(frame) = session.recv().unwrap() {
        total += if let Frame::Stdout(bytes) = frame { bytes.len() as u64 } else { 0 };
    }
    assert_eq!(total, if want.stdout { BYTES } else { 0 });
    container.events();
}

fn to_client() {
    throughput("container to a client", |_| {}, Streams::ALL);
}

fn to_log(driver: &str) {
    let options = [("max-size", "100m"), ("max-file", "2")];
    let plan = LogPlan::parse(driver, options, &LogFacts::default()).unwrap();
    let change = |container: &mut Container| container.launch.plan.log = plan;
    let want = Streams { stdout: false, ..Streams::ALL };
    throughput(&format!("container to {driver}"), change, want);
}

/// The processor time that a process has used.
fn seconds_of(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    let ticks: f64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}
