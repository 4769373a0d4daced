//! Who is shown what.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use transfer::{Client, CredentialStore, Credentials, Login, Settings, TransferError};

use crate::fixture::{Content, House, client, client_with, pull};
use crate::registry::{FakeRegistry, Reply, Seen};

const BASIC: &str = "Basic dXNlcjpwYXNz";

/// A client with the credentials `user` and `pass` for `host`.
fn known(host: &str, more: &str) -> (tempfile::TempDir, Client) {
    let directory = tempfile::tempdir().unwrap();
    let text = format!(r#"{{"auths": {{"{host}": {{"auth": "dXNlcjpwYXNz"{more}}}}}}}"#);
    std::fs::write(directory.path().join("config.json"), text).unwrap();
    let docker_config = Some(directory.path().to_owned());
    let client = client_with(Settings { docker_config, ..Settings::isolated() });
    (directory, client)
}

/// A registry that wants tokens, and gives them at `/token` to whom `judge` likes.
fn token_registry(
    content: Content,
    life: u64,
    judge: impl Fn(&Seen) -> bool + Send + Sync + 'static,
) -> FakeRegistry {
    let host: Arc<OnceLock<String>> = Arc::default();
    let (known, given) = (Arc::clone(&host), AtomicUsize::new(0));
    let registry = FakeRegistry::new(move |seen| {
        let challenge = |code: &str| {
            let host = known.get().cloned().unwrap_or_default();
            let text = format!(r#"Bearer realm="http://{host}/token",service="s",scope="{code}""#);
            Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}"#)
                .with("WWW-Authenticate", text)
        };
        if seen.head.path() == "/token" {
            return match judge(seen) {
                true => {
                    let number = given.fetch_add(1, Ordering::SeqCst);
                    let text = format!(r#"{{"token":"t{number}","expires_in":{life}}}"#);
                    Reply::new(200, text)
                }
                false => Reply::new(401, r#"{"details":"incorrect username or password"}"#),
            };
        }
        match seen.authorization() {
            Some(value) if value.starts_with("Bearer t") => match seen.head.path() {
                "/v2/" => Reply::new(200, "{}"),
                _ => content.answer(seen),
            },
            _ => challenge("repository:a/b:pull"),
        }
    });
    host.set(registry.host()).unwrap();
    registry
}

#[test]
fn a_token_is_asked_for_once_and_for_what_is_wanted() {
    let registry = token_registry(Content::new(1000), 300, |_| true);
    let house = House::new();
    pull(&house, &client(), &format!("{}/a/b:1", registry.host())).unwrap();
    let asked: Vec<Seen> =
        registry.seen().into_iter().filter(|seen| seen.head.path() == "/token").collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].head.parameter("scope").as_deref(), Some("repository:a/b:pull"));
    assert_eq!(asked[0].head.parameter("service").as_deref(), Some("s"));
    assert_eq!(asked[0].authorization(), None);
}

#[test]
fn passwords_go_to_the_token_server_and_nowhere_else() {
    let registry =
        token_registry(Content::new(1000), 300, |seen| seen.authorization() == Some(BASIC));
    let (_directory, client) = known(&registry.host(), "");
    let house = House::new();
    pull(&house, &client, &format!("{}/a/b:1", registry.host())).unwrap();
    for seen in registry.seen() {
        let is_token = seen.head.path() == "/token";
        assert_eq!(seen.authorization() == Some(BASIC), is_token, "{}", seen.line());
    }
    let (_directory, stranger) = known("other.example", "");
    let error = pull(&house, &stranger, &format!("{}/a/b:x", registry.host())).unwrap_err();
    assert!(matches!(error, TransferError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("pull access denied for"), "{error}");
}

#[test]
fn an_identity_token_is_posted() {
    let registry = token_registry(Content::new(1000), 300, |seen| {
        let body = String::from_utf8(seen.body.clone()).unwrap();
        seen.head.method == "POST"
            && body.contains("grant_type=refresh_token&refresh_token=i%2Fd&service=s")
            && body.contains("scope=repository%3Aa%2Fb%3Apull")
    });
    let (_directory, client) = known(&registry.host(), r#", "identitytoken": "i/d""#);
    let house = House::new();
    pull(&house, &client, &format!("{}/a/b:1", registry.host())).unwrap();
}

#[test]
fn a_token_that_ends_under_way_is_asked_for_again() {
    // Ended when it is given: each request needs another.
    let registry = token_registry(Content::new(1000), 1, |_| true);
    let house = House::new();
    pull(&house, &client(), &format!("{}/a/b:1", registry.host())).unwrap();
    assert!(registry.count("GET /token") >= 2);
}

#[test]
fn another_house_sees_no_password() {
    let thief = FakeRegistry::new(|_| Reply::new(200, r#"{"token":"t"}"#));
    // Loopback addresses are different hosts here: 127.0.0.1 and localhost.
    let realm = format!("http://localhost:{}/token", thief.host().rsplit_once(':').unwrap().1);
    let registry = FakeRegistry::new(move |_| {
        Reply::new(401, "").with("WWW-Authenticate", format!("Bearer realm=\"{realm}\""))
    });
    let (_directory, client) = known(&registry.host(), "");
    let house = House::new();
    let error = pull(&house, &client, &format!("{}/a:1", registry.host())).unwrap_err();
    assert!(matches!(error, TransferError::Authentication { .. }), "{error}");
    assert!(thief.seen().is_empty());
}

#[test]
fn a_redirect_takes_nothing_along() {
    let content = Content::new(1000);
    let away = content.clone().registry();
    let there = away.host();
    let registry = FakeRegistry::new(move |seen| match seen.authorization() {
        Some(BASIC) if seen.head.path().contains("/blobs/") => {
            Reply::new(307, "").with("Location", format!("http://{there}{}", seen.head.path()))
        }
        Some(BASIC) => content.answer(seen),
        _ => Reply::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let (_directory, client) = known(&registry.host(), "");
    let house = House::new();
    pull(&house, &client, &format!("{}/a:1", registry.host())).unwrap();
    assert_eq!(away.count("GET /v2/a/blobs"), 4);
    for seen in away.seen() {
        assert_eq!(seen.authorization(), None, "{}", seen.line());
    }
}

#[test]
fn login_keeps_what_the_registry_takes_and_nothing_else() {
    let registry =
        token_registry(Content::new(10), 300, |seen| seen.authorization() == Some(BASIC));
    let directory = tempfile::tempdir().unwrap();
    let docker_config = Some(directory.path().to_owned());
    let login = |password: &str| {
        let settings = Settings { docker_config: docker_config.clone(), ..Settings::isolated() };
        client_with(settings).login(&Login {
            registry: registry.host(),
            user: "user".into(),
            password: password.into(),
        })
    };
    let error = login("wrong").unwrap_err();
    assert!(matches!(error, TransferError::BadCredentials { .. }), "{error}");
    assert!(!directory.path().join("config.json").exists());
    login("pass").unwrap();
    let store = CredentialStore::open(directory.path()).unwrap();
    let want = Credentials::Password { user: "user".into(), password: "pass".into() };
    assert_eq!(store.get(&registry.host()).unwrap(), Some(want));
}

#[test]
fn a_scheme_that_nobody_knows_is_named() {
    let registry = FakeRegistry::new(|_| Reply::new(401, "").with("WWW-Authenticate", "Negotiate"));
    let house = House::new();
    let error = pull(&house, &client(), &format!("{}/a:1", registry.host())).unwrap_err();
    assert!(error.to_string().contains("negotiate"), "{error}");
}
