//! Starting: what stops a host from starting, and that a failed start holds on to nothing.

use std::time::{Duration, Instant};

use muster_host::{Host, StartError, WebSocketLimits};
use reqwest::StatusCode;

use crate::client::{Client, answer, host, json};

/// The text of an error is one line that names the remedy.
fn check_text(error: &StartError) {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    assert!(text.contains(';'), "`{text}` names no remedy");
}

#[tokio::test]
async fn a_host_starts_in_a_fraction_of_a_second_and_leaves_nothing() {
    let started = Instant::now();
    let host = host().await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "starting took {took:?}");
    let folder = host.data_dir().to_owned();
    let health = json(Client::nobody(host.url()).get("/v1/health")).await;
    assert_eq!(health["version"], muster_host::ENGINE_VERSION);
    assert_eq!(health["schedulable"], true);
    host.shutdown().await;
    assert!(!folder.exists());
}

#[tokio::test]
async fn many_hosts_live_in_one_process() {
    let mut hosts = Vec::new();
    for _ in 0..5 {
        hosts.push(host().await);
    }
    let mut ports: Vec<u16> = hosts.iter().map(|host| host.local_addr().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 5);
    for host in hosts {
        assert_eq!(answer(Client::nobody(host.url()).get("/v1/ping")).await.0, StatusCode::OK);
        host.shutdown().await;
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = host().await;
    let error = Host::builder().in_memory().listen(first.local_addr()).start().await.unwrap_err();
    assert!(matches!(&error, StartError::AddressInUse { addr } if *addr == first.local_addr()), "{error}");
    check_text(&error);
    first.shutdown().await;
}

#[tokio::test]
async fn a_folder_in_use_is_named_and_free_after_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let first = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let error = Host::builder().data_dir(folder.path()).start().await.unwrap_err();
    assert!(matches!(&error, StartError::DataDirInUse { pid, .. } if *pid == Some(std::process::id())), "{error}");
    check_text(&error);
    first.shutdown().await;
    Host::builder().data_dir(folder.path()).start().await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_failed_start_lets_the_folder_go() {
    let folder = tempfile::tempdir().unwrap();
    let other = host().await;
    let builder = Host::builder().data_dir(folder.path());
    builder.clone().listen(other.local_addr()).start().await.unwrap_err();
    builder.start().await.unwrap().shutdown().await;
    other.shutdown().await;
}

#[tokio::test]
async fn a_file_in_the_way_of_the_folder_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Host::builder().data_dir(file.path()).start().await.unwrap_err();
    assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
    check_text(&error);
}

#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_is_named() {
    // `/dev/full` takes writes like a disk without space.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("keys")).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("keys/id_ecdsa.new")).unwrap();
    let error = Host::builder().data_dir(folder.path()).start().await.unwrap_err();
    assert!(matches!(error, StartError::DiskFull { .. }), "{error}");
    check_text(&error);
    // With space again, the same folder works.
    std::fs::remove_file(folder.path().join("keys/id_ecdsa.new")).unwrap();
    Host::builder().data_dir(folder.path()).start().await.unwrap().shutdown().await;
}

#[tokio::test]
async fn contradictory_limits_are_refused() {
    let limits = WebSocketLimits { ping_interval: Duration::ZERO, ..WebSocketLimits::DEFAULT };
    let error = Host::builder().in_memory().websocket_limits(limits).start().await.unwrap_err();
    assert!(matches!(error, StartError::WebSocketLimits(_)), "{error}");
}

#[tokio::test]
async fn an_issuer_that_nobody_could_ask_for_keys_is_refused() {
    for issuer in ["", "ftp://issuer.example", "issuer.example", "https://", "https://issuer.example/#a", "https:///x"]
    {
        let error = Host::builder().in_memory().trusted_issuer(issuer).start().await.unwrap_err();
        assert!(matches!(&error, StartError::TrustedIssuer { issuer: named } if named == issuer), "{error}");
        check_text(&error);
    }
    for issuer in ["http://127.0.0.1:1", "https://issuer.example/realm/"] {
        Host::builder().in_memory().trusted_issuer(issuer).start().await.unwrap().shutdown().await;
    }
}

#[tokio::test]
async fn a_browser_may_call_from_anywhere() {
    let host = host().await;
    let client = Client::nobody(host.url());
    let preflight = client
        .request(reqwest::Method::OPTIONS, "/v1/database/any/sql")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), StatusCode::OK);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert!(preflight.headers()["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    host.shutdown().await;
}

#[cfg(unix)]
#[tokio::test]
async fn files_with_secrets_in_them_that_others_may_read_are_taken_away_from_them_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    Host::builder().data_dir(folder.path()).start().await.unwrap().shutdown().await;
    let files = ["control.sqlite", "keys/id_ecdsa"].map(|name| folder.path().join(name));
    for file in &files {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    // SQLite gives the files beside it the catalogue's own mode.
    let beside = ["control.sqlite-wal", "control.sqlite-shm"].map(|name| folder.path().join(name));
    for file in files.iter().chain(&beside) {
        let mode = std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(format!("{mode:o}"), "600", "{}", file.display());
    }
    host.shutdown().await;
}
