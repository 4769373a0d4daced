//! Who asks, and what he may do.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http1::Fields;

use crate::names::Name;
use crate::reply::Refusal;
use crate::watch::Watched;
use crate::{Access, RegistryConfig, RegistryError, Verb};

/// The users and the rules.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Names and bcrypt hashes; `None` if there are no users.
    users: Option<Users>,
    rules: Vec<Access>,
    /// Whether those who say no name may push where no rule speaks.
    anonymous_push: bool,
    /// Passwords that were compared before, as salted digests, with what they were compared with:
    /// bcrypt takes 60 ms by design.
    seen: Mutex<HashMap<String, ([u8; 32], Hash)>>,
    salt: String,
}

/// The file with the users, and what it says now.
#[derive(Debug)]
struct Users {
    path: PathBuf,
    known: Watched<Arc<HashMap<String, Hash>>>,
}

/// `$2y$10$` and 53 letters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hash {
    cost: u32,
    salt: [u8; 16],
    sum: [u8; 23],
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Principal {
    Anonymous,
    User(String),
}

/// How long a wrong password is thought about.
const PENALTY: Duration = Duration::from_millis(500);
/// A hash is not computed for longer: 2^14 rounds are a second.
const MAX_COST: u32 = 14;
/// Stands for a user who does not exist, so that the answer takes as long.
const NOBODY: &str = "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

impl Gate {
    pub(crate) fn open(config: &RegistryConfig) -> Result<Self, RegistryError> {
        let users = match &config.htpasswd {
            None => None,
            Some(path) => Some(Users::open(path)?),
        };
        Ok(Self {
            anonymous_push: users.is_none() && config.listen.ip().is_loopback(),
            users,
            rules: config.access.clone(),
            seen: Mutex::default(),
            salt: sys::names::random_hex::<16>(),
        })
    }

    /// Reads the users again if their file is another now; whether it was. After an error those
    /// that were known before are.
    pub(crate) fn refresh(&self) -> Result<bool, RegistryError> {
        match &self.users {
            Some(users) => users.known.refresh(|| read(&users.path)),
            None => Ok(false),
        }
    }

    /// Who sent these fields. A name that is not known or a wrong password is refused.
    pub(crate) fn identify(&self, fields: &Fields) -> Result<Principal, Refusal> {
        let Some(users) = &self.users else { return Ok(Principal::Anonymous) };
        let Some(value) = fields.get("authorization") else { return Ok(Principal::Anonymous) };
        let pair = basic(value).ok_or_else(|| unauthorized("the credentials are malformed"))?;
        let (name, password) = pair.split_once(':').unwrap_or((&pair, ""));
        let digest = self.digest(name, password);
        let users = users.known.get();
        let known = {
            let seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // Of a user who is gone or has another password by now it says nothing.
            let current = seen.get(name).filter(|(_, hash)| users.get(name) == Some(hash));
            current.map(|(digest, _)| *digest)
        };
        if known.is_some_and(|known| equal(&known, &digest)) {
            return Ok(Principal::User(name.to_owned()));
        }
        let nobody = Hash::parse(NOBODY).expect("the constant is a hash");
        let (hash, exists) = match users.get(name) {
            Some(hash) => (hash, true),
            None => (&nobody, false),
        };
        if hash.fits(password) && exists {
            let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            seen.insert(name.to_owned(), (digest, hash.clone()));
            return Ok(Principal::User(name.to_owned()));
        }
        std::thread::sleep(PENALTY);
        Err(unauthorized("unknown user or wrong password"))
    }

    /// Lets somebody do something with a repository, or refuses.
    pub(crate) fn allow(&self, who: &Principal, verb: Verb, name: &Name) -> Result<(), Refusal> {
        if self.may(who, verb, name.as_str()) {
            return Ok(());
        }
        match (who, &self.users) {
            (Principal::Anonymous, Some(_)) => Err(unauthorized("authentication required")),
            _ => Err(Refusal::new(403, "DENIED", "requested access to the resource is denied")),
        }
    }

