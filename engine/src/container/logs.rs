//! `logs`.

use metadata::Container;
use shim::log::{Driver, ReadOptions, Reader};

use super::Record;
use crate::{Engine, EngineError};

/// The entries of a container's log, oldest first; following, until the container ends.
pub struct Logs {
    reader: Reader<'static>,
}

impl Engine {
    /// Opens the log of a container, whether or not it runs.
    pub fn container_logs(
        &self,
        container: &str,
        options: ReadOptions,
    ) -> Result<Logs, EngineError> {
        let (found, _) = self.look_up(container)?;
        let record: Record = found.record()?;
        let driver = Driver::by_name(&record.host.log_config.kind).unwrap_or(Driver::None);
        let path = found.path().to_owned();
        let alive = move || is_alive(&found);
        Ok(Logs { reader: Reader::open(&path, driver, options, alive)? })
    }
}

/// A container that cannot be asked any more has been removed.
fn is_alive(container: &Container) -> bool {
    container.is_alive().unwrap_or(false)
}

impl Iterator for Logs {
    type Item = Result<shim::log::Entry, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.reader.next_entry().map_err(EngineError::from).transpose()
    }
}
