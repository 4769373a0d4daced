//! Puts the parts together.

use crate::{Bundle, BundleError, Inputs};

/// The runtime spec of a container that is about to start.
pub fn spec(inputs: &Inputs<'_>) -> Result<Bundle, BundleError> {
    crate::command(inputs.config)?;
    Err(BundleError::invalid("no spec can be made"))
}
