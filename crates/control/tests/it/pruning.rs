//! Much to forget at once: nobody waits for it.

use rusqlite::params;

use crate::support::Service;

const SESSIONS: i64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_while_much_is_forgotten_gets_in_between() {
    let service = Service::start().await;
    service.client("one", "sync.read", "a.*", &[]);
    let mut database = rusqlite::Connection::open(service.dir.path().join("state/control.sqlite")).unwrap();
    let tx = database.transaction().unwrap();
    for n in 0..SESSIONS {
        let session =
            "INSERT INTO session VALUES (?1, 'one', 'one', '[]', NULL, NULL, '[]', '[]', NULL, 1, 1, 2, NULL, NULL)";
        tx.prepare_cached(session).unwrap().execute([n.to_string()]).unwrap();
        let token = "INSERT INTO access_token VALUES (?1, ?1, 1, 2, NULL)";
        tx.prepare_cached(token).unwrap().execute(params![n.to_string()]).unwrap();
    }
    tx.commit().unwrap();
    let left = || database.query_row("SELECT count(*) FROM session", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(left(), SESSIONS);
    let control = service.control.clone();
    let pruning = tokio::task::spawn_blocking(move || control.prune());
    // Each is a transaction of its own, which the same lock holds up.
    let (mut written, mut in_between) = (0, 0);
    while !pruning.is_finished() {
        service.control.client_revoke_sessions("test", "one").unwrap();
        written += 1;
        in_between += usize::from((1..SESSIONS).contains(&left()));
    }
    pruning.await.unwrap().unwrap();
    assert_eq!(left(), 0);
    assert!(in_between > 1, "{written} writes, {in_between} of them while sessions were being forgotten");
}
