//! Puts the parts together.

use crate::{Bundle, BundleError, Inputs};

/// The runtime spec of a container that is about to start.
pub fn spec(inputs: &Inputs<'_>) -> Result<Bundle, BundleError> {
    crate::command(inputs.config)?;
    Err(BundleError::invalid("no spec can be made"))
}

/// Checks at creation all that does not depend on the root file system, so that `create` fails
/// and not `start`. `config` is the merged one. Returns warnings for the user.
pub fn check(
    config: &dockerapi::ContainerConfig,
    host: &dockerapi::HostConfig,
    facts: &crate::HostFacts,
) -> Result<Vec<String>, BundleError> {
    let _ = (host, facts);
    crate::config::check_config(config)?;
    Ok(Vec::new())
}
