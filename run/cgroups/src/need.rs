//! Which controllers a set of limits needs.

use oci::runtime::Resources;

use crate::{CgroupError, Controller, Controllers, Hierarchy, Mode};

/// The controllers of every limit in `resources`, each with the limit that needs it, in the words
/// of the runtime-spec. runtime-spec 1.3.0, config-linux.md, "Control groups".
pub(crate) fn needs(resources: &Resources, mode: Mode) -> Vec<(Controller, String)> {
    let mut needs = Vec::new();
    let mut need = |wanted: bool, controller, setting: &str| {
        if wanted {
            needs.push((controller, setting.to_owned()));
        }
    };
    if let Some(memory) = &resources.memory {
        let set = |value: Option<i64>| value.is_some_and(|value| value != 0);
        need(set(memory.limit), Controller::Memory, "memory.limit");
        need(set(memory.reservation), Controller::Memory, "memory.reservation");
        need(set(memory.swap), Controller::Memory, "memory.swap");
        need(memory.kernel_tcp.is_some(), Controller::Memory, "memory.kernelTCP");
        need(memory.swappiness.is_some(), Controller::Memory, "memory.swappiness");
        let no_killer = memory.disable_oom_killer == Some(true);
        need(no_killer, Controller::Memory, "memory.disableOOMKiller");
    }
    if let Some(cpu) = &resources.cpu {
        let some = |value: Option<u64>| value.is_some_and(|value| value != 0);
        need(some(cpu.shares), Controller::Cpu, "cpu.shares");
        need(cpu.quota.is_some_and(|value| value != 0), Controller::Cpu, "cpu.quota");
        need(some(cpu.period), Controller::Cpu, "cpu.period");
        need(cpu.burst.is_some(), Controller::Cpu, "cpu.burst");
        need(cpu.idle.is_some(), Controller::Cpu, "cpu.idle");
        let runtime = cpu.realtime_runtime.is_some_and(|value| value != 0);
        need(runtime, Controller::Cpu, "cpu.realtimeRuntime");
        need(some(cpu.realtime_period), Controller::Cpu, "cpu.realtimePeriod");
        let text = |value: &Option<String>| value.as_ref().is_some_and(|text| !text.is_empty());
        need(text(&cpu.cpus), Controller::Cpuset, "cpu.cpus");
        need(text(&cpu.mems), Controller::Cpuset, "cpu.mems");
    }
    let pids = resources.pids.and_then(|pids| pids.limit);
    need(pids.is_some(), Controller::Pids, "pids.limit");
    if let Some(io) = &resources.block_io {
        let weighs = io.weight.is_some_and(|weight| weight != 0);
        need(weighs, Controller::Io, "blockIO.weight");
        need(
            io.leaf_weight.is_some_and(|weight| weight != 0),
            Controller::Io,
            "blockIO.leafWeight",
        );
        need(!io.weight_device.is_empty(), Controller::Io, "blockIO.weightDevice");
        for (list, setting) in throttles(io) {
            need(!list.is_empty(), Controller::Io, setting);
        }
    }
    need(!resources.hugepage_limits.is_empty(), Controller::Hugetlb, "hugepageLimits");
    need(!resources.rdma.is_empty(), Controller::Rdma, "rdma");
    if let Some(network) = &resources.network {
        need(network.class_id.is_some(), Controller::NetCls, "network.classID");
        need(!network.priorities.is_empty(), Controller::NetPrio, "network.priorities");
    }
    // A file by its own name needs what stands before the dot.
    for name in resources.unified.keys().filter(|_| mode == Mode::V2) {
        let controller = name.split_once('.').and_then(|(front, _)| Controller::by_name(front));
        if let Some(controller) = controller {
            need(true, controller, &format!("unified.{name}"));
        }
    }
    // Version 2 has no such controller: a program attached to the group decides there.
    let devices = !resources.devices.is_empty() && mode != Mode::V2;
    need(devices, Controller::Devices, "devices");
    needs
}

/// The four lists of rates, with their names in the runtime-spec.
pub(crate) fn throttles(
    io: &oci::runtime::BlockIo,
) -> [(&[oci::runtime::ThrottleDevice], &'static str); 4] {
    [
        (&io.throttle_read_bps_device, "blockIO.throttleReadBpsDevice"),
        (&io.throttle_write_bps_device, "blockIO.throttleWriteBpsDevice"),
        (&io.throttle_read_iops_device, "blockIO.throttleReadIOPSDevice"),
        (&io.throttle_write_iops_device, "blockIO.throttleWriteIOPSDevice"),
    ]
}

/// The set of controllers needed, if the machine has them all.
pub(crate) fn check(
    resources: &Resources,
    hierarchy: &Hierarchy,
) -> Result<Controllers, CgroupError> {
    let available = hierarchy.controllers();
    let mut set = Controllers::NONE;
    for (controller, setting) in needs(resources, hierarchy.mode()) {
        if !available.contains(controller) {
            return Err(CgroupError::NoController { controller: controller.name(), setting });
        }
        set = set.with(controller);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::runtime::{Cpu, Memory, Pids};

    #[test]
    fn zeroes_are_no_limits_and_minus_one_is_one() {
        let resources = |limit, shares, pids| Resources {
            memory: Some(Memory { limit: Some(limit), ..Memory::default() }),
            cpu: Some(Cpu { shares: Some(shares), ..Cpu::default() }),
            pids: Some(Pids { limit: Some(pids) }),
            ..Resources::default()
        };
        let names = |resources: &Resources| -> Vec<String> {
            needs(resources, Mode::V1).into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(names(&resources(0, 0, 0)), ["pids.limit"], "no task at all is a limit");
        assert_eq!(names(&resources(-1, 2, -1)), ["memory.limit", "cpu.shares", "pids.limit"]);
    }

    #[test]
    fn a_missing_controller_is_named_with_its_limit_and_flag() {
        let table = "32 31 0:29 / /cg/cpu rw - cgroup cgroup rw,cpu\n";
        let hierarchy = Hierarchy::from_mountinfo(table).unwrap();
        let memory = Memory { swap: Some(1 << 20), ..Memory::default() };
        let resources = Resources { memory: Some(memory), ..Resources::default() };
        let error = check(&resources, &hierarchy).unwrap_err();
        assert_eq!(
            error.to_string(),
            "memory.swap needs the memory controller, which this machine does not offer"
        );
        assert_eq!(error.flag(), Some("--memory-swap"));
    }
}
