//! `--change`: instructions of a Dockerfile that alter a configuration without running anything.
//!
//! CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR, as
//! `docker import` and `docker commit` take them; the last one of a kind counts where there is but
//! one place for it.

use oci::ContainerDefaults;
use serde_json::{Map, Value, json};

use crate::ArchiveError;
use crate::words::{expand, split};

/// Applies instructions to a configuration, in order.
///
/// Each text may hold several lines; a backslash at the end of one joins it to the next, and one
/// that begins with `#` is a comment. [`ArchiveError::ChangeCommand`] for an instruction that may
/// not stand here, [`ArchiveError::Change`] for one that is written wrongly; `config` is then
/// partly changed.
pub fn apply_changes(
    config: &mut ContainerDefaults,
    changes: &[String],
) -> Result<(), ArchiveError> {
    let mut command_given = false;
    for line in changes.iter().flat_map(|change| lines(change)) {
        let (word, rest) = match line.split_once(char::is_whitespace) {
            Some((word, rest)) => (word, rest.trim()),
            None => (line.as_str(), ""),
        };
        let instruction = word.to_ascii_uppercase();
        let known = [
            "CMD",
            "ENTRYPOINT",
            "ENV",
            "EXPOSE",
            "HEALTHCHECK",
            "LABEL",
            "ONBUILD",
            "STOPSIGNAL",
            "USER",
            "VOLUME",
            "WORKDIR",
        ];
        if !known.contains(&instruction.as_str()) {
            let instruction = word.to_ascii_lowercase();
            return Err(ArchiveError::ChangeCommand { instruction });
        }
        let outcome = match instruction.as_str() {
            "ENTRYPOINT" => {
                // A command that was meant for another entrypoint is of no use to this one.
                if !command_given {
                    config.cmd.clear();
                }
                command(config, rest).map(|words| config.entrypoint = words)
            }
            "CMD" => {
                command_given = true;
                command(config, rest).map(|words| config.cmd = words)
            }
            "ONBUILD" => on_build(config, rest),
            "HEALTHCHECK" => health_check(config, rest),
            _ if rest.is_empty() => Err("it needs an argument".into()),
            "ENV" => env(config, rest),
            "EXPOSE" => expose(config, rest),
            "LABEL" => label(config, rest),
            "STOPSIGNAL" => stop_signal(config, rest),
            "USER" => one_word(config, rest).map(|user| config.user = user),
            "VOLUME" => volume(config, rest),
            _ => work_dir(config, rest),
        };
        outcome.map_err(|why| ArchiveError::Change { line, why })?;
    }
    Ok(())
}

type Outcome = Result<(), String>;

/// Lines without comments, continued ones joined.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(start) => open.push_str(start),
            None => {
                open.push_str(line);
                lines.push(std::mem::take(&mut open));
            }
        }
    }
    if !open.is_empty() {
        lines.push(open);
    }
    lines
}

fn value(config: &ContainerDefaults, word: &str) -> Result<String, String> {
    let lookup = |name: &str| {
        config.env.iter().find_map(|pair| match pair.split_once('=') {
            Some((key, value)) if key == name => Some(value.to_owned()),
            _ => None,
        })
    };
    expand(word, &lookup).ok_or_else(|| format!("a quote or a brace of {word:?} is not closed"))
}

fn words(text: &str) -> Result<Vec<&str>, String> {
    split(text).ok_or_else(|| "a quote is not closed".to_owned())
}

/// A list of strings in JSON; `None` if it is something else, which is then the shell form.
fn json_list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

fn command(config: &ContainerDefaults, rest: &str) -> Result<Vec<String>, String> {
    if let Some(list) = json_list(rest) {
        return Ok(list);
    }
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let shell = match config.shell.is_empty() {
        true => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        false => config.shell.clone(),
    };
    Ok(shell.into_iter().chain([rest.to_owned()]).collect())
}

/// `key=value ...`, or the old `key the rest of the line`.
fn pairs(config: &ContainerDefaults, rest: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(rest)?;
    if words.first().is_some_and(|first| !first.contains('=')) {
        let (key, text) = rest.split_once(char::is_whitespace).ok_or("it needs two arguments")?;
        return Ok(vec![(value(config, key)?, value(config, text.trim())?)]);
    }
    let mut pairs = Vec::new();
    for word in words {
        let (key, text) = word
            .split_once('=')
            .ok_or_else(|| format!("{word:?} has no \"=\", as each of several arguments must"))?;
        let key = value(config, key)?;
        if key.is_empty() {
            return Err("a name is blank".into());
        }
        pairs.push((key, value(config, text)?));
    }
    Ok(pairs)
}

fn env(config: &mut ContainerDefaults, rest: &str) -> Outcome {
    for (key, value) in pairs(config, rest)? {
        let prefix = format!("{key}=");
        let pair = format!("{prefix}{value}");
        match config.env.iter_mut().find(|old| old.starts_with(&prefix)) {
            Some(old) => *old = pair,
            None => config.env.push(pair),
        }
    }
    Ok(())
}

