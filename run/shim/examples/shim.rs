//! The smallest program that has a shim in it: for the integration tests, and for measuring what
//! an idle shim costs without the rest of `kista`.
//!
//! As `kista-shim` it is a shim whose hooks take a lock and write what they hear, a line each,
//! into `events` in the container's directory; as `docker-init` it is the embedded init.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::ExitCode;

use shim::{Exit, Failure, Hooks, Plan};

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    match args.next().as_deref().and_then(|name| name.to_str()) {
        Some(shim::NAME) => shim::main(&mut Files::default()),
        Some(name) if name.ends_with(shim::init::NAME) => {
            shim::init::main(&args.collect::<Vec<_>>())
        }
        _ => ExitCode::from(2),
    }
}

/// Keeps two files open and nothing else.
#[derive(Default)]
struct Files {
    lock: Option<File>,
    events: Option<File>,
}

impl Files {
    fn note(&mut self, event: &str) {
        if let Some(events) = &mut self.events {
            // A test that reads the file misses the line, and says so.
            let _ = writeln!(events, "{event}");
        }
    }
}

impl Hooks for Files {
    fn claim(&mut self, plan: &Plan) -> Result<(), Failure> {
        let open = |name: &str| {
            let path = plan.container_dir.join(name);
            OpenOptions::new().create(true).append(true).open(path)
        };
        let files = open("lock").and_then(|lock| Ok((lock, open("events")?)));
        let (lock, events) = files.map_err(|error| Failure::internal(&error))?;
        if plan.engine["lock"] != serde_json::Value::Bool(false) && lock.try_lock().is_err() {
            let message = format!("{} is running already", plan.id);
            return Err(Failure { exit_code: 125, message });
        }
        (self.lock, self.events) = (Some(lock), Some(events));
        self.note(&format!("claim {}", plan.id));
        Ok(())
    }

    fn running(&mut self, pid: u32, _warnings: &[String]) -> Result<(), Failure> {
        self.note(&format!("running {pid}"));
        Ok(())
    }

    fn failed(&mut self, failure: &Failure) {
        self.note(&format!("failed {}", failure.exit_code));
    }

    fn exited(&mut self, exit: &Exit) {
        self.note(&format!("exited {} {:?} {}", exit.code, exit.signal, exit.oom_killed));
    }

    fn finished(&mut self) {
        self.note("finished");
        self.lock = None;
    }
}
