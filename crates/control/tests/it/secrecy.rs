//! No secret in what the service says, logs or stores.

use std::io::Write;
use std::sync::{Arc, Mutex};

use muster_control::{Permission, Secret};
use reqwest::Method;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{FormBody as _, Registered, Service, send};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Captured;

    fn make_writer(&'a self) -> Captured {
        self.clone()
    }
}

/// Everything that was said, from every thread and library at every level: this test has the process's only subscriber.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged_repeated_shown_or_stored_in_clear() {
    let captured = Captured::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(captured.clone());
    subscriber.init();
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[Permission::Refresh, Permission::Exchange]);
    let mut secrets = vec![one.secret.expose().to_owned()];
    let mut said = vec![format!("{:?} {:?}", one.secret, service.control)];

    let given = service.token(&one, &[]).await;
    let next = service.refresh(&one, &given.field("refresh_token")).await;
    let exchanged = service.exchange(&one, &given.field("access_token"), &[]).await;
    let answers = [&given, &next, &exchanged];
    for name in ["access_token", "refresh_token"] {
        secrets.extend(answers.iter().filter_map(|answer| answer.json()[name].as_str().map(str::to_owned)));
    }
    said.push(service.refresh(&one, &given.field("refresh_token")).await.text);

    said.push(service.get("/metrics").await.text);

    // Secrets in every wrong place.
    let wrong = Registered { secret: Secret::new("wr0ng-secret-of-somebody"), ..one.clone() };
    secrets.push(wrong.secret.expose().to_owned());
    said.push(service.token(&wrong, &[]).await.text);
    for name in ["scope", "oa_sync_streams", "grant_type", "client_id", "subject", "requested_expires_in", "token"] {
        for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
            said.push(service.post_as(&one, path, &[(name, one.secret.expose())]).await.text);
        }
    }
    let swapped = service.request(Method::POST, "/oauth/token").basic_auth(one.secret.expose(), Some("one"));
    said.push(send(swapped.form_body(&[("grant_type", "client_credentials")])).await.text);
    let mint = |body: String| {
        let request = service.request(Method::POST, "/api/sync/token").header("oa-client-build", "0.1.0");
        send(request.header("oa-protocol-id", "spacetime.sync.v1").header("oa-schema-version", "1").body(body))
    };
    said.push(mint(format!(r#"{{"client_secret": ["{}"]}}"#, one.secret.expose())).await.text);
    said.push(mint(format!(r#"{{"{}": 1}}"#, one.secret.expose())).await.text);
    said.push(service.get(&format!("/{}?secret={}", one.secret.expose(), one.secret.expose())).await.text);
    said.push(format!("{:?} {:?}", service.control.audit(0).unwrap(), service.control.client_list().unwrap()));
    said.push(format!("{:?} {:?}", service.control.keys_list().unwrap(), service.control.sessions_list(None).unwrap()));

    let mut stored = Vec::new();
    for entry in std::fs::read_dir(service.dir.path().join("state")).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            stored.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    let stored = String::from_utf8_lossy(&stored).into_owned();
    for entry in std::fs::read_dir(service.dir.path().join("state/keys")).unwrap().map(Result::unwrap) {
        let pem = std::fs::read_to_string(entry.path()).unwrap();
        secrets.extend(pem.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
    }
    let logged = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("client authentication failed") && logged.contains("signing key"), "the log was captured");
    // The test's own HTTP client logs what it sends, which is no business of the service.
    let logged: String =
        logged.lines().filter(|line| !line.contains("hyper_util::client") && !line.contains("reqwest")).collect();
    assert!(secrets.len() >= 9 && secrets.iter().all(|secret| secret.len() >= 16));
    for secret in &secrets {
        for (where_, text) in [("log", &logged), ("answers", &said.join("\n")), ("database", &stored)] {
            assert!(!text.contains(secret.as_str()), "a secret stands in the {where_}");
        }
        // Basic's base64 too.
        assert!(!logged.contains(one.basic().trim_start_matches("Basic ")));
    }
}
