//! When a signing key is announced, signs, retires and goes: a pure schedule over facts, without clock or storage.
//!
//! What always holds:
//!
//! * At most one key signs. Once a first key exists, one more is always announced, so that a rotation can begin at once.
//! * A key signs only after the running service has served it for the whole announcement, in one go. Hosts cache the
//!   key set and refuse a key id that they do not know, so a key that signs earlier signs tokens that nobody takes. The
//!   very first key is the exception: before it there was no key set that anybody could have cached.
//! * A key stays in the key set until the last token that it can have signed is refused by every host.

use serde::{Deserialize, Serialize};

use crate::limits;

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// In the key set, and does not sign yet.
    Announced,
    /// Signs.
    Active,
    /// In the key set for the tokens that it signed; its private half is deleted.
    Retiring,
    /// Not in the key set any more.
    Gone,
}

impl KeyState {
    /// The word for it, as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyState::Announced => "announced",
            KeyState::Active => "active",
            KeyState::Retiring => "retiring",
            KeyState::Gone => "gone",
        }
    }

    /// The state that a stored word means.
    pub fn from_word(word: &str) -> Option<KeyState> {
        [KeyState::Announced, KeyState::Active, KeyState::Retiring, KeyState::Gone]
            .into_iter()
            .find(|state| state.as_str() == word)
    }

    /// Whether the key set has a key in this state.
    pub const fn is_published(self) -> bool {
        !matches!(self, KeyState::Gone)
    }
}

/// What the schedule knows of a key. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyFacts {
    /// Its id: what a token's header names.
    pub kid: String,
    /// Where it is in its life.
    pub state: KeyState,
    /// Since when.
    pub since_s: i64,
    /// Whether somebody asked that it sign as soon as it may. Only an announced key has this.
    pub wanted: bool,
}

/// How long the phases last, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// How long a key is served before it signs.
    pub announce_s: i64,
    /// How long it stays after its last signature.
    pub retire_s: i64,
    /// After how long a key is followed by another without being asked; 0 for never.
    pub rotate_every_s: i64,
}

impl Default for Phases {
    fn default() -> Self {
        Phases { announce_s: limits::KEY_ANNOUNCE_S, retire_s: limits::KEY_RETIRE_S, rotate_every_s: 30 * 24 * 3_600 }
    }
}

/// One change to the keys. They are to be made in order, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the first key of all: it signs at once.
    CreateActive,
    /// Make a key and announce it.
    Announce,
    /// The active key stops signing.
    Retire(String),
    /// The announced key begins to sign.
    Activate(String),
    /// The key leaves the key set.
    Remove(String),
}

/// What is due now. `serving_since_s` is when the running service began to serve its key set; `None` where no service
/// runs, and then no key begins to sign.
pub fn due(keys: &[KeyFacts], phases: Phases, now_s: i64, serving_since_s: Option<i64>) -> Vec<Step> {
    let mut steps = Vec::new();
    let find = |state| keys.iter().find(|key| key.state == state);
    match (find(KeyState::Active), find(KeyState::Announced)) {
        (None, None) => steps.extend([Step::CreateActive, Step::Announce]),
        (None, Some(_)) => steps.push(Step::CreateActive),
        (Some(_), None) => steps.push(Step::Announce),
        (Some(active), Some(next)) => {
            if is_wanted(active, next, phases, now_s)
                && may_sign_at(next, phases, serving_since_s).is_some_and(|at| at <= now_s)
            {
                steps.extend([Step::Retire(active.kid.clone()), Step::Activate(next.kid.clone()), Step::Announce]);
            }
        }
    }
    let retired = keys.iter().filter(|key| key.state == KeyState::Retiring);
    let over = retired.filter(|key| key.since_s.saturating_add(phases.retire_s) <= now_s);
    steps.extend(over.map(|key| Step::Remove(key.kid.clone())));
    steps
}

fn is_wanted(active: &KeyFacts, next: &KeyFacts, phases: Phases, now_s: i64) -> bool {
    let old = phases.rotate_every_s > 0 && active.since_s.saturating_add(phases.rotate_every_s) <= now_s;
    next.wanted || old
}

