//! Profiles as files: Docker's form, of which the OCI's is a part.
//!
//! Docker's adds conditions to each rule (capabilities, processor, kernel) and a map of
//! architectures; what is left once they are decided is a filter in the OCI's form.

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};
use serde::Deserialize;

use crate::{Arch, Capabilities, SeccompError};

/// A profile whose conditions are not decided yet.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DockerProfile {
    default_action: String,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    /// Podman's files say the same in a word, for its own newer code.
    #[serde(default)]
    #[expect(dead_code, reason = "the number is there as well")]
    default_errno: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    /// The old form.
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    #[expect(dead_code, reason = "Podman's word for the number")]
    errno: Option<String>,
    #[serde(default)]
    args: Option<Vec<SeccompArg>>,
    #[serde(default)]
    #[expect(dead_code, reason = "a remark of the profile's author")]
    comment: Option<String>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

/// Each part that is given has to hold, or for an exclusion, any of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Condition {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    min_kernel: Option<String>,
}

impl DockerProfile {
    /// Reads a profile; a field that is not known is an error, since it might have forbidden
    /// something.
    pub fn parse(text: &str) -> Result<Self, SeccompError> {
        serde_json::from_str(text).map_err(|source| SeccompError::Syntax { source })
    }

    /// Decides the conditions for a container with these capabilities on this machine; `kernel`
    /// is its version: major, minor.
    pub fn filter(
        self,
        capabilities: Capabilities,
        native: Arch,
        kernel: (u32, u32),
    ) -> Result<Seccomp, SeccompError> {
        let architectures = self.architectures(native)?;
        let mut syscalls = Vec::new();
        for rule in self.syscalls.unwrap_or_default() {
            let included = match &rule.includes {
                Some(condition) => {
                    let has = |caps: &[String]| caps.iter().all(|cap| capabilities.has(cap));
                    condition.parts(has, native, kernel)?.into_iter().flatten().all(|part| part)
                }
                None => true,
            };
            let excluded = match &rule.excludes {
                Some(condition) => {
                    let has = |caps: &[String]| caps.iter().any(|cap| capabilities.has(cap));
                    condition.parts(has, native, kernel)?.into_iter().flatten().any(|part| part)
                }
                None => false,
            };
            if !included || excluded {
                continue;
            }
            let mut names = rule.names.unwrap_or_default();
            if rule.name.is_some() && !names.is_empty() {
                let what = "'name' and 'names' are both given";
                return Err(SeccompError::Contradiction { what });
            }
            names.extend(rule.name);
            syscalls.push(SeccompRule {
                names,
                action: rule.action,
                errno_ret: rule.errno_ret,
                args: rule.args.unwrap_or_default(),
            });
        }
        Ok(Seccomp {
            default_action: self.default_action,
            default_errno_ret: self.default_errno_ret,
            architectures,
            flags: self.flags,
            listener_path: self.listener_path,
            listener_metadata: self.listener_metadata,
            syscalls,
        })
    }

    fn architectures(&self, native: Arch) -> Result<Vec<String>, SeccompError> {
        let listed = self.architectures.clone().unwrap_or_default();
        let Some(map) = &self.arch_map else { return Ok(listed) };
        if !listed.is_empty() {
            return Err(SeccompError::Contradiction {
                what: "'architectures' and 'archMap' are both given",
            });
        }
        let own = map.iter().find(|entry| entry.architecture == native.oci_name());
        Ok(own.map_or_else(Vec::new, |entry| {
            let mut all = vec![entry.architecture.clone()];
            all.extend(entry.sub_architectures.iter().flatten().cloned());
            all
        }))
    }
}

impl Condition {
    /// Whether each part that is given holds; `has` says it of capabilities.
    fn parts(
        &self,
        has: impl Fn(&[String]) -> bool,
        native: Arch,
        kernel: (u32, u32),
    ) -> Result<[Option<bool>; 3], SeccompError> {
        let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
        let caps = given(&self.caps).map(|caps| has(&caps));
        let arches =
            given(&self.arches).map(|arches| arches.iter().any(|arch| arch == native.go_name()));
        let min_kernel = match self.min_kernel.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Some(kernel >= version(text)?),
            None => None,
        };
        Ok([caps, arches, min_kernel])
    }
}

fn version(text: &str) -> Result<(u32, u32), SeccompError> {
    text.split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or_else(|| SeccompError::Version { text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"name": "modify_ldt", "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}}
        ]
    }"#;

    fn names(capabilities: &[&str], kernel: (u32, u32)) -> Vec<String> {
        let profile = DockerProfile::parse(PROFILE).unwrap();
        let filter =
            profile.filter(Capabilities::from_names(capabilities), Arch::X86_64, kernel).unwrap();
        assert_eq!(filter.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
        filter.syscalls.into_iter().flat_map(|rule| rule.names).collect()
    }

    #[test]
    fn conditions_are_decided() {
        assert_eq!(names(&[], (6, 18)), ["read", "clone3", "ptrace", "modify_ldt"]);
        assert_eq!(names(&["CAP_SYS_ADMIN"], (4, 7)), ["read", "mount", "modify_ldt"]);
    }

    /// One of several capabilities excludes; all of them include.
    #[test]
    fn exclusions_need_one_capability_and_inclusions_all() {
        let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "EPERM", "syscalls": [
            {"names": ["a"], "action": "SCMP_ACT_ERRNO", "errno": "EPERM", "excludes": {"caps": ["CAP_BPF", "CAP_SYSLOG"]}},
            {"names": ["b"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF", "CAP_SYSLOG"]}}
        ]}"#;
        for (capabilities, want) in
            [(&[][..], &["a"][..]), (&["CAP_BPF"], &[]), (&["CAP_BPF", "CAP_SYSLOG"], &["b"])]
        {
            let profile = DockerProfile::parse(text).unwrap();
            let set = Capabilities::from_names(capabilities);
            let filter = profile.filter(set, Arch::X86_64, (6, 1)).unwrap();
            let names: Vec<_> = filter.syscalls.iter().flat_map(|rule| &rule.names).collect();
            assert_eq!(names, want);
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"defaultAction":"SCMP_ACT_ALLOW","sysCalls":[]}"#,
            r#"{"defaultAction":"x","syscalls":[{"names":[],"action":"y","includes":{"kaps":[]}}]}"#,
        ] {
            assert!(DockerProfile::parse(text).is_err(), "{text}");
        }
    }
}
