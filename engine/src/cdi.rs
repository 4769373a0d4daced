//! Devices of vendors: from a name to what it changes in a container.
//!
//! A vendor describes its devices in files below `/etc/cdi` and `/var/run/cdi`; a container that is
//! given one by its name gets the nodes, mounts and variables that the description has. Whoever
//! writes such a file is the host's administrator: what it says is done as said, but for programs
//! to be run on the host, which are refused.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ::cdi::{AUTO_ALLOW, CLASS, ContainerEdits, DeviceNode, FOLDERS, Name, Spec};
use dockerapi::DeviceRequest;
use dockerfile::RunDevice;
use oci::Mount;
use oci::runtime::{Device, DeviceRule, Linux, Resources, Spec as RuntimeSpec};

use crate::{AllowedDevices, EngineError};

/// The largest description.
const MAX_BYTES: u64 = 8 << 20;

/// The devices of this machine.
#[derive(Debug, Default)]
struct Devices {
    known: BTreeMap<Name, Known>,
    /// Descriptions in a form that is not read.
    unread: Vec<PathBuf>,
}

/// One device.
#[derive(Debug, Clone, Default)]
struct Known {
    annotations: BTreeMap<String, String>,
    /// Those of its kind first.
    edits: Vec<ContainerEdits>,
}

impl Devices {
    /// Reads all descriptions. A later folder's device takes the place of an earlier one's.
    fn read() -> Result<Self, EngineError> {
        Self::read_from(&FOLDERS.map(PathBuf::from))
    }

    fn read_from(folders: &[PathBuf]) -> Result<Self, EngineError> {
        let mut devices = Self::default();
        for folder in folders {
            let mut files: Vec<PathBuf> = match std::fs::read_dir(folder) {
                Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(EngineError::io("list", folder)(error)),
            };
            files.sort();
            for file in files {
                match file.extension().and_then(|extension| extension.to_str()) {
                    Some("json") => devices.add(&file)?,
                    Some("yaml" | "yml") => devices.unread.push(file),
                    _ => {}
                }
            }
        }
        Ok(devices)
    }

    fn add(&mut self, file: &Path) -> Result<(), EngineError> {
        let failed = |error| EngineError::io("read", file)(error);
        let mut bytes = Vec::new();
        let opened = std::fs::File::open(file).map_err(failed)?;
        io::Read::read_to_end(&mut io::Read::take(opened, MAX_BYTES), &mut bytes)
            .map_err(failed)?;
        let spec = Spec::parse(&bytes).map_err(|why| EngineError::Invalid {
            message: format!("the description of devices {} is damaged: {why}", file.display()),
        })?;
        for device in spec.devices {
            let mut annotations = spec.annotations.clone();
            annotations.extend(device.annotations);
            let edits = vec![spec.container_edits.clone(), device.container_edits];
            let name = Name { kind: spec.kind.clone(), device: device.name };
            self.known.insert(name, Known { annotations, edits });
        }
        Ok(())
    }

    /// The devices that a text asks for, as BuildKit finds them: `vendor.com/class=name`; of
    /// `vendor.com/class` the first; of `vendor.com/class=*` all; else those of that class.
    fn find(&self, text: &str) -> Vec<Name> {
        let (kind, device) = text.split_once('=').unwrap_or((text, ""));
        let of_kind = self.known.keys().filter(|name| name.kind == kind);
        let found: Vec<Name> = match device {
            "" => of_kind.take(1).cloned().collect(),
            "*" => of_kind.cloned().collect(),
            device => of_kind.filter(|name| name.device == device).cloned().collect(),
        };
        if !found.is_empty() {
            return found;
        }
        let is_of = |known: &Known| known.annotations.get(CLASS).is_some_and(|class| class == text);
        let of_class = self.known.iter().filter(|(_, known)| is_of(known));
        of_class.map(|(name, _)| name.clone()).collect()
    }

    /// Whether each build may use a device.
    fn is_for_all(&self, name: &Name) -> bool {
        let annotations = self.known.get(name).map(|known| &known.annotations);
        let value = annotations.and_then(|annotations| annotations.get(AUTO_ALLOW));
        value.is_some_and(|value| matches!(value.as_str(), "1" | "t" | "T" | "true" | "True"))
    }

    /// Why there is no such device.
    fn missing(&self, text: &str) -> String {
        let mut message = format!("required device {text:?} is not registered");
        if let Some(file) = self.unread.first() {
            message += &format!(
                ": {} is in YAML, which is not read; write it in JSON (nvidia-ctk cdi generate \
                 --format=json)",
                file.display()
            );
        }
        message
    }

