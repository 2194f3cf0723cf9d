//! The audit log: every change is in it, and what is changed in it shows.

use muster_control::{Config, Control, ControlError, Permission};
use rusqlite::Connection;

use crate::support::{Service, grant};

/// The database as somebody with other tools opens it.
fn by_other_means(service: &Service) -> Connection {
    Connection::open(service.dir.path().join("state/control.sqlite")).unwrap()
}

#[tokio::test]
async fn every_change_is_in_the_log_with_who_made_it() {
    let service = Service::start().await;
    service.client("one", "sync.read", "a.*", &[Permission::Refresh]);
    let control = &service.control;
    control.client_new_secret("ada", "one", 0).unwrap();
    control.client_set_grant("ada", "one", grant("sync.read", "a.b")).unwrap();
    control.client_set_disabled("ada", "one", true).unwrap();
    control.client_set_disabled("ada", "one", false).unwrap();
    control.client_revoke_sessions("ada", "one").unwrap();
    control.keys_rotate("ada").unwrap();
    let jwk = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;
    let kid = control.client_add_key("ada", "one", jwk).unwrap();
    control.client_remove_key("ada", "one", &kid).unwrap();
    control.cohort_set("ada", "lane", "next", "5".parse().unwrap()).unwrap();
    control.cohort_clear("ada", "lane").unwrap();
    let two = service.client("two", "sync.read", "a.*", &[]);
    service.token(&two, &[]).await;
    let session = control.sessions_list(Some("two")).unwrap().remove(0);
    control.session_revoke("ada", &session.id).unwrap();
    let active = control.keys_list().unwrap().remove(0);
    control.keys_compromised("ada", &active.facts.kid).unwrap();
    let token = service.token(&two, &[]).await.field("access_token");
    service.post_as(&two, "/oauth/revoke", &[("token", &token)]).await;
    let by_client = control.audit(0).unwrap().into_iter().filter(|entry| entry.actor == "two");
    assert_eq!(by_client.map(|entry| entry.action).collect::<Vec<_>>(), ["token.revoke"]);
    let actions: Vec<_> =
        control.audit(0).unwrap().into_iter().filter(|entry| entry.actor == "ada").map(|entry| entry.action).collect();
    let expected = [
        "client.new-secret",
        "client.set-grant",
        "client.disable",
        "client.enable",
        "client.revoke-sessions",
        "key.rotate",
        "client.add-key",
        "client.remove-key",
        "cohort.set",
        "cohort.clear",
        "session.revoke",
        "key.compromised",
    ];
    assert_eq!(actions, expected);
    let head = control.audit_verify().unwrap();
    assert_eq!(head.seq, control.audit(0).unwrap().last().unwrap().seq);
    let (before, last) = (head.seq - 1, control.audit(head.seq - 1).unwrap());
    assert_eq!((last.len(), last[0].seq, &last[0].hash), (1, before + 1, &head.hash));
}

#[tokio::test]
async fn an_entry_is_neither_changed_nor_deleted_nor_replaced() {
    let service = Service::start().await;
    service.client("one", "sync.read", "a.*", &[]);
    let database = by_other_means(&service);
    for sql in [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit WHERE seq = 1",
        "INSERT OR REPLACE INTO audit SELECT seq, at_s, 'nobody', action, subject, detail, hash FROM audit WHERE seq = 1",
        "INSERT INTO audit SELECT 99, at_s, 'nobody', action, subject, detail, hash FROM audit WHERE seq = 1",
    ] {
        let refused = database.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{sql}: {refused}");
    }
    service.control.audit_verify().unwrap();
}

