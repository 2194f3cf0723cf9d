//! A database made with SpacetimeDB 1.12, and its module's move to 2.14.

use muster_wire::http::{CallReply, Migration, PublishOptions};
use serde_json::json;

use crate::support::{Published, module};

#[tokio::test]
async fn a_module_made_with_1_12_runs() {
    let published = Published::new("notes_v1").await;
    let session = published.connect().await;
    session.call("write", &("hello",)).await;
    assert!(!session.outcome("write", &("",)).await.is_ok());
    assert_eq!(published.sql("SELECT text FROM note").await, [json!(["hello"])]);
}

// That nobody makes this move without saying so is the client's part, on the official server too: `pre_publish` tells it,
// and `muster publish` (apps/muster/tests/cli/upgrading.rs), like the official command line, then asks for the word.
#[tokio::test]
async fn the_move_to_2_14_is_announced_and_keeps_the_data() {
    let published = Published::new("notes_v1").await;
    published.owner.call("write", &json!(["kept"])).await.unwrap();
    let before = published.sql("SELECT * FROM note").await;

    let same = published.owner.pre_publish(module("notes_v1")).await.unwrap();
    assert!(!same.major_version_upgrade, "{same:?}");
    let plan = published.owner.pre_publish(module("notes_v2")).await.unwrap();
    assert!(plan.major_version_upgrade, "{plan:?}");
    let Migration::Automatic { breaks_clients: false, .. } = plan.migration else { panic!("{plan:?}") };
    published.owner.publish(module("notes_v2"), &PublishOptions::default()).await.unwrap();

    assert_eq!(published.sql("SELECT * FROM note").await, before);
    assert_eq!(published.owner.call("made_with", &json!([])).await, Ok(CallReply::Returned(Some("[0,1]".into()))));
    published.owner.call("remark", &json!([before[0][0], "still there"])).await.unwrap();
    assert_eq!(published.sql("SELECT text FROM comment").await, [json!(["still there"])]);
    published.owner.call("write", &json!(["next"])).await.unwrap();
    let ids = published.sql("SELECT id FROM note").await;
    assert!(ids.len() == 2 && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn there_is_no_way_back_to_1_12_but_an_empty_database() {
    let published = Published::new("notes_v2").await;
    published.owner.call("write", &json!(["kept"])).await.unwrap();
    let back = published.owner.publish(module("notes_v1"), &PublishOptions::default()).await;
    assert_eq!(back.unwrap_err().status(), Some(400));
    assert_eq!(published.sql("SELECT text FROM note").await, [json!(["kept"])]);
}
