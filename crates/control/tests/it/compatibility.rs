//! Which clients the lane serves.

use reqwest::Method;
use serde_json::json;

use crate::support::{FormBody as _, Service, refused, send};

#[tokio::test]
async fn a_client_outside_of_the_window_hears_426_with_code_and_window() {
    let service = Service::start().await;
    let client = service.client("one", "sync.read", "a.*", &[]);
    let good = [("oa-client-build", "0.1.0"), ("oa-protocol-id", "spacetime.sync.v1"), ("oa-schema-version", "1")];
    for path in ["/api/sync/token", "/oauth/token"] {
        for (name, value, code) in [
            ("oa-client-build", "0.0.1", "unsupported_client_build"),
            ("oa-protocol-id", "other.v9", "unsupported_protocol_version"),
            ("oa-schema-version", "99", "unsupported_schema_version"),
            ("oa-schema-version", "0", "upgrade_required"),
        ] {
            let mut request = service.request(Method::POST, path).header("authorization", client.basic());
            for (header, right) in good {
                request = request.header(header, if header == name { value } else { right });
            }
            let request = match path {
                "/oauth/token" => request.form_body(&[("grant_type", "client_credentials")]),
                _ => request,
            };
            let answer = send(request).await;
            assert_eq!(answer.refusal(), refused(426, code), "{path} {name}");
            assert_eq!(answer.field("code"), code);
            assert_eq!(answer.header("upgrade"), "spacetime.sync.v1");
            assert_eq!(
                answer.json()["window"],
                json!({ "protocol_id": "spacetime.sync.v1", "oldest_schema_version": 1, "schema_version": 1, "oldest_client_build": "0.1.0" })
            );
        }
    }
}

#[tokio::test]
async fn the_planes_mint_asks_who_the_client_is_and_plain_oauth_does_not() {
    let service = Service::start().await;
    let client = service.client("one", "sync.read", "a.*", &[]);
    let request = service.request(Method::POST, "/api/sync/token").header("authorization", client.basic());
    assert_eq!(send(request).await.refusal(), refused(400, "invalid_request"));
    assert_eq!(service.token(&client, &[]).await.status, 200);
}
