//! What is run: the image's defaults under the user's wishes.

use std::collections::BTreeMap;

use dockerapi::{ContainerConfig, HealthConfig};
use oci::ContainerDefaults;
use serde::Deserialize;

use crate::{BundleError, env, paths, signal};

/// Fills in what the user left open from the image. Done once, at creation: the result is what
/// the record holds and `inspect` shows.
///
/// An entrypoint of the user's resets the image's command; `[""]` resets the image's entrypoint
/// as well, and is gone from the result. Variables of the image follow the user's, unless the
/// user has one of that name; those of the image without `=` or without a name are dropped, so
/// that they can never stand for a variable of ours. Labels, ports and VOLUMEs are united; of a
/// health check each field is filled in by itself. The working directory comes out clean.
pub fn merge(
    image: &ContainerDefaults,
    wishes: &ContainerConfig,
) -> Result<ContainerConfig, BundleError> {
    let mut merged = wishes.clone();
    fill(&mut merged.user, &image.user);
    fill(&mut merged.working_dir, &image.working_dir);
    unite(&mut merged.exposed_ports, &image.exposed_ports);
    unite(&mut merged.volumes, &image.volumes);
    unite(&mut merged.labels, &image.labels);
    for entry in &image.env {
        let Some((name, _)) = env::split(entry) else { continue };
        if !merged.env.iter().any(|own| env::name(own) == name) {
            merged.env.push(entry.clone());
        }
    }
    match &mut merged.entrypoint {
        Some(own) if own.len() == 1 && own[0].is_empty() => merged.entrypoint = None,
        Some(own) if !own.is_empty() => {}
        open => {
            if merged.cmd.is_empty() {
                merged.cmd.clone_from(&image.cmd);
            }
            if open.is_none() && !image.entrypoint.is_empty() {
                *open = Some(image.entrypoint.clone());
            }
        }
    }
    if merged.stop_signal.as_deref().unwrap_or_default().is_empty() {
        merged.stop_signal = Some(image.stop_signal.clone()).filter(|signal| !signal.is_empty());
    }
    if merged.shell.is_empty() {
        merged.shell.clone_from(&image.shell);
    }
    merge_health(&mut merged.healthcheck, image.healthcheck.as_ref());
    if !merged.working_dir.is_empty() {
        merged.working_dir = working_dir(&merged.working_dir)?;
    }
    Ok(merged)
}

/// The program and its arguments. `config` is the merged one.
pub fn command(config: &ContainerConfig) -> Result<Vec<String>, BundleError> {
    let entrypoint = config.entrypoint.iter().flatten();
    let words: Vec<String> = entrypoint.chain(&config.cmd).cloned().collect();
    if words.is_empty() {
        return Err(BundleError::NoCommand);
    }
    for word in &words {
        refuse_nul("argument", word)?;
    }
    Ok(words)
}

/// Checks the part of the wishes that does not depend on the host.
pub(crate) fn check_config(config: &ContainerConfig) -> Result<(), BundleError> {
    command(config)?;
    working_dir(&config.working_dir)?;
    if let Some(text) = config.stop_signal.as_deref().filter(|text| !text.is_empty()) {
        signal::parse_signal(text)?;
    }
    for entry in &config.env {
        env::check(entry)?;
    }
    check_host_name("hostname", &config.hostname)?;
    check_host_name("domainname", &config.domainname)?;
    config.healthcheck.as_ref().map_or(Ok(()), check_health)
}

/// The working directory, clean; `/` if none is given. A relative one is refused.
pub(crate) fn working_dir(text: &str) -> Result<String, BundleError> {
    refuse_nul("working directory", text)?;
    match text {
        "" => Ok("/".into()),
        _ if text.starts_with('/') => Ok(paths::clean(text)),
        _ => Err(BundleError::invalid(format!(
            "the working directory '{text}' is invalid, it needs to be an absolute path"
        ))),
    }
}

/// The limit of sethostname(2).
const HOST_NAME_LIMIT_BYTES: usize = 64;

fn check_host_name(what: &str, name: &str) -> Result<(), BundleError> {
    if name.len() > HOST_NAME_LIMIT_BYTES {
        return Err(BundleError::invalid(format!(
            "{what} {name:?} is too long (maximum {HOST_NAME_LIMIT_BYTES} bytes)"
        )));
    }
    // It goes into files of one line a host, and into the variable HOSTNAME.
    if name.bytes().any(|byte| byte.is_ascii_control() || byte == b' ' || byte == b'/') {
        return Err(BundleError::invalid(format!("invalid {what}: {name:?}")));
    }
    Ok(())
}

/// The shortest interval or timeout of a health check: a millisecond, in nanoseconds.
const HEALTH_MINIMUM: i64 = 1_000_000;