    /// Gives a container devices.
    fn apply(&self, names: &[Name], spec: &mut RuntimeSpec) -> Result<(), EngineError> {
        let mut done: Vec<&Name> = Vec::new();
        for name in names {
            let Some(known) = self.known.get(name).filter(|_| !done.contains(&name)) else {
                continue;
            };
            done.push(name);
            for edits in &known.edits {
                edit(name, edits, spec)?;
            }
        }
        Ok(())
    }
}

/// The devices of requests by CDI names; an error if there is not one of them.
fn asked(requests: &[DeviceRequest]) -> Result<Option<(Devices, Vec<Name>)>, EngineError> {
    let texts: Vec<&String> = requests.iter().flat_map(|request| &request.device_ids).collect();
    if texts.is_empty() {
        return Ok(None);
    }
    let devices = Devices::read()?;
    let mut names = Vec::new();
    for text in texts {
        let found = Name::parse(text).filter(|name| devices.known.contains_key(name));
        let missing = || EngineError::Invalid { message: devices.missing(text) };
        names.push(found.ok_or_else(missing)?);
    }
    Ok(Some((devices, names)))
}

/// Whether a container can be given what is asked for.
pub(crate) fn check(requests: &[DeviceRequest]) -> Result<(), EngineError> {
    give(requests, &mut RuntimeSpec::default())
}

/// Gives a container the devices that are asked for by CDI names.
pub(crate) fn give(requests: &[DeviceRequest], spec: &mut RuntimeSpec) -> Result<(), EngineError> {
    match asked(requests)? {
        Some((devices, names)) => devices.apply(&names, spec),
        None => Ok(()),
    }
}

/// Gives a step of a build the devices that it asks for, as far as there are such, if it may have
/// them.
pub(crate) fn give_step(
    wanted: &[RunDevice],
    allowed: &AllowedDevices,
    spec: &mut RuntimeSpec,
) -> Result<(), EngineError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let devices = Devices::read()?;
    let mut given = Vec::new();
    for RunDevice { name: text, required } in wanted {
        let found = devices.find(text);
        if found.is_empty() && *required {
            return Err(EngineError::Invalid { message: devices.missing(text) });
        }
        let is_allowed = |name: &Name| {
            let own = name.to_string();
            allowed.all
                || devices.is_for_all(name)
                || [text, &own, &name.kind].into_iter().any(|one| allowed.names.contains(one))
        };
        if let Some(name) = found.iter().find(|name| !is_allowed(name)) {
            return Err(EngineError::Invalid {
                message: format!(
                    "device {name} is not allowed; allow it with --allow device={name} if you \
                     trust the Dockerfile"
                ),
            });
        }
        given.extend(found);
    }
    devices.apply(&given, spec)
}

fn edit(name: &Name, edits: &ContainerEdits, spec: &mut RuntimeSpec) -> Result<(), EngineError> {
    let refuse = |what: String, hint: &str| {
        Err(EngineError::Unsupported { message: format!("device {name}: {what}: {hint}") })
    };
    if let Some(hook) = edits.hooks.first() {
        let what = format!("it wants the hook {} ({})", hook.hook_name, hook.path);
        return refuse(what, "programs of the host are not run for devices");
    }
    if !edits.net_devices.is_empty() || edits.intel_rdt.is_some() {
        let what = "it wants network devices or cache allocation".to_owned();
        return refuse(what, "they are not given to devices yet");
    }
    for node in &edits.device_nodes {
        add_node(name, node, spec)?;
    }
    for mount in &edits.mounts {
        let kind = match mount.kind.as_str() {
            "" => "bind",
            kind => kind,
        };
        let mut options = mount.options.clone();
        if kind == "bind" && !options.iter().any(|option| matches!(&**option, "bind" | "rbind")) {
            options.push("rbind".into());
        }
        spec.mounts.push(Mount {
            destination: mount.container_path.clone(),
            kind: Some(kind.to_owned()),
            source: Some(mount.host_path.clone()),
            options,
            ..Mount::default()
        });
    }
    if let Some(process) = &mut spec.process {
        for entry in &edits.env {
            let key = entry.split('=').next().unwrap_or_default();
            process.env.retain(|other| other.split('=').next() != Some(key));
            process.env.push(entry.clone());
        }
        for gid in edits.additional_gids.iter().filter(|gid| **gid != 0) {
            if !process.user.additional_gids.contains(gid) {
                process.user.additional_gids.push(*gid);
            }
        }
    }
    Ok(())
}

