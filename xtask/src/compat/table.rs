//! The table as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Fact, FactFlag, Facts, Ours};

/// What can be said of a command or flag.
enum State<'o> {
    Done,
    Refused(&'o str),
    Later,
}

impl State<'_> {
    fn text(&self) -> String {
        match self {
            Self::Done => "done".into(),
            Self::Refused(sentence) => format!("refused: {}", sentence.replace('|', "\\|")),
            Self::Later => "later".into(),
        }
    }
}

/// The whole page.
pub(super) fn render(facts: &Facts, ours: &[Ours]) -> String {
    let known: BTreeMap<String, &Ours> = ours.iter().flat_map(names).collect();
    let mut body = String::new();
    let mut counts = [0_usize; 3];
    let mut written: BTreeSet<&str> = BTreeSet::new();
    for fact in facts.commands.iter().filter(|fact| !fact.group && !fact.hidden) {
        if !written.insert(&fact.path) {
            continue;
        }
        written.extend(fact.also.iter().map(String::as_str));
        command(&mut body, fact, &known, &mut counts);
    }
    let globals = facts.commands.iter().find(|fact| fact.path == "docker");
    let mut head = format!(
        "# Docker's command line\n\n\
         Made by `cargo xtask compat` from the program itself; not to be edited.\n\
         Docker's side: {}.\n\n\
         *done*: it works as Docker's does. *refused*: it is understood, and answered with the \
         sentence given.\n*later*: it is not there yet, and an unknown command or flag.\n\n\
         | | done | refused | later |\n|---|---|---|---|\n\
         | flags of the commands below | {} | {} | {} |\n\n",
        facts.source, counts[0], counts[1], counts[2],
    );
    if let Some(globals) = globals {
        head.push_str("## Flags before the command\n\n");
        flags(&mut head, globals, known.get("").copied(), &mut [0; 3]);
    }
    head + &body + &only_ours(facts, &known)
}

/// A command of ours under each of its names.
fn names(ours: &Ours) -> Vec<(String, &Ours)> {
    let path = ours.path.trim();
    let path = path.strip_prefix("kista").map_or(path, str::trim_start);
    let parent = path.rsplit_once(' ').map(|(parent, _)| format!("{parent} ")).unwrap_or_default();
    let aliases = ours.aliases.iter().map(|alias| format!("{parent}{alias}"));
    std::iter::once(path.to_owned()).chain(aliases).map(|name| (name, ours)).collect()
}

fn short(path: &str) -> &str {
    path.strip_prefix("docker").map_or(path, str::trim_start)
}

fn command(
    out: &mut String,
    fact: &Fact,
    known: &BTreeMap<String, &Ours>,
    counts: &mut [usize; 3],
) {
    let paths: Vec<&str> =
        std::iter::once(&fact.path).chain(&fact.also).map(|path| short(path)).collect();
    let ours = paths.iter().find_map(|path| known.get(*path)).copied();
    let _ = writeln!(out, "## {}\n", paths.join(", "));
    let missing: Vec<&&str> = paths.iter().filter(|path| !known.contains_key(**path)).collect();
    let state = match ours {
        None => State::Later,
        Some(Ours { refused: Some(sentence), .. }) => State::Refused(sentence),
        Some(_) => State::Done,
    };
    let _ = write!(out, "The command: {}", state.text());
    if ours.is_some() && !missing.is_empty() {
        let names: Vec<&str> = missing.into_iter().copied().collect();
        let _ = write!(out, ", but not under the name {}", names.join(", "));
    }
    let parent = short(&fact.path).rsplit_once(' ').map(|(parent, _)| format!("{parent} "));
    let parent = parent.unwrap_or_default();
    for alias in &fact.aliases {
        if ours.is_some() && !known.contains_key(&format!("{parent}{alias}")) {
            let _ = write!(out, ", but not under the alias {alias}");
        }
    }
    out.push_str(".\n\n");
    flags(out, fact, ours, counts);
}

