//! The server's side of TLS. Its files are read again when they change, for connections that come
//! after that.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use transfer::wire::{certificates, private_key};

use crate::watch::Watched;
use crate::{RegistryError, TlsFiles};

/// What a server shows and whom it asks to show something, as the files say now.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    config: Watched<Arc<ServerConfig>>,
}

impl Tls {
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, RegistryError> {
        let paths = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
        let paths = paths.into_iter().flatten().cloned().collect();
        let config = Watched::new(paths, || configure(files))?;
        Ok(Self { files: files.clone(), config })
    }

    /// For a new connection.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.get()
    }

    /// Reads the files again if they are others now; whether they were. After an error what was
    /// read before holds on.
    pub(crate) fn refresh(&self) -> Result<bool, RegistryError> {
        self.config.refresh(|| configure(&self.files))
    }
}

fn configure(files: &TlsFiles) -> Result<Arc<ServerConfig>, RegistryError> {
    let refuse = |path: &Path, why: String| RegistryError::File { path: path.to_owned(), why };
    let read = |error: io::Error| RegistryError::Config { why: error.to_string() };
    let chain = certificates(&files.certificate).map_err(read)?;
    if chain.is_empty() {
        return Err(refuse(&files.certificate, "there is no certificate in it".into()));
    }
    let key = private_key(&files.key).map_err(read)?;
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(&files.certificate, error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path).map_err(read)? {
                roots.add(certificate).map_err(|error| refuse(path, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .map_err(|error| refuse(path, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| refuse(&files.certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
