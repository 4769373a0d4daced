//! `login` and `logout`: credentials tried, then kept.

use http1::Challenge;

use crate::credentials::{CredentialStore, Credentials, StoredIn};
use crate::request::{Request, version_request};
use crate::{Client, TransferError};

/// Who wants to be known to a registry.
#[derive(Clone)]
pub struct Login {
    /// `docker.io`, `ghcr.io`, `localhost:5000`.
    pub registry: String,
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Without what must not be seen.
impl std::fmt::Debug for Login {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}@{}", self.user, self.registry)
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// Where the credentials are now.
    pub stored: StoredIn,
}

impl Client {
    /// Tries the credentials at the registry, and keeps them if it takes them.
    ///
    /// [`TransferError::BadCredentials`] if it does not.
    pub fn login(&self, login: &Login) -> Result<LoggedIn, TransferError> {
        let servers = self.servers(&login.registry, "")?;
        let server = servers.last().expect("a registry has itself as its last server");
        let request = version_request(server, &login.registry);
        let bare = Request { scope: None, ..request.clone() };
        let response = self.exchange(server, &bare)?;
        let mut identity = None;
        match response.status {
            // It wants to be shown nothing.
            200 => {}
            401 => {
                let challenges = Challenge::all(&response.fields);
                drop(response);
                let credentials = Credentials::Password {
                    user: login.user.clone(),
                    password: login.password.clone(),
                };
                let (_, given) =
                    self.meet(server, &request, "", &challenges, Some(&credentials))?;
                identity = given;
                let response = self.exchange_known(server, &request)?;
                if response.status != 200 {
                    return Err(TransferError::BadCredentials {
                        registry: login.registry.clone(),
                        message: response.message(),
                    });
                }
            }
            status => {
                return Err(TransferError::Status {
                    what: "the version check".into(),
                    repository: login.registry.clone(),
                    status,
                    message: response.message(),
                });
            }
        }
        let Some(directory) = &self.inner.settings.docker_config else {
            return Err(TransferError::Settings {
                path: "config.json".into(),
                why: "there is no home directory to keep it in: set HOME or DOCKER_CONFIG".into(),
            });
        };
        let mut store = CredentialStore::open(directory)?;
        let stored =
            store.put(&login.registry, &login.user, &login.password, identity.as_deref())?;
        Ok(LoggedIn { stored })
    }

    /// Forgets the credentials for a registry; returns whether there were any.
    pub fn logout(&self, registry: &str) -> Result<bool, TransferError> {
        let Some(directory) = &self.inner.settings.docker_config else { return Ok(false) };
        CredentialStore::open(directory)?.erase(registry)
    }
}
