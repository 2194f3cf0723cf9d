//! Another build of the module is published while events flow, and the first one again: nobody notices but by a moment.
//!
//! What always holds: the other build is the lane's module with a section that WebAssembly ignores, so that only its hash
//! differs: what is tried is the host's exchange of a running module, not another module.

use muster_wire::http::PublishOptions;
use muster_wire::sats::hash::hash_bytes;

use super::scene::{Scene, under_load_at};
use super::scratch;
use crate::gates::recorder::Recorder;
use crate::gates::site::{Stage, words};

/// Runs.
pub(super) async fn run(stage: &Stage, recorder: &Recorder) {
    let (place, module) = match scratch::make(stage).await {
        Ok(made) => made,
        Err(why) => return recorder.undecided("hot_swap", why),
    };
    under_load_at(stage, recorder, "hot_swap", &place, async |_: &Scene<'_>| {
        for (name, bytes) in [("hot_swap.to", with_a_section(&module)), ("hot_swap.back", module.clone())] {
            tokio::time::sleep(stage.settings().fault() / 4).await;
            let hash = hash_bytes(&bytes).to_hex().to_string();
            place.http.publish(bytes, &PublishOptions::default()).await.map_err(|error| words(&error))?;
            let runs = place.http.running_program().await.map_err(|error| words(&error))?;
            let why = "the host says that it published the module, and runs another";
            recorder.must(name, runs.as_deref() == Some(hash.as_str()), hash, why);
        }
        Ok(())
    })
    .await;
    if let Err(why) = scratch::remove(&place).await {
        recorder.undecided("hot_swap.removed", why);
    }
}

/// The module with a custom section behind (WebAssembly core specification, section "Custom Section": a name and any
/// bytes, ignored by who runs it).
fn with_a_section(module: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"muster-gate";
    // Both lengths are below 128, one byte of LEB128 each.
    let content = [&[NAME.len() as u8][..], NAME].concat();
    [module, &[0, content.len() as u8], &content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_build_differs_by_an_ignored_section() {
        let other = with_a_section(b"\0asm\x01\0\0\0");
        assert_eq!(&other[8..], b"\0\x0c\x0bmuster-gate");
    }
}