fn label(config: &mut ContainerDefaults, rest: &str) -> Outcome {
    let pairs = pairs(config, rest)?;
    config.labels.extend(pairs);
    Ok(())
}

fn expose(config: &mut ContainerDefaults, rest: &str) -> Outcome {
    for word in words(rest)? {
        let word = value(config, word)?;
        let (range, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
        let protocol = protocol.to_ascii_lowercase();
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let port = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
        let (Some(first), Some(last), "tcp" | "udp" | "sctp") =
            (port(first), port(last), protocol.as_str())
        else {
            return Err(format!("{word:?} is no port"));
        };
        if first > last {
            return Err(format!("the range {word:?} ends before it begins"));
        }
        for port in first..=last {
            config.exposed_ports.insert(format!("{port}/{protocol}"), json!({}));
        }
    }
    Ok(())
}

fn volume(config: &mut ContainerDefaults, rest: &str) -> Outcome {
    let paths = match json_list(rest) {
        Some(paths) => paths,
        None => words(rest)?.into_iter().map(str::to_owned).collect(),
    };
    for path in paths {
        let path = value(config, &path)?;
        if path.is_empty() {
            return Err("a path is empty".into());
        }
        config.volumes.insert(path, json!({}));
    }
    Ok(())
}

fn one_word(config: &ContainerDefaults, rest: &str) -> Result<String, String> {
    match words(rest)?.as_slice() {
        [word] => value(config, word),
        _ => Err("it takes exactly one argument".into()),
    }
}

fn work_dir(config: &mut ContainerDefaults, rest: &str) -> Outcome {
    let path = value(config, rest)?;
    let mut parts: Vec<&str> = Vec::new();
    let before = match path.starts_with('/') {
        true => "",
        false => config.working_dir.as_str(),
    };
    for part in before.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    config.working_dir = format!("/{}", parts.join("/"));
    Ok(())
}

fn stop_signal(config: &mut ContainerDefaults, rest: &str) -> Outcome {
    let signal = one_word(config, rest)?;
    let number = signal.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    let name = signal.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let word = name.starts_with(|letter: char| letter.is_ascii_uppercase())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-".contains(letter));
    if !number && !word {
        return Err(format!("{signal:?} is no signal"));
    }
    config.stop_signal = signal;
    Ok(())
}

fn on_build(config: &mut ContainerDefaults, rest: &str) -> Outcome {
    let trigger = rest.split_whitespace().next().unwrap_or("").to_ascii_uppercase();
    match trigger.as_str() {
        "" => Err("it needs an instruction".into()),
        "ONBUILD" => Err("ONBUILD may not stand in ONBUILD".into()),
        "FROM" | "MAINTAINER" => Err(format!("{trigger} is not allowed as an ONBUILD trigger")),
        _ => {
            config.on_build.push(rest.to_owned());
            Ok(())
        }
    }
}

/// `NONE`, or options and `CMD`: Docker's `Healthcheck` object, durations in nanoseconds.
fn health_check(config: &mut ContainerDefaults, rest: &str) -> Outcome {
    let mut check = Map::new();
    let mut rest = rest;
    while let Some(option) = rest.strip_prefix("--") {
        let (option, behind) = option.split_once(char::is_whitespace).unwrap_or((option, ""));
        rest = behind.trim_start();
        let (key, text) = option.split_once('=').unwrap_or((option, ""));
        let wrong = || format!("--{option} is not understood");
        let (key, number) = match key {
            "interval" => ("Interval", duration(text)),
            "timeout" => ("Timeout", duration(text)),
            "start-period" => ("StartPeriod", duration(text)),
            "start-interval" => ("StartInterval", duration(text)),
            "retries" => ("Retries", text.parse().ok()),
            _ => return Err(wrong()),
        };
        check.insert(key.into(), Value::from(number.ok_or_else(wrong)?));
    }
    let (kind, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let text = text.trim();
    let test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if text.is_empty() && check.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return Err("NONE takes nothing else".into()),
        "CMD" if text.is_empty() => return Err("CMD needs a command".into()),
        "CMD" => match json_list(text) {
            Some(list) => std::iter::once("CMD".to_owned()).chain(list).collect(),
            None => vec!["CMD-SHELL".to_owned(), text.to_owned()],
        },
        _ => return Err("it needs NONE or CMD".into()),
    };
    check.insert("Test".into(), Value::from(test));
    config.healthcheck = Some(Value::Object(check));
    Ok(())
}

/// Nanoseconds of a duration as Go writes it: `1m30s`, `500ms`, `1.5h`.
fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    // Docker takes nothing that is shorter than a millisecond but for 0.
    (total == 0.0 || (1e6..9e18).contains(&total)).then_some(total as i64)
}

#[cfg(test)]
mod tests;
