//! One server that is asked for a registry's repositories: the registry, or a mirror of it.

use std::path::PathBuf;

use http1::{Origin, Scheme};

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// The registry that it stands for, as in a reference.
    pub(crate) registry: String,
    /// Where it is.
    pub(crate) origin: Origin,
    /// What stands before `/<repository>/...`: `/v2`, as a rule.
    pub(crate) base: String,
    /// How it shows who it is.
    pub(crate) trust: Trust,
    /// Whether it may be spoken to in clear, if it has no TLS.
    pub(crate) may_be_clear: bool,
    /// The registry that sent us here, if it is a token server of one.
    pub(crate) sent_by: Option<Origin>,
    /// Whether it is only a hint: asked for what has a digest or a tag, never given anything.
    pub(crate) is_mirror: bool,
    /// Fields for each request to it.
    pub(crate) fields: Vec<(String, String)>,
    /// Under which path it has the repository that it was looked up for, if not under that
    /// repository's own.
    pub(crate) path: Option<String>,
    /// For which references it is asked.
    pub(crate) serves: Serves,
}

/// The references that a mirror is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Serves {
    #[default]
    All,
    /// Those with a digest.
    Digests,
    /// Those without.
    Tags,
}

/// Certificates of one server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Trust {
    /// PEM files with authorities, beside the system's.
    pub(crate) authorities: Vec<PathBuf>,
    /// PEM files with our certificate and its key.
    pub(crate) clients: Vec<(PathBuf, PathBuf)>,
    /// Whether the server's certificate is looked at.
    pub(crate) verify: bool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { authorities: Vec::new(), clients: Vec::new(), verify: true }
    }
}

impl Server {
    /// Whether it is asked for a reference that has a digest, or has none.
    pub(crate) fn serves(&self, has_digest: bool) -> bool {
        match self.serves {
            Serves::All => true,
            Serves::Digests => has_digest,
            Serves::Tags => !has_digest,
        }
    }

    /// The same in clear.
    pub(crate) fn in_clear(&self) -> Self {
        let mut server = self.clone();
        server.origin.scheme = Scheme::Http;
        // A port that was not named is the scheme's own.
        if self.origin.port == Scheme::Https.default_port() && !self.registry.ends_with(":443") {
            server.origin.port = Scheme::Http.default_port();
        }
        server.may_be_clear = false;
        server
    }
}

/// The host behind a registry's name.
pub(crate) fn docker_host(domain: &str) -> &str {
    match domain {
        "docker.io" => "registry-1.docker.io",
        other => other,
    }
}
