//! A promotion that is killed at every point there is, one after the other, and run again.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use muster_gates::evidence::{Act, Body, Trust, verify};
use muster_gates::promote::{End, Fact, Journal, JournalError, advance};

use crate::world::{Trouble, World, plan, signer};

/// How long a file's lock may outlive its owner.
const PATIENCE: Duration = Duration::from_secs(5);

/// Set for the processes that are to be killed: the folder, what goes wrong, and at which point to stop.
const ROLE: &str = "MUSTER_TEST_PROMOTION";

fn run(world: &mut World) -> End {
    let mut journal = Journal::open(&world.journal()).expect("opened");
    if journal.core().is_none() {
        journal.begin(plan()).expect("begun");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(advance(&mut journal, world)).expect("it comes to an end")
}

/// Not a test of its own: what the killed processes run. Without the variable it does nothing.
#[test]
fn a_process_that_may_be_killed() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut parts = role.split('|');
    let mut part = || parts.next().expect("three parts");
    let (folder, trouble, at) = (part().to_owned(), part().to_owned(), part().to_owned());
    run(&mut World::new(Path::new(&folder), trouble_of(&trouble), at.parse().expect("a number")));
}

fn trouble_of(text: &str) -> Trouble {
    match text {
        "None" => Trouble::None,
        "Gate" => Trouble::Gate,
        "Watch(50)" => Trouble::Watch(50),
        "Publish" => Trouble::Publish,
        _ => Trouble::Passing,
    }
}

/// Runs it in a process of its own. Whether that was killed.
fn is_killed(folder: &Path, trouble: Trouble, at: u32) -> bool {
    let status = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "killed::a_process_that_may_be_killed", "--nocapture"])
        .env(ROLE, format!("{}|{trouble:?}|{at}", folder.display()))
        .stdout(std::process::Stdio::null())
        .status()
        .expect("run");
    use std::os::unix::process::ExitStatusExt as _;
    assert!(status.success() || status.signal() == Some(9), "{status}");
    !status.success()
}

/// What must hold of a world in which a promotion came to this end.
fn check(world: &World, trouble: Trouble, end: End, why: &str) {
    let deeds = world.deeds();
    let count = |deed: &str| deeds.iter().filter(|it| it.starts_with(deed)).count();
    // A deed is written before the state that it sets, so one that was killed in between may be there once more.
    assert!(count("published") <= 2, "{why}: {deeds:?}");
    let shares: Vec<u8> = deeds.iter().filter_map(|it| it.strip_prefix("share ")?.parse().ok()).collect();
    let mut distinct = shares.clone();
    distinct.dedup();
    let expected: &[u8] = match trouble {
        Trouble::None | Trouble::Passing => &[5, 50, 100],
        Trouble::Watch(50) => &[5, 50, 0],
        _ => &[],
    };
    assert_eq!(distinct, expected, "{why}");
    assert!(shares.len() <= expected.len() + 1, "{why}: {shares:?}");
    let wanted = if matches!(trouble, Trouble::None | Trouble::Passing) { End::Completed } else { End::WentBack };
    assert_eq!(end, wanted, "{why}");
    // The decisions are in the evidence, each once, and the folder holds.
    let verdict =
        verify(&world.evidence().files().expect("read"), &Trust::new(vec![signer().public()], jiff::Timestamp::now()));
    assert!(verdict.holds(), "{why}: {:?}", verdict.findings);
    let acts: Vec<Act> = verdict
        .entries
        .iter()
        .map(|it| match &it.statement.body {
            Body::Decision(decision) => decision.act,
            Body::Gate(_) => panic!("no gate writes here"),
        })
        .collect();
    let last = if wanted == End::Completed { Act::Completed } else { Act::WentBack };
    assert_eq!(acts, [Act::Admitted, last], "{why}");
}

#[test]
fn killed_at_every_point_it_goes_on_or_goes_back_and_does_nothing_twice() {
    for trouble in [Trouble::None, Trouble::Gate, Trouble::Watch(50), Trouble::Publish] {
        let mut points = 0;
        loop {
            points += 1;
            let folder = tempfile::tempdir().expect("a folder");
            let killed = is_killed(folder.path(), trouble, points);
            let mut world = World::new(folder.path(), trouble, 0);
            let end = run(&mut world);
            check(&world, trouble, end, &format!("{trouble:?} killed at {points}"));
            // And once more, when it is over: nothing happens any more.
            let before = world.deeds();
            assert_eq!(run(&mut world), end);
            assert_eq!(world.deeds(), before);
            if !killed {
                break;
            }
        }
        assert!(points > 8, "{trouble:?} has only {points} points");
    }
}

#[test]
fn killed_at_every_point_in_a_row_it_still_comes_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    // Each process gets a little further than the one before, and is killed there.
    let mut at = 1;
    while is_killed(folder.path(), Trouble::None, at) {
        at += 1;
        assert!(at < 200, "it comes to no end");
    }
    let mut world = World::new(folder.path(), Trouble::None, 0);
    assert_eq!(run(&mut world), End::Completed);
    let shares: Vec<String> = world.deeds().into_iter().filter(|it| it.starts_with("share")).collect();
    let mut distinct = shares.clone();
    distinct.dedup();
    assert_eq!(distinct, ["share 5", "share 50", "share 100"]);
}

#[test]
fn what_passes_is_tried_again_and_nothing_is_done_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::new(folder.path(), Trouble::Passing, 0);
    let end = run(&mut world);
    check(&world, Trouble::Passing, end, "passing");
    assert_eq!(world.deeds().iter().filter(|it| it.starts_with("published")).count(), 1);
}

#[test]
fn a_journal_is_one_process_s_and_refuses_what_it_did_not_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let mut journal = Journal::open(&path).expect("opened");
    journal.begin(plan()).expect("begun");
    assert!(matches!(Journal::open(&path), Err(JournalError::Busy(_))));
    journal.append(&Fact::Recorded { act: Act::Admitted }).expect("written");
    drop(journal);

    // The lock goes with the last copy of the file's descriptor, and a process that another test starts just now has one
    // until it is another program.
    let reopened = || {
        let began = Instant::now();
        loop {
            match Journal::open(&path) {
                Err(JournalError::Busy(_)) if began.elapsed() < PATIENCE => sleep(Duration::from_millis(5)),
                other => return other,
            }
        }
    };
    let whole = std::fs::read(&path).expect("read");
    // A last line that is not whole never happened.
    std::fs::write(&path, &whole[..whole.len() - 3]).expect("written");
    let journal = reopened().expect("opened");
    assert_eq!(journal.core().map(|it| it.next()), Some(muster_gates::promote::Step::Record(Act::Admitted)));
    drop(journal);
    assert!(std::fs::read(&path).expect("read").ends_with(b"\n"));

    for at in [0, 70, 200, whole.len() - 10] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).expect("written");
        assert!(matches!(reopened(), Err(JournalError::Damaged { .. })), "byte {at}");
        assert!(matches!(Journal::peek(&path), Err(JournalError::Damaged { .. })), "byte {at}");
    }
    // A line that is left out, or comes again.
    let lines: Vec<&[u8]> = whole.split_inclusive(|it| *it == b'\n').collect();
    for wrong in [vec![lines[1]], vec![lines[0], lines[1], lines[1]], vec![lines[0], lines[0]]] {
        std::fs::write(&path, wrong.concat()).expect("written");
        assert!(matches!(reopened(), Err(JournalError::Damaged { .. })));
    }
}
