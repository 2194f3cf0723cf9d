//! The gate `provision`: the lane is what its variables say, and runs what it should.
//!
//! What always holds: it writes nothing. Each thing that a lane needs is looked at by itself, so that what is wrong is
//! named: variables, name, TLS, health, session, clock, issuer, owner, module.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use muster_contract::rows::{ActiveConnection, Row};
use muster_wire::http::HttpClient;
use muster_wire::{Endpoint, Timestamp};

use super::limits::CLOCK_LOOKS;
use super::recorder::{Recorder, ms};
use super::settings::Auth;
use super::site::{Stage, words};
use crate::observation::{Observation, Quantity, Standing};
use crate::report::Sha256;

/// Where OpenID Connect providers describe themselves (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Runs.
pub(crate) async fn run(stage: &Stage, recorder: &Recorder) {
    variables(stage, recorder);
    name_and_tls(stage, recorder).await;
    ping(stage, recorder).await;
    session_and_clock(stage, recorder).await;
    issuer(stage, recorder).await;
    owner(stage, recorder);
    module(stage, recorder);
}

fn variables(stage: &Stage, recorder: &Recorder) {
    match &stage.site.lane {
        // Whoever has a lane has a checked one.
        Some(lane) => recorder.observe(Observation::held("variables", lane.name.to_string())),
        None => recorder.observe(
            Observation::noted("variables", "none").note("no lane was named, so there are no variables to look at"),
        ),
    }
}

async fn name_and_tls(stage: &Stage, recorder: &Recorder) {
    let endpoint = &stage.site.endpoint;
    let authority = endpoint.authority();
    let is_here = match tokio::net::lookup_host(&authority).await {
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.map(|address| address.ip()).collect();
            let shown = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            recorder.must("dns", !addresses.is_empty(), shown, format!("{authority} has no address: check the name"));
            !addresses.is_empty() && addresses.iter().all(|address| address.is_loopback())
        }
        Err(error) => {
            recorder.observe(Observation::broken("dns", authority.as_str(), words(&error)));
            false
        }
    };
    let otherwise = "tokens and events would go over the network in clear: put TLS in front and use https://";
    // That the certificate is good shows in the requests below: one that is not fails them.
    let shown = if endpoint.is_encrypted() { "https" } else { "http on this machine" };
    let is_safe = endpoint.is_encrypted() || is_here;
    recorder.must("tls", is_safe, if is_safe { shown } else { "http" }, otherwise);
}

async fn ping(stage: &Stage, recorder: &Recorder) {
    let mut best: Option<Duration> = None;
    for _ in 0..CLOCK_LOOKS {
        match stage.http.ping().await {
            Ok(took) => {
                recorder.push("ping", Quantity::Latency, "ms", Instant::now(), ms(took));
                best = Some(best.map_or(took, |best| best.min(took)));
            }
            Err(error) => return recorder.observe(Observation::broken("ping", "no answer", words(&error))),
        }
    }
    let best = best.map_or(f64::NAN, ms);
    recorder.observe(Observation::held("ping", best).unit("ms"));
    let host = stage.host.clone().unwrap_or_else(|| "does not say".into());
    recorder.observe(Observation::noted("host", host));
}