fn add_node(name: &Name, node: &DeviceNode, spec: &mut RuntimeSpec) -> Result<(), EngineError> {
    let host_path = if node.host_path.is_empty() { &node.path } else { &node.host_path };
    let mut device = Device {
        kind: node.kind.clone(),
        path: node.path.clone(),
        major: node.major.unwrap_or_default(),
        minor: node.minor.unwrap_or_default(),
        file_mode: node.file_mode,
        uid: node.uid,
        gid: node.gid,
    };
    if node.kind.is_empty() || ((node.major.is_none() || node.minor.is_none()) && node.kind != "p")
    {
        let found = crate::launch::host_devices(host_path)
            .map_err(|error| EngineError::io("inspect", host_path)(error))?;
        let [found] = found.as_slice() else {
            let message = format!("device {name}: {host_path} is no device node");
            return Err(EngineError::Invalid { message });
        };
        device.kind = found.kind.to_string();
        (device.major, device.minor) = (i64::from(found.major), i64::from(found.minor));
        device.file_mode.get_or_insert(found.mode);
        device.uid.get_or_insert(found.uid);
        device.gid.get_or_insert(found.gid);
    }
    let linux = spec.linux.get_or_insert_with(Linux::default);
    if matches!(device.kind.as_str(), "b" | "c" | "u") {
        let access = if node.permissions.is_empty() { "rwm" } else { &node.permissions };
        let resources = linux.resources.get_or_insert_with(Resources::default);
        resources.devices.push(DeviceRule {
            allow: true,
            kind: Some(if device.kind == "b" { "b" } else { "c" }.to_owned()),
            major: Some(device.major),
            minor: Some(device.minor),
            access: Some(access.to_owned()),
        });
    }
    linux.devices.retain(|other| other.path != device.path);
    linux.devices.push(device);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::Process;

    fn devices(files: &[(&str, &str)]) -> Result<Devices, EngineError> {
        let temp = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(temp.path().join(name), text).unwrap();
        }
        Devices::read_from(&[temp.path().to_owned(), temp.path().join("absent")])
    }

    const EXAMPLE: &str = r#"{"cdiVersion": "0.6.0", "kind": "v.com/d",
        "annotations": {"org.mobyproject.buildkit.device.class": "class"},
        "containerEdits": {"env": ["ALL=1"]},
        "devices": [
            {"name": "a", "containerEdits": {"env": ["A=2"], "additionalGids": [7],
                "deviceNodes": [{"path": "/dev/x", "hostPath": "/dev/null", "permissions": "r"}],
                "mounts": [{"hostPath": "/h", "containerPath": "/c", "options": ["ro"]}]}},
            {"name": "b", "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"}},
            {"name": "hooked", "containerEdits": {"hooks": [{"hookName": "prestart", "path": "/x"}]}}
        ]}"#;

    #[test]
    fn devices_are_found_as_buildkit_finds_them() {
        let devices = devices(&[("v.json", EXAMPLE), ("w.yaml", "kind: w.com/d")]).unwrap();
        let found = |text: &str| -> Vec<String> {
            devices.find(text).iter().map(|name| name.device.clone()).collect()
        };
        assert_eq!(found("v.com/d=b"), ["b"]);
        assert_eq!(found("v.com/d"), ["a"]);
        assert_eq!(found("v.com/d=*"), ["a", "b", "hooked"]);
        assert_eq!(found("class").len(), 3);
        assert_eq!(found("w.com/d=x"), [""; 0]);
        assert!(devices.missing("w.com/d=x").contains("w.yaml is in YAML"));
        assert!(devices.is_for_all(&devices.find("v.com/d=b")[0]));
        assert!(!devices.is_for_all(&devices.find("v.com/d=a")[0]));
    }

    #[test]
    fn a_container_gets_what_a_device_needs() {
        let devices = devices(&[("v.json", EXAMPLE)]).unwrap();
        let process = Process { env: vec!["A=1".into()], ..Process::default() };
        let mut spec = RuntimeSpec { process: Some(process), ..RuntimeSpec::default() };
        devices.apply(&devices.find("v.com/d=a"), &mut spec).unwrap();
        let process = spec.process.unwrap();
        assert_eq!(process.env, ["ALL=1", "A=2"]);
        assert_eq!(process.user.additional_gids, [7]);
        assert_eq!(spec.mounts[0].options, ["ro", "rbind"]);
        let linux = spec.linux.unwrap();
        let node = &linux.devices[0];
        assert_eq!((&*node.path, &*node.kind, node.major, node.minor), ("/dev/x", "c", 1, 3));
        let rule = &linux.resources.unwrap().devices[0];
        assert_eq!((rule.allow, rule.access.as_deref()), (true, Some("r")));
    }

    #[test]
    fn programs_of_the_host_are_refused_and_damage_is_named() {
        let known = devices(&[("v.json", EXAMPLE)]).unwrap();
        let refused = known.apply(&known.find("v.com/d=hooked"), &mut RuntimeSpec::default());
        assert!(refused.unwrap_err().to_string().contains("the hook prestart (/x)"));
        let damaged = devices(&[("v.json", "{")]).unwrap_err().to_string();
        assert!(damaged.contains("v.json is damaged"), "{damaged}");
    }
}
