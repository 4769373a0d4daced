//! The step that lists what is in an image, by a program in another image.
//!
//! BuildKit's protocol, docs/attestations/sbom-protocol.md: what shall be listed is mounted for
//! reading, and the program writes its lists into a folder. Here that is a folder of its root, so
//! that the lists are the layer of a step like any other: done once for the same content.

use dockerfile::{Lines, NetworkMode, SecurityMode};
use oci::Platform;

use super::run::{MountFrom, PlannedMount, RunAction};
use super::stages::Stages;
use super::{Action, Origin, Step};
use crate::attest::{OUT, SOURCE, Sbom};
use crate::{BuildError, Located, StepId};

impl Stages<'_> {
    /// Plans it, if an image was named for it.
    pub(super) fn scan(&mut self, target: Option<StepId>) -> Result<Option<StepId>, Located> {
        let Some(Sbom::Generator { image: name, parameters }) = &self.request.attest.sbom else {
            return Ok(None);
        };
        let platform = Platform::host();
        let image = self.image(name, &platform)?;
        let config = image.config.config;
        let mut arguments = config.entrypoint;
        arguments.extend(config.cmd);
        if arguments.is_empty() {
            let message = format!("the SBOM generator {name} has no command");
            return Err(BuildError::Invalid(message).into());
        }
        let mut environment = config.env;
        environment.push(format!("BUILDKIT_SCAN_DESTINATION={OUT}/"));
        environment.push(format!("BUILDKIT_SCAN_SOURCE={SOURCE}"));
        for (name, value) in parameters {
            environment.push(format!("BUILDKIT_SCAN_{name}={value}"));
        }
        let lines = Lines::default();
        let shown = format!("FROM {}", image.name);
        let below = self.base_step(shown, lines, image.diff_ids);
        let mut push = |name: String, below, action| {
            let no_cache = self.request.no_cache;
            self.steps.push(Step { name, lines, below, action, no_cache, setting: None });
            Some(self.steps.len() - 1)
        };
        let folder = Action::Folder { path: OUT.to_owned(), user: String::new() };
        let below = push(format!("[internal] make {OUT}"), below, folder);
        let mount = |target: &str, from| PlannedMount {
            target: target.to_owned(),
            source: String::new(),
            read_only: matches!(from, MountFrom::Origin(_)),
            from,
        };
        let run = RunAction {
            arguments,
            script: None,
            environment,
            proxies: Vec::new(),
            directory: match config.working_dir.as_str() {
                "" => "/".to_owned(),
                folder => folder.to_owned(),
            },
            user: String::new(),
            network: NetworkMode::Default,
            security: SecurityMode::Sandbox,
            platform,
            devices: Vec::new(),
            mounts: vec![
                mount(SOURCE, MountFrom::Origin(Origin::Step(target))),
                mount("/tmp", MountFrom::Tmpfs { size_bytes: 0 }),
            ],
        };
        let shown = format!("[{}] generating sbom using {name}", self.platform);
        Ok(push(shown, below, Action::Run(Box::new(run))))
    }
}
