//! Certificates for tests, made by openssl. Needs [`Need::Openssl`](crate::Need::Openssl).

use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with an authority, and the certificates that it signs.
#[derive(Debug)]
pub struct Authority {
    folder: tempfile::TempDir,
}

/// PEM files: a certificate and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What `subjectAltName` a server on the loopback has.
pub const LOOPBACK: &str = "DNS:localhost,IP:127.0.0.1";

impl Authority {
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().unwrap() };
        // A name of its own, so that two of them are not taken for one with a wrong signature.
        let name = authority.folder().file_name().unwrap().to_string_lossy().into_owned();
        authority.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -subj /CN={name} -keyout ca.key -out ca.crt"
        ));
        authority
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.at("ca.crt")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate called `name` for these names, for a server or a client; `days` may be
    /// negative, and then it has expired.
    pub fn sign(&self, name: &str, names: &str, days: i32) -> Pair {
        let extensions =
            format!("subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n");
        std::fs::write(self.at("extensions"), extensions).unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
             -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days {days} \
             -extfile extensions -out {name}.crt"
        ));
        self.pair(name)
    }

    /// One that nobody else signs, as Docker's instructions have it made: it says of itself that
    /// it is an authority.
    pub fn self_signed(&self, name: &str, names: &str) -> Pair {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -subj /CN={name} -addext subjectAltName={names} -keyout {name}.key -out {name}.crt"
        ));
        self.pair(name)
    }

    fn pair(&self, name: &str) -> Pair {
        Pair { certificate: self.at(&format!("{name}.crt")), key: self.at(&format!("{name}.key")) }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        let out = command.output().unwrap();
        assert!(out.status.success(), "{arguments}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Pair {
    /// Puts it in the place of another one, as who rotates certificates does.
    pub fn replace(&self, other: &Self) {
        for (from, to) in [(&self.key, &other.key), (&self.certificate, &other.certificate)] {
            let new = to.with_extension("new");
            std::fs::copy(from, &new).unwrap();
            std::fs::rename(new, to).unwrap();
        }
    }
}
