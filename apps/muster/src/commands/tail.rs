//! `muster tail STREAM…`: events as they are, and as they come.
//!
//! What always holds: with `--store`, cursor and events commit together, so that each event is in the store once,
//! whatever is killed; an end that nobody asked for is an error, never a silent end of data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_contract::pattern::StreamPattern;
use muster_contract::state::ConnectionState;
use muster_contract::stream::StreamId;
use muster_sync::{StartAt, StartError, Status, StoreError, Subscriber};
use muster_wire::Keeper;
use muster_wire::lease::LeaseState;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::limits::{STREAMS_LOOK_MS, STUCK_MS_MAX};
use crate::outcome::{Exit, Failure, Outcome};
use crate::signals::Stop;
use crate::tail::database::{self, Binding, Database};
use crate::tail::line::Style;
use crate::tail::printing::{Printing, Progress};
use crate::tail::states::States;
use crate::tail::what::{self, Word};
use crate::target::TargetArgs;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A STREAM is a stream id (runtime.run.7.events), a pattern (runtime.run.*, or
* for all), or a topic (run:7:events). A word that may be both, such as notes,
is the stream of that id or the topic's (runtime.topic.notes), and stderr says
which. States go to stderr: connecting, replaying, live, backoff, blocked. A
host that is away is waited for. A stream whose cursor no longer holds starts
again from its snapshot, or from the oldest event that it has, and says so.
Ctrl-C ends with exit code 0, or, with --until-idle, 130. With --until-idle the
exit code is 1 if there is no stream of the kind, and 2 if any is refused.

With --store, cursors and events are kept in a SQLite file (tables event and
snapshot), each event once, whatever is killed; the next run prints what came
since. A store belongs to the first database that it was used with. Lines come
before their transaction commits: after a kill the last ones may be printed
again, and never go missing.
With --json a line is
  {\"stream\":…,\"epoch\":…,\"seq\":…,\"kind\":…,\"at\":…,
   \"payload\":…,\"payload_hash\":…}
or, where a stream starts again,
  {\"stream\":…,\"epoch\":…,\"reset\":{\"reason\":…,\"seq\":…,\"snapshot\":…}}

Examples:
  muster tail --lane dev run:7:events
  muster tail --lane dev --store copy.db --json --until-idle 2 'runtime.run.*'
  muster tail --lane dev --from now '*'")]
pub(crate) struct TailArgs {
    /// What to follow
    #[arg(required = true, value_name = "STREAM", value_parser = what::word)]
    streams: Vec<Word>,
    /// Where to begin, in streams that the store does not have: start, now, or the number of an event
    #[arg(long, value_name = "WHERE", default_value = "start", value_parser = what::start)]
    from: StartAt,
    /// Keep cursors and events in this SQLite file, made if missing, and go on from there
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// End once everything is caught up and nothing has come for so long
    #[arg(long, value_name = "SECONDS", value_parser = crate::commands::seconds)]
    until_idle: Option<Duration>,
    /// With --until-idle: fail if it is not live for so long
    #[arg(long, value_name = "SECONDS", value_parser = crate::commands::seconds, requires = "until_idle",
          default_value = crate::commands::emit::PATIENCE_S)]
    patience: Duration,
    /// Print an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Follows.
pub(crate) async fn run(ui: &Ui, args: TailArgs) -> Outcome {
    let mut stop = Stop::listen()?;
    let started = tokio::select! {
        () = stop.wait() => return Ok(Exit::Done),
        started = start(ui, &args) => started?,
    };
    let outcome = tokio::select! {
        // With an end of its own, it has not come to that.
        code = stop.wait_for_code() => Ok(if args.until_idle.is_some() { Exit::Interrupted(code) } else { Exit::Done }),
        outcome = follow(ui, &args, &started) => outcome,
    };
    // What was begun is committed; a second signal does not wait for a disk that hangs.
    if started.subscriber.status().borrow().streams.total() == 0 && outcome == Ok(Exit::Done) {
        ui.say(format!("0 streams: {}", missing(&args.streams)));
    }
    tokio::select! {
        () = started.subscriber.shutdown() => outcome,
        () = stop.wait() => outcome,
    }
}

struct Started {
    subscriber: Subscriber,
    /// Who has its tokens, where a token service gives them.
    keeper: Option<Keeper>,
    progress: watch::Receiver<Progress>,
    /// Which database this is, where that matters.
    database: Option<(PathBuf, Database)>,
    /// Holds the store where none is to be kept.
    _folder: Option<tempfile::TempDir>,
}

async fn start(ui: &Ui, args: &TailArgs) -> Result<Started, Failure> {
    let target = args.target.resolve_lasting(ui).await?;
    let (store, folder) = match &args.store {
        Some(path) => {
            check_folder(path)?;
            (path.clone(), None)
        }
        None => {
            let folder = tempfile::tempdir().map_err(|error| {
                Failure::could_not(
                    format!("cannot make a temporary folder ({error})"),
                    "free some space, set TMPDIR to a folder that can be written, or give --store FILE",
                )
            })?;
            (folder.path().join("tail.db"), Some(folder))
        }
    };
    let names_streams = args.streams.len() > 1 || !matches!(args.streams[0].pattern, StreamPattern::Exact(_));
    let database = match &args.store {
        Some(path) => Some((path.clone(), database::ask(target.place.endpoint.clone())?)),
        None => None,
    };
    let binding = database.clone().map(|(path, database)| Binding::new(path, database));
    let (printing, progress) = Printing::new(*ui, Style { json: args.json, names_streams }, binding);
    let mut builder = Subscriber::builder(target.place.endpoint.clone(), &store);
    if let Some(token) = target.token {
        builder = builder.token(token);
    }
    if let Some(keeper) = &target.keeper {
        builder = builder.tokens(keeper.clone());
    }
    for pattern in args.streams.iter().flat_map(Word::patterns) {
        builder = builder.follow(pattern, args.from);
    }
    let lock = NewLock::beside(&store);
    let subscriber = builder.apply(printing).await.map_err(|error| match error {
        StartError::Store(error @ StoreError::InUse { .. }) => Failure::CouldNot(error.to_string()),
        StartError::Store(error) => {
            lock.remove();
            Failure::could_not(format!("{}: {error}", store.display()), "or give another --store")
        }
        error @ (StartError::Follows { .. } | StartError::Thread(_)) => Failure::CouldNot(error.to_string()),
    })?;
    Ok(Started { subscriber, keeper: target.keeper, progress, database, _folder: folder })
}

/// Says what SQLite has no word for.
fn check_folder(store: &Path) -> Result<(), Failure> {
    match store.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => Err(Failure::could_not(
            format!("no such folder for the store: {}", folder.display()),
            "make it, or give another --store",
        )),
        _ => Ok(()),
    }
}

