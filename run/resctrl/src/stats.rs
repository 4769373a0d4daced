//! What a group has and uses.

use std::fs;
use std::path::Path;

use crate::{Group, ResctrlError};

/// Everything that the kernel tells of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// The lines of the class's `schemata`.
    pub schemata: Vec<String>,
    /// Those of the root.
    pub root_schemata: Vec<String>,
    /// `None` where the level 3 cache cannot be shared out.
    pub cache: Option<CacheInfo>,
    /// `None` where the memory bandwidth cannot be shared out.
    pub bandwidth: Option<BandwidthInfo>,
    /// By domain of the level 3 cache, if traffic is counted.
    pub traffic: Option<Vec<Traffic>>,
    /// Bytes of the level 3 cache in use, by its domains, if they are counted.
    pub occupancy: Option<Vec<u64>>,
}

/// How the level 3 cache can be shared out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheInfo {
    /// All of it, as a mask in hexadecimal digits.
    pub mask: String,
    /// The fewest bits of a mask.
    pub least_bits: u64,
    /// How many classes there can be.
    pub classes: u64,
}

/// How the memory bandwidth can be shared out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BandwidthInfo {
    /// Steps in percent.
    pub step: u64,
    /// 1 if shares are what they say.
    pub linear: u64,
    /// The least share.
    pub least: u64,
    /// How many classes there can be.
    pub classes: u64,
}

/// Bytes read from and written to memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All.
    pub total_bytes: u64,
    /// That of the processor's own memory.
    pub local_bytes: u64,
}

impl Group {
    /// Reads everything. Without a monitoring group of its own, what is counted is the whole
    /// class's.
    pub fn stats(&self) -> Result<Stats, ResctrlError> {
        let root = self.root();
        let schemata = |group: &Path| {
            let path = group.join("schemata");
            let text = fs::read_to_string(&path)
                .map_err(|source| ResctrlError::io("read", &path, source))?;
            Ok(text.lines().map(|line| line.trim().to_owned()).collect())
        };
        let features = fs::read_to_string(root.join("info/L3_MON/mon_features"));
        let features = features.unwrap_or_default();
        let counts = |name: &str| features.lines().any(|feature| feature == name);
        let domains = domains(&self.counted().join("mon_data"))?;
        let column = |name: &str| {
            let values = domains.iter().map(|domain| number(&domain.join(name)).unwrap_or(0));
            values.collect::<Vec<_>>()
        };
        let counts_traffic = counts("mbm_total_bytes") || counts("mbm_local_bytes");
        Ok(Stats {
            schemata: schemata(self.class())?,
            root_schemata: schemata(root)?,
            cache: cache(&root.join("info/L3")),
            bandwidth: bandwidth(&root.join("info/MB")),
            traffic: counts_traffic.then(|| {
                let both = column("mbm_total_bytes").into_iter().zip(column("mbm_local_bytes"));
                both.map(|(total_bytes, local_bytes)| Traffic { total_bytes, local_bytes })
                    .collect()
            }),
            occupancy: counts("llc_occupancy").then(|| column("llc_occupancy")),
        })
    }
}

fn cache(info: &Path) -> Option<CacheInfo> {
    let mask = fs::read_to_string(info.join("cbm_mask")).ok()?.trim().to_owned();
    let value = |name: &str| number(&info.join(name)).unwrap_or(0);
    Some(CacheInfo { mask, least_bits: value("min_cbm_bits"), classes: value("num_closids") })
}

fn bandwidth(info: &Path) -> Option<BandwidthInfo> {
    let step = number(&info.join("bandwidth_gran"))?;
    let value = |name: &str| number(&info.join(name)).unwrap_or(0);
    let (linear, least) = (value("delay_linear"), value("min_bandwidth"));
    Some(BandwidthInfo { step, linear, least, classes: value("num_closids") })
}

/// The directories `mon_L3_00` and so on, in their order. None where nothing is counted.
fn domains(data: &Path) -> Result<Vec<std::path::PathBuf>, ResctrlError> {
    let Ok(entries) = fs::read_dir(data) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| ResctrlError::io("read", data, source))?;
        if entry.file_name().to_string_lossy().starts_with("mon_L3_") {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// `None` for what is no number: the kernel says `Unavailable` where it cannot count just now.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
