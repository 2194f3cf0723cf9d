//! Where gates run and as whom, and what they found out about it before the first one begins.
//!
//! What always holds: streams of a run lie under [`PREFIX`] and the run's own id, and nothing else on the lane is written
//! to; whoever may not remove them again (only a database's owner may) does not write them. The module's hash is taken from
//! the bytes that the host runs, or from a file whose hash the host confirms, never on trust.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_chaos::Proxy;
use muster_contract::stream::StreamId;
use muster_lane::Lane;
use muster_wire::http::{HttpClient, HttpError};
use muster_wire::sats::hash::hash_bytes;
use muster_wire::{Endpoint, Identity, Timeouts, Token};

use super::limits::{CLEAN_MS_MAX, DRILL_IDLE_MS, DRILL_PING_MS, LEFT_OVER_S, WORDS_MAX};
use super::session::{Session, SessionError};
use super::settings::Settings;
use crate::report::Sha256;

/// What every stream of a gate begins with. Nobody else's streams may.
pub const PREFIX: &str = "muster.gate";

/// Where gates run, and as whom.
#[derive(Clone, Debug)]
pub struct Site {
    /// The lane's name, as evidence names it; where only a server is named, the server's URL.
    pub name: String,
    /// The lane's variables, where a lane was named.
    pub lane: Option<Lane>,
    /// Which database on which host.
    pub endpoint: Endpoint,
    /// As whom: the database's owner, for whatever writes.
    pub token: Option<Token>,
    /// What the lane allows and demands.
    pub settings: Settings,
    /// The module that should run there, if the caller has its file.
    pub module: Option<Vec<u8>>,
    /// This run.
    pub run: RunId,
}

/// One run of gates: part of the names of its streams. The hexadecimal time and a random number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunId(String);

impl RunId {
    /// A new one.
    pub fn new() -> RunId {
        RunId(format!("{:x}-{:08x}", now_s(), rand::random::<u32>()))
    }

    /// As it stands in stream ids.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How old the run of this stream is, in seconds; `None` for a stream that is no gate's.
    fn age_s(stream: &str) -> Option<u64> {
        let rest = stream.strip_prefix(PREFIX)?.strip_prefix('.')?;
        let (time, _) = rest.split_once('-')?;
        Some(now_s().saturating_sub(u64::from_str_radix(time, 16).ok()?))
    }
}

impl Default for RunId {
    fn default() -> RunId {
        RunId::new()
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Why gates cannot run at all. One line each; what a gate finds wrong with a lane is no such error.
#[derive(Debug, thiserror::Error)]
pub enum CannotRun {
    /// The host says no, or nothing.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Whose hash the evidence should name is not known.
    #[error(
        "which module runs on {0} cannot be read with this token, and evidence is about a module; use the owner's token \
         (--token-file), or name the module's file with --module"
    )]
    UnknownModule(String),
    /// This machine.
    #[error("{0}; see that this machine has room for a few sockets and files")]
    Local(String),
}

/// A site that was looked at.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Where.
    pub(crate) site: Site,
    /// Asks over HTTP, as whom the site says.
    pub(crate) http: HttpClient,
    /// The module's hash: the evidence's subject.
    pub(crate) sha256: Sha256,
    /// The module's bytes, if they are known.
    pub(crate) module: Option<Vec<u8>>,
    /// What the host says that it runs (Keccak-256), if it says.
    pub(crate) host_hash: Option<String>,
    /// Whether the host confirms that this module is what it runs. Where it does not, no gate passes.
    pub(crate) is_confirmed: bool,
    /// The database's identity, if the host says.
    pub(crate) database: Option<Identity>,
    /// What the host calls itself.
    pub(crate) host: Option<String>,
    /// Whether the site's token is the owner's; `Err` says why that is not known.
    pub(crate) is_owner: Result<bool, String>,
}

impl Stage {
    /// Looks at a site: which module runs there, and who asks.
    ///
    /// # Errors
    /// [`CannotRun`], if it is not even known which module the evidence would be about.
    pub async fn open(site: Site) -> Result<Stage, CannotRun> {
        let http = HttpClient::new(site.endpoint.clone(), site.token.clone())?.with_timeout(site.settings.patience());
        let running = running_module(&http).await;
        let (host_hash, served) = match &running {
            Ok(Some((hash, bytes))) => (Some(hash.clone()), bytes.clone()),
            _ => (None, None),
        };
        let (module, is_confirmed) = subject(host_hash.as_deref(), served, site.module.clone());
        let sha256 = match (&module, running) {
            (Some(bytes), _) => Sha256::of(bytes),
            (None, Err(error)) => return Err(error.into()),
            (None, Ok(_)) => return Err(CannotRun::UnknownModule(site.endpoint.authority())),
        };
        let info = http.database_info().await;
        let asker = http.sql("SELECT COUNT(*) AS n FROM contract_info", true).await.map(|answer| answer.asker);
        let is_owner = match (&info, asker) {
            (Ok(info), Ok(Some(asker))) => Ok(asker == info.owner_identity),
            (Ok(_), Ok(None)) => Err("the host does not say whom it takes this token for".to_owned()),
            (Err(error), _) => Err(words(error)),
            (_, Err(error)) => Err(words(&error)),
        };
        let host = http.server_name().await.ok().flatten();
        let database = info.ok().map(|info| info.database_identity);
        Ok(Stage { http, sha256, module, host_hash, is_confirmed, database, host, is_owner, site })
    }

