//! What outlives the process: everything that was said, also where it was killed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_control::{Config, Control, Permission};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{AUDIENCE, Answer, EXCHANGE, FormBody as _, grant, http_client, send};

const DIR: &str = "MUSTER_CONTROL_TEST_DIR";
const ADDRESS: &str = "MUSTER_CONTROL_TEST_ADDRESS";

/// Not a test: the program that the tests below start, which is this one.
#[tokio::test]
async fn child_serves() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let address = std::env::var(ADDRESS).unwrap();
    let listener = TcpListener::bind(&address).await.unwrap();
    let control = Control::open(Config::new(dir, format!("http://{address}"), AUDIENCE)).unwrap();
    println!("\nserving");
    control.serve(listener, std::future::pending()).await.unwrap();
}

struct Process(Child);

impl Process {
    fn start(dir: &std::path::Path, address: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restart::child_serves", "--nocapture"])
            .env(DIR, dir)
            .env(ADDRESS, address)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "serving"), "the child serves");
        // Its output stays open, so that it does not fail on writing.
        std::thread::spawn(move || lines.count());
        Process(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

struct Caller {
    http: reqwest::Client,
    issuer: String,
    basic: String,
}

impl Caller {
    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = self.http.post(format!("{}{path}", self.issuer)).header("authorization", self.basic.clone());
        send(request.form_body(form)).await
    }

    async fn refresh(&self, token: &str) -> Option<Answer> {
        let request =
            self.http.post(format!("{}/oauth/token", self.issuer)).header("authorization", self.basic.clone());
        let request = request.form_body(&[("grant_type", "refresh_token"), ("refresh_token", token)]);
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Some(Answer { status, headers, text: response.text().await.ok()? })
    }

    async fn is_active(&self, token: &str) -> bool {
        self.post("/oauth/introspect", &[("token", token)]).await.json()["active"] == true
    }

    async fn keys(&self) -> Value {
        send(self.http.get(format!("{}/jwks.json", self.issuer))).await.json()
    }
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_killed_service_comes_back_with_everything_it_said() {
    let dir = tempfile::tempdir().unwrap();
    let (state, address) = (dir.path().join("state"), free_address());
    let admin = Control::open(Config::new(&state, format!("http://{address}"), AUDIENCE)).unwrap();
    let new = muster_control::NewClient {
        permissions: crate::support::set(&[Permission::Refresh, Permission::Exchange]),
        ..muster_control::NewClient::new("one", grant("sync.read", "a.*"))
    };
    let added = admin.client_add("test", new).unwrap();
    let one = crate::support::Registered { id: "one".into(), secret: added.secret.unwrap() };
    let caller = Caller { http: http_client(), issuer: format!("http://{address}"), basic: one.basic() };

    let process = Process::start(&state, &address);
    let given = caller.post("/oauth/token", &[("grant_type", "client_credentials")]).await;
    let (access, refresh) = (given.field("access_token"), given.field("refresh_token"));
    let revoked = caller.post("/oauth/token", &[("grant_type", "client_credentials")]).await;
    caller.post("/oauth/revoke", &[("token", &revoked.field("refresh_token"))]).await;
    let spent = caller.post("/oauth/token", &[("grant_type", "client_credentials")]).await.field("refresh_token");
    let keys = caller.keys().await;
    let next = caller.refresh(&spent).await.unwrap().field("refresh_token");
    process.kill();

    let process = Process::start(&state, &address);
    let caller = Caller { http: http_client(), ..caller };
    assert_eq!(caller.keys().await, keys, "the same keys");
    assert!(caller.is_active(&access).await, "what was good is good");
    assert!(!caller.is_active(&revoked.field("access_token")).await, "what was revoked stays so");
    let exchange = [
        ("grant_type", EXCHANGE),
        ("subject_token", access.as_str()),
        ("subject_token_type", crate::support::ACCESS_TOKEN),
    ];
    assert_eq!(caller.post("/oauth/token", &exchange).await.status, 200);
    assert_eq!(caller.refresh(&refresh).await.unwrap().status, 200);
    assert_eq!(caller.refresh(&spent).await.unwrap().status, 400, "what was spent stays so");
    assert_eq!(caller.refresh(&next).await.unwrap().status, 400, "and its family ended");
    process.kill();
    admin.audit_verify().unwrap();
}

/// Whenever the service is killed: the refresh token that was last answered is good, or the one of the request that got
/// no answer was spent by it. Nobody is left with a family that neither side can continue, unless the answer was lost.
#[tokio::test]
async fn killed_in_the_middle_no_acknowledged_rotation_is_undone() {
    let dir = tempfile::tempdir().unwrap();
    let (state, address) = (dir.path().join("state"), free_address());
    let admin = Control::open(Config::new(&state, format!("http://{address}"), AUDIENCE)).unwrap();
    let new = muster_control::NewClient {
        permissions: crate::support::set(&[Permission::Refresh]),
        ..muster_control::NewClient::new("one", grant("sync.read", "a.*"))
    };
    let one =
        crate::support::Registered { id: "one".into(), secret: admin.client_add("test", new).unwrap().secret.unwrap() };
    for round in 0..4 {
        let caller = Caller { http: http_client(), issuer: format!("http://{address}"), basic: one.basic() };
        let process = Process::start(&state, &address);
        let mut token =
            caller.post("/oauth/token", &[("grant_type", "client_credentials")]).await.field("refresh_token");
        let mut before = token.clone();
        let killer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(40 + 35 * round)).await;
            process.kill();
        });
        while let Some(answer) = caller.refresh(&token).await {
            assert_eq!(answer.status, 200, "{answer:?}");
            before = std::mem::replace(&mut token, answer.field("refresh_token"));
        }
        killer.await.unwrap();
        let process = Process::start(&state, &address);
        let caller = Caller { http: http_client(), ..caller };
        let last = caller.refresh(&token).await.unwrap();
        assert!([200, 400].contains(&last.status), "good, or spent by the request that was cut: {last:?}");
        if before != token {
            assert_eq!(caller.refresh(&before).await.unwrap().status, 400, "an acknowledged rotation is never undone");
        }
        process.kill();
        admin.audit_verify().unwrap();
    }
    assert_eq!(json!(admin.client_list().unwrap()).as_array().unwrap().len(), 1);
}
