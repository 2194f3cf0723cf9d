//! Percentiles, medians, spreads and ratios.
//!
//! What always holds: pure; a percentile is one of the samples (nearest rank), never something between two of them; no
//! samples give NaN and not a number that somebody might believe.

use std::time::Duration;

/// The smallest sample such that at least `percent` of 100 of all samples are no larger (nearest rank). NaN if there are
/// none.
///
/// # Panics
/// If `percent` is not within 0 and 100.
#[must_use]
pub fn percentile(samples: &[f64], percent: f64) -> f64 {
    assert!((0.0..=100.0).contains(&percent), "{percent} is no percentage");
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// The middle sample, or the mean of the two in the middle. NaN if there are none.
#[must_use]
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The largest sample less the smallest, in the samples' own unit: repeats are few, so nothing is left out as an
/// outlier. NaN if there are none.
#[must_use]
pub fn spread(samples: &[f64]) -> f64 {
    let largest = samples.iter().copied().fold(f64::NAN, f64::max);
    let smallest = samples.iter().copied().fold(f64::NAN, f64::min);
    largest - smallest
}

/// How many times `reference` goes into `value`; `None` where that says nothing.
#[must_use]
pub fn ratio(value: f64, reference: f64) -> Option<f64> {
    (value.is_finite() && reference.is_finite() && reference != 0.0).then(|| value / reference)
}

/// Milliseconds.
#[must_use]
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank_in_any_order_of_samples() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50.0), 50.0);
        assert_eq!(percentile(&hundred, 99.0), 99.0);
        assert_eq!(percentile(&hundred, 100.0), 100.0);
        assert_eq!(percentile(&hundred, 0.0), 1.0);
        assert_eq!(percentile(&[3.0, 1.0], 99.0), 3.0, "of two samples the 99th percentile is the larger");
        assert_eq!(percentile(&[7.0], 1.0), 7.0);
    }

    #[test]
    fn nothing_measured_is_not_a_number() {
        assert!(percentile(&[], 50.0).is_nan());
        assert!(median(&[]).is_nan());
        assert!(spread(&[]).is_nan());
        assert_eq!(ratio(1.0, f64::NAN), None);
        assert_eq!(ratio(1.0, 0.0), None);
    }

    #[test]
    fn medians_and_spreads_take_every_repeat() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(spread(&[9.0, 1.0, 2.0]), 8.0);
        assert_eq!(spread(&[5.0]), 0.0);
    }

    #[test]
    fn a_ratio_says_how_many_times_the_reference() {
        assert_eq!(ratio(30.0, 10.0), Some(3.0));
        assert_eq!(ms(Duration::from_micros(1_500)), 1.5);
    }
}
