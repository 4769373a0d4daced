//! A registry: the server of the distribution-spec, over the content store on a disk.
//!
//! ```text
//! listener -> a thread for each connection -> head -> who asks (access) -> route
//!     -> blobs, uploads, manifests, tags, referrers -> shelf (what a repository has) -> content
//! ```
//!
//! ```text
//! <root>/blobs, ingest, store.lock                the content store's, as everywhere in Kista
//! <root>/repositories/<name>/blobs/<digest>       empty; the repository has this blob
//! <root>/repositories/<name>/manifests/<digest>   symbolic link whose text is the media type
//! <root>/repositories/<name>/tags/<tag>           symbolic link whose text is a digest
//! <root>/repositories/<name>/referrers/<subject>/<digest>   a descriptor, as the API shows it
//! ```
//!
//! `<name>` is the repository's with `+` for `/`, a digest has `-` for `:`. Names, tags and digests
//! are parsed before they become a part of a path. What is served was hashed when it came, and is
//! served only to those who may read the repository that has it. A blob is stored once, however
//! many repositories have it and whoever sends it at the same time.
//!
//! A tag and a manifest's type are symbolic links because those live in the directory's own
//! journal: a manifest is durable with two syncs of directories, and each change is one rename.

#![allow(clippy::result_large_err, reason = "a refusal is an answer, made once a request")]

mod access;
mod blobs;
mod collect;
mod config;
mod conversation;
mod error;
mod listen;
mod manifests;
mod metrics;
mod names;
mod referrers;
mod reply;
mod router;
mod shelf;
mod tags;
mod tls;
mod uploads;
mod upstream;
mod watch;

use std::sync::atomic::AtomicBool;

pub use config::{Access, RegistryConfig, TlsFiles, Verb};
pub use error::RegistryError;
pub use listen::{Listening, bind};

/// A registry that is open. Shared by all connections.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) config: RegistryConfig,
    pub(crate) shelf: shelf::Shelf,
    pub(crate) gate: access::Gate,
    pub(crate) uploads: uploads::Uploads,
    pub(crate) upstream: Option<upstream::Upstream>,
    pub(crate) metrics: metrics::Metrics,
    pub(crate) log: fn(&str),
    /// No new request is begun any more.
    pub(crate) is_stopping: AtomicBool,
}

impl Registry {
    pub(crate) fn open(config: RegistryConfig, log: fn(&str)) -> Result<Self, RegistryError> {
        let shelf = shelf::Shelf::open(&config.root)?;
        // What a server that was killed was being sent.
        shelf.content.sweep()?;
        let gate = access::Gate::open(&config)?;
        let upstream = config.proxy.as_deref().map(upstream::Upstream::new).transpose()?;
        Ok(Self {
            shelf,
            gate,
            uploads: uploads::Uploads::default(),
            upstream,
            metrics: metrics::Metrics::default(),
            log,
            is_stopping: AtomicBool::new(false),
            config,
        })
    }
}
