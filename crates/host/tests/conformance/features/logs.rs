//! What a module logs: every level, and that of each line is told.

use serde_json::{Value, json};

use crate::support::{Published, soon};

#[tokio::test]
async fn a_modules_log_has_its_lines_with_level_and_place() {
    let published = Published::new("features").await;
    let mut log = published.owner.logs(Some(20), true).await.unwrap();
    published.owner.call("log_at_every_level", &json!(["said"])).await.unwrap();
    let mut levels = vec![];
    while levels.last().map(String::as_str) != Some("error") {
        let record = soon("a line", log.next()).await.expect("the log goes on").unwrap();
        if record.message == "said" {
            let raw: Value = serde_json::from_str(&record.raw).unwrap();
            assert!(raw["line_number"].is_u64() && raw["filename"].is_string(), "{raw}");
            assert!(record.timestamp.is_some());
            levels.push(record.level.to_lowercase());
        }
    }
    assert_eq!(levels, ["trace", "debug", "info", "warn", "error"]);
}
