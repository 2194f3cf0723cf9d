//! How long to wait before trying again: exponential, capped, with full jitter.
//!
//! What always holds: the wait is evenly spread between nothing and a bound that doubles from
//! [`BACKOFF_FIRST_MS`] to [`BACKOFF_MAX_MS`], so that ten thousand clients that were cut off together do not come back
//! together. ("Full jitter" as in Amazon's "Exponential Backoff And Jitter", 2015.)

use crate::limits::{BACKOFF_FIRST_MS, BACKOFF_MAX_MS};

/// The longest wait before this attempt, in milliseconds; the first attempt after a failure is 0.
pub fn bound_ms(attempt: u32) -> u64 {
    let doubled = 1u64.checked_shl(attempt).and_then(|factor| BACKOFF_FIRST_MS.checked_mul(factor));
    doubled.unwrap_or(BACKOFF_MAX_MS).min(BACKOFF_MAX_MS)
}

/// The wait before this attempt, in milliseconds, from 64 evenly distributed random bits.
pub fn wait_ms(attempt: u32, random: u64) -> u64 {
    let choices = u128::from(bound_ms(attempt)) + 1;
    // The high half of the product: random / 2^64 of the choices, without the bias of a remainder.
    u64::try_from((u128::from(random) * choices) >> 64).expect("less than the number of choices, which is small")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bound_doubles_from_250_milliseconds_to_8_seconds() {
        let bounds: Vec<_> = (0..8).map(bound_ms).collect();
        assert_eq!(bounds, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        assert_eq!([63, 64, u32::MAX].map(bound_ms), [8_000; 3]);
    }

    #[test]
    fn the_whole_range_is_used_evenly() {
        assert_eq!(wait_ms(0, 0), 0);
        assert_eq!(wait_ms(0, u64::MAX / 2), 125);
        assert_eq!(wait_ms(0, u64::MAX), 250);
    }

    proptest! {
        #[test]
        fn no_wait_exceeds_its_bound(attempt: u32, random: u64) {
            prop_assert!(wait_ms(attempt, random) <= bound_ms(attempt));
        }
    }
}
