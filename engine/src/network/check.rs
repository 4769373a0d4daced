//! `system check` of networks: what SIGKILL or a foreign hand leaves.

use std::collections::BTreeSet;

use network::{Routes, TableState};
use networks::Network;

use crate::system::CheckReport;
use crate::{Engine, EngineError};

impl Engine {
    /// Looks at leases, names, bridges and the table; mends if asked.
    pub(crate) fn check_networks(
        &self,
        repair: bool,
        report: &mut CheckReport,
    ) -> Result<(), EngineError> {
        if !self.root().join("networks").exists() {
            return Ok(());
        }
        let networks = self.networks()?.list()?;
        for network in &networks {
            report.checked += 1;
            self.check_leases(network, repair, report)?;
            self.check_names(network, repair, report)?;
        }
        self.check_states(repair, report)?;
        self.where_bridges_may_be(|there| {
            there.check_bridges(&networks, repair, report)?;
            there.check_parents(repair, report)?;
            there.check_table(repair, report)
        })?;
        if repair {
            self.networks()?.sweep()?;
        }
        Ok(())
    }

    fn is_dead(&self, id: &str) -> bool {
        let mut is_dead = false;
        self.with_dead(id, &mut || is_dead = true);
        is_dead
    }

    fn check_leases(
        &self,
        network: &Network,
        repair: bool,
        report: &mut CheckReport,
    ) -> Result<(), EngineError> {
        for lease in self.networks()?.leases(&network.name)? {
            report.checked += 1;
            if !self.is_dead(&lease.owner) {
                continue;
            }
            let mend = repair.then(|| -> Result<(), EngineError> {
                let guard = self.networks()?.lock()?;
                let mut with_dead = |owner: &str, release: &mut dyn FnMut()| {
                    if owner == lease.owner {
                        self.with_dead(owner, release);
                    }
                };
                let taken = self.networks()?.reclaim(&network.name, &mut with_dead, &guard)?;
                self.forget_neighbours(&network.name, &taken)
            });
            report.add(
                "lease",
                format!("{} of network {}", lease.address, network.name),
                match super::step::is_step(&lease.owner) {
                    true => "the step of a build that had it has ended".to_owned(),
                    false => format!("container {} does not run", lease.owner),
                },
                mend,
            );
        }
        Ok(())
    }

    fn check_names(
        &self,
        network: &Network,
        repair: bool,
        report: &mut CheckReport,
    ) -> Result<(), EngineError> {
        for (name, ids) in self.networks()?.all_names(&network.name)? {
            for id in ids {
                report.checked += 1;
                if !self.is_dead(&id) {
                    continue;
                }
                let mend = repair.then(|| -> Result<(), EngineError> {
                    let names = std::slice::from_ref(&name);
                    Ok(self.networks()?.withdraw(&network.name, &id, names)?)
                });
                report.add(
                    "name",
                    format!("{name} in network {}", network.name),
                    format!("container {id} does not run"),
                    mend,
                );
            }
        }
        Ok(())
    }

    /// Containers that do not run and have something of networks.
    fn check_states(&self, repair: bool, report: &mut CheckReport) -> Result<(), EngineError> {
        for id in self.containers().ids()? {
            let Ok(container) = self.containers().get(&id) else { continue };
            if !matches!(container.network_state(), Ok(Some(_))) || !self.is_dead(&id) {
                continue;
            }
            let mend = repair.then(|| -> Result<(), EngineError> {
                let _operation = container.lock_operation()?;
                match container.try_claim_life()? {
                    Some(_life) => self.release_network(&container),
                    None => Ok(()),
                }
            });
            report.add("network", id, "what its container had of networks is still there", mend);
        }
        Ok(())
    }

    fn check_bridges(
        &self,
        networks: &[Network],
        repair: bool,
        report: &mut CheckReport,
    ) -> Result<(), EngineError> {
        for link in Routes::open()?.links()? {
            let Some(owner) = self.network_of_bridge(&link) else { continue };
            report.checked += 1;
            if networks.iter().any(|network| network.name == owner) {
                continue;
            }
            let mend = repair.then(|| -> Result<(), EngineError> {
                let _guard = self.networks()?.lock()?;
                // Made meanwhile.
                if self.networks()?.find_by_name(owner)?.is_some() {
                    return Ok(());
                }
                Ok(Routes::open()?.delete_link(&link.name)?)
            });
            report.add("bridge", link.name.clone(), format!("there is no network {owner}"), mend);
        }
        Ok(())
    }

    /// Links that were made to be shared, and no network shares.
    fn check_parents(&self, repair: bool, report: &mut CheckReport) -> Result<(), EngineError> {
        let is_used = |link: &str| -> Result<bool, EngineError> {
            Ok(self.lan_networks()?.iter().any(|(_, options)| options.parent == link))
        };
        for link in Routes::open()?.links()? {
            if !self.is_own_parent(&link) {
                continue;
            }
            report.checked += 1;
            if is_used(&link.name)? {
                continue;
            }
            let mend = repair.then(|| -> Result<(), EngineError> {
                let _guard = self.networks()?.lock()?;
                // Used meanwhile.
                if is_used(&link.name)? {
                    return Ok(());
                }
                Ok(Routes::open()?.delete_link(&link.name)?)
            });
            report.add("link", link.name.clone(), "no network shares it", mend);
        }
        Ok(())
    }

    fn check_table(&self, repair: bool, report: &mut CheckReport) -> Result<(), EngineError> {
        let guard = self.networks()?.lock()?;
        let (wanted_networks, wanted) = self.wanted_in_table(&guard)?;
        let mut table = self.table()?;
        report.checked += 1;
        let state = table.state()?;
        // A host on which no container has run since it started has no table.
        let is_needed = {
            let mut routes = Routes::open()?;
            let links = routes.links()?;
            links.iter().any(|link| self.network_of_bridge(link).is_some())
        };
        let problem = match state {
            TableState::Missing if is_needed => Some("it is not there".to_owned()),
            TableState::Missing => None,
            TableState::Damaged => Some("rules are not there, or not ours".to_owned()),
            TableState::Whole => {
                let there: BTreeSet<String> =
                    table.published()?.iter().map(|port| format!("{port:?}")).collect();
                let wanted: BTreeSet<String> =
                    wanted.iter().map(|port| format!("{port:?}")).collect();
                let bridges: BTreeSet<String> = table.networks()?.into_iter().collect();
                let expected: BTreeSet<String> =
                    wanted_networks.iter().map(|network| network.bridge.clone()).collect();
                let (more, less) =
                    (there.difference(&wanted).count(), wanted.difference(&there).count());
                match (more, less, bridges == expected) {
                    (0, 0, true) => None,
                    (more, less, _) if more + less > 0 => Some(format!(
                        "{more} published ports of no container are in it, {less} are not"
                    )),
                    _ => Some("its networks are not those that there are".to_owned()),
                }
            }
        };
        if let Some(problem) = problem {
            let mend = repair.then(|| Ok(table.rebuild(&wanted_networks, &wanted)?));
            report.add("table", self.own_prefix("_"), problem, mend);
        }
        Ok(())
    }
}
