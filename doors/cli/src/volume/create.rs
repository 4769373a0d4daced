//! `volume create`: makes a volume.

use std::io::{self, Write};

use engine::CreateVolume;

use crate::command::{Arity, Call, Command};
use crate::container::to_map;
use crate::flags::{List, Map, Refused, Text, flags, long};
use crate::refused;
use crate::ui::{Exit, Ui};

flags! {
    /// Flags of `volume create`.
    CreateArgs {
        /// Whether a cluster volume can be used
        availability: Refused = long("availability").refused(refused::SWARM, &["active"]),
        /// Driver: local
        driver: Text = long("driver").short('d').refused(refused::VOLUME_DRIVERS, &["", "local"]),
        /// Group of a cluster volume
        group: Refused = long("group").refused(refused::SWARM, &[""]),
        /// Set a label (KEY=VALUE)
        label: List = long("label"),
        /// Largest size of a cluster volume
        limit_bytes: Refused = long("limit-bytes").refused(refused::SWARM, &["0"]),
        /// Name, as an option
        name: Text = long("name").hidden(),
        /// Option of the driver (type=tmpfs, device=..., o=...)
        opt: Map = long("opt").short('o'),
        /// Smallest size of a cluster volume
        required_bytes: Refused = long("required-bytes").refused(refused::SWARM, &["0"]),
        /// How many nodes use a cluster volume
        scope: Refused = long("scope").refused(refused::SWARM, &["single"]),
        /// Secret of a cluster volume
        secret: Refused = long("secret").refused(refused::SWARM, &[]),
        /// How a cluster volume is shared
        sharing: Refused = long("sharing").refused(refused::SWARM, &["none"]),
        /// Where a cluster volume should be
        topology_preferred: Refused = long("topology-preferred").refused(refused::SWARM, &[]),
        /// Where a cluster volume must be
        topology_required: Refused = long("topology-required").refused(refused::SWARM, &[]),
        /// What a cluster volume is
        kind: Refused = long("type").refused(refused::SWARM, &["block"]),
    }
}

impl Command for CreateArgs {
    const PATH: &'static str = "volume create";
    const USAGE: &'static str = "[OPTIONS] [VOLUME]";
    const ARGS: Arity = Arity::AtMost(1);

    fn run(self, args: Vec<String>, call: &Call<'_>, ui: &mut Ui) -> io::Result<Exit> {
        let name = args.into_iter().next();
        if name.is_some() && !self.name.text().is_empty() {
            return ui.fail("conflicting options: cannot specify a volume-name through both --name and as a positional arg");
        }
        let request = CreateVolume {
            name: name.or(self.name.0).unwrap_or_default(),
            driver: self.driver.text().to_owned(),
            options: self.opt.0,
            labels: to_map(&self.label.0),
        };
        match call.engine().and_then(|engine| engine.create_volume(&request)) {
            Ok(volume) => {
                writeln!(ui.out(), "{}", volume.name)?;
                Ok(Exit::Success)
            }
            Err(error) => ui.report(&error),
        }
    }
}