/// The earliest time at which an announced key may sign: the announcement counts only while this service serves it. A
/// host that could not reach us may have fetched last before the announcement. `None` where no service runs.
pub fn may_sign_at(key: &KeyFacts, phases: Phases, serving_since_s: Option<i64>) -> Option<i64> {
    serving_since_s.map(|serving| key.since_s.max(serving).saturating_add(phases.announce_s))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{ACCESS_LIFETIME_MAX_S, HOST_EXPIRY_LEEWAY_S, HOST_JWKS_REFRESH_S, JWKS_MAX_AGE_S};

    /// The keys as a store would keep them, and what hosts could have seen.
    struct Ring {
        keys: Vec<KeyFacts>,
        made: usize,
        now_s: i64,
        serving_since_s: Option<i64>,
    }

    impl Ring {
        fn new() -> Ring {
            let mut ring = Ring { keys: Vec::new(), made: 0, now_s: 0, serving_since_s: Some(0) };
            ring.tick();
            ring
        }

        fn tick(&mut self) {
            for step in due(&self.keys, Phases::default(), self.now_s, self.serving_since_s) {
                self.apply(step);
            }
        }

        fn apply(&mut self, step: Step) {
            let (kid, state) = match step {
                Step::CreateActive | Step::Announce => {
                    self.made += 1;
                    let kid = format!("k{}", self.made);
                    let state = if step == Step::CreateActive { KeyState::Active } else { KeyState::Announced };
                    self.keys.push(KeyFacts { kid, state, since_s: self.now_s, wanted: false });
                    return;
                }
                Step::Retire(kid) => (kid, KeyState::Retiring),
                Step::Activate(kid) => (kid, KeyState::Active),
                Step::Remove(kid) => (kid, KeyState::Gone),
            };
            let key = self.keys.iter_mut().find(|key| key.kid == kid).expect("a key of the ring");
            key.state = state;
            key.since_s = self.now_s;
            key.wanted = false;
        }

        fn rotate(&mut self) {
            for key in self.keys.iter_mut().filter(|key| key.state == KeyState::Announced) {
                key.wanted = true;
            }
            self.tick();
        }

        fn published(&self) -> Vec<String> {
            self.keys.iter().filter(|key| key.state.is_published()).map(|key| key.kid.clone()).collect()
        }

        fn signer(&self) -> String {
            let mut active = self.keys.iter().filter(|key| key.state == KeyState::Active);
            let signer = active.next().expect("a key signs").kid.clone();
            assert_eq!(active.next(), None, "two keys sign");
            signer
        }
    }

    #[test]
    fn the_first_key_signs_at_once_and_another_is_announced_with_it() {
        let ring = Ring::new();
        assert_eq!(ring.signer(), "k1");
        assert_eq!(ring.published(), ["k1", "k2"]);
    }

    #[test]
    fn a_rotation_waits_for_the_announcement_and_the_old_key_for_its_last_token() {
        let mut ring = Ring::new();
        ring.rotate();
        ring.now_s = limits::KEY_ANNOUNCE_S - 1;
        ring.tick();
        assert_eq!(ring.signer(), "k1", "a second too early");
        ring.now_s += 1;
        ring.tick();
        assert_eq!(ring.signer(), "k2");
        assert_eq!(ring.published(), ["k1", "k2", "k3"]);
        ring.now_s += limits::KEY_RETIRE_S - 1;
        ring.tick();
        assert_eq!(ring.published(), ["k1", "k2", "k3"], "its last token may still be taken");
        ring.now_s += 1;
        ring.tick();
        assert_eq!(ring.published(), ["k2", "k3"]);
    }

    #[test]
    fn time_without_a_service_does_not_count_as_announced() {
        let mut ring = Ring::new();
        ring.serving_since_s = None;
        ring.now_s = 1_000_000;
        ring.rotate();
        assert_eq!(ring.signer(), "k1");
        ring.serving_since_s = Some(1_000_000);
        ring.now_s += limits::KEY_ANNOUNCE_S - 1;
        ring.tick();
        assert_eq!(ring.signer(), "k1");
        ring.now_s += 1;
        ring.tick();
        assert_eq!(ring.signer(), "k2");
    }

    #[test]
    fn an_old_key_is_followed_without_being_asked() {
        let mut ring = Ring::new();
        ring.now_s = Phases::default().rotate_every_s;
        ring.tick();
        assert_eq!(ring.signer(), "k2");
    }

    /// A host: it fetches the key set at its own interval, through a cache, and keeps what it has when a fetch fails.
    struct Host {
        phase_s: i64,
        known: Vec<String>,
    }

    #[derive(Clone, Debug)]
    enum Op {
        Advance(i64),
        Rotate,
        Restart(i64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            6 => (1i64..200).prop_map(Op::Advance),
            2 => (200i64..2_000).prop_map(Op::Advance),
            3 => Just(Op::Rotate),
            1 => (1i64..1_000).prop_map(Op::Restart),
        ];
        proptest::collection::vec(op, 1..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_host_ever_meets_an_unknown_key(ops in ops(), phases in proptest::collection::vec(0..HOST_JWKS_REFRESH_S, 4)) {
            let mut ring = Ring::new();
            let mut hosts: Vec<Host> =
                phases.into_iter().map(|phase_s| Host { phase_s, known: ring.published() }).collect();
            // What the key set was, second by second: a cache between may answer with what is JWKS_MAX_AGE_S old.
            let mut history = vec![ring.published()];
            let mut last_signed: std::collections::BTreeMap<String, i64> = std::collections::BTreeMap::new();
            for op in ops {
                let (seconds, served) = match op {
                    Op::Advance(seconds) => (seconds, true),
                    Op::Rotate => { ring.rotate(); (0, true) }
                    Op::Restart(seconds) => (seconds, false),
                };
                if !served {
                    ring.serving_since_s = None;
                }
                for _ in 0..seconds {
                    ring.now_s += 1;
                    ring.tick();
                    history.push(ring.published());
                    if !served {
                        continue;
                    }
                    last_signed.insert(ring.signer(), ring.now_s);
                    let cached = history[(ring.now_s - JWKS_MAX_AGE_S).max(0) as usize].clone();
                    for host in &mut hosts {
                        if ring.now_s % HOST_JWKS_REFRESH_S == host.phase_s {
                            host.known = cached.clone();
                        }
                        prop_assert!(host.known.contains(&ring.signer()), "{} at {}", ring.signer(), ring.now_s);
                        // Every token that is still taken somewhere can be verified there.
                        for (kid, signed_s) in &last_signed {
                            if signed_s + ACCESS_LIFETIME_MAX_S + HOST_EXPIRY_LEEWAY_S > ring.now_s {
                                prop_assert!(host.known.contains(kid), "{kid} left too early");
                            }
                        }
                    }
                }
                if !served {
                    ring.serving_since_s = Some(ring.now_s);
                    ring.tick();
                }
            }
        }
    }
}
