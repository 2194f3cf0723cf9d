//! The gate `contract`: what the published module shows and answers is what clients of this build expect.
//!
//! What always holds: tables and functions are compared with the shapes that the clients decode, and every difference is
//! named with both sides; the vectors that other languages reproduce are asked of the module itself.

mod shapes;
mod vectors;

use muster_contract::Client;
use muster_contract::rows::{ContractInfo, Row};
use muster_wire::ConnectOptions;

use super::recorder::Recorder;
use super::session::Session;
use super::site::{Stage, words};
use crate::observation::Observation;

/// Runs.
pub(crate) async fn run(stage: &Stage, recorder: &Recorder) {
    let schema = match stage.http.schema().await {
        Ok(schema) => schema,
        Err(error) => return recorder.undecided("schema", words(&error)),
    };
    shapes::tables(&schema, recorder);
    shapes::functions(&schema, recorder);
    window(stage, recorder).await;
    if let Err(why) = stage.may_write() {
        return recorder.undecided("vectors", why);
    }
    match stage.session().await {
        Ok(session) => {
            vectors::run(stage, &session, recorder).await;
            session.close().await;
        }
        // Shapes that differ have been named above; then no client of this build gets in, and no vector can be asked.
        Err(error) => recorder.observe(Observation::broken("session", false, words(&error))),
    }
}

/// The row of `contract_info`, read without the client's own check, so that what differs is judged here.
async fn window(stage: &Stage, recorder: &Recorder) {
    let token = stage.site.token.clone();
    let session = match Session::with(ConnectOptions::new(stage.site.endpoint.clone()).token(token)).await {
        Ok(session) => session,
        Err(error) => return recorder.undecided("contract_info", words(&error)),
    };
    let answer = session.connection.one_off_query("SELECT * FROM contract_info").await;
    session.close().await;
    let rows = match answer.map(|answer| answer.rows::<ContractInfo>(ContractInfo::TABLE)) {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => {
            return recorder.observe(Observation::broken("contract_info", "not readable", words(&error)));
        }
        Err(error) => return recorder.undecided("contract_info", words(&error)),
    };
    let [row] = rows.as_slice() else {
        let why = "the module must have exactly one row in contract_info";
        return recorder.observe(Observation::broken("contract_info", rows.len(), why));
    };
    let said = format!(
        "{}, schema {} to {}, module {}",
        row.protocol_id, row.oldest_schema_version, row.schema_version, row.module_version
    );
    let judged = Client::of_this_build().check_contract(row);
    let why = judged.as_ref().err().map(words).unwrap_or_default();
    recorder.must("contract_info", judged.is_ok(), said, why);
}
