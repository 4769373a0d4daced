//! One instruction for a working container: a step of a build.

use std::sync::atomic::AtomicBool;

use builder::{BaseImage, BaseImages, BuildError};
use dockerfile::Kind;
use oci::Platform;

use super::read;
use crate::build::{BuildEvents, BuildFailure, BuildImage, FetchImage, StepRunner, base, foreign};
use crate::{Engine, EngineError};

/// An instruction for a working container. Its words stand for themselves.
#[derive(Debug)]
pub struct Growth {
    /// `RUN`, `COPY` or `ADD`; `--from` names another working container, or an image.
    pub instruction: Kind,
    /// How it is told of: `RUN make`.
    pub source: String,
    /// Variables for this command alone.
    pub environment: Vec<String>,
    /// Its user, if it is not the container's.
    pub user: Option<String>,
    /// Its working directory, if it is not the container's.
    pub directory: Option<String>,
}

impl Engine {
    /// Does one instruction. The container is as before until it is done; nothing is done if it is
    /// no working container. `waiting` is told if another command works on it.
    pub fn grow_working(
        &self,
        name: &str,
        growth: Growth,
        build: &BuildImage,
        fetch: &FetchImage<'_>,
        (events, waiting): (&dyn BuildEvents, &dyn Fn()),
    ) -> Result<(), BuildFailure> {
        let internal = |error: EngineError| BuildFailure::from(foreign(name, error));
        let _store = self.store_lock().map_err(internal)?;
        let (container, _operation, mut working) =
            self.hold_working(name, waiting).map_err(internal)?;
        let stores = self.build_stores().map_err(internal)?;
        let runner = StepRunner::new(self, build).map_err(internal)?;
        let images =
            WithWorking { engine: self, images: base::Base { engine: self, fetch, always: false } };
        let Growth { instruction, source, environment, user, directory } = growth;
        let growth = builder::Growth {
            image: &working.image,
            instruction,
            source,
            environment: &environment,
            user: user.as_deref(),
            directory: directory.as_deref(),
        };
        let stop = AtomicBool::new(false);
        let places = (&stores, &images as &dyn BaseImages);
        let grown = builder::grow(growth, &build.request, places, &runner, events, &stop)?;
        if grown != working.image {
            working.image = grown;
            container.set_working(&working).map_err(|error| internal(error.into()))?;
        }
        Ok(())
    }

    /// An image to start from, with its layers unpacked.
    pub(super) fn find_base(
        &self,
        name: &str,
        platform: &Platform,
        fetch: &FetchImage<'_>,
        always: bool,
    ) -> Result<BaseImage, EngineError> {
        Ok(base::Base { engine: self, fetch, always }.find(name, platform)?)
    }
}

/// Working containers by their names, and images.
struct WithWorking<'a> {
    engine: &'a Engine,
    images: base::Base<'a>,
}

impl BaseImages for WithWorking<'_> {
    fn find(&self, name: &str, platform: &Platform) -> Result<BaseImage, BuildError> {
        let found = match self.engine.look_up(name) {
            Ok((container, _)) => read(&container).map_err(|error| foreign(name, error))?,
            Err(_) => None,
        };
        match found {
            Some(working) => Ok(BaseImage {
                name: name.to_owned(),
                diff_ids: working.image.rootfs.diff_ids.clone(),
                config: working.image,
                digest: None,
            }),
            None => self.images.find(name, platform),
        }
    }
}
