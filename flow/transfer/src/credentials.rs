//! Credentials in Docker's client configuration, and in the helpers that it names.
//!
//! ```text
//! ~/.docker/config.json   {"auths": {"host": {"auth": base64("user:password"), "identitytoken": ""}},
//!                          "credsStore": "name", "credHelpers": {"host": "name"}}
//! docker-credential-NAME get|store|erase   one JSON document or a host on stdin, JSON on stdout
//! ```
//!
//! Everything else in the file is kept as it is. A host has the credentials that stand under its
//! own name and no other's; a helper that is missing yields none, never another one's.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::{TransferError, base64};

/// What is shown to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user's name and password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// What a token server gives tokens for.
    IdentityToken(String),
    /// A token, as it is.
    RegistryToken(String),
}

/// Without what must not be seen.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password { user, .. } => write!(out, "password of {user:?}"),
            Self::IdentityToken(_) => out.write_str("identity token"),
            Self::RegistryToken(_) => out.write_str("registry token"),
        }
    }
}

/// Where credentials were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredIn {
    /// The configuration file, in which everybody who can read it can read them.
    File(PathBuf),
    /// A helper.
    Helper(String),
}

/// The credentials of one user.
#[derive(Debug)]
pub struct CredentialStore {
    path: PathBuf,
    document: Map<String, Value>,
}

/// The key of Docker's own registry, from before there were others.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The user that stands for an identity token.
const TOKEN_USER: &str = "<token>";
/// The most bytes of a configuration.
const MAX_BYTES: u64 = 8 << 20;

