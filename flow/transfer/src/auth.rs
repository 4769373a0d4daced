//! Showing a registry who asks: tokens and passwords, each bound to an origin.
//!
//! distribution-spec 1.1.1 leaves this to what registries do: distribution's "Token Authentication
//! Specification" (GET) and "Docker Registry v2 authentication using OAuth2" (POST), or Basic.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http1::{Challenge, Origin, Scheme, Url, encode_component};
use serde::Deserialize;

use crate::base64;
use crate::credentials::{CredentialStore, Credentials};
use crate::request::{Payload, Request};
use crate::response::Response;
use crate::server::{Server, Trust};
use crate::{Client, TransferError};

/// What is shown to one origin, and to no other.
#[derive(Debug, Clone)]
pub(crate) struct Authorization {
    origin: Origin,
    value: String,
    expires: Option<Instant>,
}

/// What was given to us, by origin and scope. A password is good for every scope, which is "".
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: Mutex<HashMap<(Origin, String), Authorization>>,
}

/// What a token server answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    token: String,
    access_token: String,
    refresh_token: String,
    expires_in: u64,
}

/// The most bytes of a token server's answer.
const MAX_ANSWER_BYTES: u64 = 256 << 10;
/// How long a token is good for whose giver does not say.
const DEFAULT_LIFE: u64 = 60;
/// Who we are to a token server.
const CLIENT_ID: &str = "kista";

impl Authorization {
    /// The field's value, if it is for this origin.
    pub(crate) fn for_origin(&self, origin: &Origin) -> Option<String> {
        (self.origin == *origin).then(|| self.value.clone())
    }

    fn basic(origin: &Origin, user: &str, password: &str) -> Self {
        let pair = base64::encode(format!("{user}:{password}").as_bytes());
        Self { origin: origin.clone(), value: format!("Basic {pair}"), expires: None }
    }

    fn bearer(origin: &Origin, token: &str, life: Duration) -> Self {
        // A little earlier, so that it does not end under way.
        let expires = Instant::now() + life.saturating_sub(Duration::from_secs(5));
        Self { origin: origin.clone(), value: format!("Bearer {token}"), expires: Some(expires) }
    }
}

impl Client {
    /// What this server was shown before for the same scope, if it is still good.
    pub(crate) fn known_authorization(
        &self,
        server: &Server,
        scope: &str,
    ) -> Option<Authorization> {
        let poisoned = std::sync::PoisonError::into_inner;
        let known = self.inner.tokens.known.lock().unwrap_or_else(poisoned);
        let of = |scope: &str| known.get(&(server.origin.clone(), scope.to_owned()));
        of(scope)
            .or_else(|| of("").filter(|known| known.value.starts_with("Basic ")))
            .filter(|known| known.expires.is_none_or(|expires| Instant::now() < expires))
            .cloned()
    }

    /// Meets one of the challenges with what the user's configuration has for the registry.
    pub(crate) fn authenticate(
        &self,
        server: &Server,
        request: &Request<'_>,
        scope: &str,
        challenges: &[Challenge],
    ) -> Result<Authorization, TransferError> {
        let (credentials, failure) = match self.credentials_for(server) {
            Ok(found) => (found, None),
            // A broken helper is no reason not to fetch what is public.
            Err(error) => (None, Some(error)),
        };
        let met = self.meet(server, request, scope, challenges, credentials.as_ref());
        match (met, failure) {
            (Err(TransferError::Denied { .. }), Some(failure)) => Err(failure),
            (met, _) => met.map(|(authorization, _)| authorization),
        }
    }

    /// Meets one of the challenges with these credentials; also gives a token to keep in their
    /// place, if the registry gave one.
    pub(crate) fn meet(
        &self,
        server: &Server,
        request: &Request<'_>,
        scope: &str,
        challenges: &[Challenge],
        credentials: Option<&Credentials>,
    ) -> Result<(Authorization, Option<String>), TransferError> {
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let (authorization, identity) = if let Some(challenge) = of("bearer") {
            self.token(server, request, scope, challenge, credentials)?
        } else if of("basic").is_some() {
            let Some(Credentials::Password { user, password }) = credentials else {
                return Err(denied(request, "no basic auth credentials"));
            };
            (Authorization::basic(&server.origin, user, password), None)
        } else {
            let schemes: Vec<&str> = challenges.iter().map(|c| c.scheme.as_str()).collect();
            let why = match schemes.is_empty() {
                true => "it answers 401 and does not say how".to_owned(),
                false => format!("it wants {}, which is not supported", schemes.join(", ")),
            };
            return Err(TransferError::Authentication { registry: server.registry.clone(), why });
        };
        let key = match authorization.expires {
            Some(_) => scope,
            None => "",
        };
        let poisoned = std::sync::PoisonError::into_inner;
        let mut known = self.inner.tokens.known.lock().unwrap_or_else(poisoned);
        known.insert((server.origin.clone(), key.to_owned()), authorization.clone());
        Ok((authorization, identity))
    }

