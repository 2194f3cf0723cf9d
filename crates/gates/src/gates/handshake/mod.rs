//! The N-client handshake: the smallest proof that a lane works.
//!
//! [`meet`] carries it out, for `muster handshake` and for the gate of this name ([`gate`]).
//!
//! It counts the sessions in `active_connection` before, while N clients hold a subscription, and after they have closed, each time over HTTP SQL and through subscriptions, and requires baseline + N and then baseline.
//!
//! What always holds:
//! - It waits for states, with a deadline, and never for a time to pass.
//! - The one who counts is left out by rule: a request over HTTP is itself a connection while it runs, so every count, in
//!   SQL and in subscriptions, leaves the sessions of the asker's identity out, but for those that are known to be the
//!   clients' own, where they had to come as the same.
//! - [`view`] and [`verdict`] decide; [`session`] and this file only carry out.

mod clients;
pub(crate) mod gate;
mod report;
mod session;
mod verdict;
mod view;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use muster_contract::{Client, ContractError};
use muster_wire::http::{HttpClient, HttpError};
use muster_wire::lease::Refused;
use muster_wire::{CallError, ConnectError, ConnectOptions, ConnectionId, Endpoint, Identity, RowError, Token};

use clients::Tokens;
pub use clients::{Clients, SUBJECT_PREFIX};
use report::SCHEMA;
pub use report::{Evidence, Report, Session};
use session::Member;
use verdict::problems;
pub use verdict::{ClientView, Observation, Observations};
use view::View;

/// How many clients connect at the same time: enough to be quick, and no storm on a shared lane.
const CONNECTING_AT_ONCE: usize = 32;
/// Between two looks over SQL, which has no way to announce a change. Doubles up to [`SQL_AGAIN_MS_MAX`].
const SQL_AGAIN_MS: u64 = 25;
const SQL_AGAIN_MS_MAX: u64 = 1_000;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The lane's name, for the report.
    pub lane: Option<String>,
    /// Which database on which host.
    pub endpoint: Endpoint,
    /// Who asks. Without a token the host makes up an identity for it.
    pub token: Option<Token>,
    /// As whom the clients come.
    pub come_as: Clients,
    /// How many clients.
    pub clients: u64,
    /// How long every state may take to come about.
    pub patience: Duration,
}

impl Plan {
    /// A connection with this token, which waits for nothing longer than this plan does.
    fn connect_options(&self, token: Option<Token>) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.endpoint.clone()).token(token);
        options.timeouts.connect = options.timeouts.connect.min(self.patience);
        options.timeouts.call = options.timeouts.call.min(self.patience);
        options
    }
}

/// Why a handshake could not run at all. That is another thing than a failed one.
#[derive(Debug, thiserror::Error)]
pub enum CouldNotRun {
    /// No connection, or a contract that does not match.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database is not one of Muster's, or of another build.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// A subscription was refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An HTTP request failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// No token for a client.
    #[error(transparent)]
    Token(#[from] Refused),
    /// Rows that cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
    /// SQL answered something that is not a count, or no connections' ids.
    #[error("the host did not answer SQL with a count; is it a SpacetimeDB 2.x host?")]
    NotACount,
}

/// What the handshake is doing, for a progress line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Counting before.
    Before,
    /// Connecting the clients.
    Connecting,
    /// Waiting until everybody sees everybody.
    Meeting,
    /// Closing, and waiting until nobody is seen.
    Parting,
}

