//! `--security-opt`.

use dockerapi::HostConfig;

use crate::BundleError;

/// What the options say; `None` where they say nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SecurityOptions<'a> {
    pub(crate) no_new_privileges: Option<bool>,
    pub(crate) writable_cgroups: Option<bool>,
    /// Whether masked and read-only paths are left out.
    pub(crate) open_paths: bool,
    pub(crate) seccomp: Option<SeccompOption<'a>>,
    pub(crate) apparmor: Option<&'a str>,
    pub(crate) labels: Vec<&'a str>,
}

/// `seccomp=...`
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SeccompOption<'a> {
    /// The profile's.
    Builtin,
    Unconfined,
    /// The JSON text that the command line put in place of a file's name.
    Custom(&'a str),
}

/// Reads all options; an unknown one is an error, and so is an empty value, which must never mean
/// "unconfined" (CVE-2023-2431).
pub(crate) fn parse(host: &HostConfig) -> Result<SecurityOptions<'_>, BundleError> {
    let mut options = SecurityOptions::default();
    for text in &host.security_opt {
        let invalid = || BundleError::invalid(format!("invalid --security-opt: {text:?}"));
        match text.as_str() {
            "no-new-privileges" => {
                options.no_new_privileges = Some(true);
                continue;
            }
            "writable-cgroups" => {
                options.writable_cgroups = Some(true);
                continue;
            }
            "disable" => {
                options.labels.push("disable");
                continue;
            }
            _ => {}
        }
        // A colon is the separator of old; values such as labels may hold one.
        let (key, value) =
            text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(invalid)?;
        if value.trim().is_empty() || value.contains('\0') {
            return Err(invalid());
        }
        match key {
            "no-new-privileges" => {
                options.no_new_privileges = Some(boolean(value).ok_or_else(invalid)?);
            }
            "writable-cgroups" => {
                options.writable_cgroups = Some(boolean(value).ok_or_else(invalid)?);
            }
            "systempaths" if value == "unconfined" => options.open_paths = true,
            "seccomp" => {
                options.seccomp = Some(match value {
                    "unconfined" => SeccompOption::Unconfined,
                    "builtin" => SeccompOption::Builtin,
                    json => SeccompOption::Custom(json),
                });
            }
            "apparmor" => options.apparmor = Some(value),
            "label" => options.labels.push(label(value).ok_or_else(invalid)?),
            _ => return Err(invalid()),
        }
    }
    Ok(options)
}

impl<'a> SecurityOptions<'a> {
    /// The filter that was given as text, if one was: what the engine turns into rules.
    pub(crate) fn custom_seccomp(&self) -> Option<&'a str> {
        match self.seccomp {
            Some(SeccompOption::Custom(json)) => Some(json),
            _ => None,
        }
    }
}

/// `disable`, or one part of an SELinux label.
fn label(value: &str) -> Option<&str> {
    let part = |rest: &str| !rest.is_empty() && !rest.chars().any(char::is_control);
    let good = value == "disable"
        || ["user:", "role:", "type:", "level:", "filetype:"]
            .iter()
            .any(|kind| value.strip_prefix(kind).is_some_and(part));
    good.then_some(value)
}

/// What Go's `strconv.ParseBool` takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[&str], test: impl Fn(Result<SecurityOptions<'_>, BundleError>)) {
        let security_opt = options.iter().map(|text| (*text).to_owned()).collect();
        test(parse(&HostConfig { security_opt, ..Default::default() }));
    }

    #[test]
    fn every_option() {
        check(
            &[
                "no-new-privileges",
                "writable-cgroups=0",
                "systempaths=unconfined",
                "seccomp={\"defaultAction\":\"x=y\"}",
                "apparmor=mine",
                "label=type:container_t",
                "label:disable",
            ],
            |options| {
                let expected = SecurityOptions {
                    no_new_privileges: Some(true),
                    writable_cgroups: Some(false),
                    open_paths: true,
                    seccomp: Some(SeccompOption::Custom("{\"defaultAction\":\"x=y\"}")),
                    apparmor: Some("mine"),
                    labels: vec!["type:container_t", "disable"],
                };
                assert_eq!(options.unwrap(), expected);
            },
        );
        check(&["no-new-privileges:false", "seccomp=unconfined"], |options| {
            let options = options.unwrap();
            assert_eq!(options.no_new_privileges, Some(false));
            assert_eq!(options.seccomp, Some(SeccompOption::Unconfined));
        });
    }

    #[test]
    fn unknown_and_empty_ones_are_refused() {
        for bad in [
            "",
            "nope",
            "nope=1",
            "seccomp",
            "seccomp=",
            "seccomp= ",
            "apparmor=",
            "label=",
            "label=x",
            "label=user:",
            "no-new-privileges=maybe",
            "systempaths=x",
            "credentialspec=file://x",
        ] {
            check(&[bad], |options| {
                let text = options.unwrap_err().to_string();
                assert_eq!(text, format!("invalid --security-opt: {bad:?}"));
            });
        }
    }
}
