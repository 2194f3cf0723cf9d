//! The catalogue's promises, against a real SQLite.

use super::*;

fn identity_number(n: u8) -> Identity {
    Identity::from_be_byte_array([n; 32])
}

fn program(n: u8) -> Hash {
    Hash::from_byte_array([n; 32])
}

async fn created(control: &Control, n: u8, name: Option<&str>) -> DatabaseRecord {
    control.create(identity_number(n), identity_number(100), program(n), name.map(str::to_owned)).await.unwrap()
}

#[tokio::test]
async fn what_was_entered_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sqlite");
    let entered = created(&Control::open(&path).unwrap(), 1, Some("lane-one")).await;

    let control = Control::open(&path).unwrap();
    assert_eq!(control.identity_of("lane-one").unwrap(), Some(identity_number(1)));
    assert_eq!(control.database(identity_number(1)).unwrap(), Some(entered.clone()));
    assert_eq!(control.databases().unwrap(), [entered]);
    assert_eq!(control.owned_by(identity_number(100)).unwrap(), [identity_number(1)]);
    assert_eq!(control.identity_of("lane-two").unwrap(), None);
}

#[tokio::test]
async fn a_name_belongs_to_one_database_and_goes_with_it() {
    let control = Control::in_memory().unwrap();
    created(&control, 1, Some("shared")).await;
    let refused = control.create(identity_number(2), identity_number(100), program(2), Some("shared".into())).await;
    assert!(matches!(refused, Err(ControlError::NameTaken(name)) if name == "shared"));
    assert_eq!(control.database(identity_number(2)).unwrap(), None, "a refusal leaves nothing behind");

    control.delete(identity_number(1)).await.unwrap();
    created(&control, 2, Some("shared")).await;
    assert_eq!(control.identity_of("shared").unwrap(), Some(identity_number(2)));
}

#[tokio::test]
async fn setting_names_replaces_all_of_them_or_none() {
    let control = Control::in_memory().unwrap();
    created(&control, 1, Some("taken")).await;
    created(&control, 2, Some("old")).await;
    let refused = control.set_names(identity_number(2), vec!["new".into(), "taken".into()]).await;
    assert!(matches!(refused, Err(ControlError::NameTaken(_))));
    assert_eq!(control.names_of(identity_number(2)).unwrap(), ["old"]);

    control.set_names(identity_number(2), vec!["b".into(), "a".into()]).await.unwrap();
    control.add_name(identity_number(2), "c".into()).await.unwrap();
    assert_eq!(control.names_of(identity_number(2)).unwrap(), ["b", "a", "c"]);
}

#[tokio::test]
async fn a_dropped_replica_is_listed_until_forgotten_and_its_number_never_returns() {
    let control = Control::in_memory().unwrap();
    let first = created(&control, 1, None).await;
    let second = control.reset(identity_number(1), program(9)).await.unwrap();
    assert_ne!(first.replica_id, second.replica_id);
    assert_eq!(second.initial_program, program(9));
    assert_eq!(control.dropped_replicas().unwrap(), [first.replica_id]);

    assert_eq!(control.delete(identity_number(1)).await.unwrap(), second.replica_id);
    control.forget_replica(first.replica_id).await.unwrap();
    control.forget_replica(second.replica_id).await.unwrap();
    assert!(control.dropped_replicas().unwrap().is_empty());

    let third = created(&control, 3, None).await;
    assert!(third.replica_id > second.replica_id);
}

#[tokio::test]
async fn a_reset_taken_back_leaves_what_was_there() {
    let control = Control::in_memory().unwrap();
    let before = created(&control, 1, Some("kept")).await;
    control.program_launched(before.id, program(1), "2.14.0").await.unwrap();
    control.expect_program(before.id, program(2)).await.unwrap();
    let programs = control.programs_of(before.id).unwrap();
    let reset = control.reset(before.identity, program(3)).await.unwrap();
    control.undo_reset(&before, programs.clone()).await.unwrap();
    assert_eq!(control.database(before.identity).unwrap(), Some(before.clone()));
    assert_eq!(control.programs_of(before.id).unwrap(), programs);
    assert_eq!(control.dropped_replicas().unwrap(), [reset.replica_id]);
}

#[tokio::test]
async fn numbers_of_folders_that_are_there_are_not_given_out() {
    let control = Control::in_memory().unwrap();
    assert!(control.skip_replicas(7).unwrap());
    assert!(!control.skip_replicas(7).unwrap());
    assert_eq!(created(&control, 1, None).await.replica_id, 8);
    assert!(control.dropped_replicas().unwrap().is_empty());
}

#[tokio::test]
async fn a_live_replica_cannot_be_forgotten() {
    let control = Control::in_memory().unwrap();
    let entered = created(&control, 1, None).await;
    control.forget_replica(entered.replica_id).await.unwrap();
    assert_eq!(control.database(identity_number(1)).unwrap(), Some(entered));
}

#[tokio::test]
async fn modules_are_needed_while_a_database_lists_them() {
    let control = Control::in_memory().unwrap();
    let entered = created(&control, 1, None).await;
    control.expect_program(entered.id, program(2)).await.unwrap();
    control.program_launched(entered.id, program(2), "2.14.0").await.unwrap();
    let listed = control.programs_of(entered.id).unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].launched_by, None);
    assert_eq!(listed[1].launched_by.as_deref(), Some("2.14.0"));

    let gone = control.retain_programs(entered.id, |hash| hash == program(2)).await.unwrap();
    assert_eq!(gone, [program(1)]);
    assert!(control.program_is_needed(program(1)).unwrap(), "the initial module stays needed");
    assert!(control.program_is_needed(program(2)).unwrap());

    control.delete(identity_number(1)).await.unwrap();
    assert!(!control.program_is_needed(program(1)).unwrap());
    assert!(!control.program_is_needed(program(2)).unwrap());
}

fn failure(code: i32) -> ControlError {
    ControlError::Sqlite(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None))
}

#[test]
fn only_a_disk_that_is_full_is_called_full() {
    use rusqlite::ffi::{SQLITE_CORRUPT, SQLITE_FULL, SQLITE_IOERR, SQLITE_IOERR_SHMSIZE};
    let dir = tempfile::tempdir().unwrap();
    let control = Control::open(&dir.path().join("control.sqlite")).unwrap();
    assert!(matches!(control.told_apart(failure(SQLITE_FULL)), ControlError::DiskFull(_)));
    // There is room here: whatever else the system failed at.
    for code in [SQLITE_IOERR, SQLITE_IOERR_SHMSIZE, SQLITE_CORRUPT] {
        assert!(matches!(control.told_apart(failure(code)), ControlError::Sqlite(_)), "{code}");
    }
    // A folder that has gone is not full either, and a catalogue in memory has none.
    drop(dir);
    assert!(matches!(control.told_apart(failure(SQLITE_IOERR)), ControlError::Sqlite(_)));
    let control = Control::in_memory().unwrap();
    assert!(matches!(control.told_apart(failure(SQLITE_IOERR)), ControlError::Sqlite(_)));
    assert!(matches!(control.told_apart(ControlError::NoSuchDatabase), ControlError::NoSuchDatabase));
}
