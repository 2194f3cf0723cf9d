//! Who is in a cohort: a pure decision over a subject, a candidate and a share.
//!
//! What always holds: it depends on nothing else, so every mint says the same of the same subject; a larger share has
//! everybody that a smaller one has; another candidate draws anew, so that it is not always the same who try first.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The whole, in hundredths of a percent.
const WHOLE: u32 = 10_000;

/// A share, in hundredths of a percent: 0 to 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// A text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share is 0 to 100 percent with at most two decimals, such as 5 or 0.25")]
pub struct NoShare;

impl Share {
    /// As many hundredths of a percent, at most the whole.
    pub fn of_hundredths(hundredths: u32) -> Share {
        Share(hundredths.min(WHOLE))
    }

    /// The share in hundredths of a percent.
    pub const fn hundredths(self) -> u32 {
        self.0
    }

    /// Whether this subject belongs to this share of those who try `candidate`.
    ///
    /// # Panics
    /// Never: a digest has eight bytes.
    pub fn has(self, candidate: &str, subject: &str) -> bool {
        let mut hasher = Sha256::new();
        hasher.update((candidate.len() as u64).to_be_bytes());
        hasher.update(candidate.as_bytes());
        hasher.update(subject.as_bytes());
        let digest = hasher.finalize();
        let drawn = u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
        drawn % u64::from(WHOLE) < u64::from(self.0)
    }
}

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Share, NoShare> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > 2 {
            return Err(NoShare);
        }
        let number = |text: &str| text.parse::<u32>().map_err(|_| NoShare);
        let decimals = if decimals.len() == 1 { number(decimals)? * 10 } else { number(decimals)? };
        Some(number(whole)? * 100 + decimals).filter(|hundredths| *hundredths <= WHOLE).map(Share).ok_or(NoShare)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, decimals) if decimals % 10 == 0 => write!(f, "{whole}.{}", decimals / 10),
            (whole, decimals) => write!(f, "{whole}.{decimals:02}"),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(text: &str) -> Share {
        text.parse().expect("a share")
    }

    #[test]
    fn a_share_is_read_and_written_in_percent() {
        for (text, hundredths) in [("0", 0), ("5", 500), ("0.25", 25), ("12.5", 1_250), ("100", 10_000), ("1.05", 105)]
        {
            assert_eq!(share(text).hundredths(), hundredths, "{text}");
            assert_eq!(share(text).to_string(), text);
        }
        assert_eq!(share("100.00"), share("100"));
        for bad in ["", "-1", "100.01", "101", "5%", "1.", ".5", "0.001", "1e1", " 5", "99999999999"] {
            assert_eq!(bad.parse::<Share>(), Err(NoShare), "{bad}");
        }
    }

    #[test]
    fn a_share_of_many_is_about_as_many() {
        let taken = |percent: &str| (0..20_000).filter(|i| share(percent).has("next", &format!("client-{i}"))).count();
        assert_eq!((taken("0"), taken("100")), (0, 20_000));
        // Three standard deviations of 20,000 draws at 5 % are 92.
        assert!(taken("5").abs_diff(1_000) < 100, "{}", taken("5"));
    }

    #[test]
    fn who_is_drawn_stays_so_in_every_build() {
        // Drawn with another program (python's hashlib): a change of the rule would move clients between databases.
        let drawn: Vec<_> = (0..40).filter(|i| share("10").has("muster-next", &format!("client-{i}"))).collect();
        assert_eq!(drawn, [3, 12, 16]);
    }

    proptest! {
        #[test]
        fn a_larger_share_has_everybody_of_a_smaller_one(subject in "[a-z0-9:]{1,20}", one in 0u32..=10_000, more in 0u32..=10_000) {
            let (small, large) = (Share::of_hundredths(one.min(more)), Share::of_hundredths(one.max(more)));
            prop_assert!(!small.has("next", &subject) || large.has("next", &subject));
        }
    }
}
