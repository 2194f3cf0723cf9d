//! Keepers of files and of tokens that stay.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn jwt(client: &str, exp_in_s: u64) -> String {
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = format!(r#"{{"client_id":"{client}","exp":{}}}"#, now_s + exp_in_s);
    format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let dir = std::env::temp_dir().join(format!("muster-lease-{:x}", rand::random::<u64>()));
    std::fs::create_dir(&dir).expect("a folder");
    let path = dir.join("token");
    let keeper = Keeper::start(Source::File(path.clone()));
    std::fs::write(&path, jwt("one", 600)).expect("written");
    let first = keeper.token(PATIENCE).await.expect("a token");
    assert_eq!((first.serial, first.token.expose()), (1, jwt("one", 600).as_str()));
    std::fs::write(&path, jwt("another", 600)).expect("written");
    let mut changes = keeper.changes();
    let next = changes.wait_for(|held| held.as_ref().is_some_and(|held| held.serial == 2));
    tokio::time::timeout(PATIENCE, next).await.expect("in time").expect("the keeper lives");
    assert_eq!(keeper.status().borrow().client.as_deref(), Some("another"));
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_handed_out() {
    let keeper = Keeper::start(Source::Static(Token::new(jwt("me", 1)).expect("a token")));
    keeper.token(PATIENCE).await.expect("good at first");
    let mut changes = keeper.changes();
    let gone = changes.wait_for(Option::is_none);
    tokio::time::timeout(PATIENCE, gone).await.expect("in time").expect("the keeper lives");
    assert_eq!(keeper.status().borrow().state, LeaseState::Ended);
    let error = keeper.token(Duration::from_millis(50)).await.expect_err("none");
    assert!(matches!(error, LeaseError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_keeper_that_nobody_holds_ends() {
    let keeper = Keeper::start(Source::Static(Token::new("opaque").expect("a token")));
    // Tasks of their own wait for tokens.
    let waiting = keeper.clone();
    let first = tokio::spawn(async move { waiting.token(PATIENCE).await });
    assert_eq!(first.await.expect("no panic").expect("a token").serial, 1);
    let mut changes = keeper.changes();
    drop(keeper);
    let ended = async { while changes.changed().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the task ended");
}
