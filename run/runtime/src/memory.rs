//! Where a container's memory comes from, on machines with several nodes of it.

use oci::runtime::MemoryPolicy;

use crate::RuntimeError;
use crate::error::{Step, spec_error};

/// What set_mempolicy(2) takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodePolicy {
    mode: u32,
    /// A bit for each node, lowest first; empty for none.
    nodes: Vec<u64>,
}

/// The modes that are known, as linux/mempolicy.h has them.
pub const MEMORY_MODES: [(&str, u32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];
/// The flags that are known.
pub const MEMORY_FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];
/// As many nodes as the kernel can be built for.
const MOST_NODES: usize = 1024;

impl NodePolicy {
    /// Looks the names up. What the kernel does not take together is its own to refuse.
    pub(crate) fn new(wanted: &MemoryPolicy) -> Result<Self, RuntimeError> {
        // The words after the field are runc's, which its tests look for.
        let wrong = |field: &str, what: &str, text: &str| {
            let problem = format!("invalid memory policy {what}: \"{text}\"");
            spec_error(format!("linux.memoryPolicy.{field}"), problem)
        };
        let number = |names: &[(&str, u32)], name: &str| {
            names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
        };
        let mut mode = number(&MEMORY_MODES, &wanted.mode)
            .ok_or_else(|| wrong("mode", "mode", &wanted.mode))?;
        for flag in &wanted.flags {
            mode |= number(&MEMORY_FLAGS, flag).ok_or_else(|| wrong("flags", "flag", flag))?;
        }
        let nodes = match wanted.nodes.as_str() {
            "" => Vec::new(),
            list => nodes(list).ok_or_else(|| wrong("nodes", "node list", list))?,
        };
        let count: u32 = nodes.iter().map(|word| word.count_ones()).sum();
        if count > 0 && matches!(wanted.mode.as_str(), "MPOL_DEFAULT" | "MPOL_LOCAL") {
            let problem = format!("mode requires 0 nodes but got {count}");
            return Err(spec_error("linux.memoryPolicy.nodes", problem));
        }
        Ok(Self { mode, nodes })
    }

    pub(crate) fn apply(&self) -> Result<(), RuntimeError> {
        sys::schedule::set_memory_policy(self.mode, &self.nodes)
            .inside(|| "set linux.memoryPolicy".into())
    }
}

/// A list such as `0-3,7`.
fn nodes(list: &str) -> Option<Vec<u64>> {
    let mut bits = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST_NODES {
            return None;
        }
        bits.resize(bits.len().max(last / 64 + 1), 0);
        (first..=last).for_each(|node| bits[node / 64] |= 1 << (node % 64));
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lists_become_numbers() {
        let policy = |mode: &str, nodes: &str, flags: &[&str]| {
            let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
            NodePolicy::new(&MemoryPolicy { mode: mode.into(), nodes: nodes.into(), flags })
                .map_err(|error| error.to_string())
        };
        let found = policy("MPOL_BIND", "0-2,65", &["MPOL_F_STATIC_NODES"]).unwrap();
        assert_eq!(found, NodePolicy { mode: 2 | 1 << 15, nodes: vec![7, 2] });
        assert!(policy("MPOL_LOCAL", "", &[]).unwrap().nodes.is_empty());
        for (mode, nodes, flags, field) in [
            ("BIND", "0", &[][..], "linux.memoryPolicy.mode"),
            ("MPOL_BIND", "2-1", &[], "linux.memoryPolicy.nodes"),
            ("MPOL_BIND", "9999999", &[], "linux.memoryPolicy.nodes"),
            ("MPOL_BIND", "0", &["MPOL_F_X"], "linux.memoryPolicy.flags"),
            ("MPOL_DEFAULT", "0-7", &[], "linux.memoryPolicy.nodes"),
            ("", "0", &[], "linux.memoryPolicy.mode"),
        ] {
            assert!(policy(mode, nodes, flags).unwrap_err().starts_with(field), "{mode} {nodes}");
        }
    }
}