    /// What the lane allows and demands.
    pub(crate) fn settings(&self) -> &Settings {
        &self.site.settings
    }

    /// A stream of this run.
    ///
    /// # Panics
    /// If `name` is no segment of a stream id, which names in this crate are.
    pub(crate) fn stream(&self, name: &str) -> StreamId {
        let id = format!("{PREFIX}.{}.{name}", self.site.run.as_str());
        StreamId::parse(&id).expect("a run's id and a plain name are segments")
    }

    /// A proxy in front of the host, and the way through it.
    ///
    /// # Errors
    /// In words, if the host's name leads nowhere, or there is no port.
    pub(crate) async fn proxied(&self) -> Result<(Proxy, Endpoint), String> {
        let authority = self.site.endpoint.authority();
        let mut found = tokio::net::lookup_host(&authority).await.map_err(|error| format!("{authority}: {error}"))?;
        let address = found.next().ok_or_else(|| format!("{authority} has no address"))?;
        let proxy = Proxy::start(address).await.map_err(|error| format!("no port for the proxy ({error})"))?;
        let endpoint = self.site.endpoint.clone().through(proxy.address());
        Ok((proxy, endpoint))
    }

    /// A session of the site's own, straight to the host.
    pub(crate) async fn session(&self) -> Result<Session, SessionError> {
        Session::open(self.site.endpoint.clone(), self.site.token.clone(), self.settings().patience()).await
    }

    /// Whether this run may write streams: only who can remove them again.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(crate) fn may_write(&self) -> Result<(), String> {
        match &self.is_owner {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!(
                "this token is not the owner's of `{}`, who alone can remove what a gate writes: use the owner's \
                 (--token-file)",
                self.site.endpoint.database()
            )),
            Err(why) => Err(format!("whose token this is could not be found out ({why})")),
        }
    }
}

/// Waits that suit a drill: a silent connection is noticed within seconds.
pub(crate) fn impatient() -> Timeouts {
    Timeouts {
        ping_interval: Duration::from_millis(DRILL_PING_MS),
        idle: Duration::from_millis(DRILL_IDLE_MS),
        ..Timeouts::default()
    }
}

/// The hash of the program that the database runs, as the host keeps it, and its bytes, if they can be read and have that
/// hash; `None` where this identity may not read the hash.
async fn running_module(http: &HttpClient) -> Result<Option<(String, Option<Vec<u8>>)>, HttpError> {
    let Some(hash) = http.running_program().await? else { return Ok(None) };
    let answer = http.sql("SELECT program_bytes FROM st_module", true).await?;
    let cell = answer.statements.first().and_then(|it| it.rows.first()).and_then(|row| row.first());
    let text = cell.and_then(|cell| serde_json::from_str::<String>(cell.get()).ok());
    let bytes = text.and_then(|text| hex::decode(text).ok());
    // Bytes of another hash are not what runs.
    let bytes = bytes.filter(|bytes| has_hash(bytes, &hash));
    Ok(Some((hash, bytes)))
}

fn has_hash(module: &[u8], host_hash: &str) -> bool {
    hash_bytes(module).to_hex().as_str() == host_hash
}

/// Which module the evidence is about, and whether the host confirms that it runs it: what the host shows, else the file that
/// is named. A file is only as good as the host's word for its hash.
fn subject(host_hash: Option<&str>, served: Option<Vec<u8>>, named: Option<Vec<u8>>) -> (Option<Vec<u8>>, bool) {
    match (served, named) {
        (Some(served), _) => (Some(served), true),
        (None, Some(named)) => {
            let is_confirmed = host_hash.is_some_and(|hash| has_hash(&named, hash));
            (Some(named), is_confirmed)
        }
        (None, None) => (None, false),
    }
}

/// What was removed, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Streams and databases that are gone now.
    pub removed: usize,
    /// What is still there, and why.
    pub left: Vec<String>,
}

/// Removes everything that this run made on the lane, and what runs that were killed left behind. For use after each run,
/// also one that was interrupted. It takes at most [`CLEAN_MS_MAX`].
pub async fn clean(site: &Site) -> Cleaned {
    let limit = Duration::from_millis(CLEAN_MS_MAX);
    match tokio::time::timeout(limit, remove(site)).await {
        Ok(Ok(cleaned)) => cleaned,
        Ok(Err(why)) => Cleaned { removed: 0, left: vec![why] },
        Err(_) => Cleaned { removed: 0, left: vec![format!("the host did not answer within {} s", limit.as_secs())] },
    }
}

