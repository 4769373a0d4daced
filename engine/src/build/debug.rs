//! A shell where a step failed.

use builder::FailedStep;
use shim::ShimError;

use super::{BuildImage, runner};
use crate::container::not_launched;
use crate::{Engine, EngineError, Session};

/// The exit codes of a program that is not there, or is none.
const NO_PROGRAM: [u8; 2] = [126, 127];

impl Engine {
    /// Opens a shell in a terminal where a step failed, and has `talk` talk to it.
    ///
    /// It has what the step's command had: root with all that was written, environment, user,
    /// working directory, mounts, network. `program` is what to run, with its arguments; without
    /// it that is the shell of the stage, or `/bin/sh`. The caller still holds the lock of the
    /// build. The shell and all it started end with the session.
    pub fn debug_build<T>(
        &self,
        build: &BuildImage,
        failed: &FailedStep,
        program: Option<&[String]>,
        talk: impl FnOnce(Session) -> T,
    ) -> Result<T, EngineError> {
        let stores = self.build_stores()?;
        let runner = runner::StepRunner::new(self, build)?;
        let engine = runner.engine()?;
        let asked = program.map(<[String]>::to_vec);
        let programs = match &asked {
            Some(words) => vec![words.clone()],
            None => failed.shells().into_iter().map(|shell| vec![shell.to_owned()]).collect(),
        };
        for words in &programs {
            let begun = failed.run(&stores, words, |run| runner.begin(&engine, run, true));
            let mut begun = begun??;
            match begun.session.started() {
                Ok(_) => return Ok(talk(begun.session)),
                Err(ShimError::Failed { exit_code, .. })
                    if asked.is_none() && NO_PROGRAM.contains(&exit_code) => {}
                Err(error) => return Err(not_launched(error)),
            }
        }
        let tried: Vec<String> = programs.concat();
        Err(EngineError::Invalid {
            message: format!(
                "the image has no shell ({}): name a program that it has by --debug-shell=PROGRAM",
                tried.join(", ")
            ),
        })
    }
}
