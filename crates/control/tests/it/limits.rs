//! What is too much: too often, too long, twice, or not a request at all.

use std::time::Duration;

use muster_control::rate::Rate;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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
    let mut answers = [Vec::new(), Vec::new()];
    let [head, rest] = &mut answers;
    let limit = Duration::from_secs(25);
    tokio::time::timeout(limit, slow.read_to_end(head)).await.expect("the head's time is limited").ok();
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
