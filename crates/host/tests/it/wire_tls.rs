//! `muster-wire` over TLS: the same host behind something that ends TLS before it, as in production.
//!
//! Whom this machine trusts is read once in a process, so the client that trusts our certificate is a process of its
//! own: this very test binary, started again with `SSL_CERT_FILE`.

use std::sync::Arc;
use std::time::Duration;

use muster_host::Host;
use muster_wire::http::{HttpClient, HttpError, PublishOptions};
use muster_wire::{ClosedReason, ConnectError, ConnectOptions, Endpoint, NetworkError, args, connect};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::client::PATIENCE;
use crate::module::{Variant, module};

const URL: &str = "MUSTER_TEST_TLS_URL";
const DATABASE: &str = "wire-tls";

/// Ends TLS in front of `host` with this certificate; returns the port.
async fn terminator(host: std::net::SocketAddr, certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> u16 {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate goes away here.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut host = TcpStream::connect(host).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut host).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_certificate_is_trusted_if_the_machine_trusts_it_and_only_for_its_name() {
    let host = Host::builder().in_memory().start().await.unwrap();
    let plain = Endpoint::new(&host.url(), DATABASE).unwrap();
    let publisher = HttpClient::new(plain, None).unwrap();
    publisher.publish(module(Variant::Plain), &PublishOptions::default()).await.unwrap();

    let certificate = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let url = format!("https://localhost:{}", terminator(host.local_addr(), &certificate).await);
    let untrusted = connect(ConnectOptions::new(Endpoint::new(&url, DATABASE).unwrap())).await.map(|_| ()).unwrap_err();
    let ConnectError::Network(NetworkError::Tls { reason, .. }) = &untrusted else { panic!("{untrusted}") };
    assert!(reason.contains("certificate") && !untrusted.is_retryable(), "{untrusted}");

    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("authorities.pem");
    std::fs::write(&authorities, certificate.cert.pem()).unwrap();
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "wire_tls::the_client_that_trusts", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", &authorities)
        .env_remove("SSL_CERT_DIR")
        .env(URL, &url)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE * 2, child).await.expect("ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "started by the test above, in a process that trusts its certificate"]
async fn the_client_that_trusts() {
    let url = std::env::var(URL).expect("started by the test above");
    let endpoint = Endpoint::new(&url, DATABASE).unwrap();
    let http = HttpClient::new(endpoint.clone(), None).unwrap();
    assert!(http.ping().await.unwrap() < PATIENCE);
    let (connection, _incoming) = connect(ConnectOptions::new(endpoint)).await.unwrap();
    assert!(connection.call_reducer("add", args(&("encrypted",))).await.unwrap().outcome.is_ok());
    let items = connection.one_off_query("SELECT * FROM item").await.unwrap();
    assert_eq!(items.rows::<String>("item").unwrap(), ["encrypted"]);
    assert_eq!(connection.close().await, ClosedReason::ByClient);

    let other_name = Endpoint::new(&url.replace("localhost", "127.0.0.1"), DATABASE).unwrap();
    let error =
        HttpClient::new(other_name, None).unwrap().with_timeout(Duration::from_secs(5)).ping().await.unwrap_err();
    assert!(matches!(error, HttpError::Network(NetworkError::Tls { .. })), "{error}");
}
