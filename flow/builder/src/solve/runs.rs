//! `RUN`: a command in a container whose writes become the layer.

use dockerfile::NetworkMode;
use oci::Digest;

use super::stubs::Stubs;
use super::{StepResult, Tools};
use crate::events::Event;
use crate::key::KeyHasher;
use crate::mounts::Sources;
use crate::plan::{MountFrom, Origin, RunAction};
use crate::run::{RunFailure, RunRequest, Stream};
use crate::{BuildError, FailedStep, StepId};

impl Tools<'_> {
    /// `RUN`.
    pub(super) fn run(
        &self,
        id: StepId,
        below: Vec<Digest>,
        run: &RunAction,
    ) -> Result<StepResult, BuildError> {
        let key = self.run_key(&below, run)?;
        // Nobody knows what the host's directories hold.
        let keys = if self.request.binds.is_empty() { vec![key] } else { Vec::new() };
        for key in &keys {
            if let Some(known) = self.known(id, key, &below)? {
                return Ok(known);
            }
        }
        let layers_of = |step| self.layers_of(step);
        let sources = Sources {
            request: self.request,
            stores: self.stores,
            cache: self.cache,
            layers_of: &layers_of,
            stop: self.stop,
        };
        let mut mounts = sources.open(run)?;
        mounts.mounts.extend(self.request.binds.iter().cloned());
        let filling = self.begin()?;
        let rootfs = self.overlay(&filling, &below)?;
        let stubs = Stubs::note(self.stores, &below, &mounts.mounts)?;
        let mut environment = run.environment.clone();
        environment.extend(run.proxies.iter().cloned());
        environment.extend(mounts.variables.iter().cloned());
        let request = RunRequest {
            arguments: &run.arguments,
            environment: &environment,
            directory: &run.directory,
            user: &run.user,
            rootfs: &rootfs,
            diff_ids: &below,
            mounts: &mounts.mounts,
            network: run.network,
            platform: &run.platform,
            security: run.security,
            devices: &run.devices,
        };
        let mut output = |stream: Stream, bytes: &[u8]| {
            let error = stream == Stream::Error;
            self.events.event(Event::Output { step: id, error, bytes: bytes.to_vec() });
        };
        let ended = self.runner.run(&request, self.stop, &mut output);
        let command = || run.arguments.join(" ");
        let error = match ended {
            Ok(()) => None,
            Err(_) if self.stop.load(std::sync::atomic::Ordering::Relaxed) => {
                return Err(BuildError::Canceled);
            }
            Err(RunFailure::Exit(code)) => Some(BuildError::Exit { command: command(), code }),
            Err(RunFailure::Other(message)) => {
                Some(BuildError::Run { command: command(), message })
            }
        };
        if let Some(error) = error {
            let step = &self.plan.steps[id];
            if let Some(setting) = &step.setting {
                let variables = run.proxies.iter().chain(&mounts.variables).cloned().collect();
                self.keep(
                    id,
                    FailedStep {
                        name: step.name.clone(),
                        setting: setting.clone(),
                        variables,
                        below,
                        filling,
                        mounts,
                        network: run.network,
                        security: run.security,
                        devices: run.devices.clone(),
                    },
                );
            }
            return Err(error);
        }
        drop(mounts);
        stubs.remove(filling.layer.dir())?;
        self.finish(id, &keys, below, filling)
    }

    /// The key of a command: what lies below, all that it sees, and nothing of secrets.
    fn run_key(&self, below: &[Digest], run: &RunAction) -> Result<Digest, BuildError> {
        // Who asks for none in particular has that of the build; addresses of hosts are left out:
        // as BuildKit does.
        let network = match run.network {
            NetworkMode::Default => self.request.network,
            own => own,
        };
        let mut key = KeyHasher::new("run");
        key.layers(below)
            .list(&run.arguments)
            .list(&run.environment)
            .part(&run.directory)
            .part(&run.user)
            .part(format!("{network:?} {:?}", run.security))
            .list(&self.epoch_part())
            .number(run.mounts.len() as u64);
        if !self.request.hostname.is_empty() {
            key.part("hostname").part(&self.request.hostname);
        }
        for device in &run.devices {
            key.part("device").part(&device.name).number(u64::from(device.required));
        }
        if !self.request.host_names.is_empty() {
            key.part("hosts").list(&self.request.host_names);
        }
        if let Some((name, content)) = &run.script {
            key.part(name).part(content);
        }
        for mount in &run.mounts {
            key.part(&mount.target).part(&mount.source).number(u64::from(mount.read_only));
            match &mount.from {
                MountFrom::Origin(Origin::Step(step)) => {
                    key.part("step").layers(&self.layers_of(*step));
                }
                MountFrom::Origin(Origin::Context(name)) => {
                    key.part("context").part(self.context_digest(name, &mount.source)?);
                }
                MountFrom::Cache { id, sharing, mode, uid, gid, .. } => {
                    key.part(format!("cache {id:?} {sharing:?} {mode:o} {uid} {gid}"));
                }
                MountFrom::Tmpfs { size_bytes } => {
                    key.part(format!("tmpfs {size_bytes}"));
                }
                // Which secret, and never what it is.
                MountFrom::Secret { id, mode, uid, gid, variable, .. } => {
                    key.part(format!("secret {id:?} {mode:o} {uid} {gid} {variable:?}"));
                }
                MountFrom::Agent { id, .. } => {
                    key.part(format!("ssh {id:?}"));
                }
            }
        }
        Ok(key.finish())
    }
}
