//! `network connect`: puts a container into one more network.

use std::io;

use dockerapi::{EndpointIpam, EndpointSettings};

use crate::command::{Arity, Call, Command};
use crate::container::Link;
use crate::flags::{Checked, Integer, Text, Words, flags, long};
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `network connect`.
    ConnectArgs {
        /// Further name in the network
        alias: Words = long("alias"),
        /// Option of the driver (KEY=VALUE)
        driver_opt: Words = long("driver-opt"),
        /// The highest gives the default route
        gw_priority: Integer<i64> = long("gw-priority"),
        /// IPv4 address
        ip: Text = long("ip"),
        /// IPv6 address
        ip6: Text = long("ip6"),
        /// Know another container by a name
        link: Checked<Link> = long("link"),
        /// Further address, good on the wire alone
        link_local_ip: Words = long("link-local-ip"),
    }
}

impl Command for ConnectArgs {
    const PATH: &'static str = "network connect";
    const USAGE: &'static str = "[OPTIONS] NETWORK CONTAINER";
    const ARGS: Arity = Arity::Exactly(2);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let ipam = EndpointIpam {
            ipv4_address: self.ip.text().to_owned(),
            ipv6_address: self.ip6.text().to_owned(),
            link_local_ips: self.link_local_ip.0,
        };
        let mut settings = EndpointSettings {
            aliases: self.alias.0,
            links: self.link.0,
            gw_priority: self.gw_priority.0.unwrap_or(0),
            ipam_config: Some(ipam).filter(|ipam| *ipam != EndpointIpam::default()),
            ..EndpointSettings::default()
        };
        for option in &self.driver_opt.0 {
            let Some((key, value)) = option.split_once('=') else {
                return ui.fail(format_args!("invalid key/value pair format in driver options"));
            };
            settings.driver_opts.insert(key.to_owned(), value.to_owned());
        }
        let connected =
            call.engine().and_then(|engine| engine.connect_network(&args[0], &args[1], &settings));
        match connected {
            Ok(()) => Ok(Exit::Success),
            Err(error) => ui.report(&error),
        }
    }
}
