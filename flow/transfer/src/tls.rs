//! TLS: what is trusted, and the handshake's configuration.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::{ClientConfig, RootCertStore};

use crate::certificate::{Believed, Trusted};
use crate::server::Trust;
use crate::wire::{certificates, in_file, private_key};

/// Where distributions keep the authorities that they trust.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Configurations by what they trust, made when they are first needed.
#[derive(Debug, Default)]
pub(crate) struct Configurations {
    made: Mutex<HashMap<Trust, Arc<ClientConfig>>>,
}

impl Configurations {
    pub(crate) fn of(&self, trust: &Trust) -> io::Result<Arc<ClientConfig>> {
        let mut made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = made.get(trust) {
            return Ok(Arc::clone(known));
        }
        let new = Arc::new(configure(trust)?);
        made.insert(trust.clone(), Arc::clone(&new));
        Ok(new)
    }
}

fn configure(trust: &Trust) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let trusted = match trust.verify {
        true => {
            let mut roots = system_roots().clone();
            let mut named = Vec::new();
            for path in &trust.authorities {
                for certificate in certificates(path)? {
                    roots.add(certificate.clone()).map_err(|error| in_file(path, error))?;
                    named.push(certificate);
                }
            }
            if roots.is_empty() {
                let text = "no authority is trusted: there is no bundle of them on this machine \
                            (see SSL_CERT_FILE), and none for this registry";
                return Err(io::Error::other(text));
            }
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
            let authorities = verifier.build().map_err(io::Error::other)?;
            Some(Trusted { authorities, named })
        }
        false => None,
    };
    let believed = Arc::new(Believed { provider, trusted });
    let builder = builder.dangerous().with_custom_certificate_verifier(believed);
    // One pair is shown; the first, if there are several.
    let mut config = match trust.clients.first() {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| in_file(certificate, error))?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The system's authorities: `SSL_CERT_FILE`, else the first bundle that is there.
fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let bundle = named.or_else(|| BUNDLES.iter().map(PathBuf::from).find(|p| p.exists()));
        let mut roots = RootCertStore::empty();
        if let Some(found) = bundle.and_then(|path| certificates(&path).ok()) {
            // One that cannot be used is no reason to trust none.
            roots.add_parsable_certificates(found);
        }
        roots
    })
}