    /// Whether somebody may do something with a repository.
    pub(crate) fn may(&self, who: &Principal, verb: Verb, repository: &str) -> bool {
        let fits = |rule: &&Access| {
            rule.covers(repository)
                && match (rule.user.as_str(), who) {
                    ("anonymous", _) => true,
                    ("*", Principal::User(_)) => true,
                    (name, Principal::User(user)) => name == user,
                    (_, Principal::Anonymous) => false,
                }
        };
        if !self.rules.is_empty() {
            return self.rules.iter().find(fits).is_some_and(|rule| rule.allow.contains(&verb));
        }
        match (who, &self.users) {
            (Principal::User(_), _) => true,
            // Those who set up users want to know everybody.
            (Principal::Anonymous, Some(_)) => false,
            (Principal::Anonymous, None) => verb == Verb::Pull || self.anonymous_push,
        }
    }

    /// Whether the version may be asked for: by everybody, where somebody unknown can do anything.
    pub(crate) fn greets(&self, who: &Principal) -> Result<(), Refusal> {
        let is_open = self.users.is_none()
            || *who != Principal::Anonymous
            || self.rules.iter().any(|rule| rule.user == "anonymous");
        match is_open {
            true => Ok(()),
            false => Err(unauthorized("authentication required")),
        }
    }

    fn digest(&self, name: &str, password: &str) -> [u8; 32] {
        let text = format!("{}\0{name}\0{password}", self.salt);
        let hex = content::sha256(text.as_bytes());
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.hex().as_bytes().chunks(2)) {
            let text = std::str::from_utf8(pair).expect("a digest is ASCII");
            *byte = u8::from_str_radix(text, 16).expect("a digest is hexadecimal");
        }
        digest
    }
}

fn unauthorized(message: &str) -> Refusal {
    Refusal::new(401, "UNAUTHORIZED", message)
        .with("WWW-Authenticate", "Basic realm=\"kista registry\"")
}

impl Users {
    fn open(path: &Path) -> Result<Self, RegistryError> {
        let known = Watched::new(vec![path.to_owned()], || read(path))?;
        Ok(Self { path: path.to_owned(), known })
    }
}

fn read(path: &Path) -> Result<Arc<HashMap<String, Hash>>, RegistryError> {
    let text = std::fs::read_to_string(path).map_err(RegistryError::io("read", path))?;
    let users = parse(&text).map_err(|why| RegistryError::File { path: path.to_owned(), why })?;
    Ok(Arc::new(users))
}

/// `name:hash` lines; blank ones and those that begin with `#` are left out.
fn parse(text: &str) -> Result<HashMap<String, Hash>, String> {
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parsed = line.split_once(':').and_then(|(name, hash)| {
            let hash = Hash::parse(hash)?;
            (!name.is_empty()).then(|| (name.to_owned(), hash))
        });
        let (name, hash) = parsed.ok_or_else(|| {
            format!(
                "line {} is no name with a bcrypt hash of at most 2^{MAX_COST} rounds: write it \
                 with `htpasswd -B`",
                number + 1
            )
        })?;
        users.insert(name, hash);
    }
    Ok(users)
}

impl Hash {
    fn parse(text: &str) -> Option<Self> {
        let rest = ["$2y$", "$2b$", "$2a$"].iter().find_map(|kind| text.strip_prefix(kind))?;
        let (cost, rest) = rest.split_once('$')?;
        let cost = cost.parse().ok().filter(|cost| (4..=MAX_COST).contains(cost))?;
        let (salt, sum) = rest.split_at_checked(22)?;
        let salt = decode(salt)?.get(..16)?.try_into().ok()?;
        let sum = decode(sum).filter(|_| sum.len() == 31)?.get(..23)?.try_into().ok()?;
        Some(Self { cost, salt, sum })
    }