    fn credentials_for(&self, server: &Server) -> Result<Option<Credentials>, TransferError> {
        let Some(directory) = &self.inner.settings.docker_config else { return Ok(None) };
        let store = CredentialStore::open(directory)?;
        // A mirror is another registry, and has credentials under its own name or none.
        match server.is_mirror {
            true => store.get(&server.origin.authority()),
            false => store.get(&server.registry),
        }
    }

    /// A token from the server that the challenge names.
    fn token(
        &self,
        server: &Server,
        request: &Request<'_>,
        scope: &str,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
    ) -> Result<(Authorization, Option<String>), TransferError> {
        let refuse =
            |why: String| TransferError::Authentication { registry: server.registry.clone(), why };
        if let Some(Credentials::RegistryToken(token)) = credentials {
            let life = Duration::from_secs(DEFAULT_LIFE);
            return Ok((Authorization::bearer(&server.origin, token, life), None));
        }
        let realm = challenge.get("realm").ok_or_else(|| refuse("it names no realm".into()))?;
        let realm = Url::parse(realm).map_err(|error| refuse(error.to_string()))?;
        if realm.origin.scheme == Scheme::Http && server.origin.scheme == Scheme::Https {
            return Err(refuse(format!("its token server {realm} is not encrypted")));
        }
        if credentials.is_some() && !is_of_the_house(&realm.origin, &server.origin) {
            return Err(refuse(format!(
                "its token server {realm} belongs to another domain, which must not see your \
                 password; `kista logout {}` fetches without it",
                server.registry
            )));
        }
        // What the registry asks for may be another name for what we want: both are asked for.
        let mut scopes: Vec<&str> = scope.split(' ').filter(|scope| !scope.is_empty()).collect();
        for asked in challenge.get("scope").unwrap_or_default().split(' ') {
            if !asked.is_empty() && !scopes.contains(&asked) && scope.is_empty() {
                scopes.push(asked);
            }
        }
        let service = challenge.get("service").unwrap_or_default();
        let answer = match credentials {
            Some(Credentials::IdentityToken(token)) => {
                let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
                self.post_token(server, request, &realm, service, &scopes, &form)?
            }
            Some(Credentials::Password { user, password }) => {
                self.get_token(server, request, &realm, service, &scopes, Some((user, password)))?
            }
            _ => self.get_token(server, request, &realm, service, &scopes, None)?,
        };
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        if token.is_empty() {
            return Err(refuse(format!("its token server {realm} gives no token")));
        }
        let life = if answer.expires_in == 0 { DEFAULT_LIFE } else { answer.expires_in };
        // Not for ever, whatever it says: the arithmetic of instants is bounded.
        let life = Duration::from_secs(life.min(24 * 3600));
        let identity = Some(answer.refresh_token).filter(|token| !token.is_empty());
        Ok((Authorization::bearer(&server.origin, &token, life), identity))
    }

    fn get_token(
        &self,
        server: &Server,
        request: &Request<'_>,
        realm: &Url,
        service: &str,
        scopes: &[&str],
        user: Option<(&String, &String)>,
    ) -> Result<Answer, TransferError> {
        let mut url = realm.clone();
        if !service.is_empty() {
            url = url.with("service", service);
        }
        for scope in scopes {
            url = url.with("scope", scope);
        }
        // Bound to the realm: a redirect to somebody else does not take it along.
        let mut basic = None;
        if let Some((name, password)) = user {
            url = url.with("account", name).with("client_id", CLIENT_ID);
            if scopes.is_empty() {
                url = url.with("offline_token", "true");
            }
            basic = Some(Authorization::basic(&realm.origin, name, password));
        }
        let token_request = Request {
            what: "a token",
            repository: request.repository,
            method: "GET",
            url,
            fields: vec![("Accept", "application/json".into())],
            payload: Payload::None,
            scope: None,
            is_repeatable: true,
        };
        let response =
            self.exchange_with(&token_server(server, realm), &token_request, basic.as_ref())?;
        self.answer(server, request, response, user.is_some())
    }