/// The lock file that opening a store makes, if there was none.
struct NewLock(Option<PathBuf>);

impl NewLock {
    fn beside(store: &Path) -> NewLock {
        let mut name = store.as_os_str().to_owned();
        name.push(".lock");
        NewLock(Some(PathBuf::from(name)).filter(|path| !path.exists()))
    }

    /// Takes it away beside what turned out to be no store, which nobody else writes either.
    fn remove(&self) {
        if let Some(path) = &self.0 {
            // Where that fails there is a file too many, and nothing worse.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// What there is none of, in words.
fn missing(words: &[Word]) -> String {
    words.iter().map(Word::missing).collect::<Vec<_>>().join("; ")
}

impl Started {
    /// Waits until the store turns out to be another database's.
    async fn refused(&self) -> Failure {
        let Some((store, mut database)) = self.database.clone() else { return std::future::pending().await };
        let found = database.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        // On its own: as part of the match it would stay borrowed while this waits for ever.
        let bound = self.progress.borrow().bound.clone();
        match found.zip(bound) {
            Some((found, own)) if found != own => database::refused(&store, &own, &found),
            _ => std::future::pending().await,
        }
    }
}

/// Since when nothing goes on. A token that is over is followed by another, as soon as the token service gives one.
#[derive(Default)]
struct Stuck(Option<Instant>);

impl Stuck {
    /// Whether another token may still mend it.
    fn may_pass(&mut self, keeper: Option<&Keeper>) -> bool {
        let Some(keeper) = keeper else { return false };
        let since = *self.0.get_or_insert_with(Instant::now);
        match keeper.status().borrow().state {
            LeaseState::Waiting | LeaseState::Refreshing | LeaseState::Ended => true,
            // What the token lets it do has to be seen first.
            LeaseState::Held => since.elapsed() < Duration::from_millis(STUCK_MS_MAX),
            LeaseState::Blocked => false,
        }
    }
}

/// Until when what is to be waited for.
struct Waits {
    /// Since when nothing has come while live; `None` while not live.
    idle_since: Option<Instant>,
    /// Since when it is not live; `None` while live.
    away_since: Option<Instant>,
}

async fn follow(ui: &Ui, args: &TailArgs, started: &Started) -> Outcome {
    let (mut status, mut progress) = (started.subscriber.status(), started.progress.clone());
    let mut states = States::new(missing(&args.streams));
    let mut ambiguous: Vec<&Word> = args.streams.iter().filter(|word| word.topic.is_some()).collect();
    let mut refused = std::pin::pin!(started.refused());
    let mut waits = Waits { idle_since: None, away_since: Some(Instant::now()) };
    let mut stuck = Stuck::default();
    let mut look = tokio::time::interval(Duration::from_millis(STREAMS_LOOK_MS));
    loop {
        let now = status.borrow_and_update().clone();
        tell(ui, &mut states, &now, &started.subscriber);
        tell_choice(ui, &mut ambiguous, &now, &started.subscriber);
        waits.see(&now);
        if !now.is_stuck() {
            stuck = Stuck::default();
        }
        if now.is_stuck() && !stuck.may_pass(started.keeper.as_ref()) {
            let why = now.last_error.unwrap_or_else(|| "nothing more is known".into());
            return Err(Failure::could_not(format!("cannot follow: {why}"), "mend that, and run this again"));
        }
        tokio::select! {
            refused = &mut refused => return Err(refused),
            changed = status.changed() => {
                if changed.is_err() {
                    return Err(Failure::could_not("the subscriber ended by itself", "run this again"));
                }
            }
            _ = progress.changed() => {
                if let Some(failure) = progress.borrow_and_update().failed.clone() {
                    return Err(failure);
                }
                waits.moved();
            }
            // Streams change without the whole changing.
            _ = look.tick() => {}
            () = waits.idle_for(args.until_idle) => return idle(&now, &args.streams),
            () = waits.away_for(args.until_idle.map(|_| args.patience)) => {
                let why = now.last_error.map_or(String::new(), |error| format!(": {error}"));
                let cause = format!("not live after {} s, but {}{why}", args.patience.as_secs_f64(), now.state);
                return Err(Failure::could_not(cause, "run this again when the host is there, or with more --patience"));
            }
        }
    }
}

/// Everything that can be followed is caught up.
fn idle(status: &Status, words: &[Word]) -> Outcome {
    if let Some(word) = words.iter().find(|word| word.is_refused(&status.refused)) {
        let why = status.last_error.as_ref().map_or(String::new(), |error| format!(": {error}"));
        return Err(Failure::could_not(
            format!("`{}` cannot be followed{why}", word.text),
            "mend that, and run this again",
        ));
    }
    match status.streams.of(ConnectionState::Blocked) {
        0 if status.streams.total() == 0 => {
            Err(Failure::no(format!("0 streams: {}", missing(words)), "`muster streams` shows which there are"))
        }
        0 => Ok(Exit::Done),
        blocked => Err(Failure::could_not(
            format!("{blocked} of {} streams cannot be followed, as was said", status.streams.total()),
            "mend that, and run this again",
        )),
    }
}

fn tell(ui: &Ui, states: &mut States, status: &Status, subscriber: &Subscriber) {
    if let Some(line) = states.overall(status) {
        ui.say(line);
    }
    let going_on = [ConnectionState::Live, ConnectionState::Replaying];
    let going = going_on.into_iter().map(|state| status.streams.of(state)).sum::<usize>();
    // While the host is away, all of them are, and the whole says so.
    if going < status.streams.total() && (going > 0 || going_on.contains(&status.state)) {
        for line in states.troubled(&subscriber.streams()) {
            ui.say(line);
        }
    }
}

/// Says which of the two a word means, as soon as the host has either.
fn tell_choice(ui: &Ui, ambiguous: &mut Vec<&Word>, status: &Status, subscriber: &Subscriber) {
    if ambiguous.is_empty() || status.state != ConnectionState::Live {
        return;
    }
    let streams = subscriber.streams();
    let is_there = |id: &StreamId| streams.iter().any(|status| status.stream == *id);
    ambiguous.retain(|word| {
        let Some((stream, topic)) = word.either() else { return false };
        match (is_there(stream), is_there(topic)) {
            (false, true) => ui.say(word.is_the_topic()),
            (true, true) => ui.say(format!("`{stream}` is a stream, and a topic (`{topic}`): taking both")),
            // The topic may come.
            (true, false) | (false, false) => return true,
        }
        false
    });
}

impl Waits {
    fn see(&mut self, status: &Status) {
        let now = Instant::now();
        // A stream that is tried again may have more to come.
        let behind = [ConnectionState::Backoff, ConnectionState::Replaying, ConnectionState::Connecting];
        let goes_on = match status.state {
            ConnectionState::Live => true,
            // Some cannot be followed; the others can.
            ConnectionState::Blocked => !status.is_stuck(),
            _ => false,
        };
        if goes_on && behind.into_iter().all(|state| status.streams.of(state) == 0) {
            self.away_since = None;
            self.idle_since.get_or_insert(now);
        } else {
            self.idle_since = None;
            self.away_since.get_or_insert(now);
        }
    }

    /// Something was applied.
    fn moved(&mut self) {
        let now = Instant::now();
        self.idle_since = self.idle_since.map(|_| now);
        self.away_since = self.away_since.map(|_| now);
    }

    async fn idle_for(&self, limit: Option<Duration>) {
        wait(self.idle_since, limit).await;
    }

    async fn away_for(&self, limit: Option<Duration>) {
        wait(self.away_since, limit).await;
    }
}

async fn wait(since: Option<Instant>, limit: Option<Duration>) {
    match since.zip(limit).and_then(|(since, limit)| since.checked_add(limit)) {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
