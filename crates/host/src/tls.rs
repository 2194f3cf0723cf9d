//! TLS by certificate files: read once, at the start, so that a wrong file stops the host from starting and nothing else.
//!
//! TLS 1.2 and 1.3, with `ring`; no client certificates. A certificate that is renewed on disk needs a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::error::StartError;

/// Where a certificate and its key lie.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// The host's certificate and those between it and its authority, as PEM, in that order.
    pub(crate) certificates: PathBuf,
    /// The private key of the first, as PEM: PKCS#8, PKCS#1 or SEC1.
    pub(crate) key: PathBuf,
}

impl TlsFiles {
    /// Reads both files and makes sure that they belong together.
    pub(crate) fn load(&self) -> Result<TlsAcceptor, StartError> {
        let certificates = CertificateDer::pem_file_iter(&self.certificates)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| unusable(&self.certificates, e))?;
        if certificates.is_empty() {
            return Err(unusable(&self.certificates, "it holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unusable(&self.key, e))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
            .map_err(|e| unusable(&self.key, e))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> StartError {
    StartError::Tls { path: path.to_owned(), reason: crate::http_error::one_line(&reason.to_string()) }
}