    fn post_token(
        &self,
        server: &Server,
        request: &Request<'_>,
        realm: &Url,
        service: &str,
        scopes: &[&str],
        form: &[(&str, &str)],
    ) -> Result<Answer, TransferError> {
        let scopes = scopes.join(" ");
        let fixed = [("service", service), ("client_id", CLIENT_ID), ("scope", scopes.as_str())];
        let pairs: Vec<String> = form
            .iter()
            .chain(&fixed)
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", encode_component(value)))
            .collect();
        let body = pairs.join("&");
        let token_request = Request {
            what: "a token",
            repository: request.repository,
            method: "POST",
            url: realm.clone(),
            fields: vec![
                ("Accept", "application/json".into()),
                ("Content-Type", "application/x-www-form-urlencoded".into()),
            ],
            payload: Payload::Bytes(body.as_bytes()),
            scope: None,
            is_repeatable: true,
        };
        let response = self.exchange_with(&token_server(server, realm), &token_request, None)?;
        self.answer(server, request, response, true)
    }

    fn answer(
        &self,
        server: &Server,
        request: &Request<'_>,
        response: Response,
        with_credentials: bool,
    ) -> Result<Answer, TransferError> {
        match response.status {
            200 if response.is_html() => Err(TransferError::Html {
                what: "a token".into(),
                repository: request.repository.into(),
            }),
            200 => {
                let refuse = |why: &str| TransferError::Authentication {
                    registry: server.registry.clone(),
                    why: format!("the answer of its token server is {why}"),
                };
                let bytes = response.into_bytes(MAX_ANSWER_BYTES);
                let bytes = bytes.map_err(|error| refuse(&format!("cut: {error}")))?;
                let bytes = bytes.ok_or_else(|| refuse("too long"))?;
                serde_json::from_slice(&bytes).map_err(|_| refuse("no JSON with a token"))
            }
            400 | 401 | 403 if with_credentials => Err(TransferError::BadCredentials {
                registry: server.registry.clone(),
                message: response.message(),
            }),
            401 | 403 => Err(denied(request, &response.message())),
            status => Err(TransferError::Status {
                what: "a token".into(),
                repository: request.repository.into(),
                status,
                message: response.message(),
            }),
        }
    }
}

/// The token server as somebody to talk to. It shares the registry's certificates only if it is
/// the same server.
fn token_server(server: &Server, realm: &Url) -> Server {
    let is_same = realm.origin == server.origin;
    Server {
        origin: realm.origin.clone(),
        base: String::new(),
        trust: match is_same {
            true => server.trust.clone(),
            false => Trust { verify: server.trust.verify, ..Trust::default() },
        },
        fields: Vec::new(),
        sent_by: (!is_same).then(|| server.origin.clone()),
        ..server.clone()
    }
}

/// Whether a token server may see the credentials for a registry: it has the same host, or both
/// are below one domain of their own (`auth.docker.io` and `registry-1.docker.io`).
fn is_of_the_house(realm: &Origin, registry: &Origin) -> bool {
    if realm.host == registry.host {
        return true;
    }
    let is_address = |host: &str| host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok();
    if is_address(&realm.host) || is_address(&registry.host) {
        return false;
    }
    // `a.example.com` is of `example.com`; `example.com` is nobody's part.
    let Some((_, parent)) = registry.host.split_once('.') else { return false };
    parent.contains('.') && (realm.host == parent || realm.host.ends_with(&format!(".{parent}")))
}

pub(crate) fn denied(request: &Request<'_>, message: &str) -> TransferError {
    let is_push = request.scope.is_some_and(|scope| scope.contains("push"));
    TransferError::Denied {
        action: if is_push { "push" } else { "pull" },
        repository: request.repository.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_in_the_house() {
        let origin = |text: &str| Url::parse(text).unwrap().origin;
        for (realm, registry, want) in [
            ("https://auth.docker.io", "https://registry-1.docker.io", true),
            ("https://reg.example:5001", "https://reg.example:5000", true),
            ("https://gitlab.com", "https://registry.gitlab.com", true),
            ("https://evil.example", "https://registry-1.docker.io", false),
            ("https://docker.io.evil.example", "https://registry-1.docker.io", false),
            ("https://evildocker.io", "https://registry-1.docker.io", false),
            ("https://b.com", "https://a.com", false),
            ("https://10.0.0.2", "https://10.0.0.1", false),
            ("https://127.0.0.1", "https://127.0.0.1:5000", true),
        ] {
            assert_eq!(is_of_the_house(&origin(realm), &origin(registry)), want, "{realm}");
        }
    }

    #[test]
    fn an_authorization_is_for_one_origin() {
        let origin = |text: &str| Url::parse(text).unwrap().origin;
        let known = Authorization::basic(&origin("https://a.example"), "u", "p");
        assert_eq!(known.for_origin(&origin("https://a.example")).unwrap(), "Basic dTpw");
        for other in ["http://a.example", "https://a.example:444", "https://b.a.example"] {
            assert_eq!(known.for_origin(&origin(other)), None, "{other}");
        }
    }
}