fn check_health(health: &HealthConfig) -> Result<(), BundleError> {
    let durations = [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ];
    for (name, value) in durations {
        if value != 0 && value < HEALTH_MINIMUM {
            return Err(BundleError::invalid(format!(
                "{name} in Healthcheck cannot be less than 1ms"
            )));
        }
    }
    if health.retries < 0 {
        return Err(BundleError::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

fn merge_health(own: &mut Option<HealthConfig>, image: Option<&serde_json::Value>) {
    // What cannot be read as a health check is one that the image does not have.
    let Some(image) = image.and_then(|value| HealthConfig::deserialize(value).ok()) else { return };
    let Some(own) = own else {
        *own = Some(image);
        return;
    };
    if own.test.is_empty() {
        own.test = image.test;
    }
    let pairs = [
        (&mut own.interval, image.interval),
        (&mut own.timeout, image.timeout),
        (&mut own.start_period, image.start_period),
        (&mut own.start_interval, image.start_interval),
        (&mut own.retries, image.retries),
    ];
    for (own, image) in pairs {
        if *own == 0 {
            *own = image;
        }
    }
}

pub(crate) fn refuse_nul(what: &str, text: &str) -> Result<(), BundleError> {
    if text.contains('\0') {
        return Err(BundleError::invalid(format!("invalid {what}: {text:?} holds a NUL byte")));
    }
    Ok(())
}

fn fill(own: &mut String, image: &str) {
    if own.is_empty() {
        image.clone_into(own);
    }
}

fn unite<T: Clone>(own: &mut BTreeMap<String, T>, image: &BTreeMap<String, T>) {
    for (key, value) in image {
        own.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn entrypoint_and_command_follow_docker() {
        // (image entrypoint, image command, user's entrypoint, user's command) -> words
        let image = ("entry e", "cmd c");
        let rows: [(Option<&str>, &str, &str); 7] = [
            (None, "", "entry e cmd c"),
            (None, "own", "entry e own"),
            (Some("mine"), "", "mine"),
            (Some("mine"), "own", "mine own"),
            (Some("<empty>"), "own", "own"),
            (Some("<none>"), "own", "own"),
            (Some("<none>"), "", "cmd c"),
        ];
        for (entrypoint, cmd, expected) in rows {
            let defaults = ContainerDefaults {
                entrypoint: words(image.0),
                cmd: words(image.1),
                ..Default::default()
            };
            let wishes = ContainerConfig {
                entrypoint: entrypoint.map(|text| match text {
                    "<empty>" => vec![String::new()],
                    "<none>" => Vec::new(),
                    _ => words(text),
                }),
                cmd: words(cmd),
                ..Default::default()
            };
            let merged = merge(&defaults, &wishes).unwrap();
            assert_eq!(command(&merged).unwrap(), words(expected), "{entrypoint:?} {cmd}");
        }
    }

    #[test]
    fn nothing_to_run_is_an_error() {
        let image = ContainerDefaults { entrypoint: words("e"), ..Default::default() };
        let wishes =
            ContainerConfig { entrypoint: Some(vec![String::new()]), ..Default::default() };
        let merged = merge(&image, &wishes).unwrap();
        assert_eq!(merged.entrypoint, None);
        assert_eq!(command(&merged).unwrap_err().to_string(), "no command specified");
    }

    #[test]
    fn what_the_user_says_wins_and_the_rest_is_the_images() {
        let image = ContainerDefaults {
            user: "img".into(),
            env: words("PATH=/img A=img NAME * =x B=img"),
            working_dir: "/img/../w".into(),
            labels: [("a", "img"), ("b", "img")].map(|(k, v)| (k.into(), v.into())).into(),
            volumes: [("/data".to_owned(), serde_json::json!({}))].into(),
            stop_signal: "SIGQUIT".into(),
            healthcheck: Some(serde_json::json!({"Test": ["CMD", "x"], "Interval": 5_000_000})),
            ..Default::default()
        };
        let wishes = ContainerConfig {
            env: words("A=own UNSET"),
            labels: [("a", "own")].map(|(k, v)| (k.into(), v.into())).into(),
            healthcheck: Some(HealthConfig { retries: 7, ..Default::default() }),
            cmd: words("sh"),
            ..Default::default()
        };
        let merged = merge(&image, &wishes).unwrap();
        assert_eq!(merged.user, "img");
        assert_eq!(merged.env, words("A=own UNSET PATH=/img B=img"));
        assert_eq!(merged.working_dir, "/w");
        assert_eq!(merged.labels["a"], "own");
        assert_eq!(merged.labels["b"], "img");
        assert!(merged.volumes.contains_key("/data"));
        assert_eq!(merged.stop_signal.as_deref(), Some("SIGQUIT"));
        let health = merged.healthcheck.unwrap();
        assert_eq!((health.test.len(), health.interval, health.retries), (2, 5_000_000, 7));
    }

    #[test]
    fn a_relative_working_directory_is_refused() {
        assert_eq!(
            working_dir("x/y").unwrap_err().to_string(),
            "the working directory 'x/y' is invalid, it needs to be an absolute path"
        );
        assert_eq!(working_dir("").unwrap(), "/");
        assert_eq!(working_dir("/a//./b/../c/").unwrap(), "/a/c");
        assert_eq!(working_dir("/../../x").unwrap(), "/x");
    }

    #[test]
    fn names_that_would_break_a_line_are_refused() {
        let config = |hostname: &str| ContainerConfig {
            hostname: hostname.into(),
            cmd: words("sh"),
            ..Default::default()
        };
        check_config(&config("box-1.example")).unwrap();
        for bad in ["a\nb", "a\rb", "a b", "a\0", "a/b", &"x".repeat(65)] {
            assert!(check_config(&config(bad)).is_err(), "{bad:?}");
        }
    }
}
