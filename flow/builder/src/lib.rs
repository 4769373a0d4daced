//! A Dockerfile becomes an image.
//!
//! ```text
//! Dockerfile --plan--> Plan: steps, each with what it starts from and what it looks at
//!   step --key--> sha256 of the layers below, of what it does, and of the content it looks at
//!        --cache--> known: its layer is there            a small file read
//!        --else--> overlay of the layers below, with a new layer's own directory on top
//!                  RUN: a Runner runs it there; COPY: files are put there; then
//!                  --seal--> the directory's tar is hashed: its DiffID, and the layer is named
//! the target's layers + configuration --image--> blobs, manifest, record, names
//! ```
//!
//! Steps that do not need each other run at the same time; stages that the target does not need
//! are not even planned. A key holds no time and no path of the host, so that moving the context
//! or touching a file changes nothing. It holds the *results* of what lies below and not how they
//! came to be: two ways to the same layers share what follows.
//!
//! Files of a context are read once: their digests are remembered by inode, size and times
//! (`digests`). They are never copied or sent anywhere but into the layer.
//!
//! Whoever wrote the Dockerfile and the context is an enemy. Every path of theirs is resolved by
//! the kernel below a root (openat2(2)): of the context, of a stage, of the new layer. What is
//! mounted into a step is passed as an open file and not as a path. Secrets are in memory and in
//! no key, layer or history.
//!
//! Below the data root, all of it only worth time:
//!
//! ```text
//! <root>/build/steps/<key>       which layer a step gave: JSON, replaced by rename
//! <root>/build/digests/<name>    what is known of a context's files
//! <root>/build/mounts/<name>/    cache mounts; <name>.lock is held by who uses one
//! ```
//!
//! What runs a step is a [`Runner`], what finds base images is [`BaseImages`]: `engine` is both.

pub mod attest;
mod blobs;
mod cache;
mod commit;
mod copy;
mod digests;
mod error;
mod events;
mod failed;
mod grow;
mod image;
mod key;
mod mounts;
pub mod outline;
mod owner;
mod permissions;
mod plan;
pub mod portable;
pub mod remote;
mod request;
mod run;
mod seal;
mod select;
mod solve;
mod survey;
mod tree;
mod verify;

pub use attestation::provenance::{Material, Version as ProvenanceVersion};
pub use cache::{BuildCache, CacheEntry, Pruned};
pub use commit::{commit_layer, squash_layers};
pub use error::{BuildError, Located};
pub use events::{Event, EventSink, Outcome, StepId};
pub use failed::FailedStep;
pub use grow::{Growth, grow};
pub use image::{
    Built, ImageOptions, assemble as assemble_image, write as write_image, write_config,
};
pub use plan::{Plan, plan, targets};
pub use request::{
    Agent, BaseImage, BaseImages, Context, Contexts, Request, Secret, SecretSource, Stores,
};
pub use run::{RunFailure, RunRequest, Runner, Stream};
pub use solve::{Export, Solved, export_tree, git_material, http_material, solve};
pub use unpack::Compression;
pub use verify::{Difference, FileDifference, differences};
