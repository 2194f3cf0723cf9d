//! What is too much: too often, too long, twice, or not a request at all.

use std::time::Duration;

use muster_control::rate::Rate;
use muster_control::{Config, ConfigError, Control, ControlError};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{FormBody as _, Registered, Service, refused, send};

#[tokio::test]
async fn an_address_that_asks_too_often_waits() {
    let service = Service::start_with(|config| config.rates.address = Rate::new(5, 1, 3_600_000)).await;
    for _ in 0..5 {
        assert_eq!(service.get("/jwks.json").await.status, 200);
    }
    let answer = service.get("/jwks.json").await;
    assert_eq!(answer.refusal(), refused(429, "rate_limited"));
    assert_eq!(answer.header("retry-after"), "3600");
}

#[tokio::test]
async fn who_guesses_waits_and_who_knows_does_not() {
    let service = Service::start_with(|config| config.rates.failures = Rate::new(3, 1, 3_600_000)).await;
    let (one, other) =
        (service.client("one", "sync.read", "a.*", &[]), service.client("other", "sync.read", "a.*", &[]));
    let wrong = Registered { secret: other.secret.clone(), ..one.clone() };
    for _ in 0..20 {
        assert_eq!(service.token(&one, &[]).await.status, 200, "what is right costs no attempt");
    }
    for _ in 0..3 {
        assert_eq!(service.token(&wrong, &[]).await.refusal(), refused(401, "invalid_client"));
    }
    assert_eq!(service.token(&wrong, &[]).await.refusal(), refused(429, "rate_limited"));
    assert_eq!(service.token(&other, &[]).await.status, 200, "another client from there is let in");
}

#[tokio::test]
async fn who_is_known_may_ask_often_at_the_same_time() {
    let service = Service::start_with(|config| config.rates.failures = Rate::new(3, 1, 3_600_000)).await;
    let one = service.client("one", "sync.read", "a.*", &[]);
    assert_eq!(service.token(&one, &[]).await.status, 200, "its secret is remembered now");
    let asked = (0..48).map(|_| send(service.token_request(&one)));
    let mut together: tokio::task::JoinSet<_> = asked.collect();
    while let Some(answer) = together.join_next().await {
        assert_eq!(answer.unwrap().status, 200);
    }
}

#[tokio::test]
async fn an_address_that_holds_many_connections_does_not_keep_others_out() {
    let service = Service::start_with(|config| config.connections_per_address = 4).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(service.address).await.unwrap());
    }
    let mut more = TcpStream::connect(service.address).await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(5), more.read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "the fifth is closed at once: {closed:?}");
    let from_elsewhere = || async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut socket = socket.connect(service.address).await.unwrap();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).await.unwrap();
        text
    };
    let answer =
        tokio::time::timeout(Duration::from_secs(5), from_elsewhere()).await.expect("another address is served");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(idle);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while service.request(Method::GET, "/healthz").send().await.is_err() {
        assert!(std::time::Instant::now() < deadline, "there is room again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(service.get("/metrics").await.text.contains("muster_control_connections_refused_total"));
}

#[tokio::test]
async fn the_trusted_proxy_may_have_all_the_connections_it_wants() {
    let service = Service::start_with(|config| {
        config.connections_per_address = 1;
        config.trusted_proxy = Some([127, 0, 0, 1].into());
    })
    .await;
    let _idle = TcpStream::connect(service.address).await.unwrap();
    assert_eq!(service.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn an_issuer_without_tls_does_not_answer_other_machines() {
    let dir = tempfile::tempdir().unwrap();
    let control = Control::open(Config::new(dir.path().join("state"), "http://127.0.0.1:1", "lane")).unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let served = control.serve(listener, async {}).await;
    assert!(
        matches!(served, Err(ControlError::Config(ConfigError::OpenNetwork(address))) if address == at),
        "{served:?}"
    );
}

#[tokio::test]
async fn a_client_that_asks_too_often_waits() {
    let service = Service::start_with(|config| config.rates.client = Rate::new(2, 1, 3_600_000)).await;
    let one = service.client("one", "sync.read", "a.*", &[]);
    assert_eq!((service.token(&one, &[]).await.status, service.token(&one, &[]).await.status), (200, 200));
    assert_eq!(service.token(&one, &[]).await.refusal(), refused(429, "rate_limited"));
}

#[tokio::test]
async fn requests_that_are_none_are_refused() {
    let service = Service::start().await;
    let one = service.client("one", "sync.read", "a.*", &[]);
    let post = || service.request(Method::POST, "/oauth/token").header("authorization", one.basic());
    let long = "x".repeat(40_000);
    assert_eq!(send(post().form_body(&[("grant_type", &long)])).await.refusal(), refused(413, "invalid_request"));
    let twice = [("grant_type", "client_credentials"), ("scope", "sync.read"), ("scope", "sync.read")];
    assert_eq!(send(post().form_body(&twice)).await.refusal(), refused(400, "invalid_request"));
    assert_eq!(send(post().body("grant_type=client_credentials")).await.refusal(), refused(400, "invalid_request"));
    assert_eq!(send(post().form_body(&[])).await.refusal(), refused(400, "invalid_request"));
    for grant_type in ["password", "authorization_code", "Client_Credentials"] {
        let answer = send(post().form_body(&[("grant_type", grant_type)])).await;
        assert_eq!(answer.refusal(), refused(400, "unsupported_grant_type"));
    }
    assert_eq!(service.get("/nothing").await.refusal(), refused(404, "invalid_request"));
    assert_eq!(service.get("/oauth/token").await.refusal(), refused(405, "invalid_request"));
    assert_eq!(service.get("/healthz").await.text, "ok\n");
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_cut_off() {
    let service = Service::start().await;
    let mut slow = TcpStream::connect(service.address).await.unwrap();
    slow.write_all(b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Le").await.unwrap();
    let mut body = TcpStream::connect(service.address).await.unwrap();
    body.write_all(b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf").await.unwrap();
    let mut silent = TcpStream::connect(service.address).await.unwrap();
    let mut answers = [Vec::new(), Vec::new()];
    let [head, rest] = &mut answers;
    let limit = Duration::from_secs(25);
    tokio::time::timeout(limit, slow.read_to_end(head)).await.expect("the head's time is limited").ok();
    tokio::time::timeout(limit, silent.read_to_end(&mut Vec::new())).await.expect("silence is limited").ok();
    let mut first = [0; 1_024];
    let read =
        tokio::time::timeout(limit, body.read(&mut first)).await.expect("the request's time is limited").unwrap();
    rest.extend_from_slice(&first[..read]);
    assert!(rest.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(rest));
}

#[tokio::test]
async fn what_cannot_be_a_credential_is_not_even_tried() {
    let service = Service::start_with(|config| config.rates.failures = Rate::new(1, 1, 3_600_000)).await;
    let long = Registered { id: "one".into(), secret: muster_control::Secret::new("x".repeat(9_000)) };
    let strange = Registered { id: "o n e".into(), secret: long.secret.clone() };
    for _ in 0..3 {
        for who in [&long, &strange] {
            let form =
                [("grant_type", "client_credentials"), ("client_id", &who.id), ("client_secret", who.secret.expose())];
            let answer = service.post("/oauth/token", &form).await;
            assert_eq!(answer.refusal(), refused(401, "invalid_client"), "no attempt is counted, so none is limited");
        }
    }
}