/// Runs a handshake.
///
/// # Errors
/// [`CouldNotRun`] if it could not be carried out. Counts that are wrong are no error: the evidence says `passed: false`
/// and lists what is wrong.
pub async fn meet(plan: &Plan, on_stage: impl Fn(Stage)) -> Result<Evidence, CouldNotRun> {
    let started_at = jiff::Timestamp::now();
    let began = Instant::now();
    on_stage(Stage::Before);
    let asker = Asker::arrive(plan).await?;
    let mut observer = asker.observe(plan).await?;
    let before = asker.count_until_agreed(&mut observer, plan.patience, None).await?;

    on_stage(Stage::Connecting);
    let tokens = plan.come_as.tokens(plan.patience).await?;
    let mut members = join_all(plan, &tokens, asker.identity).await?;
    let own = Own::of(&members, asker.identity);

    on_stage(Stage::Meeting);
    let deadline = Instant::now() + plan.patience;
    let expected = before.sql as usize + members.len();
    let waiting = members.iter_mut().map(|member| member.wait_for_everybody(deadline, expected, &own));
    let views = futures::future::join_all(waiting).await;
    observer.wait_for_everybody(deadline, expected, &own).await;
    let mut during = asker.count_until_agreed(&mut observer, plan.patience, Some(&own)).await?;
    during.clients = views
        .iter()
        .map(|view| ClientView { count: view.count(&own.as_asker) as u64, own: view.how_many_of(&own.all) as u64 })
        .collect();

    on_stage(Stage::Parting);
    let ended = futures::future::join_all(members.iter().map(|member| member.connection().close())).await;
    let deadline = Instant::now() + plan.patience;
    let baseline = before.sql as usize;
    let is_over = |view: &View| view.count(&own.as_asker) == baseline && view.how_many_of(&own.all) == 0;
    observer.wait_for(deadline, is_over).await;
    let after = asker.count_until_agreed(&mut observer, plan.patience, Some(&own)).await?;
    observer.connection().close().await;

    let observations = Observations { before, during, after };
    let problems = problems(plan.clients, &observations);
    let report = Report {
        schema: SCHEMA,
        lane: plan.lane.clone(),
        server: plan.endpoint.base().to_owned(),
        database: asker.database.to_string(),
        module_hash: asker.module_hash.clone(),
        clients: plan.clients,
        baseline: observations.before.sql,
        during: observations.during.sql,
        after: observations.after.sql,
        passed: problems.is_empty(),
        started_at: report::at(started_at),
        elapsed_ms: began.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
    };
    Ok(Evidence {
        report,
        host: asker.host,
        module_hash_source: asker.module_hash_source,
        written_by: format!("muster {}", muster_contract::BUILD),
        rule: format!(
            "rows of active_connection whose identity is not the asker's, {}, or which are the clients'",
            asker.identity
        ),
        clients_come_as: tokens.words(),
        observations,
        problems,
        sessions: members.iter().zip(ended).map(|(member, ended)| session_of(member, ended.to_string())).collect(),
    })
}

/// Makes the folder for the evidence, if missing, and sees that a file can be written there.
///
/// # Errors
/// What the file system says.
pub fn prepare(folder: &Path) -> io::Result<()> {
    report::prepare(folder)
}

/// Writes the evidence into `folder`, made if missing, and returns the file's path.
///
/// # Errors
/// What the file system says.
pub fn write_to(folder: &Path, evidence: &Evidence) -> io::Result<PathBuf> {
    report::write(folder, evidence)
}

/// Connects the clients, a few at a time.
async fn join_all(plan: &Plan, tokens: &Tokens, asker: Identity) -> Result<Vec<Member>, CouldNotRun> {
    let join = |number| async move {
        let token = tokens.of(number, plan.patience).await?;
        Member::join(plan.connect_options(token), asker).await
    };
    stream::iter(0..plan.clients).map(join).buffered(CONNECTING_AT_ONCE).try_collect().await
}

/// The handshake's own sessions.
struct Own {
    all: Vec<ConnectionId>,
    /// Those of the asker's own identity: of a token that serves everybody.
    as_asker: BTreeSet<ConnectionId>,
}

impl Own {
    fn of(members: &[Member], asker: Identity) -> Own {
        let as_asker = members.iter().filter(|member| member.connection().identity() == asker);
        Own {
            all: members.iter().map(|member| member.connection().connection_id()).collect(),
            as_asker: as_asker.map(|member| member.connection().connection_id()).collect(),
        }
    }
}

fn session_of(member: &Member, ended: String) -> Session {
    let ms = |duration: Duration| (duration.as_secs_f64() * 1e6).round() / 1e3;
    Session {
        identity: member.connection().identity().to_string(),
        connection_id: member.connection().connection_id().to_string(),
        protocol: member.connection().protocol().to_string(),
        connect_ms: ms(member.connect_took),
        subscribe_ms: ms(member.subscribe_took),
        complete_ms: member.complete_took.map(ms),
        ended,
    }
}

