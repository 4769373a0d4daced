//! `licences`: what deny.toml says about licences and banned crates, checked without network.
//!
//! cargo-deny checks the same and more, but is a build of several minutes, and its advisories
//! come from a server. Both read one file, so they cannot disagree about what is allowed.

use std::fs;

use crate::Outcome;
use crate::workspace::{self, Workspace};

pub(crate) fn run() -> Outcome {
    let rules = fs::read_to_string(workspace::root().join("deny.toml"))?;
    let allowed = list(&rules, "allow");
    let banned = list(&rules, "deny");
    let workspace = Workspace::load(true)?;
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let name = format!("{} {}", package.name, package.version);
        if banned.contains(&package.name) {
            findings.push(format!("{name}: banned by deny.toml"));
        }
        let Some(source) = &package.source else { continue };
        if !source.starts_with("registry+") {
            findings.push(format!("{name}: comes from {source}, not from the registry"));
        }
        match &package.license {
            None => findings.push(format!("{name}: names no licence")),
            Some(licence) if !permits(licence, &allowed) => {
                findings.push(format!("{name}: {licence} is not allowed by deny.toml"));
            }
            Some(_) => {}
        }
    }
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("licences: {} packages", workspace.packages.len());
            Ok(())
        }
        count => Err(format!("licences: {count} findings").into()),
    }
}

/// The strings of `key = [ ... ]`, a line each; of a table the value of `crate`.
fn list(rules: &str, key: &str) -> Vec<String> {
    let start = format!("{key} = [");
    let lines = rules.lines().skip_while(|line| *line != start).skip(1);
    lines
        .take_while(|line| *line != "]")
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| Some(line.split('"').nth(1)?.to_owned()))
        .collect()
}

/// Whether an SPDX expression can be met with the licences allowed.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let mut rest = words.as_slice();
    let result = any(&mut rest, allowed);
    result && rest.is_empty()
}

fn any(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut result = every(rest, allowed);
    while let ["OR", after @ ..] = rest {
        *rest = after;
        result |= every(rest, allowed);
    }
    result
}

fn every(rest: &mut &[&str], allowed: &[String]) -> bool {
    let mut result = one(rest, allowed);
    while let ["AND", after @ ..] = rest {
        *rest = after;
        result &= one(rest, allowed);
    }
    result
}

fn one(rest: &mut &[&str], allowed: &[String]) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let result = any(rest, allowed);
            if let [")", after @ ..] = rest {
                *rest = after;
            }
            result
        }
        [licence, "WITH", exception, after @ ..] => {
            *rest = after;
            allowed.contains(&format!("{licence} WITH {exception}"))
        }
        [licence, after @ ..] => {
            *rest = after;
            allowed.iter().any(|known| known == licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_has_them() {
        let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned(), "A WITH B".to_owned()];
        for (expression, expected) in [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("GPL-3.0 OR MIT AND GPL-2.0", false),
            ("A WITH B", true),
            ("A", false),
            ("", false),
        ] {
            assert_eq!(permits(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn the_lists_of_deny_toml_are_found() {
        let rules = "allow = [\n  \"MIT\",\n  # \"X\"\n]\ndeny = [\n  { crate = \"nix\" },\n]\n";
        assert_eq!(list(rules, "allow"), ["MIT"]);
        assert_eq!(list(rules, "deny"), ["nix"]);
    }
}
