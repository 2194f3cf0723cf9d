//! Refresh families: rotation, reuse, races, and what an administrator takes away meanwhile.

use muster_control::Permission;

use crate::support::{Registered, Service, claims, grant, refused};

async fn family() -> (Service, Registered, String) {
    let service = Service::start().await;
    let client = service.client("runtime-1", "sync.read sync.write", "runtime.*", &[Permission::Refresh]);
    let token = service.token(&client, &[]).await.field("refresh_token");
    (service, client, token)
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_second_use_ends_the_family() {
    let (service, client, first) = family().await;
    let second = service.refresh(&client, &first).await;
    assert_eq!(second.status, 200, "{second:?}");
    assert_ne!(second.field("refresh_token"), first);
    let access = second.field("access_token");
    assert!(service.is_active(&client, &access).await);

    assert_eq!(service.refresh(&client, &first).await.refusal(), refused(400, "invalid_grant"));
    assert!(!service.is_active(&client, &access).await, "the family's access tokens end with it");
    assert_eq!(service.refresh(&client, &second.field("refresh_token")).await.refusal(), refused(400, "invalid_grant"));
    let revoked = service.control.revocations_after(0, 10).unwrap();
    assert_eq!(revoked.len(), 1);
    assert_eq!((revoked[0].kind.as_str(), &revoked[0].reason[..]), ("session", "refresh-reuse"));
    assert_eq!(revoked[0].value, claims(&access)["sid"]);
    let audit = service.control.audit(0).unwrap();
    assert!(audit.iter().any(|entry| entry.action == "session.refresh-reuse"));
}

#[tokio::test]
async fn of_many_who_use_one_refresh_token_at_once_at_most_one_wins_and_the_family_ends() {
    let (service, client, first) = family().await;
    let answers: Vec<_> = {
        let (service, client, first) = (&service, &client, &first);
        let mut racing = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let request =
                service.request(reqwest::Method::POST, "/oauth/token").header("authorization", client.basic());
            let form = [("grant_type", "refresh_token"), ("refresh_token", first.as_str())];
            let request = crate::support::FormBody::form_body(request, &form);
            racing.spawn(crate::support::send(request));
        }
        racing.join_all().await
    };
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    assert!(!service.is_active(&client, &won[0].field("access_token")).await);
    assert_eq!(service.refresh(&client, &won[0].field("refresh_token")).await.refusal(), refused(400, "invalid_grant"));
}

#[tokio::test]
async fn another_clients_refresh_token_is_refused_and_its_family_lives() {
    let (service, client, first) = family().await;
    let other = service.client("other", "sync.read", "*", &[Permission::Refresh]);
    let second = service.refresh(&client, &first).await.field("refresh_token");
    for stolen in [&first, &second] {
        assert_eq!(service.refresh(&other, stolen).await.refusal(), refused(400, "invalid_grant"));
    }
    assert_eq!(service.refresh(&client, &second).await.status, 200);
}

#[tokio::test]
async fn a_family_ends_in_time_and_made_up_tokens_are_refused() {
    let (service, client, first) = family().await;
    for made_up in ["mrt_x", "x", &first[1..], &format!("{first}x")] {
        assert_eq!(service.refresh(&client, made_up).await.refusal(), refused(400, "invalid_grant"), "{made_up}");
    }
    assert_eq!(
        service.post_as(&client, "/oauth/token", &[("grant_type", "refresh_token")]).await.refusal(),
        refused(400, "invalid_request")
    );
    service.clock.advance(30 * 24 * 3_600);
    assert_eq!(service.refresh(&client, &first).await.refusal(), refused(400, "invalid_grant"));
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_and_the_next_for_all_again_but_never_for_more() {
    let (service, client, first) = family().await;
    let form = |token: &str, scope: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)]
            .map(|(a, b)| (a.to_owned(), b.to_owned()));
        let (service, client) = (&service, &client);
        async move {
            let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            service.post_as(client, "/oauth/token", &form).await
        }
    };
    assert_eq!(form(&first, "presence.read").await.refusal(), refused(400, "invalid_scope"));
    let less = form(&first, "sync.read").await;
    assert_eq!(less.field("scope"), "sync.read", "a refused wish spends nothing");
    assert_eq!(form(&less.field("refresh_token"), "sync.read sync.write").await.field("scope"), "sync.read sync.write");
}

#[tokio::test]
async fn what_is_taken_from_a_client_is_taken_from_its_families() {
    let (service, client, first) = family().await;
    service
        .control
        .client_set_grant("test", "runtime-1", grant("sync.read sync.write presence.read", "runtime.* more.*"))
        .unwrap();
    let same = service.refresh(&client, &first).await;
    assert_eq!(same.field("scope"), "sync.read sync.write", "what is added is not the family's");
    service.control.client_set_grant("test", "runtime-1", grant("sync.read", "runtime.*")).unwrap();
    assert_eq!(service.refresh(&client, &same.field("refresh_token")).await.refusal(), refused(400, "invalid_grant"));
}

/// Narrowing a client ends its families, so nothing else asks the second bound: an edit by other means does.
#[tokio::test]
async fn a_family_that_outlived_its_clients_narrowing_has_only_what_the_client_still_may() {
    let (service, client, first) = family().await;
    let database = rusqlite::Connection::open(service.dir.path().join("state/control.sqlite")).unwrap();
    database.execute(r#"UPDATE client SET scopes = '["sync.read"]'"#, []).unwrap();
    assert_eq!(service.refresh(&client, &first).await.field("scope"), "sync.read");
}