async fn remove(site: &Site) -> Result<Cleaned, String> {
    let mut cleaned = Cleaned::default();
    remove_scratch(site, site.run.as_str(), &mut cleaned).await;
    let session = Session::open(site.endpoint.clone(), site.token.clone(), site.settings.patience()).await;
    let session = session.map_err(|error| words(&error))?;
    let listed = session.streams(&format!("{PREFIX}.*")).await.map_err(|error| words(&error))?;
    let own = format!("{PREFIX}.{}.", site.run.as_str());
    for stream in listed {
        let is_left_over = RunId::age_s(&stream.id).is_some_and(|age| age > LEFT_OVER_S);
        if !stream.id.starts_with(&own) && !is_left_over {
            continue;
        }
        // The mark goes last: where the database stays, the next run tries again.
        if let Some(run) = marked_run(&stream.id).filter(|run| *run != site.run.as_str())
            && !remove_scratch(site, run, &mut cleaned).await
        {
            continue;
        }
        match session.call("delete_stream", &(stream.id.as_str(),)).await {
            Ok(()) => cleaned.removed += 1,
            Err(error) => cleaned.left.push(format!("{}: {}", stream.id, words(&error))),
        }
    }
    session.close().await;
    Ok(cleaned)
}

/// The stream by which a later run knows that this one made a database of its own.
pub(crate) const SCRATCH_MARK: &str = "scratch";

/// The run whose mark this stream is.
fn marked_run(stream: &str) -> Option<&str> {
    let run = stream.strip_prefix(PREFIX)?.strip_prefix('.')?.strip_suffix(SCRATCH_MARK)?.strip_suffix('.')?;
    run.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-').then_some(run)
}

/// Deletes a run's own database. Whether it is gone.
async fn remove_scratch(site: &Site, run: &str, cleaned: &mut Cleaned) -> bool {
    let http = match HttpClient::new(scratch_endpoint(site, run), site.token.clone()) {
        Ok(http) => http,
        Err(error) => {
            cleaned.left.push(words(&error));
            return false;
        }
    };
    match http.delete_database().await {
        Ok(()) => cleaned.removed += 1,
        // A stranger may not even ask; then there was none.
        Err(HttpError::Status { status: 401 | 403 | 404, .. }) => {}
        Err(error) => {
            cleaned.left.push(words(&error));
            return false;
        }
    }
    true
}

/// The name of a run's own database, for drills that change a whole lane.
pub(crate) fn scratch_endpoint(site: &Site, run: &str) -> Endpoint {
    let name = format!("muster-gate-{run}");
    site.endpoint.clone().with_database(&name).expect("hexadecimal digits and hyphens are a name")
}

/// An error on one line, no longer than is worth repeating.
pub(crate) fn words<E: std::fmt::Display + ?Sized>(error: &E) -> String {
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= WORDS_MAX { text } else { text.chars().take(WORDS_MAX).chain("…".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_streams_tell_their_age_and_nobody_elses_do() {
        let run = RunId::new();
        assert!(RunId::age_s(&format!("{PREFIX}.{}.replay", run.as_str())).is_some_and(|age| age < 60));
        assert!(RunId::age_s("muster.gate.1-00000000.x").is_some_and(|age| age > LEFT_OVER_S));
        for other in ["runtime.run.1.events", "muster.gateway.1-0.x", "muster.gate.x-0.y", "muster.gate.17"] {
            assert_eq!(RunId::age_s(other), None, "{other}");
        }
    }

    #[test]
    fn a_file_is_the_subject_only_on_the_hosts_word_for_its_hash() {
        let bytes = |text: &str| Some(text.as_bytes().to_vec());
        let hash = |text: &str| hash_bytes(text.as_bytes()).to_hex().to_string();
        assert_eq!(subject(Some(&hash("new")), bytes("new"), bytes("old")), (bytes("new"), true));
        assert_eq!(subject(Some(&hash("new")), None, bytes("new")), (bytes("new"), true));
        assert_eq!(subject(Some(&hash("old")), None, bytes("new")), (bytes("new"), false));
        assert_eq!(subject(None, None, bytes("new")), (bytes("new"), false));
        assert_eq!(subject(Some(&hash("new")), None, None), (None, false));
    }

    #[test]
    fn a_mark_names_its_run_and_nothing_else() {
        assert_eq!(marked_run("muster.gate.1f-0a.scratch"), Some("1f-0a"));
        for other in
            ["muster.gate.1f-0a.replay", "muster.gate.1f-0a.x.scratch", "muster.gate.scratch", "a.1f-0a.scratch"]
        {
            assert_eq!(marked_run(other), None, "{other}");
        }
    }

    #[test]
    fn words_are_one_line_and_not_endless() {
        assert_eq!(words("a\n  b"), "a b");
        assert_eq!(words(&"x".repeat(10_000)).chars().count(), WORDS_MAX + 1);
    }
}
