//! Reading the events that are shown from the screen's store, away from the task that feeds the model.
//!
//! What always holds: one reading is under way at a time; what was read is compared with where the store has the stream, its
//! mark included, whenever the sync says something new of it and at least every [`EVENTS_LOOK_MS`], so events of an earlier
//! life of a stream do not stay for those of the present one that have the same numbers.

use std::path::PathBuf;

use muster_contract::stream::StreamId;
use muster_sync::{Place, Reader, StoreError};
use tokio::task::JoinHandle;

use super::futures_now;
use super::store::{self, Wanted};
use crate::clock::At;
use crate::limits::{EVENTS_LOOK_MS, ms};
use crate::model::streams::StreamWord;
use crate::model::{Model, Observation};

#[derive(Debug)]
pub(super) struct Reading {
    path: PathBuf,
    reader: Option<Reader>,
    under_way: Option<JoinHandle<Came>>,
    done: Option<Done>,
    is_troubled: bool,
}

/// What was read last.
#[derive(Debug)]
struct Done {
    asked: Asked,
    /// Where the store had the stream.
    place: Option<Place>,
    at: At,
}

/// What was asked for, and what the sync said of the stream then.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    wanted: Wanted,
    said: (Option<u64>, Option<u64>),
}

type Came = (Option<Reader>, Asked, Result<Option<store::Read>, StoreError>);

impl Reading {
    pub(super) fn of(path: PathBuf) -> Reading {
        Reading { path, reader: None, under_way: None, done: None, is_troubled: false }
    }

    /// Takes in what was read, and reads what is to be shown, unless that is what was read last.
    pub(super) fn look(&mut self, model: &mut Model, words: &[StreamWord], now: At) {
        if let Some(came) = self.under_way.take_if(|reading| reading.is_finished()) {
            // It is finished, so this is ready at once; a panic in it has been printed.
            if let Some(Ok((reader, asked, read))) = futures_now(came) {
                self.reader = reader;
                self.take(model, asked, read, now);
            }
        }
        let events = &model.facts().events;
        let Some(stream) = events.stream.as_deref().and_then(|stream| StreamId::parse(stream).ok()) else { return };
        let word = words.iter().find(|word| word.stream == stream);
        // Another stream, or none, may have been shown in between: then what was read is not there any more.
        if events.read_at.is_none() && self.under_way.is_none() {
            self.done = None;
        }
        let said = word.map_or((None, None), |word| (word.epoch, word.cursor));
        let asked = Asked { wanted: Wanted { search: events.search.clone(), stream }, said };
        let is_fresh = |done: &Done| done.asked == asked && now.since(done.at) < ms(EVENTS_LOOK_MS);
        if said.1.is_none() || self.under_way.is_some() || self.done.as_ref().is_some_and(is_fresh) {
            return;
        }
        let before = self.done.as_ref().filter(|done| done.asked.wanted == asked.wanted).map(|done| done.place);
        let (reader, path) = (self.reader.take(), self.path.clone());
        self.under_way = Some(tokio::task::spawn_blocking(move || {
            let reader = match reader.map_or_else(|| Reader::open(&path), Ok) {
                Ok(reader) => reader,
                Err(error) => return (None, asked, Err(error)),
            };
            let read = store::events(&reader, &asked.wanted, before);
            (Some(reader).filter(|_| read.is_ok()), asked, read)
        }));
    }

    fn take(&mut self, model: &mut Model, asked: Asked, read: Result<Option<store::Read>, StoreError>, now: At) {
        let before = self.done.take();
        let Wanted { stream, search } = asked.wanted.clone();
        let stream = stream.to_string();
        let (place, observation) = match read {
            Ok(None) => (before.and_then(|done| done.place), Observation::EventsSame { stream, search }),
            Ok(Some(store::Read { rows, place })) => {
                let epoch = place.map(|place| place.position.epoch.get());
                let through = place.map_or(0, |place| place.position.seq.get());
                (place, Observation::Events { stream, search, rows, epoch, through })
            }
            Err(error) => {
                self.is_troubled = true;
                // As something that is asked for again in a second, and not at once.
                self.done = Some(Done { asked, place: None, at: now });
                return model.on(now, Observation::Trouble(Some(format!("events cannot be read: {error}"))));
            }
        };
        self.done = Some(Done { asked, place, at: now });
        model.on(now, observation);
        if std::mem::take(&mut self.is_troubled) {
            model.on(now, Observation::Trouble(None));
        }
    }
}