/// The host's clock, from the row of a session of our own: it was written between asking and being greeted.
async fn session_and_clock(stage: &Stage, recorder: &Recorder) {
    let mut closest: Option<(f64, f64)> = None;
    for _ in 0..CLOCK_LOOKS {
        let (before, began) = (now_us(), Instant::now());
        let session = match stage.session().await {
            Ok(session) => session,
            Err(error) => return recorder.observe(Observation::broken("session", false, words(&error))),
        };
        let after = now_us();
        recorder.push("connect", Quantity::Latency, "ms", began, ms(began.elapsed()));
        let query = format!(
            "SELECT * FROM active_connection WHERE connection_id = 0x{}",
            session.connection.connection_id().to_hex().as_str()
        );
        let answer = session.connection.one_off_query(&query).await;
        session.close().await;
        let rows = match answer.map(|answer| answer.rows::<ActiveConnection>(ActiveConnection::TABLE)) {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => return recorder.observe(Observation::broken("session", false, words(&error))),
            Err(error) => return recorder.observe(Observation::broken("session", false, words(&error))),
        };
        let Some(row) = rows.first() else {
            let why = "this session has no row in active_connection: presence does not work on this lane";
            return recorder.observe(Observation::broken("session", false, why));
        };
        let (offset, within) = offset_ms(before, after, row.connected_at);
        if closest.is_none_or(|(_, best)| within < best) {
            closest = Some((offset, within));
        }
    }
    recorder.observe(Observation::held("session", true));
    let Some((offset, within)) = closest else { return recorder.undecided("clock", "there was no session") };
    let limit = stage.settings().slo.clock_ms;
    let otherwise = format!(
        "the host's clock is {offset:.0} ms from this machine's (to within {within:.0} ms): tokens are judged by it; see \
         that both follow a time server"
    );
    recorder.at_most("clock", (offset.abs() - within).max(0.0), limit, "ms", &otherwise);
}

/// By how much the host's clock is ahead, and how exactly that is known, in milliseconds.
fn offset_ms(before_us: i64, after_us: i64, host: Timestamp) -> (f64, f64) {
    let middle = (before_us as f64 + after_us as f64) / 2.0;
    let offset = host.to_micros_since_unix_epoch() as f64 - middle;
    (offset / 1e3, (after_us - before_us).max(0) as f64 / 2e3)
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Whether the issuer of the lane's tokens describes itself, so that hosts can fetch its keys.
async fn issuer(stage: &Stage, recorder: &Recorder) {
    let Some(lane) = &stage.site.lane else { return };
    let asked = async {
        let endpoint = Endpoint::new(&lane.token_issuer, "none").and_then(|it| it.with_health_path(DISCOVERY));
        let endpoint = endpoint.map_err(|error| words(&error))?;
        let http = HttpClient::new(endpoint, None).map_err(|error| words(&error))?;
        http.with_timeout(stage.settings().patience()).ping().await.map_err(|error| words(&error))
    };
    match asked.await {
        Ok(took) => recorder.observe(Observation::held("issuer", ms(took)).unit("ms")),
        Err(why) if stage.settings().auth == Auth::Required => {
            recorder.observe(Observation::broken("issuer", lane.token_issuer.as_str(), why));
        }
        Err(why) => recorder.observe(Observation::noted("issuer", lane.token_issuer.as_str()).note(why)),
    }
}

fn owner(stage: &Stage, recorder: &Recorder) {
    match &stage.is_owner {
        Ok(true) => recorder.observe(Observation::held("owner", true)),
        _ => {
            let why = stage.may_write().err().unwrap_or_default();
            recorder.observe(Observation::undecided("owner", why));
        }
    }
}

fn module(stage: &Stage, recorder: &Recorder) {
    let Some(host_hash) = &stage.host_hash else {
        let why = "this token may not read which module runs: use the owner's (--token-file)";
        return recorder.undecided("module", why);
    };
    recorder.observe(Observation::noted("module.host_hash", host_hash.as_str()));
    match &stage.site.module {
        Some(expected) => {
            let expected = Sha256::of(expected);
            let is_it = stage.is_confirmed && stage.sha256 == expected;
            let why = "another module runs there than the one that was named: publish it, or name the one that runs";
            let standing = if is_it { Standing::Held } else { Standing::Broken };
            let seen = Observation::new("module", stage.sha256.to_string(), standing).limit(expected.to_string());
            recorder.observe(if is_it { seen } else { seen.note(why) });
        }
        None => recorder.observe(Observation::held("module", stage.sha256.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_known_to_within_half_of_the_wait() {
        let at = Timestamp::from_micros_since_unix_epoch;
        assert_eq!(offset_ms(1_000_000, 1_020_000, at(1_010_000)), (0.0, 10.0));
        assert_eq!(offset_ms(1_000_000, 1_020_000, at(7_010_000)), (6_000.0, 10.0));
    }
}