impl CredentialStore {
    /// Reads `config.json` in `directory`; a file that is not there is empty.
    pub fn open(directory: &Path) -> Result<Self, TransferError> {
        let path = directory.join("config.json");
        // Through a link, which is kept: some people keep the file elsewhere.
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let document = match std::fs::metadata(&path) {
            Ok(found) if found.len() > MAX_BYTES => {
                return Err(TransferError::Settings { path, why: "it is too long".into() });
            }
            Ok(_) => {
                let bytes = std::fs::read(&path).map_err(|source| TransferError::Io {
                    action: "read",
                    path: path.clone(),
                    source,
                })?;
                match serde_json::from_slice(&bytes) {
                    Ok(document) => document,
                    Err(_) if bytes.trim_ascii().is_empty() => Map::new(),
                    Err(error) => {
                        return Err(TransferError::Settings { path, why: error.to_string() });
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
            Err(source) => return Err(TransferError::Io { action: "read", path, source }),
        };
        Ok(Self { path, document })
    }

    /// What there is for a registry (`docker.io`, `ghcr.io`, `localhost:5000`).
    pub fn get(&self, registry: &str) -> Result<Option<Credentials>, TransferError> {
        if let Some(helper) = self.helper_of(registry) {
            return self.ask(&helper, registry);
        }
        let Some(auths) = self.document.get("auths").and_then(Value::as_object) else {
            return Ok(None);
        };
        let exact = auths.get(key(registry));
        // Older clients wrote whole URLs.
        let found = exact.or_else(|| {
            auths.iter().find(|(name, _)| host_of(name) == registry).map(|(_, value)| value)
        });
        Ok(found.and_then(credentials_of))
    }

    /// Keeps credentials for a registry, where the configuration wants them.
    ///
    /// `identity` takes the password's place if the registry gave one.
    pub fn put(
        &mut self,
        registry: &str,
        user: &str,
        password: &str,
        identity: Option<&str>,
    ) -> Result<StoredIn, TransferError> {
        if let Some(helper) = self.helper_of(registry) {
            let (name, secret) = match identity {
                Some(token) => (TOKEN_USER, token),
                None => (user, password),
            };
            let document = json!({"ServerURL": key(registry), "Username": name, "Secret": secret});
            call(&helper, "store", &document.to_string())?;
            // Docker leaves an empty entry, which tells where the user is logged in.
            self.auths().insert(key(registry).to_owned(), json!({}));
            self.write()?;
            return Ok(StoredIn::Helper(helper));
        }
        let password = if identity.is_some() { "" } else { password };
        let auth = base64::encode(format!("{user}:{password}").as_bytes());
        let mut entry = json!({"auth": auth});
        if let Some(token) = identity {
            entry["identitytoken"] = token.into();
        }
        self.auths().insert(key(registry).to_owned(), entry);
        self.write()?;
        Ok(StoredIn::File(self.path.clone()))
    }

    /// Forgets what there is for a registry; returns whether there was something.
    pub fn erase(&mut self, registry: &str) -> Result<bool, TransferError> {
        let mut was_there = false;
        if let Some(helper) = self.helper_of(registry) {
            was_there = self.ask(&helper, registry)?.is_some();
            if was_there {
                call(&helper, "erase", key(registry))?;
            }
        }
        let names: Vec<String> = self
            .auths()
            .keys()
            .filter(|name| *name == key(registry) || host_of(name) == registry)
            .cloned()
            .collect();
        for name in &names {
            self.auths().shift_remove(name);
        }
        if !names.is_empty() {
            was_there = true;
            self.write()?;
        }
        Ok(was_there)
    }

    /// The user that is logged in at a registry, if that can be told.
    pub fn user(&self, registry: &str) -> Option<String> {
        let auths = self.document.get("auths")?.as_object()?;
        match self.get(registry).ok()?? {
            Credentials::Password { user, .. } => Some(user),
            _ => user_of(auths.get(key(registry))?),
        }
    }

    fn helper_of(&self, registry: &str) -> Option<String> {
        let helpers = self.document.get("credHelpers").and_then(Value::as_object);
        let own = helpers.and_then(|helpers| {
            helpers.get(registry).or_else(|| helpers.get(key(registry)))?.as_str()
        });
        let named = own.or_else(|| self.document.get("credsStore")?.as_str());
        named.filter(|name| !name.is_empty()).map(str::to_owned)
    }

    fn ask(&self, helper: &str, registry: &str) -> Result<Option<Credentials>, TransferError> {
        let answer = match call(helper, "get", key(registry)) {
            Ok(answer) => answer,
            // The one text that the protocol fixes for "I have none".
            Err(TransferError::Helper { message, .. })
                if message.contains("credentials not found") =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let answer: Value = serde_json::from_str(&answer).map_err(|_| TransferError::Helper {
            name: helper.to_owned(),
            message: "its answer is no JSON".into(),
        })?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
        let (user, secret) = (text("Username"), text("Secret"));
        Ok(match user {
            _ if secret.is_empty() => None,
            TOKEN_USER => Some(Credentials::IdentityToken(secret.to_owned())),
            user => Some(Credentials::Password { user: user.into(), password: secret.into() }),
        })
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths.as_object_mut().expect("it was made an object")
    }

    /// Writes the file as Docker does: tabs, mode 0600, in place by one rename.
    fn write(&self) -> Result<(), TransferError> {
        let failed = |action, source| TransferError::Io { action, path: self.path.clone(), source };
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(directory)
            .map_err(|source| failed("make the folder of", source))?;
        let mut bytes = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, tabs);
        serde::Serialize::serialize(&self.document, &mut serializer)
            .map_err(|error| failed("write", error.into()))?;
        let new =
            self.path.with_file_name(format!("config.json.{}.tmp", sys::names::random_hex::<8>()));
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| {
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&new, &self.path));
        written.map_err(|source| {
            let _ = std::fs::remove_file(&new);
            failed("write", source)
        })
    }
}

/// Under which name a registry stands in the file.
fn key(registry: &str) -> &str {
    match registry {
        "docker.io" => DOCKER_HUB,
        other => other,
    }
}

/// The host of a key that may be a URL.
fn host_of(name: &str) -> &str {
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or_default() {
        "index.docker.io" => "docker.io",
        host => host,
    }
}

fn credentials_of(entry: &Value) -> Option<Credentials> {
    let text = |key: &str| {
        entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    if let Some(token) = text("registrytoken") {
        return Some(Credentials::RegistryToken(token));
    }
    if let Some(token) = text("identitytoken") {
        return Some(Credentials::IdentityToken(token));
    }
    if let (Some(user), Some(password)) = (text("username"), text("password")) {
        return Some(Credentials::Password { user, password });
    }
    let pair = String::from_utf8(base64::decode(&text("auth")?)?).ok()?;
    let (user, password) = pair.split_once(':')?;
    // Some clients padded with NUL.
    let password = password.trim_end_matches('\0');
    Some(Credentials::Password { user: user.into(), password: password.into() })
        .filter(|_| !password.is_empty())
}

fn user_of(entry: &Value) -> Option<String> {
    let pair = String::from_utf8(base64::decode(entry.get("auth")?.as_str()?)?).ok()?;
    pair.split_once(':').map(|(user, _)| user.to_owned())
}

/// Runs a helper. Its name is a word, so that it cannot be a path.
fn call(name: &str, verb: &str, input: &str) -> Result<String, TransferError> {
    let failed = |message: String| TransferError::Helper { name: name.to_owned(), message };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.bytes().all(word) {
        return Err(failed("that is no name of a program".into()));
    }
    let mut child = Command::new(format!("docker-credential-{name}"))
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read says why by its exit.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(failed(format!("{} {}", text(&output.stdout), text(&output.stderr)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Password { user: user.into(), password: password.into() })
    }

    fn store(text: &str) -> (tempfile::TempDir, CredentialStore) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), text).unwrap();
        let store = CredentialStore::open(directory.path()).unwrap();
        (directory, store)
    }

    #[test]
    fn a_registry_has_what_stands_under_its_own_name() {
        let (_directory, store) = store(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "dTpw"},
                "https://old.example/v2/": {"auth": "YTpiOmM="},
                "token.example": {"auth": "dTo=", "identitytoken": "t"},
                "plain.example": {"username": "x", "password": "y"},
                "empty.example": {}}}"#,
        );
        for (registry, want) in [
            ("docker.io", password("u", "p")),
            ("old.example", password("a", "b:c")),
            ("token.example", Some(Credentials::IdentityToken("t".into()))),
            ("plain.example", password("x", "y")),
            ("empty.example", None),
            ("evil.example", None),
            ("example", None),
            ("docker.io.evil.example", None),
        ] {
            assert_eq!(store.get(registry).unwrap(), want, "{registry}");
        }
        assert_eq!(store.user("token.example").as_deref(), Some("u"));
        assert!(!format!("{:?}", password("u", "secret")).contains("secret"));
    }

    #[test]
    fn a_missing_helper_gives_nothing_of_anybody_else() {
        let (_directory, store) = store(
            r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}},
                "credHelpers": {"evil.example": "is-not-there"}}"#,
        );
        assert!(matches!(store.get("evil.example"), Err(TransferError::Helper { .. })));
        assert_eq!(store.get("docker.io").unwrap(), password("u", "p"));
    }

    #[test]
    fn what_else_is_in_the_file_stays() {
        let (directory, mut store) =
            store(r#"{"psFormat": "x", "auths": {"a.example": {"auth": "dTpw"}}, "z": [1]}"#);
        store.put("docker.io", "user", "pass:word", None).unwrap();
        assert!(store.erase("a.example").unwrap());
        assert!(!store.erase("a.example").unwrap());
        let path = directory.path().join("config.json");
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\n\t\"psFormat\": \"x\",\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": \
             {\n\t\t\t\"auth\": \"dXNlcjpwYXNzOndvcmQ=\"\n\t\t}\n\t},\n\t\"z\": [\n\t\t1\n\t]\n}"
        );
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        let again = CredentialStore::open(directory.path()).unwrap();
        assert_eq!(again.get("docker.io").unwrap(), password("user", "pass:word"));
    }

    #[test]
    fn a_broken_file_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), "{").unwrap();
        assert!(CredentialStore::open(directory.path()).is_err());
    }
}
