//! Block devices: weights and rates.

use std::path::Path;

use oci::runtime::BlockIo;

use super::only_v1;
use crate::hierarchy::Version;
use crate::need::throttles;
use crate::{Cgroup, CgroupError, Controller, file};

impl Cgroup {
    pub(super) fn apply_io(&self, io: &BlockIo) -> Result<(), CgroupError> {
        let io = &BlockIo {
            weight: io.weight.filter(|weight| *weight != 0),
            leaf_weight: io.leaf_weight.filter(|weight| *weight != 0),
            ..io.clone()
        };
        if *io == BlockIo::default() {
            return Ok(());
        }
        let (dir, version) = self.place(Controller::Io, "blockIO.weight")?;
        for weight in io.weight.into_iter().chain(io.leaf_weight) {
            check_weight(weight, "blockIO.weight")?;
        }
        match version {
            Version::V1 => weights_v1(dir, io)?,
            Version::V2 => weights_v2(dir, io)?,
        }
        let names_v1 = [
            "blkio.throttle.read_bps_device",
            "blkio.throttle.write_bps_device",
            "blkio.throttle.read_iops_device",
            "blkio.throttle.write_iops_device",
        ];
        let names_v2 = ["rbps", "wbps", "riops", "wiops"];
        for (place, (list, setting)) in throttles(io).into_iter().enumerate() {
            for device in list {
                let (major, minor, rate) = (device.major, device.minor, device.rate);
                match (version, rate) {
                    (Version::V1, _) => {
                        let value = format!("{major}:{minor} {rate}");
                        file::set(dir, names_v1[place], setting, value)?;
                    }
                    // Zero lifts a limit in version 1, and no rate at all is nobody's wish.
                    (Version::V2, 0) => {
                        let value = format!("{major}:{minor} {}=max", names_v2[place]);
                        file::set(dir, "io.max", setting, value)?;
                    }
                    (Version::V2, _) => {
                        let value = format!("{major}:{minor} {}={rate}", names_v2[place]);
                        file::set(dir, "io.max", setting, value)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn check_weight(weight: u16, setting: &str) -> Result<(), CgroupError> {
    match weight {
        10..=1000 => Ok(()),
        _ => Err(CgroupError::Value {
            setting: setting.to_owned(),
            value: weight.to_string(),
            reason: "it goes from 10 to 1000",
        }),
    }
}

/// The kernel has had two schedulers with weights: CFQ until 4.20, and BFQ.
fn weights_v1(dir: &Path, io: &BlockIo) -> Result<(), CgroupError> {
    let bfq = !dir.join("blkio.weight").exists();
    let [weight_file, device_file] = match bfq {
        true => ["blkio.bfq.weight", "blkio.bfq.weight_device"],
        false => ["blkio.weight", "blkio.weight_device"],
    };
    if let Some(weight) = io.weight {
        file::set(dir, weight_file, "blockIO.weight", weight)?;
    }
    if let Some(weight) = io.leaf_weight {
        file::set(dir, "blkio.leaf_weight", "blockIO.leafWeight", weight)?;
    }
    for device in &io.weight_device {
        let (major, minor) = (device.major, device.minor);
        let setting = "blockIO.weightDevice";
        if let Some(weight) = device.weight {
            check_weight(weight, setting)?;
            file::set(dir, device_file, setting, format!("{major}:{minor} {weight}"))?;
        }
        if let Some(weight) = device.leaf_weight {
            let value = format!("{major}:{minor} {weight}");
            file::set(dir, "blkio.leaf_weight_device", setting, value)?;
        }
    }
    Ok(())
}

/// BFQ takes the runtime-spec's weights as they are; the other, io.cost, has a range of its own.
fn weights_v2(dir: &Path, io: &BlockIo) -> Result<(), CgroupError> {
    if io.leaf_weight.is_some() || io.weight_device.iter().any(|one| one.leaf_weight.is_some()) {
        return Err(only_v1("blockIO.leafWeight"));
    }
    let bfq = dir.join("io.bfq.weight").exists();
    let (name, convert): (_, fn(u16) -> u64) = match bfq {
        true => ("io.bfq.weight", u64::from),
        false => ("io.weight", cost_weight),
    };
    if let Some(weight) = io.weight {
        file::set(dir, name, "blockIO.weight", convert(weight))?;
    }
    for device in &io.weight_device {
        let Some(weight) = device.weight else { continue };
        check_weight(weight, "blockIO.weightDevice")?;
        let value = format!("{}:{} {}", device.major, device.minor, convert(weight));
        file::set(dir, name, "blockIO.weightDevice", value)?;
    }
    Ok(())
}

/// 1 to 10,000 for 10 to 1,000, in a straight line, as runc and crun have it.
pub(crate) fn cost_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::cost_weight;

    #[test]
    fn weights_reach_from_end_to_end() {
        assert_eq!([cost_weight(10), cost_weight(500), cost_weight(1000)], [1, 4950, 10_000]);
    }
}