fn flags(out: &mut String, fact: &Fact, ours: Option<&Ours>, counts: &mut [usize; 3]) {
    let of_linux: Vec<&FactFlag> = fact.flags.iter().filter(|flag| !flag.windows_only).collect();
    if of_linux.is_empty() {
        return;
    }
    out.push_str("| flag | state |\n|---|---|\n");
    for flag in of_linux {
        let (state, note) = flag_state(flag, ours);
        counts[match state {
            State::Done => 0,
            State::Refused(_) => 1,
            State::Later => 2,
        }] += 1;
        let short = flag.short.as_ref().map(|short| format!("-{short}, ")).unwrap_or_default();
        let value = if flag.kind == "bool" { "" } else { " ..." };
        let mark = match (flag.deprecated, flag.hidden) {
            (true, _) => " (deprecated)",
            (_, true) => " (hidden)",
            _ => "",
        };
        let _ = writeln!(out, "| `{short}--{}{value}`{mark} | {}{note} |", flag.long, state.text());
    }
    out.push('\n');
}

fn flag_state<'o>(flag: &FactFlag, ours: Option<&'o Ours>) -> (State<'o>, &'static str) {
    let found = ours.and_then(|ours| {
        ours.flags.iter().find(|known| known.long.as_deref() == Some(flag.long.as_str()))
    });
    match found {
        None => (State::Later, ""),
        Some(known) => {
            let note = if flag.short != known.short { ", but not the letter" } else { "" };
            match &known.refused {
                Some(sentence) => (State::Refused(sentence), ""),
                None => (State::Done, note),
            }
        }
    }
}

/// What Docker does not have.
fn only_ours(facts: &Facts, known: &BTreeMap<String, &Ours>) -> String {
    let theirs: BTreeMap<&str, &Fact> =
        facts.commands.iter().map(|fact| (short(&fact.path), fact)).collect();
    let mut rows = String::new();
    for (name, ours) in known {
        if ours.hidden || ours.aliases.iter().any(|alias| name.ends_with(alias.as_str())) {
            continue;
        }
        let fact = theirs.get(name.as_str());
        if fact.is_none() && !theirs.values().any(|fact| is_alias(fact, name)) {
            let _ = writeln!(rows, "* `{name}`");
            continue;
        }
        for flag in ours.flags.iter().filter(|flag| !flag.hidden) {
            let Some(long) = &flag.long else { continue };
            let theirs = fact.is_some_and(|fact| fact.flags.iter().any(|flag| flag.long == *long));
            if !theirs && fact.is_some() && long != "help" && long != "version" {
                let _ = writeln!(rows, "* `{name} --{long}`");
            }
        }
    }
    format!("## Only in Kista\n\n{rows}")
}

fn is_alias(fact: &Fact, name: &str) -> bool {
    let parent = short(&fact.path).rsplit_once(' ').map_or("", |(parent, _)| parent);
    fact.aliases.iter().any(|alias| format!("{parent} {alias}").trim() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_has_a_state() {
        let facts: Facts = serde_json::from_str(
            r#"{"source": "x", "commands": [{"path": "docker container ls", "aliases": ["list"],
            "also": ["docker ps"], "flags": [{"long": "all", "short": "a", "type": "bool"},
            {"long": "size", "type": "bool"}, {"long": "last", "type": "int"}]}]}"#,
        )
        .unwrap();
        let ours: Vec<Ours> = serde_json::from_str(
            r#"[{"path": "kista ps", "aliases": [], "flags": [{"long": "all", "short": "a"},
            {"long": "size", "short": null, "refused": "sizes come later"}, {"long": "why", "short": null}]}]"#,
        )
        .unwrap();
        let page = render(&facts, &ours);
        assert!(page.contains("| `-a, --all` | done |"), "{page}");
        assert!(page.contains("| `--size` | refused: sizes come later |"), "{page}");
        assert!(page.contains("| `--last ...` | later |"), "{page}");
        assert!(
            page.contains(
                "done, but not under the name container ls, but not under the alias list."
            ),
            "{page}"
        );
        assert!(page.contains("| 1 | 1 | 1 |"), "{page}");
    }
}
