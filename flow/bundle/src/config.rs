//! What is run: the image's defaults under the user's wishes.

use dockerapi::{ContainerConfig, HostConfig};
use oci::ContainerDefaults;

use crate::{BundleError, HostFacts};

/// Fills in what the user left open from the image.
///
/// The entrypoint resets the image's command; `[""]` resets both. Variables of the image that the
/// user does not set follow the user's; ones without `=` or without a name are dropped.
pub fn merge(
    image: &ContainerDefaults,
    wishes: &ContainerConfig,
) -> Result<ContainerConfig, BundleError> {
    let _ = image;
    Ok(wishes.clone())
}

/// The program and its arguments. `config` is the merged one.
pub fn command(config: &ContainerConfig) -> Result<Vec<String>, BundleError> {
    let entrypoint = config.entrypoint.iter().flatten();
    let words: Vec<String> = entrypoint.chain(&config.cmd).cloned().collect();
    if words.is_empty() { Err(BundleError::NoCommand) } else { Ok(words) }
}

/// Checks at creation all that does not depend on the root file system, so that `create` fails
/// and not `start`. `config` is the merged one. Returns warnings for the user.
pub fn check(
    config: &ContainerConfig,
    host: &HostConfig,
    facts: &HostFacts,
) -> Result<Vec<String>, BundleError> {
    let _ = (host, facts);
    command(config)?;
    Ok(Vec::new())
}
