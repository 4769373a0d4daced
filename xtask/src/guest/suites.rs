//! Which tests run inside, and their programs.

use std::error::Error;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use super::Guest;
use crate::process;

/// A test program of the tree.
struct Suite {
    /// As the command line calls it: the package, and the target unless that is `it`.
    name: &'static str,
    package: &'static str,
    target: &'static str,
    guests: &'static [Guest],
    /// How long it may take.
    seconds: u32,
    /// Parts of names of tests that are run; all if empty.
    only: &'static [&'static str],
    /// Parts of names of tests that need what a guest does not have, or show nothing new there and
    /// take long.
    skipped: &'static [&'static str],
}

const SUITES: &[Suite] = &[
    Suite {
        name: "guest",
        package: "guest",
        target: "it",
        guests: &[Guest::Plain, Guest::Systemd, Guest::Hybrid],
        seconds: 200,
        only: &[],
        skipped: &[],
    },
    Suite {
        name: "cgroups",
        package: "cgroups",
        target: "it",
        guests: &[Guest::Plain, Guest::Systemd, Guest::Hybrid],
        seconds: 120,
        only: &[],
        skipped: &[],
    },
    Suite {
        name: "runtime",
        package: "runtime",
        target: "it",
        guests: &[Guest::Plain],
        seconds: 200,
        only: &[],
        skipped: &[
            // Emulation is too slow to meet the moment that it waits for.
            "a_race_for_a_place_is_not_won",
            "a_race_for_the_console_is_not_won",
            // A procfs of another pid namespace than the maker's: Linux 6.17.
            "nothing_of_the_host_is_in_a_container_that_joins_anothers_processes",
            // What the guest's disk does not have: strace; setpriv, newuidmap.
            "nothing_of_proc_is_opened_by_its_path",
            "rootless::",
            // veth is a module that the guest has not.
            "network_devices_go_to_the_container_with_their_addresses",
        ],
    },
    Suite {
        name: "e2e",
        package: "e2e",
        target: "it",
        // Where there is an iproute2.
        guests: &[Guest::Systemd],
        seconds: 200,
        // Links and protocols that not every kernel has.
        only: &["lan::", "sctp::sctp_ports_are_published", "network::hostile::"],
        skipped: &[],
    },
    Suite {
        name: "conformance",
        package: "conformance",
        target: "it",
        guests: &[Guest::Plain],
        seconds: 200,
        // What depends on control groups; the rest shows the same as elsewhere.
        only: &["resources::", "update::", "events::", "pause::", "devices::"],
        skipped: &[],
    },
];

/// What tests need and find inside. [`testkit::Need`]
pub(super) fn promised(guest: Guest) -> &'static str {
    match guest {
        Guest::Plain => "root busybox statickista cgroupv2",
        Guest::Systemd => {
            "root busybox statickista cgroupv2 systemd macvlan ipvlan vlan dummy sctp \
             bridgefilter nftables"
        }
        Guest::Hybrid => "root busybox statickista cgroupv1 cgrouphybrid systemd",
    }
}

/// A suite's program, ready to be copied.
pub(super) struct Built {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) seconds: u32,
    pub(super) arguments: Vec<String>,
}

/// Builds the suites that are wanted, or all of a guest's.
pub(super) fn build(guest: Guest, wanted: &[&str]) -> Result<Vec<Built>, Box<dyn Error>> {
    let wanted: Vec<(&str, Option<&str>)> = wanted
        .iter()
        .map(|word| word.split_once('=').map_or((*word, None), |(name, rest)| (name, Some(rest))))
        .collect();
    if let Some((unknown, _)) =
        wanted.iter().find(|(name, _)| !SUITES.iter().any(|suite| suite.name == *name))
    {
        return Err(format!("guests have no suite {unknown}").into());
    }
    let is_wanted = |suite: &&Suite| {
        suite.guests.contains(&guest)
            && (wanted.is_empty() || wanted.iter().any(|(name, _)| *name == suite.name))
    };
    let suites: Vec<&Suite> = SUITES.iter().filter(is_wanted).collect();
    let mut command = process::cargo(&["test", "--locked", "--no-run", "--message-format=json"]);
    for suite in &suites {
        command.args(["--package", suite.package, "--test", suite.target]);
    }
    let messages = process::output(command.stdout(Stdio::piped()))?;
    let messages: Vec<Value> = messages
        .split(|byte| *byte == b'\n')
        .filter_map(|m| serde_json::from_slice(m).ok())
        .collect();
    let mut built = Vec::new();
    for suite in suites {
        let mut arguments: Vec<String> =
            suite.skipped.iter().flat_map(|name| ["--skip", name]).map(str::to_owned).collect();
        let filters = wanted.iter().filter(|(name, _)| *name == suite.name);
        let filters: Vec<String> = filters.filter_map(|(_, f)| *f).map(str::to_owned).collect();
        if filters.is_empty() {
            arguments.extend(suite.only.iter().copied().map(str::to_owned));
        }
        arguments.extend(filters);
        built.push(Built {
            name: suite.name.to_owned(),
            program: program(&messages, suite).ok_or_else(|| {
                format!("cargo did not say where the tests of {} are", suite.name)
            })?,
            seconds: suite.seconds,
            arguments,
        });
    }
    Ok(built)
}

/// Cargo's `compiler-artifact` of a test. doc.rust-lang.org/cargo, "External tools".
fn program(messages: &[Value], suite: &Suite) -> Option<PathBuf> {
    let folder = format!("/{}/Cargo.toml", suite.package);
    messages
        .iter()
        .filter(|message| {
            message["manifest_path"].as_str().is_some_and(|path| path.ends_with(&folder))
                && message["target"]["name"] == suite.target
        })
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}