#[tokio::test]
async fn an_entry_that_was_changed_by_force_breaks_the_chain() {
    let service = Service::start().await;
    service.client("one", "sync.read", "a.*", &[]);
    service.client("two", "sync.read", "a.*", &[]);
    let database = by_other_means(&service);
    database.execute_batch("DROP TRIGGER audit_is_not_updated; DROP TRIGGER audit_is_not_deleted").unwrap();
    let (first, last): (i64, i64) =
        database.query_row("SELECT min(seq), max(seq) FROM audit", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let broken_at = || match service.control.audit_verify() {
        Err(ControlError::AuditBroken(seq)) => seq,
        other => panic!("not broken: {other:?}"),
    };
    for column in ["at_s", "actor", "action", "subject", "detail"] {
        database.execute(&format!("UPDATE audit SET {column} = {column} || '1' WHERE seq = ?"), [first + 1]).unwrap();
        assert_eq!(broken_at(), first + 1, "{column}");
        database
            .execute(
                &format!("UPDATE audit SET {column} = substr({column}, 1, length({column}) - 1) WHERE seq = ?"),
                [first + 1],
            )
            .unwrap();
        service.control.audit_verify().unwrap();
    }
    database.execute("DELETE FROM audit WHERE seq = ?", [last - 1]).unwrap();
    assert_eq!(broken_at(), last);
}

/// A forger who knows how entries are sealed, and seals the changed one anew.
#[tokio::test]
async fn an_entry_that_was_forged_with_its_seal_breaks_the_next() {
    use sha2::{Digest as _, Sha256};
    let service = Service::start().await;
    service.client("one", "sync.read", "a.*", &[]);
    let entries = service.control.audit(0).unwrap();
    let (before, forged) = (&entries[0], &entries[1]);
    let mut seal = Sha256::new();
    seal.update(
        (0..32).map(|at| u8::from_str_radix(&before.hash[2 * at..2 * at + 2], 16).unwrap()).collect::<Vec<u8>>(),
    );
    seal.update(forged.seq.to_be_bytes());
    seal.update(forged.at_s.to_be_bytes());
    for part in ["nobody", &forged.action, &forged.subject, &forged.detail] {
        seal.update((part.len() as u64).to_be_bytes());
        seal.update(part.as_bytes());
    }
    let database = by_other_means(&service);
    database.execute_batch("DROP TRIGGER audit_is_not_updated").unwrap();
    let sql = "UPDATE audit SET actor = 'nobody', hash = ? WHERE seq = ?";
    database.execute(sql, rusqlite::params![seal.finalize().to_vec(), forged.seq]).unwrap();
    assert_eq!(service.control.audit(forged.seq - 1).unwrap()[0].actor, "nobody");
    match service.control.audit_verify() {
        Err(ControlError::AuditBroken(seq)) => {
            assert_eq!(seq, forged.seq + 1, "its own seal is right, the next is not")
        }
        other => panic!("not broken: {other:?}"),
    }
}

/// The command line beside the service: each waits for the other, and neither fails or breaks the chain.
#[tokio::test]
async fn two_processes_that_write_at_once_both_succeed() {
    let service = Service::start().await;
    service.client("one", "sync.read", "a.*", &[]);
    let writers: Vec<_> = ["ada", "bea"]
        .map(|actor| {
            let control = muster_control::Control::open(service.control.config().clone()).unwrap();
            std::thread::spawn(move || {
                for round in 0..60 {
                    control.client_set_disabled(actor, "one", round % 2 == 0).unwrap();
                }
            })
        })
        .into();
    tokio::task::spawn_blocking(|| writers.into_iter().for_each(|writer| writer.join().unwrap())).await.unwrap();
    service.control.audit_verify().unwrap();
    let changes =
        service.control.audit(0).unwrap().into_iter().filter(|entry| ["ada", "bea"].contains(&entry.actor.as_str()));
    assert_eq!(changes.count(), 120);
}

#[test]
fn another_audience_or_database_is_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let opened = |audience: &str, database: Option<&str>| {
        let mut config = Config::new(dir.path().join("state"), "http://127.0.0.1:1", audience);
        config.database = database.map(str::to_owned);
        let entries = Control::open(config).unwrap().audit(0).unwrap().into_iter();
        let changes = entries.filter(|entry| entry.action == "service.change");
        changes.map(|entry| (entry.actor, entry.subject, entry.detail)).collect::<Vec<_>>()
    };
    let change = |of: &str, detail: &str| ("control".to_owned(), of.to_owned(), detail.to_owned());
    assert_eq!(opened("lane", Some("a")), []);
    assert_eq!(opened("lane", Some("a")), [], "the same is no change");
    let audience = change("audience", r#"{"before":"lane","now":"other"}"#);
    assert_eq!(opened("other", Some("a")), std::slice::from_ref(&audience));
    let database = change("database", r#"{"before":"a","now":null}"#);
    assert_eq!(opened("other", None), [audience, database]);
}
