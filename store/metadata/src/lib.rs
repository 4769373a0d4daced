//! What is known of containers: one directory each, two documents, one lock file.
//!
//! ```text
//! <root>/containers/<id>/record.json   what was decided when the container was created
//!                       /status.json   what changes afterwards, and what `ps` shows
//!                       /lock          byte 0: held by the shim as long as it lives
//!                                      byte 1: held by whoever starts, removes, renames...
//!                                      byte 2: held for the moment of changing status.json
//!                                      byte 3: held with byte 1 while a launch is waited for
//!                       /network.json  what it has of networks while it runs
//!                       /networking.json  which networks it is to have, if that was changed
//!                       /working.json  what a working container has become; others have none
//!                       /upper /work   what the container wrote over its image
//! <root>/names/<name>                  a symbolic link whose text stands for the id ([`sys::names::link_text`])
//! <root>/trash/<id>                    a removed container, until somebody deletes it
//! ```
//!
//! **The lock is the truth**: a container runs if, and only if, byte 0 of its lock file is locked.
//! `status.json` may still say `running` after its shim was killed; whoever reads it asks the lock
//! and settles what is left ([`Container::is_alive`]).
//!
//! Both documents are replaced by rename, so that a reader never waits and never sees half of one.
//! A container appears (`.new-<id>` to `<id>`) and disappears (`<id>` to `trash/`) by one rename.
//! What a killed process leaves is recognisable: a `.new-*` directory whose lock is free, a name
//! whose container is not there, a directory in `trash`.

mod container;
mod containers;
mod error;
mod ids;
mod network;
mod record;
mod status;
#[cfg(test)]
mod tests;

pub use container::{Container, LifeLock, OperationLock};
pub use containers::{Containers, Debris, NewContainer, UNBORN_GRACE, is_valid_name};
pub use error::MetadataError;
pub use ids::{IdClaims, IdRange, StrayClaim};
pub use network::{EndpointState, NetworkState, PortState};
pub use record::Record;
pub use status::{Phase, Status};
