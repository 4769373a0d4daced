//! What the kernel makes of what we ask it for, in network namespaces of the test's own.
#![allow(clippy::unwrap_used, missing_docs)]

mod host;
mod links;
mod table;