/// The one who counts: an identity of its own on the host, and what it found out about the database.
struct Asker {
    http: HttpClient,
    token: Token,
    identity: Identity,
    database: Identity,
    module_hash: String,
    module_hash_source: &'static str,
    host: Option<String>,
}

impl Asker {
    async fn arrive(plan: &Plan) -> Result<Asker, CouldNotRun> {
        let stranger = HttpClient::new(plan.endpoint.clone(), None)?.with_timeout(plan.patience);
        let info = stranger.database_info().await?;
        // Before anything is asked of a table: a database that is not Muster's must hear so in these words.
        Client::of_this_build().check_tables(&stranger.schema().await?.observed_tables())?;
        let token = match &plan.token {
            Some(token) => token.clone(),
            None => stranger.create_identity().await?.token,
        };
        let http = HttpClient::new(plan.endpoint.clone(), Some(token.clone()))?.with_timeout(plan.patience);
        let (module_hash, module_hash_source) = match http.running_program().await? {
            Some(hash) => (hash, "st_module"),
            None => (info.initial_program, "initial_program"),
        };
        let identity = http.sql("SELECT COUNT(*) AS n FROM contract_info", true).await?.asker;
        let identity = identity.ok_or(CouldNotRun::NotACount)?;
        let host = http.server_name().await?;
        Ok(Asker { http, token, identity, database: info.database_identity, module_hash, module_hash_source, host })
    }

    /// A session of the asker's identity, which checks the contract first: a table of another shape must be an error
    /// here, and not a count of nothing.
    async fn observe(&self, plan: &Plan) -> Result<Member, CouldNotRun> {
        let options = plan.connect_options(Some(self.token.clone())).expect(Client::of_this_build());
        Member::join(options, self.identity).await
    }

    /// Counts over SQL until SQL and the observer's subscription say the same, or the time is up.
    async fn count_until_agreed(
        &self,
        observer: &mut Member,
        patience: Duration,
        own: Option<&Own>,
    ) -> Result<Observation, CouldNotRun> {
        let nobody = BTreeSet::new();
        let as_asker = own.map_or(&nobody, |own| &own.as_asker);
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(SQL_AGAIN_MS);
        loop {
            let sql = self.count(as_asker).await?;
            let view = observer.view();
            let seen = Observation {
                sql,
                observer: view.count(as_asker) as u64,
                observer_own: own.map_or(0, |own| view.how_many_of(&own.all)) as u64,
                clients: Vec::new(),
            };
            if seen.sql == seen.observer || view.lost().is_some() || Instant::now() + pause > deadline {
                return Ok(seen);
            }
            // Woken early by the next change of the subscription; SQL itself announces nothing.
            observer.wait_for(Instant::now() + pause, |view| view.count(as_asker) as u64 == sql).await;
            pause = (pause * 2).min(Duration::from_millis(SQL_AGAIN_MS_MAX));
        }
    }

    async fn count(&self, as_asker: &BTreeSet<ConnectionId>) -> Result<u64, CouldNotRun> {
        let sql = format!("SELECT COUNT(*) AS n FROM active_connection WHERE identity <> 0x{}", self.identity);
        let others = self.http.sql(&sql, true).await?;
        let others: u64 =
            number(others.statements.first().and_then(|it| it.rows.first()?.first()?.get().parse().ok()))?;
        if as_asker.is_empty() {
            return Ok(others);
        }
        let sql = format!("SELECT connection_id FROM active_connection WHERE identity = 0x{}", self.identity);
        let answer = self.http.sql(&sql, true).await?;
        let rows = &answer.statements.first().ok_or(CouldNotRun::NotACount)?.rows;
        let mut own = 0;
        for row in rows {
            // A 128-bit number, in whatever brackets the host writes one.
            let cell = row.first().map(|cell| cell.get().trim_matches(|c: char| !c.is_ascii_digit()));
            let id = number(cell.and_then(|digits| digits.parse().ok()))?;
            own += u64::from(as_asker.contains(&ConnectionId::from_u128(id)));
        }
        Ok(others + own)
    }
}

fn number<T>(found: Option<T>) -> Result<T, CouldNotRun> {
    found.ok_or(CouldNotRun::NotACount)
}
