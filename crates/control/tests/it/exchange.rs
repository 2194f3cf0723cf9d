//! Token exchange (RFC 8693): the same subject, another holder, never more.

use muster_contract::StreamPattern;
use muster_control::{Grant, NewClient, Permission, Scope};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::{Value, json};

use crate::support::{ACCESS_TOKEN, EXCHANGE, Service, claims, grant, refused, set};

fn granted(said: &Value) -> Grant {
    let scopes: Vec<Scope> = serde_json::from_value(said["oa_sync_scopes"].clone()).unwrap();
    let streams: Vec<StreamPattern> = serde_json::from_value(said["oa_sync_streams"].clone()).unwrap();
    Grant::new(scopes, streams).unwrap()
}

#[tokio::test]
async fn an_agent_acts_for_a_user_with_less_and_says_so() {
    let service = Service::start().await;
    let new = NewClient {
        subject_prefixes: vec!["user:".into()],
        ..NewClient::new("backend", grant("sync.read sync.write", "runtime.*"))
    };
    let backend = service.register(new);
    let agent = service.client("agent", "sync.read sync.write presence.read", "runtime.run.*", &[Permission::Exchange]);
    let child = service.client("child", "sync.read", "*", &[Permission::Exchange]);
    let users = service.token(&backend, &[("subject", "user:7")]).await.field("access_token");

    let agents = service.exchange(&agent, &users, &[("requested_expires_in", "60")]).await;
    assert_eq!(agents.status, 200, "{agents:?}");
    assert_eq!(agents.field("issued_token_type"), ACCESS_TOKEN);
    assert_eq!(agents.json().get("refresh_token"), None);
    let said = claims(&agents.field("access_token"));
    assert_eq!(
        (&said["sub"], &said["client_id"], &said["act"]),
        (&json!("user:7"), &json!("agent"), &json!({ "sub": "agent" }))
    );
    assert_eq!(granted(&said), grant("sync.read sync.write", "runtime.run.*"), "what both have");

    let childs =
        service.exchange(&child, &agents.field("access_token"), &[("oa_sync_streams", "runtime.run.1.*")]).await;
    let said = claims(&childs.field("access_token"));
    assert_eq!(said["act"], json!({ "sub": "child", "act": { "sub": "agent" } }));
    assert_eq!(granted(&said), grant("sync.read", "runtime.run.1.*"));
    assert_eq!(childs.json()["expires_in"], 60, "no longer than the one it was made of");
}

#[tokio::test]
async fn what_cannot_be_exchanged_is_refused() {
    let service = Service::start().await;
    let holder = service.client("holder", "sync.read", "a.*", &[Permission::Refresh]);
    let agent = service.client("agent", "sync.read sync.write", "*", &[Permission::Exchange]);
    let given = service.token(&holder, &[]).await;
    let token = given.field("access_token");
    assert_eq!(service.exchange(&holder, &token, &[]).await.refusal(), refused(400, "unauthorized_client"));
    for (name, value, word) in [
        ("scope", "sync.write", "invalid_scope"),
        ("oa_sync_streams", "*", "invalid_scope"),
        ("oa_sync_streams", "a", "invalid_scope"),
        ("audience", "elsewhere", "invalid_target"),
        ("resource", "https://elsewhere.example", "invalid_target"),
        ("actor_token", "x", "invalid_request"),
        ("subject", "user:1", "invalid_request"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token", "invalid_request"),
    ] {
        assert_eq!(
            service.exchange(&agent, &token, &[(name, value)]).await.refusal(),
            refused(400, word),
            "{name}={value}"
        );
    }
    for bad in [given.field("refresh_token"), format!("{token}x"), "x".into(), token.replacen("ey", "ex", 1)] {
        assert_eq!(service.exchange(&agent, &bad, &[]).await.refusal(), refused(400, "invalid_grant"), "{bad}");
    }
    let untyped = [("grant_type", EXCHANGE), ("subject_token", token.as_str())];
    assert_eq!(service.post_as(&agent, "/oauth/token", &untyped).await.refusal(), refused(400, "invalid_request"));
    service.clock.advance(300);
    assert_eq!(service.exchange(&agent, &token, &[]).await.refusal(), refused(400, "invalid_grant"), "expired");
}

#[tokio::test]
async fn a_chain_of_actors_has_an_end() {
    let service = Service::start().await;
    let holder = service.client("holder", "sync.read", "a.*", &[]);
    let agent = service.client("agent", "sync.read", "*", &[Permission::Exchange]);
    let mut token = service.token(&holder, &[]).await.field("access_token");
    for _ in 0..muster_control::limits::ACTORS_MAX {
        token = service.exchange(&agent, &token, &[]).await.field("access_token");
    }
    assert_eq!(service.exchange(&agent, &token, &[]).await.refusal(), refused(400, "invalid_request"));
}

/// Over HTTP, with what the service signs: the algebra has a property test of its own beside it.
#[test]
fn an_exchange_never_widens_and_never_lasts_longer() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = runtime.block_on(Service::start());
    let stream = "((a|b|ab)(\\.(a|b|ab)){0,2}(\\.\\*)?)|\\*";
    let grants =
        || (proptest::sample::subsequence(Scope::ALL.to_vec(), 1..=4), proptest::collection::vec(stream, 1..4));
    let made = std::cell::Cell::new(0);
    let inputs = (grants(), grants(), grants(), 10i64..400, any::<[bool; 2]>());
    TestRunner::new(Cases::with_cases(40))
        .run(&inputs, |(holder, agent, wanted, lifetime_s, leave_out)| {
            made.set(made.get() + 1);
            let new = |id: &str, given: (Vec<Scope>, Vec<String>)| NewClient {
                permissions: set(&[Permission::Exchange]),
                ..NewClient::new(
                    format!("{id}-{}", made.get()),
                    Grant::new(given.0, given.1.iter().map(|text| StreamPattern::parse(text).unwrap())).unwrap(),
                )
            };
            let (holder, agents) = (
                service.register(new("holder", holder)),
                Grant::new(agent.0.clone(), agent.1.iter().map(|text| StreamPattern::parse(text).unwrap())).unwrap(),
            );
            let agent = service.register(new("agent", agent));
            let given = runtime.block_on(service.token(&holder, &[])).field("access_token");
            let scope: Vec<&str> = wanted.0.iter().map(|scope| scope.as_str()).collect();
            let (scope, streams, seconds) = (scope.join(" "), wanted.1.join(" "), lifetime_s.to_string());
            let mut form = vec![("requested_expires_in", seconds.as_str())];
            if !leave_out[0] {
                form.push(("scope", &scope));
            }
            if !leave_out[1] {
                form.push(("oa_sync_streams", &streams));
            }
            service.clock.advance(7);
            let answer = runtime.block_on(service.exchange(&agent, &given, &form));
            if answer.status == 200 {
                let (before, after) = (claims(&given), claims(&answer.field("access_token")));
                prop_assert!(granted(&before).covers(&granted(&after)) && agents.covers(&granted(&after)));
                prop_assert!(after["exp"].as_i64() <= before["exp"].as_i64());
            } else {
                prop_assert_eq!(answer.refusal(), refused(400, "invalid_scope"));
            }
            Ok(())
        })
        .unwrap();
}
