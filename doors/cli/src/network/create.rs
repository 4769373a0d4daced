//! `network create`: makes a network.

use std::collections::BTreeMap;
use std::io::{self, Write};

use engine::{CreateNetwork, NetworkPool};

use crate::command::{Arity, Call, Command};
use crate::container::to_map;
use crate::flags::{
    List, Map, OnByDefault, Refused, RefusedSwitch, Switch, Text, Words, flags, long,
};
use crate::refused;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `network create`.
    CreateArgs {
        /// Let containers be attached by hand; on one machine they always can
        attachable: Switch = long("attachable"),
        /// Address that no container gets (NAME=ADDRESS)
        aux_address: Map = long("aux-address"),
        /// Network to copy the configuration from
        config_from: Refused = long("config-from").refused(refused::SWARM, &[""]),
        /// Make a configuration only
        config_only: RefusedSwitch = long("config-only").refused(refused::SWARM, &["false"]),
        /// Driver: bridge, macvlan or ipvlan
        driver: Text = long("driver").short('d'),
        /// Address of the host in the network, or of the router of one on the host's wire
        gateway: Words = long("gateway"),
        /// Make a swarm's way in
        ingress: RefusedSwitch = long("ingress").refused(refused::SWARM, &["false"]),
        /// Let nothing out and nothing in
        internal: Switch = long("internal"),
        /// Give containers addresses of this part of the subnet only
        ip_range: Words = long("ip-range"),
        /// Driver of the address management: default
        ipam_driver: Text = long("ipam-driver"),
        /// Option of the address management
        ipam_opt: Map = long("ipam-opt"),
        /// Give the network IPv4
        ipv4: OnByDefault = long("ipv4"),
        /// Give the network IPv6
        ipv6: Switch = long("ipv6"),
        /// Set a label (KEY=VALUE)
        label: List = long("label"),
        /// Option of the driver
        opt: Map = long("opt").short('o'),
        /// Reach of the network
        scope: Refused = long("scope").refused(refused::SWARM, &["", "local"]),
        /// Addresses (ADDRESS/BITS); free ones if not given
        subnet: Words = long("subnet"),
    }
}

impl Command for CreateArgs {
    const PATH: &'static str = "network create";
    const USAGE: &'static str = "[OPTIONS] NETWORK";
    const ARGS: Arity = Arity::Exactly(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let pools = match pools(&self) {
            Ok(pools) => pools,
            Err(problem) => return ui.fail(problem),
        };
        let request = CreateNetwork {
            name: args.into_iter().next().unwrap_or_default(),
            driver: self.driver.text().to_owned(),
            ipam_driver: self.ipam_driver.text().to_owned(),
            ipv4: self.ipv4.is_on(),
            ipv6: self.ipv6.is_on(),
            internal: self.internal.is_on(),
            attachable: self.attachable.is_on(),
            pools,
            options: self.opt.0,
            ipam_options: self.ipam_opt.0,
            labels: to_map(&self.label.0),
        };
        match call.engine().and_then(|engine| engine.create_network(&request)) {
            Ok(id) => {
                writeln!(ui.out(), "{id}")?;
                Ok(Exit::Success)
            }
            Err(error) => ui.report(&error),
        }
    }
}

/// Gives each range, gateway and auxiliary address to the subnet that it is in.
fn pools(args: &CreateArgs) -> Result<Vec<NetworkPool>, String> {
    let subnets = &args.subnet.0;
    let others = args.ip_range.0.len() + args.gateway.0.len() + args.aux_address.0.len();
    if subnets.is_empty() {
        return match others {
            0 => Ok(Vec::new()),
            _ => Err("every ip-range or gateway must have a corresponding subnet".to_owned()),
        };
    }
    let mut pools: Vec<NetworkPool> = subnets
        .iter()
        .map(|subnet| NetworkPool { subnet: subnet.clone(), ..NetworkPool::default() })
        .collect();
    let is_in = |pool: &NetworkPool, text: &str| engine::is_in_subnet(&pool.subnet, text);
    for range in &args.ip_range.0 {
        let pool = pools
            .iter_mut()
            .find(|pool| is_in(pool, range))
            .ok_or_else(|| format!("no matching subnet for range {range}"))?;
        if !pool.ip_range.is_empty() {
            return Err(format!(
                "cannot configure multiple ranges ({range}, {}) on the same subnet ({})",
                pool.ip_range, pool.subnet
            ));
        }
        pool.ip_range.clone_from(range);
    }
    for gateway in &args.gateway.0 {
        let pool = pools
            .iter_mut()
            .find(|pool| is_in(pool, gateway))
            .ok_or_else(|| format!("no matching subnet for gateway {gateway}"))?;
        if !pool.gateway.is_empty() {
            return Err(format!(
                "cannot configure multiple gateways ({gateway}, {}) for the same subnet ({})",
                pool.gateway, pool.subnet
            ));
        }
        pool.gateway.clone_from(gateway);
    }
    for (name, address) in &args.aux_address.0 {
        let pool = pools
            .iter_mut()
            .find(|pool| is_in(pool, address))
            .ok_or_else(|| format!("no matching subnet for aux-address {address}"))?;
        let auxiliary: &mut BTreeMap<String, String> = &mut pool.auxiliary;
        auxiliary.insert(name.clone(), address.clone());
    }
    Ok(pools)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::parse;

    fn pools_of(line: &str) -> Result<Vec<NetworkPool>, String> {
        let words = line.split(' ').map(str::to_owned);
        pools(&parse::<CreateArgs>(words, true).unwrap().flags)
    }

    #[test]
    fn each_address_finds_its_subnet() {
        let found = pools_of(
            "--subnet 10.0.0.0/24 --subnet fd00::/64 --gateway fd00::9,10.0.0.9 \
             --ip-range 10.0.0.128/25 --aux-address r=10.0.0.3",
        );
        let found = found.unwrap();
        assert_eq!((&*found[0].gateway, &*found[1].gateway), ("10.0.0.9", "fd00::9"));
        assert_eq!(found[0].ip_range, "10.0.0.128/25");
        assert_eq!(found[0].auxiliary["r"], "10.0.0.3");
        for (line, want) in [
            ("--gateway 10.0.0.1", "every ip-range or gateway must have"),
            ("--subnet 10.0.0.0/24 --gateway 10.0.1.1", "no matching subnet for gateway"),
            ("--subnet 10.0.0.0/24 --gateway 10.0.0.1,10.0.0.2", "cannot configure multiple"),
            ("--subnet 10.0.0.0/24 --ip-range 10.1.0.0/24", "no matching subnet for range"),
        ] {
            let error = pools_of(line).unwrap_err();
            assert!(error.starts_with(want), "{line}: {error}");
        }
    }
}
