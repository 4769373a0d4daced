//! The flags of `run` and `create`.

use crate::flags::{
    Bytes, Checked, CpuDecimal, Flag, FlagSet, Integer, List, Map, OnByDefault, Rates, Refused,
    RefusedSwitch, SwapBytes, Switch, Text, Throttles, Ulimits, Weights, Words, flags, long,
};
use crate::refused;

use super::checks::{
    Attached, CgroupRule, DnsSearch, Environment, HostEntry, IpAddress, Label, MountFlag, Sysctl,
};
use super::network::{Link, NetworkFlag};

flags! {
    /// Flags of `run`; `create` takes all but the last [`RUN_ONLY`].
    RunArgs {
        /// Add a line to the hosts file (NAME:ADDRESS)
        add_host: Checked<HostEntry> = long("add-host"),
        /// Hand a key and a value to the OCI runtime
        annotation: Map = long("annotation"),
        /// Attach to stdin, stdout or stderr
        attach: Checked<Attached> = long("attach").short('a'),
        /// Weight for block devices, 10 to 1000; 0 for the default
        blkio_weight: Integer<u16> = long("blkio-weight"),
        /// Weight for one block device (DEVICE:WEIGHT)
        blkio_weight_device: Weights = long("blkio-weight-device"),
        /// Add a capability, or ALL
        cap_add: List = long("cap-add"),
        /// Take a capability away, or ALL
        cap_drop: List = long("cap-drop"),
        /// Cgroup to put the container below
        cgroup_parent: Text = long("cgroup-parent"),
        /// Cgroup namespace: private, or host for none
        cgroupns: Text = long("cgroupns"),
        /// Write the container's id to this file
        cidfile: Text = long("cidfile"),
        /// Number of processors
        cpu_count: Refused = long("cpu-count").refused(refused::WINDOWS, &["0"]),
        /// Share of all processors
        cpu_percent: Refused = long("cpu-percent").refused(refused::WINDOWS, &["0"]),
        /// Period of the CPU quota, in microseconds
        cpu_period: Integer<i64> = long("cpu-period"),
        /// CPU time in each period, in microseconds
        cpu_quota: Integer<i64> = long("cpu-quota"),
        /// Period of the real-time scheduler, in microseconds
        cpu_rt_period: Integer<i64> = long("cpu-rt-period"),
        /// Real-time CPU time in each period, in microseconds
        cpu_rt_runtime: Integer<i64> = long("cpu-rt-runtime"),
        /// CPU weight against other containers
        cpu_shares: Integer<i64> = long("cpu-shares").short('c'),
        /// Number of processors, may have a fraction
        cpus: CpuDecimal = long("cpus"),
        /// Processors that may be used (0-3 or 0,1)
        cpuset_cpus: Text = long("cpuset-cpus"),
        /// Memory nodes that may be used (0-3 or 0,1)
        cpuset_mems: Text = long("cpuset-mems"),
        /// Pass a device on (NODE[:NODE INSIDE][:rwm], or a CDI name: VENDOR/CLASS=NAME)
        device: List = long("device"),
        /// Allow devices by number (c 42:* rmw)
        device_cgroup_rule: Checked<CgroupRule> = long("device-cgroup-rule"),
        /// Limit reading from a device (DEVICE:BYTES a second)
        device_read_bps: Throttles = long("device-read-bps"),
        /// Limit reading from a device (DEVICE:OPERATIONS a second)
        device_read_iops: Rates = long("device-read-iops"),
        /// Limit writing to a device (DEVICE:BYTES a second)
        device_write_bps: Throttles = long("device-write-bps"),
        /// Limit writing to a device (DEVICE:OPERATIONS a second)
        device_write_iops: Rates = long("device-write-iops"),
        /// Without effect
        disable_content_trust: Switch = long("disable-content-trust")
            .deprecated("support for docker content trust was removed"),
        /// Ask this name server
        dns: Checked<IpAddress> = long("dns"),
        /// Option of the resolver
        dns_opt: List = long("dns-opt").hidden(),
        /// Option of the resolver
        dns_option: List = long("dns-option"),
        /// Domain to search in
        dns_search: Checked<DnsSearch> = long("dns-search"),
        /// NIS domain name inside
        domainname: Text = long("domainname"),
        /// Run this instead of the image's entrypoint
        entrypoint: Text = long("entrypoint"),
        /// Set a variable (NAME=VALUE), or hand one on (NAME)
        env: Checked<Environment> = long("env").short('e'),
        /// Read variables from a file
        env_file: List = long("env-file"),
        /// Note that a port is listened on
        expose: List = long("expose"),
        /// Pass GPUs on
        gpus: Refused = long("gpus").later(refused::GPUS, &[]),
        /// Join one more group
        group_add: List = long("group-add"),
        /// Command that tells whether the container is well
        health_cmd: Refused = long("health-cmd").later(refused::HEALTH, &[""]),
        /// Time between two checks
        health_interval: Refused = long("health-interval").later(refused::HEALTH, &["0", "0s"]),
        /// Failures in a row that count
        health_retries: Refused = long("health-retries").later(refused::HEALTH, &["0"]),
        /// Time between two checks at the start
        health_start_interval: Refused =
            long("health-start-interval").later(refused::HEALTH, &["0", "0s"]),
        /// Time in which failures do not count
        health_start_period: Refused =
            long("health-start-period").later(refused::HEALTH, &["0", "0s"]),
        /// Longest time for one check
        health_timeout: Refused = long("health-timeout").later(refused::HEALTH, &["0", "0s"]),
        /// Host name inside
        hostname: Text = long("hostname").short('h'),
        /// Make a small init the first process: it forwards signals and reaps
        init: Switch = long("init"),
        /// Keep stdin open even if nobody is attached
        interactive: Switch = long("interactive").short('i'),
        /// Bandwidth of the system drive
        io_maxbandwidth: Refused = long("io-maxbandwidth").refused(refused::WINDOWS, &["0"]),
        /// Operations of the system drive
        io_maxiops: Refused = long("io-maxiops").refused(refused::WINDOWS, &["0"]),
        /// IPv4 address
        ip: Text = long("ip"),
        /// IPv6 address
        ip6: Text = long("ip6"),
        /// IPC namespace: private, shareable, none, host or container:NAME
        ipc: Text = long("ipc"),
        /// How containers are kept apart: process
        isolation: Text = long("isolation").later(refused::ISOLATION, &["", "default", "process"]),
        /// Without effect
        kernel_memory: Bytes =
            long("kernel-memory").deprecated("and no longer supported by the kernel"),
        /// Set a label (KEY=VALUE)
        label: Checked<Label> = long("label").short('l'),
        /// Read labels from a file
        label_file: List = long("label-file"),
        /// Know another container by a name
        link: Checked<Link> = long("link"),
        /// Further address, good on the wire alone
        link_local_ip: Words = long("link-local-ip"),
        /// Where the output goes: json-file, local, journald or none
        log_driver: Text = long("log-driver"),
        /// Option of the log driver (max-size=10m)
        log_opt: List = long("log-opt"),
        /// Hardware address
        mac_address: Text = long("mac-address"),
        /// Limit memory
        memory: Bytes = long("memory").short('m'),
        /// Memory to come down to when it is scarce
        memory_reservation: Bytes = long("memory-reservation"),
        /// Limit memory and swap together; -1 for no limit
        memory_swap: SwapBytes = long("memory-swap"),
        /// How readily memory is swapped, 0 to 100; -1 for the default
        memory_swappiness: Integer<i64> = long("memory-swappiness"),
        /// Mount a directory, a volume or a tmpfs (type=bind,source=...,target=...)
        mount: MountFlag = long("mount"),
        /// Name of the container
        name: Text = long("name"),
        /// Another name of --network
        net: NetworkFlag = long("net").hidden(),
        /// Another name of --network-alias
        net_alias: List = long("net-alias").hidden(),
        /// Network: its name, bridge, none, host or container:NAME (name=...,ip=...,alias=...)
        network: NetworkFlag = long("network"),
        /// Name in a network
        network_alias: List = long("network-alias"),
        /// Do without the image's health check
        no_healthcheck: Switch = long("no-healthcheck"),
        /// Keep the kernel from killing for memory
        oom_kill_disable: Switch = long("oom-kill-disable"),
        /// How readily the kernel kills for memory, -1000 to 1000
        oom_score_adj: Integer<i64> = long("oom-score-adj"),
        /// PID namespace: host or container:NAME; its own if not given
        pid: Text = long("pid"),
        /// Limit the number of processes and threads; -1 for no limit
        pids_limit: Integer<i64> = long("pids-limit"),
        /// Platform that the image must be for (os/arch[/variant])
        platform: Text = long("platform"),
        /// Give the container nearly all rights of the host
        privileged: Switch = long("privileged"),
        /// Security profile: standard, docker, strict or build
        profile: Text = long("profile"),
        /// Publish a port ([[ADDRESS:][PORT]:]PORT[/PROTOCOL])
        publish: List = long("publish").short('p'),
        /// Publish all exposed ports
        publish_all: Switch = long("publish-all").short('P'),
        /// Fetch the image: always, missing or never
        pull: Text = long("pull"),
        /// Do not show how an image is fetched
        quiet: Switch = long("quiet").short('q'),
        /// Make the root file system read-only inside
        read_only: Switch = long("read-only"),
        /// What to do when the container ends: no
        restart: Text = long("restart"),
        /// Remove the container and its anonymous volumes when it ends
        rm: Switch = long("rm"),
        /// OCI runtime to use
        runtime: Text = long("runtime"),
        /// no-new-privileges, seccomp=FILE, apparmor=PROFILE, systempaths=unconfined and more
        security_opt: List = long("security-opt"),
        /// Size of /dev/shm
        shm_size: Bytes = long("shm-size"),
        /// Signal that stops the container
        stop_signal: Text = long("stop-signal"),
        /// Seconds that a stop waits before it kills
        stop_timeout: Integer<i64> = long("stop-timeout"),
        /// Option of the root file system
        storage_opt: Refused = long("storage-opt").later(refused::STORAGE, &[]),
        /// Set a kernel parameter of the container's namespaces
        sysctl: Map<Sysctl> = long("sysctl"),
        /// Mount a tmpfs (PATH[:OPTIONS])
        tmpfs: List = long("tmpfs"),
        /// Give the container a terminal
        tty: Switch = long("tty").short('t'),
        /// Set a resource limit (NAME=SOFT[:HARD])
        ulimit: Ulimits = long("ulimit"),
        /// Pass the API socket on
        use_api_socket: RefusedSwitch =
            long("use-api-socket").refused(refused::API_SOCKET, &["false"]),
        /// User inside (NAME or UID[:GROUP or GID])
        user: Text = long("user").short('u'),
        /// User namespace: host, or the profile's if not given
        userns: Text = long("userns"),
        /// UTS namespace: host; its own if not given
        uts: Text = long("uts"),
        /// Mount a directory or a volume ([SOURCE:]PATH[:OPTIONS])
        volume: List = long("volume").short('v'),
        /// Driver of volumes
        volume_driver: Text =
            long("volume-driver").refused(refused::VOLUME_DRIVERS, &["", "local"]),
        /// Mount the volumes of another container (NAME[:ro])
        volumes_from: List = long("volumes-from"),
        /// Directory to start in
        workdir: Text = long("workdir").short('w'),
        /// Leave the container alone and print its id
        detach: Switch = long("detach").short('d'),
        /// Keys that leave an attached container
        detach_keys: Text = long("detach-keys"),
        /// Pass signals on to the container
        sig_proxy: OnByDefault = long("sig-proxy"),
        /// Run in this working container, by flags of its own: see run --working NAME --help
        working: Text = long("working"),
    }
}

/// How many flags at the end of the list `create` does not have.
const RUN_ONLY: usize = 4;

/// Flags of `create`.
#[derive(Debug, Default)]
pub(crate) struct CreateArgs(pub(crate) RunArgs);

impl FlagSet for CreateArgs {
    const FLAGS: &'static [Flag] = RunArgs::FLAGS.split_at(RunArgs::FLAGS.len() - RUN_ONLY).0;

    fn set(&mut self, index: usize, text: &str) -> Result<(), String> {
        self.0.set(index, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_has_all_but_what_only_run_can_do() {
        let names = |flags: &[Flag]| flags.iter().map(|flag| flag.long).collect::<Vec<_>>();
        assert_eq!(
            names(&RunArgs::FLAGS[CreateArgs::FLAGS.len()..]),
            ["detach", "detach-keys", "sig-proxy", "working"]
        );
    }
}
