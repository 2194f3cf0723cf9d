//! A database of the gate's own on the lane's host, with the very module of the lane: for drills that change a whole lane.

use muster_wire::Token;
use muster_wire::http::{HttpClient, PublishOptions};

use super::scene::Place;
use crate::gates::session::Session;
use crate::gates::site::{Stage, scratch_endpoint, words};

/// Publishes the lane's module to it. It is deleted by [`remove`], and at the latest by [`crate::gates::clean`].
pub(super) async fn make(stage: &Stage) -> Result<(Place, Vec<u8>), String> {
    let module =
        stage.module.clone().ok_or("which module the lane runs is known, but not its bytes: add --module FILE")?;
    let place = place(stage)?;
    place.http.publish(module.clone(), &PublishOptions::default()).await.map_err(|error| words(&error))?;
    Ok((place, module))
}

fn place(stage: &Stage) -> Result<Place, String> {
    let endpoint = scratch_endpoint(&stage.site);
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
