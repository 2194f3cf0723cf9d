//! Where all chance comes from: one seed, and a numbered sub-stream of it for each purpose.
//!
//! What always holds: the same seed and sub-stream give the same numbers on every machine and in every build. ChaCha is
//! specified (RFC 8439), and what is made of its words is written here rather than taken from a library that may choose
//! another way one day. A purpose of its own for each sub-stream keeps a run that leaves out one fault like the run that
//! has it, which is what makes a failing trace shrink.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A source of chance for one purpose.
#[derive(Clone, Debug)]
pub struct Rng(ChaCha8Rng);

/// What a sub-stream is for.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Purpose {
    /// The plan: workload, faults, sizes.
    Plan = 1,
    /// What the host draws: epochs, how long its disk takes, what a crash leaves.
    Host = 2,
    /// What the network draws for connection `n`.
    Connection = 3,
    /// What node `n`'s disk draws.
    Disk = 4,
    /// What node `n`'s process draws: the random bits that a driver hands to its core.
    Process = 5,
    /// The part of the plan that is about tokens.
    Grants = 6,
}

impl Rng {
    /// The source for the `number`th user of `purpose` under `seed`.
    pub fn new(seed: u64, purpose: Purpose, number: u64) -> Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream((purpose as u64) << 32 | (number & 0xffff_ffff));
        Rng(rng)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `limit`; 0 for 0. The bias of the remainder does not matter at the sizes asked for here.
    pub fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.bits() % limit }
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `permille` times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// One of these.
    ///
    /// # Panics
    /// For an empty slice.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let index = usize::try_from(self.below(of.len() as u64)).expect("an index fits");
        of[index]
    }
}
