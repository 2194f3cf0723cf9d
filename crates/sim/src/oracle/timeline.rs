//! One life of a stream, as the host's disk had it, and where an event may stand in it.
//!
//! What always holds: an event is taken in wherever it stands, so that a timeline is what the host has; whether it may
//! stand there is told beside it.

use std::collections::BTreeSet;

use muster_contract::page::StoredEvent;

/// An event, named by who published it and its number among all that this publisher ever took on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// The publisher's node.
    pub node: usize,
    /// Which of its events.
    pub n: u64,
}

impl Tag {
    /// The tag as the event's kind has it.
    pub fn to_kind(self) -> String {
        format!("p{}.{}", self.node, self.n)
    }

    /// Reads an event's kind.
    pub fn of_kind(kind: &str) -> Option<Tag> {
        let (node, n) = kind.strip_prefix('p')?.split_once('.')?;
        Some(Tag { node: node.parse().ok()?, n: n.parse().ok()? })
    }
}

/// One life of a stream, from its first event on, pruned or not. Two timelines of one life differ where the host was
/// restored from an older copy and nobody gave the stream another epoch.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// All events, the first with number 1.
    pub events: Vec<StoredEvent>,
    pub(super) tags: BTreeSet<Tag>,
}

/// An event that is there a second time, or behind what its publisher published later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// What was seen.
    pub what: String,
    /// Whether none of the events before which it belongs was stored under the producer id that it came under.
    pub is_of_another_counting: bool,
}

impl Timeline {
    /// Takes in the next event.
    ///
    /// # Errors
    /// [`Misplaced`]; the event is taken in all the same.
    pub(super) fn push(&mut self, event: StoredEvent) -> Result<Tag, Misplaced> {
        let Some(tag) = Tag::of_kind(&event.kind) else {
            let what = format!("an event that nobody published: {event:?}");
            return Err(Misplaced { what, is_of_another_counting: false });
        };
        let is_new = self.tags.insert(tag);
        let later = self.tags.range(tag..).nth(1).filter(|after| after.node == tag.node);
        let what = match later {
            _ if !is_new => format!("{} is stored twice in one life of its stream", tag.to_kind()),
            Some(later) => {
                format!("{} is stored after {}, before which it was published", tag.to_kind(), later.to_kind())
            }
            None => {
                self.events.push(event);
                return Ok(tag);
            }
        };
        let belongs_behind =
            |held: &&StoredEvent| Tag::of_kind(&held.kind).is_some_and(|held| held.node == tag.node && held.n >= tag.n);
        let is_of_another_counting =
            self.events.iter().filter(belongs_behind).all(|held| held.producer != event.producer);
        self.events.push(event);
        Err(Misplaced { what, is_of_another_counting })
    }

    /// What a copy of it has that ends with the event `head`.
    pub(super) fn cut(mut self, head: u64) -> Timeline {
        self.events.truncate(usize::try_from(head).expect("fits"));
        self.tags = self.events.iter().filter_map(|event| Tag::of_kind(&event.kind)).collect();
        self
    }

    /// Whether its event `head` is `last`.
    pub(super) fn holds(&self, head: u64, last: Option<&StoredEvent>) -> bool {
        let index = usize::try_from(head).expect("fits");
        self.events.len() >= index && last.is_none_or(|last| self.events.get(index - 1) == Some(last))
    }

    /// Under which producer ids, as the host numbers them, publishers have events here.
    pub(super) fn countings(&self) -> BTreeSet<(usize, u64)> {
        let of = |event: &StoredEvent| Some((Tag::of_kind(&event.kind)?.node, event.producer));
        self.events.iter().filter_map(of).collect()
    }
}
