//! TLS by certificate files, with `muster-wire` at the other end.
//!
//! Whom this machine trusts is read once in a process, so the client that trusts our certificate is a process of its
//! own: this very test binary, started again with `SSL_CERT_FILE`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_host::{Host, HostLimits, StartError};
use muster_wire::http::{HttpClient, HttpError, PublishOptions};
use muster_wire::{ClosedReason, ConnectError, ConnectOptions, Endpoint, NetworkError, args, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::PATIENCE;
use crate::module::{Variant, module};

const URL: &str = "MUSTER_TEST_TLS_URL";
const DATABASE: &str = "wire-tls";

/// The certificate and its key as files in `folder`.
fn files(folder: &Path, certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> (PathBuf, PathBuf) {
    let (chain, key) = (folder.join("certificates.pem"), folder.join("key.pem"));
    std::fs::write(&chain, certificate.cert.pem()).unwrap();
    std::fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
    (chain, key)
}

#[tokio::test]
async fn a_certificate_is_trusted_if_the_machine_trusts_it_and_only_for_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let (chain, key) = files(folder.path(), &certificate);
    let host = Host::builder().in_memory().tls(&chain, key).start().await.unwrap();
    assert_eq!(host.url(), format!("https://{}", host.local_addr()));
    let url = format!("https://localhost:{}", host.local_addr().port());
    let untrusted = connect(ConnectOptions::new(Endpoint::new(&url, DATABASE).unwrap())).await.map(|_| ()).unwrap_err();
    let ConnectError::Network(NetworkError::Tls { reason, .. }) = &untrusted else { panic!("{untrusted}") };
    assert!(reason.contains("certificate") && !untrusted.is_retryable(), "{untrusted}");

    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "wire_tls::the_client_that_trusts", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", &chain)
        .env_remove("SSL_CERT_DIR")
        .env(URL, &url)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE * 2, child).await.expect("ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    host.shutdown().await;
}

#[tokio::test]
async fn who_speaks_no_tls_or_half_of_it_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let (chain, key) = files(folder.path(), &certificate);
    let limits = HostLimits { header_timeout: Duration::from_millis(300), ..HostLimits::DEFAULT };
    let host = Host::builder().in_memory().tls(chain, key).limits(limits).start().await.unwrap();
    for said in [&b"GET /v1/ping HTTP/1.1\r\nHost: host\r\n\r\n"[..], &b"\x16\x03\x01\x02"[..], b""] {
        let mut socket = TcpStream::connect(host.local_addr()).await.unwrap();
        socket.write_all(said).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("let go");
        assert!(ended.is_err() || !answer.starts_with(b"HTTP"), "{answer:?}");
    }
    tokio::time::timeout(Duration::from_secs(5), host.shutdown()).await.unwrap();
}

#[tokio::test]
async fn files_that_are_no_certificate_or_no_key_of_it_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let (chain, key) = files(folder.path(), &certificate);
    let other = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let other_key = folder.path().join("other.pem");
    std::fs::write(&other_key, other.signing_key.serialize_pem()).unwrap();
    let missing = folder.path().join("missing.pem");
    for (chain, key, named) in
        [(&missing, &key, &missing), (&key, &key, &key), (&chain, &chain, &chain), (&chain, &other_key, &other_key)]
    {
        let error = Host::builder().in_memory().tls(chain, key).start().await.unwrap_err();
        assert!(matches!(&error, StartError::Tls { path, .. } if path == named), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[tokio::test]
#[ignore = "started by the test above, in a process that trusts its certificate"]
async fn the_client_that_trusts() {
    let url = std::env::var(URL).expect("started by the test above");
    let endpoint = Endpoint::new(&url, DATABASE).unwrap();
    let http = HttpClient::new(endpoint.clone(), None).unwrap();
    http.publish(module(Variant::Plain), &PublishOptions::default()).await.unwrap();
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
