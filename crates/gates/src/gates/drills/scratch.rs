//! A database of the gate's own on the lane's host, with the very module of the lane: for drills that change a whole lane.

use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::{Timestamp, Token};

use super::scene::Place;
use crate::gates::session::{Session, SessionError, event, new_producer};
use crate::gates::site::{SCRATCH_MARK, Stage, scratch_endpoint, words};
use crate::gates::traffic::KIND;

/// Publishes the lane's module to it. It is deleted by [`remove`], and at the latest by [`crate::gates::clean`].
pub(super) async fn make(stage: &Stage) -> Result<(Place, Vec<u8>), String> {
    let module =
        stage.module.clone().ok_or("which module the lane runs is known, but not its bytes: add --module FILE")?;
    let place = place(stage)?;
    mark(stage).await.map_err(|error| words(&error))?;
    place.http.publish(module.clone(), &PublishOptions::default()).await.map_err(|error| words(&error))?;
    Ok((place, module))
}

/// Writes down on the lane that this run makes a database of its own, so that a later run deletes it if this one is killed.
async fn mark(stage: &Stage) -> Result<(), SessionError> {
    let session = stage.session().await?;
    let events = vec![event(KIND, "{}".into(), Timestamp::now())];
    session.append(stage.stream(SCRATCH_MARK).as_str(), &new_producer(), 1, events).await?;
    session.close().await;
    Ok(())
}

fn place(stage: &Stage) -> Result<Place, String> {
    let endpoint = scratch_endpoint(&stage.site, stage.site.run.as_str());
    let http = HttpClient::new(endpoint.clone(), stage.site.token.clone()).map_err(|error| words(&error))?;
    Ok(Place { endpoint, http: http.with_timeout(stage.settings().patience()) })
}

/// Deletes it.
pub(super) async fn remove(place: &Place) -> Result<(), String> {
    place.http.delete_database().await.map_err(|error| words(&error))
}

/// A session of its owner.
pub(super) async fn session(stage: &Stage, place: &Place) -> Result<Session, String> {
    let token: Option<Token> = stage.site.token.clone();
    Session::open(place.endpoint.clone(), token, stage.settings().patience()).await.map_err(|error| words(&error))
}
