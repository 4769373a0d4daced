//! Images between registries and the stores: the client of the distribution-spec.
//!
//! ```text
//! Reference -> Server (settings: mirrors, CAs, insecure names) -> exchange (auth, redirects, retry)
//!
//! pull   manifest -> config -> for each layer, several at once, in any order:
//!        network -> hash, file in `ingest` -> decompress -> hash -> files of the snapshot
//!        -> blobs published -> record -> names (tag, and repository@digest)
//! push   HEAD -> mount from another repository | upload -> manifest
//! ```
//!
//! Everything a registry says is a stranger's word. Documents are bounded and of one kind; blobs
//! are what their digest says or are not there; a size is believed only as a bound. A cut transfer
//! goes on where it was cut, by range. What was complete when a pull died is there for the next
//! one; the rest is an unlocked temporary file that the next collection takes.
//!
//! Credentials are bound to an origin (scheme, host, port) when they are made, and cannot be put
//! into a request to another one: not by a redirect, an upload location, a mirror, a token realm
//! or the URL of a foreign layer. A registry is spoken to in clear only if its *name* says so
//! (a loopback address) or the configuration does.
//!
//! Two processes that pull the same layer fetch it once: the second waits for the byte of
//! `<root>/transfer.lock` that stands for the digest.
//!
//! Blocking, with a thread for each transfer at a time: docs/decisions/0005.

mod auth;
mod base64;
mod blob;
mod certificate;
mod connect;
mod credentials;
mod document;
mod download;
mod error;
mod exchange;
mod layer;
mod lock;
mod login;
mod pages;
mod parallel;
mod progress;
mod pull;
mod push;
mod reach;
mod referrers;
mod repository;
mod request;
mod response;
mod search;
mod select;
mod server;
mod settings;
mod settle;
mod tls;
mod tunnel;
mod upload;
pub mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

pub use credentials::{CredentialStore, Credentials, StoredIn};
pub use document::{Document, Fetched};
pub use download::Downloaded;
pub use error::TransferError;
pub use layer::FetchedBlob;
pub use login::{LoggedIn, Login};
pub use progress::{LayerState, Progress, Silent};
pub use pull::{Platforms, PullRequest, Pulled, pull, tags};
pub use push::{
    PushListRequest, PushNamedRequest, PushRequest, Pushed, push, push_list, push_named,
    push_referrers,
};
pub use repository::Repository;
pub use search::FoundRepository;
pub use settings::{Settings, Timeouts};

/// Speaks to registries. Holds open connections and tokens; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    pool: connect::Pool,
    tokens: auth::Tokens,
    /// By registry: where it may send us.
    reaches: Mutex<HashMap<http1::Origin, reach::Reach>>,
    /// By the domain of a reference: whom to ask, in order.
    /// What was found out about those that may be spoken to in clear, verified or not.
    origins: Mutex<HashMap<(http1::Origin, bool), http1::Origin>>,
}

impl Client {
    /// A client that does as `settings` say. Nothing is opened or read before it is needed.
    pub fn new(settings: Settings) -> Self {
        let proxies = match settings.heeds_environment {
            true => tunnel::Proxies::from_environment(),
            false => tunnel::Proxies::default(),
        };
        Self {
            inner: Arc::new(Inner {
                settings,
                pool: connect::Pool::new(proxies),
                tokens: auth::Tokens::default(),
                reaches: Mutex::default(),
                origins: Mutex::default(),
            }),
        }
    }
}
