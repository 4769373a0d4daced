//! The place where a step failed, kept for somebody who wants to look around in it.
//!
//! A command's is what it left behind: its root with all that it wrote, its mounts, its
//! environment. Another step's is what it would have started from. Whoever builds asks for it
//! (`Request::keep_failed`) and has it in [`Located`](crate::Located); it is gone when that is.

use oci::{Digest, Platform};

use crate::BuildError;
use crate::mounts::StepMounts;
use crate::plan::Setting;
use crate::request::Stores;
use crate::run::RunRequest;
use crate::solve::Filling;

/// What runs a command if nothing else is said. Dockerfile reference, "SHELL".
const DEFAULT_SHELL: &str = "/bin/sh";

/// A step that failed, as it was then.
#[derive(Debug)]
pub struct FailedStep {
    /// `[build 2/5] RUN make`
    pub(crate) name: String,
    pub(crate) setting: Setting,
    /// Variables besides those of the setting: they may be secrets.
    pub(crate) variables: Vec<String>,
    pub(crate) below: Vec<Digest>,
    pub(crate) filling: Filling,
    pub(crate) mounts: StepMounts,
    pub(crate) network: dockerfile::NetworkMode,
    pub(crate) security: dockerfile::SecurityMode,
    pub(crate) devices: Vec<dockerfile::RunDevice>,
}

impl FailedStep {
    /// What it is called: `[build 2/5] RUN make`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for.
    pub fn platform(&self) -> &Platform {
        &self.setting.platform
    }

    /// Programs that may be its shell, the best first: the one of `SHELL`, and `/bin/sh`.
    pub fn shells(&self) -> Vec<&str> {
        let own = self.setting.shell.first().map(String::as_str);
        let mut shells: Vec<&str> = own.into_iter().chain([DEFAULT_SHELL]).collect();
        shells.dedup();
        shells
    }

    /// Has a command run there, which may be done several times, one after the other.
    pub fn run<T>(
        &self,
        stores: &Stores,
        arguments: &[String],
        run: impl FnOnce(&RunRequest<'_>) -> T,
    ) -> Result<T, BuildError> {
        let rootfs = self.filling.overlay_again(stores, &self.below)?;
        let setting = &self.setting;
        let environment: Vec<String> =
            setting.environment.iter().chain(&self.variables).cloned().collect();
        Ok(run(&RunRequest {
            arguments,
            environment: &environment,
            directory: &setting.directory,
            user: &setting.user,
            rootfs: &rootfs,
            diff_ids: &self.below,
            mounts: &self.mounts.mounts,
            network: self.network,
            platform: &setting.platform,
            security: self.security,
            devices: &self.devices,
        }))
    }
}
