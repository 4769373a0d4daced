//! `update`: changes the limits of a container that exists.

use std::io::Read as _;

use oci::runtime::{BlockIo, Cpu, IntelRdt, Memory, Pids, Resources};

use crate::Context;
use crate::args::{Flag, Parsed, valued};
use crate::bundle;
use crate::cgroup;
use crate::command::Command;
use crate::error::{OciError, Step};
use crate::exit::Exit;
use crate::quantity;
use crate::status::{self, Status};
use crate::store::Record;

pub(crate) const UPDATE: Command =
    Command { flags: &FLAGS, ..Command::plain("update", "change the limits of a container", run) };

const FLAGS: [Flag; 19] = [
    valued(&["resources", "r"], "FILE", "file with all limits in JSON, - for standard input"),
    valued(&["blkio-weight"], "N", "weight of block devices, 10 to 1000"),
    valued(&["cpu-period"], "US", "period of the processor quota"),
    valued(&["cpu-quota"], "US", "processor time in each period; -1 is no limit"),
    valued(&["cpu-burst"], "US", "processor time that may be saved up"),
    valued(&["cpu-share"], "N", "weight of the processor"),
    valued(&["cpu-rt-period"], "US", "period of the real-time quota"),
    valued(&["cpu-rt-runtime"], "US", "real-time in each period"),
    valued(&["cpuset-cpus"], "LIST", "processors to use, such as 0-3,7"),
    valued(&["cpuset-mems"], "LIST", "memory nodes to use"),
    // Old engines give them; they are told that nothing happens.
    valued(&["kernel-memory"], "BYTES", ""),
    valued(&["kernel-memory-tcp"], "BYTES", ""),
    valued(&["memory"], "BYTES", "memory limit; -1 is no limit"),
    valued(&["cpu-idle"], "0|1", "run only when nothing else does"),
    valued(&["memory-reservation"], "BYTES", "memory that is kept when memory is short"),
    valued(&["memory-swap"], "BYTES", "memory and swap together; -1 is no limit"),
    valued(&["pids-limit"], "N", "number of processes; -1 is no limit"),
    valued(&["l3-cache-schema"], "SCHEMA", "Intel RDT: cache"),
    valued(&["mem-bw-schema"], "SCHEMA", "Intel RDT: memory bandwidth"),
];

fn run(context: &Context, parsed: &Parsed) -> Result<Exit, OciError> {
    let entry = context.store.open(parsed.id())?;
    let resources = match parsed.some("resources") {
        Some(path) => from_file(path)?,
        None => from_flags(context, parsed)?,
    };
    let schema = |name| parsed.some(name).map(str::to_owned);
    let rdt = IntelRdt {
        l3_cache_schema: schema("l3-cache-schema"),
        mem_bw_schema: schema("mem-bw-schema"),
        ..IntelRdt::default()
    };
    let _lock = entry.lock()?;
    let record = entry.record()?;
    let status = status::look(&entry, record.as_ref())?.0;
    let Some(record) = record.filter(|_| status != Status::Stopped) else {
        return Err(OciError::NotRunning);
    };
    let group = match rdt == IntelRdt::default() {
        true => None,
        false => Some(rdt_group(&record)?),
    };
    cgroup::update(&record, &resources)?;
    if let Some(group) = group {
        group.update(&rdt)?;
    }
    Ok(Exit::SUCCESS)
}

/// What `--l3-cache-schema` and `--mem-bw-schema` change.
fn rdt_group(record: &Record) -> Result<resctrl::Group, OciError> {
    record.resctrl.as_ref().and_then(resctrl::Place::open).ok_or_else(|| {
        let text = "the container has no group of Intel RDT: it must be made with linux.intelRdt";
        OciError::State(text.into())
    })
}

fn from_file(path: &str) -> Result<Resources, OciError> {
    let mut bytes = Vec::new();
    let read = match path {
        "-" => std::io::stdin().read_to_end(&mut bytes),
        path => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.to(|| format!("read {path}"))?;
    let mut resources: Resources = bundle::parse(&bytes).map_err(|error| match error {
        OciError::Config { field, problem } => {
            OciError::State(format!("invalid resources: {field}: {problem}"))
        }
        other => other,
    })?;
    // As runc has it: whoever else changed the rules (a plugin of a GPU's) is not undone.
    resources.devices.clear();
    Ok(fix(resources))
}

fn from_flags(context: &Context, parsed: &Parsed) -> Result<Resources, OciError> {
    if parsed.some("kernel-memory").is_some() || parsed.some("kernel-memory-tcp").is_some() {
        context.log.warn("Kernel memory settings are ignored and will be removed");
    }
    let weight = number::<u16>(parsed, "blkio-weight")?.filter(|weight| *weight != 0);
    let text = |name: &str| parsed.some(name).map(str::to_owned);
    Ok(fix(Resources {
        memory: Some(Memory {
            limit: bytes(parsed, "memory")?,
            reservation: bytes(parsed, "memory-reservation")?,
            swap: bytes(parsed, "memory-swap")?,
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: number(parsed, "cpu-share")?,
            quota: number(parsed, "cpu-quota")?,
            burst: number(parsed, "cpu-burst")?,
            period: number(parsed, "cpu-period")?,
            realtime_runtime: number(parsed, "cpu-rt-runtime")?,
            realtime_period: number(parsed, "cpu-rt-period")?,
            cpus: text("cpuset-cpus"),
            mems: text("cpuset-mems"),
            idle: number(parsed, "cpu-idle")?,
        }),
        pids: number(parsed, "pids-limit")?.map(|limit| Pids { limit: Some(limit) }),
        block_io: weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        ..Resources::default()
    }))
}

/// What one setting means for another that is not given.
fn fix(mut resources: Resources) -> Resources {
    if let Some(memory) = &mut resources.memory
        && memory.limit == Some(-1)
        && memory.swap.is_none()
    {
        // The sum of memory and swap cannot be less than memory alone.
        memory.swap = Some(-1);
    }
    resources
}

fn number<T: std::str::FromStr>(parsed: &Parsed, name: &str) -> Result<Option<T>, OciError> {
    let Some(text) = parsed.some(name) else { return Ok(None) };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(OciError::Usage(format!("invalid value for {name}: \"{text}\""))),
    }
}

fn bytes(parsed: &Parsed, name: &str) -> Result<Option<i64>, OciError> {
    let Some(text) = parsed.some(name) else { return Ok(None) };
    match quantity::bytes(text) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(OciError::Usage(format!("invalid value for {name}: \"{text}\""))),
    }
}
