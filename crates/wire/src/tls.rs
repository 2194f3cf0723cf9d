//! TLS: one configuration for HTTP and WebSockets.
//!
//! What always holds: rustls with ring's cryptography and the certificate authorities that the operating system
//! trusts; certificates are always verified. The configuration is made once, and the process-wide default of rustls is
//! neither needed nor touched.

use std::sync::OnceLock;

use rustls::{ClientConfig, RootCertStore};

/// The configuration, offering HTTP/2 and HTTP/1.1 (`http`) or HTTP/1.1 alone, which a WebSocket needs.
///
/// A machine without certificate authorities gets a configuration that trusts nobody: plain HTTP works, TLS does not,
/// and says so.
pub(crate) fn client_config(websocket: bool) -> ClientConfig {
    static BASE: OnceLock<ClientConfig> = OnceLock::new();
    let mut config = BASE.get_or_init(base).clone();
    config.alpn_protocols =
        if websocket { vec![b"http/1.1".to_vec()] } else { vec![b"h2".to_vec(), b"http/1.1".to_vec()] };
    config
}

fn base() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a certificate authority of the operating system cannot be read");
    }
    // Operating systems carry certificates that are not strictly well-formed; those are left out, not fatal.
    let (taken, left_out) = roots.add_parsable_certificates(native.certs);
    tracing::debug!(taken, left_out, "loaded the operating system's certificate authorities");
    ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
