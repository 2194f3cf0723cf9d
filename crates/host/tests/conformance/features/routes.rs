//! A module's own HTTP routes, below `/v1/database/{database}/route`: what the handler gets, and what its caller gets.

use http::Method;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::support::{Published, http, soon};

/// Sends a request and reads status and body.
async fn answer(request: RequestBuilder) -> (u16, String) {
    let response = soon("an answer", request.send()).await.unwrap();
    (response.status().as_u16(), soon("its body", response.text()).await.unwrap())
}

#[tokio::test]
async fn a_handler_hears_method_path_headers_and_body() {
    let published = Published::new("features").await;
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let request = http().request(method.clone(), published.url("/route/echo?a=b%20c")).header("x-test", "seen");
        let (status, said) = answer(request.body("body")).await;
        assert_eq!(status, 200);
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].starts_with(&format!("{method} ")) && lines[0].ends_with("/echo?a=b%20c"), "{said}");
        assert_eq!(lines[1..], ["x-test: seen", "body"], "{said}");
    }
}

#[tokio::test]
async fn what_a_handler_commits_stays_and_subscribers_see_it() {
    let published = Published::new("features").await;
    let mut session = published.connect().await;
    session.subscribe::<(u64, i64)>("SELECT * FROM ledger", "ledger").await;
    let booked = answer(http().post(published.url("/route/ledger/book")).body("12")).await;
    assert_eq!(booked, (201, "1".into()));
    assert_eq!(session.next_rows::<(u64, i64)>("ledger").await, [(1, 12)]);
    assert_eq!(published.sql("SELECT amount FROM ledger").await, [json!([12])]);
}

#[tokio::test]
async fn a_handler_that_panics_is_an_error_and_the_others_go_on() {
    let published = Published::new("features").await;
    let (status, said) = answer(http().get(published.url("/route/crash"))).await;
    assert_eq!(status, 500);
    assert!(!said.contains("backtrace"), "{said}");
    assert_eq!(answer(http().get(published.url("/route/hello"))).await, (200, "hello".into()));
}
