//! Capabilities by name, and the moment at which they are given up.

use oci::runtime::Capabilities;
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

use crate::RuntimeError;
use crate::error::Step;

/// The five sets of a process to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CapabilityPlan {
    bounding: CapabilitySet,
    effective: CapabilitySet,
    permitted: CapabilitySet,
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
}

impl CapabilityPlan {
    /// Looks the names up; one that nobody knows is passed over with a warning, as the spec
    /// demands. No section at all means no capabilities at all.
    pub(crate) fn new(wanted: Option<&Capabilities>, warnings: &mut Vec<String>) -> Self {
        let mut set = |names: Option<&Vec<String>>| {
            let mut set = CapabilitySet::empty();
            for name in names.into_iter().flatten() {
                match by_name(name) {
                    Some(capability) => set |= capability,
                    None => {
                        let warning = format!("capability {name} is not known and is left out");
                        if !warnings.contains(&warning) {
                            warnings.push(warning);
                        }
                    }
                }
            }
            set
        };
        let mut plan = Self {
            bounding: set(wanted.map(|caps| &caps.bounding)),
            effective: set(wanted.map(|caps| &caps.effective)),
            permitted: set(wanted.map(|caps| &caps.permitted)),
            inheritable: set(wanted.map(|caps| &caps.inheritable)),
            ambient: set(wanted.map(|caps| &caps.ambient)),
        };
        // The kernel would refuse them; runc's own example asks for it, and runc warns.
        let refused = plan.ambient - (plan.permitted & plan.inheritable);
        for (name, _) in NAMES.iter().filter(|(_, bit)| refused.contains(*bit)) {
            warnings.push(format!(
                "can't raise ambient capability CAP_{name}: it is not both permitted and inheritable"
            ));
        }
        plan.ambient -= refused;
        plan
    }

    /// Leaves out what this process cannot have itself, with a warning.
    pub(crate) fn clamp(&mut self, warnings: &mut Vec<String>) -> Result<(), RuntimeError> {
        let own = rustix::thread::capabilities(None).inside(|| "read capabilities".into())?;
        let lacking = (self.bounding | self.permitted | self.effective) - own.permitted;
        if lacking.is_empty() {
            return Ok(());
        }
        for (name, _) in NAMES.iter().filter(|(_, bit)| lacking.contains(*bit)) {
            warnings.push(format!("capability CAP_{name} is not ours to give and is left out"));
        }
        for set in [
            &mut self.bounding,
            &mut self.permitted,
            &mut self.effective,
            &mut self.inheritable,
            &mut self.ambient,
        ] {
            *set &= own.permitted;
        }
        Ok(())
    }

    /// Cuts the bounding set. Needs CAP_SETPCAP, so comes before the others go.
    pub(crate) fn bound(&self) -> Result<(), RuntimeError> {
        for (name, bit) in NAMES {
            if self.bounding.contains(bit) {
                continue;
            }
            match remove_capability_from_bounding_set(bit) {
                // The kernel does not know it: nobody can have it.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(errno) => {
                    return Err(errno).inside(|| format!("drop CAP_{name} for good"));
                }
            }
        }
        Ok(())
    }

    /// Gives up all but the planned sets, and `also` (in the permitted and effective sets).
    ///
    /// The ambient set is raised only with `also` empty: it is the last step.
    pub(crate) fn apply(&self, also: CapabilitySet) -> Result<(), RuntimeError> {
        let sets = CapabilitySets {
            effective: self.effective | also,
            permitted: self.permitted | also,
            inheritable: self.inheritable,
        };
        set_capabilities(None, sets).inside(|| "set capabilities".into())?;
        if also.is_empty() {
            clear_ambient_capability_set().inside(|| "clear ambient capabilities".into())?;
            for (name, bit) in NAMES.iter().filter(|(_, bit)| self.ambient.contains(*bit)) {
                configure_capability_in_ambient_set(*bit, true)
                    .inside(|| format!("raise CAP_{name} in the ambient set"))?;
            }
        }
        Ok(())
    }
}

/// Every capability that is known here, as `CAP_CHOWN`, in the kernel's order.
pub fn capability_names() -> impl Iterator<Item = String> {
    NAMES.iter().map(|(name, _)| format!("CAP_{name}"))
}

fn by_name(name: &str) -> Option<CapabilitySet> {
    let name = name.strip_prefix("CAP_").unwrap_or(name);
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit)
}

