//! The Container Device Interface: what a vendor's device needs in a container.
//!
//! ```text
//! vendor.com/class=name     names a device      Name
//! a file of a vendor's      describes some      Spec { kind, devices, edits for all of them }
//!                           what each changes   ContainerEdits
//! ```
//!
//! container-device-interface specification 1.0.0 ("SPEC.md"), in its JSON form. No I/O: who reads
//! files says which ([`FOLDERS`]).

use std::collections::BTreeMap;

use serde::Deserialize;

/// Where descriptions are, the more important ones last.
pub const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// The annotation of a device that says by which shorter name it can be asked for in a build.
pub const CLASS: &str = "org.mobyproject.buildkit.device.class";
/// The annotation of a device that says that each build may use it.
pub const AUTO_ALLOW: &str = "org.mobyproject.buildkit.device.autoallow";

/// A description of devices of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The version of the specification.
    pub cdi_version: String,
    /// `vendor.com/class`
    pub kind: String,
    /// Free key-value pairs.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// The devices.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// What each of them needs.
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

/// A device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its name among those of its kind.
    pub name: String,
    /// Free key-value pairs.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// What it needs.
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

/// What changes in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerEdits {
    /// Variables, `NAME=value` each.
    pub env: Vec<String>,
    /// Device nodes.
    pub device_nodes: Vec<DeviceNode>,
    /// Network devices.
    pub net_devices: Vec<serde_json::Value>,
    /// Programs of the host that are run.
    pub hooks: Vec<Hook>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Cache and memory bandwidth.
    pub intel_rdt: Option<serde_json::Value>,
    /// Groups that the process is in, too.
    pub additional_gids: Vec<u32>,
}

/// A device node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceNode {
    /// Where, inside.
    pub path: String,
    /// Where on the host; `path` if empty.
    pub host_path: String,
    /// `b`, `c`, `u` or `p`; that of the host's node if empty.
    #[serde(rename = "type")]
    pub kind: String,
    /// The major number; that of the host's node if absent.
    pub major: Option<i64>,
    /// The minor number; that of the host's node if absent.
    pub minor: Option<i64>,
    /// Permissions of the node.
    pub file_mode: Option<u32>,
    /// What the container may do with it, of `rwm`; all if empty.
    pub permissions: String,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

/// A program of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hook {
    /// `createContainer` and so on.
    pub hook_name: String,
    /// The program.
    pub path: String,
}

/// A mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// What, on the host.
    pub host_path: String,
    /// Where, inside.
    pub container_path: String,
    /// As mount(8) has them.
    pub options: Vec<String>,
    /// The type of the file system.
    #[serde(rename = "type")]
    pub kind: String,
}

/// `vendor.com/class=name`, in its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// `vendor.com/class`
    pub kind: String,
    /// The device's own name.
    pub device: String,
}

impl Name {
    /// Reads a whole name; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, device) = text.split_once('=')?;
        let is_name = is_kind(kind) && is_device(device);
        is_name.then(|| Self { kind: kind.to_owned(), device: device.to_owned() })
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}={}", self.kind, self.device)
    }
}

impl Spec {
    /// Reads a description; the error is a sentence's end.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let spec: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if !is_kind(&spec.kind) {
            return Err(format!("{:?} is no kind of devices (vendor.com/class)", spec.kind));
        }
        match spec.devices.iter().find(|device| !is_device(&device.name)) {
            Some(device) => Err(format!("{:?} is no name of a device", device.name)),
            None => Ok(spec),
        }
    }
}

/// `vendor.com/class`: "Kind" of SPEC.md.
pub fn is_kind(text: &str) -> bool {
    let word = |text: &str, inner: &[u8]| {
        let bytes = text.as_bytes();
        bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || inner.contains(byte))
    };
    text.split_once('/').is_some_and(|(vendor, class)| word(vendor, b"_-.") && word(class, b"_-."))
}

/// A device's own name: letters, digits and `_-.:` between them.
fn is_device(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_three_parts() {
        let name = Name::parse("nvidia.com/gpu=0").unwrap();
        assert_eq!((name.kind.as_str(), name.device.as_str()), ("nvidia.com/gpu", "0"));
        assert_eq!(name.to_string(), "nvidia.com/gpu=0");
        assert!(Name::parse("a/b=GPU-1:2_3").is_some());
        for text in ["", "/dev/x", "/dev/x=y", "a/b", "a/b=", "a=b", "1a/b=c", "a/b=-", "a/b=*"] {
            assert!(Name::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn descriptions_are_read() {
        let text = br#"{"cdiVersion":"0.6.0","kind":"v.com/d","devices":[{"name":"x",
            "containerEdits":{"env":["A=1"],"deviceNodes":[{"path":"/dev/n","type":"c","major":1,
            "minor":3,"permissions":"rw"}],"mounts":[{"hostPath":"/h","containerPath":"/c",
            "options":["ro"]}],"hooks":[{"hookName":"createContainer","path":"/x"}]}}]}"#;
        let spec = Spec::parse(text).unwrap();
        let edits = &spec.devices[0].container_edits;
        assert_eq!(edits.device_nodes[0].minor, Some(3));
        assert_eq!((&*edits.mounts[0].container_path, &*edits.hooks[0].path), ("/c", "/x"));
        for bad in [&b"{}"[..], br#"{"cdiVersion":"1","kind":"x"}"#, b"kind: a/b"] {
            assert!(Spec::parse(bad).is_err());
        }
    }
}