    fn fits(&self, password: &str) -> bool {
        // What bcrypt looks at: 72 bytes, the NUL at the end included. A longer password is none,
        // since everything behind them would not count.
        if password.len() > 72 || password.contains('\0') {
            return false;
        }
        let mut bytes = password.as_bytes().to_vec();
        bytes.push(0);
        bytes.truncate(72);
        let sum = bcrypt::bcrypt(self.cost, self.salt, &bytes);
        equal(&sum[..23], &self.sum)
    }
}

/// bcrypt's own base64.
fn decode(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    decode_with(ALPHABET, text)
}

/// The text of `Basic BASE64`.
fn basic(value: &str) -> Option<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (scheme, text) = value.split_once(' ')?;
    let bytes = decode_with(ALPHABET, text.trim().trim_end_matches('='))?;
    scheme.eq_ignore_ascii_case("basic").then(|| String::from_utf8(bytes).ok())?
}

fn decode_with(alphabet: &[u8; 64], text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes() {
        let value = alphabet.iter().position(|known| *known == letter)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// Compares in a time that does not tell where two values differ.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    a.len() == b.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `htpasswd -nbB -C 5 user secret`, and one of Python's for the same.
    const HASH: &str = "$2y$05$B08TafVCwFEdiTb5MfvTRu3XeGWuDPBPvHfe4c6ZkTNXMKXHuaRaK";

    #[test]
    fn only_bcrypt_is_taken() {
        assert!(Hash::parse(NOBODY).is_some());
        for line in
            ["user:{SHA}x", "user:$apr1$a$b", "user", ":$2y$05$x", &format!("u:{}", &HASH[..59])]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse(&format!("# users\n\nuser:{HASH}\n")).unwrap().contains_key("user"));
        assert!(parse("u:$2y$31$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234").is_err());
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rule = |user: &str, prefix: &str, allow: &[Verb]| Access {
            user: user.into(),
            prefix: prefix.into(),
            allow: allow.to_vec(),
        };
        let empty = tempfile::NamedTempFile::new().unwrap();
        let gate = Gate {
            users: Some(Users::open(empty.path()).unwrap()),
            rules: vec![
                rule("ann", "team", &[Verb::Pull, Verb::Push, Verb::Delete]),
                rule("*", "team/public", &[Verb::Pull]),
                rule("*", "team", &[]),
                rule("*", "", &[Verb::Pull, Verb::Push]),
                rule("anonymous", "open", &[Verb::Pull]),
            ],
            anonymous_push: false,
            seen: Mutex::default(),
            salt: String::new(),
        };
        let user = |name: &str| Principal::User(name.into());
        for (who, verb, repository, want) in [
            (user("ann"), Verb::Delete, "team/x", true),
            (user("bob"), Verb::Pull, "team/x", false),
            (user("bob"), Verb::Pull, "team/public/x", true),
            (user("bob"), Verb::Push, "team/public/x", false),
            (user("bob"), Verb::Push, "other", true),
            (user("bob"), Verb::Delete, "other", false),
            (user("bob"), Verb::Pull, "teams", true),
            (Principal::Anonymous, Verb::Pull, "open/x", true),
            (Principal::Anonymous, Verb::Push, "open/x", false),
            (Principal::Anonymous, Verb::Pull, "other", false),
        ] {
            assert_eq!(gate.may(&who, verb, repository), want, "{who:?} {verb:?} {repository}");
        }
    }

    #[test]
    fn credentials_are_compared_whole() {
        assert_eq!(basic("Basic dXNlcjpwYXNz").as_deref(), Some("user:pass"));
        assert_eq!(basic("basic dTo=").as_deref(), Some("u:"));
        assert_eq!(basic("Bearer dTo="), None);
        assert_eq!(basic("Basic d T"), None);
        assert!(equal(b"ab", b"ab") && !equal(b"ab", b"ac") && !equal(b"ab", b"abc"));
    }
}