/// capabilities(7), in the kernel's order.
const NAMES: [(&str, CapabilitySet); 41] = [
    ("CHOWN", CapabilitySet::CHOWN),
    ("DAC_OVERRIDE", CapabilitySet::DAC_OVERRIDE),
    ("DAC_READ_SEARCH", CapabilitySet::DAC_READ_SEARCH),
    ("FOWNER", CapabilitySet::FOWNER),
    ("FSETID", CapabilitySet::FSETID),
    ("KILL", CapabilitySet::KILL),
    ("SETGID", CapabilitySet::SETGID),
    ("SETUID", CapabilitySet::SETUID),
    ("SETPCAP", CapabilitySet::SETPCAP),
    ("LINUX_IMMUTABLE", CapabilitySet::LINUX_IMMUTABLE),
    ("NET_BIND_SERVICE", CapabilitySet::NET_BIND_SERVICE),
    ("NET_BROADCAST", CapabilitySet::NET_BROADCAST),
    ("NET_ADMIN", CapabilitySet::NET_ADMIN),
    ("NET_RAW", CapabilitySet::NET_RAW),
    ("IPC_LOCK", CapabilitySet::IPC_LOCK),
    ("IPC_OWNER", CapabilitySet::IPC_OWNER),
    ("SYS_MODULE", CapabilitySet::SYS_MODULE),
    ("SYS_RAWIO", CapabilitySet::SYS_RAWIO),
    ("SYS_CHROOT", CapabilitySet::SYS_CHROOT),
    ("SYS_PTRACE", CapabilitySet::SYS_PTRACE),
    ("SYS_PACCT", CapabilitySet::SYS_PACCT),
    ("SYS_ADMIN", CapabilitySet::SYS_ADMIN),
    ("SYS_BOOT", CapabilitySet::SYS_BOOT),
    ("SYS_NICE", CapabilitySet::SYS_NICE),
    ("SYS_RESOURCE", CapabilitySet::SYS_RESOURCE),
    ("SYS_TIME", CapabilitySet::SYS_TIME),
    ("SYS_TTY_CONFIG", CapabilitySet::SYS_TTY_CONFIG),
    ("MKNOD", CapabilitySet::MKNOD),
    ("LEASE", CapabilitySet::LEASE),
    ("AUDIT_WRITE", CapabilitySet::AUDIT_WRITE),
    ("AUDIT_CONTROL", CapabilitySet::AUDIT_CONTROL),
    ("SETFCAP", CapabilitySet::SETFCAP),
    ("MAC_OVERRIDE", CapabilitySet::MAC_OVERRIDE),
    ("MAC_ADMIN", CapabilitySet::MAC_ADMIN),
    ("SYSLOG", CapabilitySet::SYSLOG),
    ("WAKE_ALARM", CapabilitySet::WAKE_ALARM),
    ("BLOCK_SUSPEND", CapabilitySet::BLOCK_SUSPEND),
    ("AUDIT_READ", CapabilitySet::AUDIT_READ),
    ("PERFMON", CapabilitySet::PERFMON),
    ("BPF", CapabilitySet::BPF),
    ("CHECKPOINT_RESTORE", CapabilitySet::CHECKPOINT_RESTORE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_kernels_order() {
        for (number, (name, bit)) in NAMES.iter().enumerate() {
            assert_eq!(bit.bits(), 1 << number, "{name}");
            assert_eq!(by_name(&format!("CAP_{name}")), Some(*bit));
        }
    }

    #[test]
    fn unknown_names_are_warned_of_once() {
        let mut warnings = Vec::new();
        let names = vec!["CAP_CHOWN".to_owned(), "CAP_FLY".to_owned()];
        let wanted =
            Capabilities { bounding: names.clone(), effective: names, ..Capabilities::default() };
        let plan = CapabilityPlan::new(Some(&wanted), &mut warnings);
        assert_eq!((plan.bounding, warnings.len()), (CapabilitySet::CHOWN, 1));
        assert_eq!(CapabilityPlan::new(None, &mut warnings).permitted, CapabilitySet::empty());
    }

    #[test]
    fn what_cannot_be_ambient_is_left_out_with_a_warning() {
        let mut warnings = Vec::new();
        let both = vec!["CAP_KILL".to_owned(), "CAP_CHOWN".to_owned()];
        let wanted = Capabilities {
            permitted: both.clone(),
            inheritable: vec!["CAP_KILL".to_owned()],
            ambient: both,
            ..Capabilities::default()
        };
        let plan = CapabilityPlan::new(Some(&wanted), &mut warnings);
        assert_eq!((plan.ambient, warnings.len()), (CapabilitySet::KILL, 1), "{warnings:?}");
    }
}
