//! The canonical text of a number (RFC 8785 section 3.2.2.3, which is ECMAScript's `Number::toString`).
//!
//! What always holds: an integer keeps its value or is refused.

/// Why a number has no canonical text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NumberError {
    /// Beyond the range of doubles.
    OutOfRange,
    /// An integer that would become this other one.
    Lossy(String),
}

/// Integers of at most this many digits are doubles, and written as they are.
const SAFE_DIGITS: usize = 15;

/// Appends the canonical text of a number. `text` is a number by JSON's grammar; `is_integer`, that it has neither
/// fraction nor exponent.
pub(super) fn push_number(out: &mut String, text: &str, is_integer: bool) -> Result<(), NumberError> {
    if is_integer && text.len() <= SAFE_DIGITS {
        // There is no negative zero (RFC 8785 section 3.2.2.3).
        out.push_str(if text == "-0" { "0" } else { text });
        return Ok(());
    }
    let double: f64 = text.parse().expect("what JSON takes for a number, `f64` does too");
    if !double.is_finite() {
        return Err(NumberError::OutOfRange);
    }
    let mut buffer = ryu_js::Buffer::new();
    let canonical = buffer.format_finite(double);
    if is_integer && !is_same_integer(text, canonical) {
        return Err(NumberError::Lossy(canonical.to_owned()));
    }
    out.push_str(canonical);
    Ok(())
}

/// Whether an integer, and the canonical text of the double nearest to it, are the same decimal number. They have the same
/// sign, and are so near that they can differ in their digits alone.
fn is_same_integer(text: &str, canonical: &str) -> bool {
    let Some((mantissa, _)) = canonical.split_once("e+") else {
        return text == canonical;
    };
    // From 10^21 on, `d.ddd` with an exponent: the same digits but for zeros at the end.
    text.trim_end_matches('0').bytes().eq(mantissa.bytes().filter(|byte| *byte != b'.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Result<String, NumberError> {
        let mut out = String::new();
        let is_integer = !text.contains(['.', 'e', 'E']);
        push_number(&mut out, text, is_integer).map(|()| out)
    }

    /// The significant digits of a number.
    fn digits(text: &str) -> u64 {
        let mantissa = text.split('e').next().expect("a part before the exponent");
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        // Zeros at the end of a fraction that is not there say nothing.
        digits.trim_end_matches('0').parse().unwrap_or(0)
    }

    #[test]
    fn of_two_digits_that_are_equally_near_the_even_one_is_written() {
        assert_eq!(canonical("1901932167722936.25").as_deref(), Ok("1901932167722936.2"));
        assert_eq!(canonical("1424953923781206.25").as_deref(), Ok("1424953923781206.2"));
        assert_eq!(canonical("5e-324").as_deref(), Ok("5e-324"));
    }

    #[test]
    fn doubles_are_written_as_the_table_in_rfc_8785_appendix_b_says() {
        let table = [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ];
        for (bits, expected) in table {
            // Rust's own exponent form is exact, and another than the canonical one.
            let text = format!("{:e}", f64::from_bits(bits));
            assert_eq!(canonical(&text).as_deref(), Ok(expected), "{bits:#x}");
            assert_eq!(canonical(expected).as_deref(), Ok(expected), "{bits:#x}");
        }
    }

    #[test]
    fn an_integer_that_a_double_does_not_hold_is_refused() {
        for kept in ["9007199254740991", "9007199254740992", "-9007199254740994", "18446744073709552000"] {
            assert_eq!(canonical(kept).as_deref(), Ok(kept));
        }
        assert_eq!(canonical("1000000000000000000000").as_deref(), Ok("1e+21"));
        assert_eq!(canonical("-1200000000000000000000000").as_deref(), Ok("-1.2e+24"));
        for (lost, becomes) in [
            ("9007199254740993", "9007199254740992"),
            ("9223372036854775807", "9223372036854776000"),
            ("18446744073709551615", "18446744073709552000"),
            ("-9007199254740993", "-9007199254740992"),
            ("1000000000000000000001", "1e+21"),
            ("10000000000000000000000000000000000000000000000001", "1e+49"),
        ] {
            assert_eq!(canonical(lost), Err(NumberError::Lossy(becomes.into())));
        }
    }

    #[test]
    fn a_number_with_a_fraction_or_an_exponent_is_rounded() {
        for (text, rounded) in
            [("9007199254740993.0", "9007199254740992"), ("1e-400", "0"), ("-0", "0"), ("-0.0", "0"), ("1E2", "100")]
        {
            assert_eq!(canonical(text).as_deref(), Ok(rounded));
        }
    }

    #[test]
    fn a_number_beyond_doubles_is_refused() {
        let long = "9".repeat(400);
        for text in ["1e400", "-1e400", "1.8e308", long.as_str()] {
            assert_eq!(canonical(text), Err(NumberError::OutOfRange));
        }
    }

    proptest! {
        #[test]
        fn every_double_is_what_its_canonical_text_says(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            let text = canonical(&format!("{double:e}")).expect("a double is in range");
            prop_assert_eq!(text.parse::<f64>(), Ok(double));
            prop_assert_eq!(canonical(&text), Ok(text.clone()));
        }

        /// Rust's digits are the fewest, too, and the nearest; where two are equally near, the even one is canonical.
        #[test]
        fn the_digits_are_the_fewest_and_nearest_and_even_where_two_are_equally_near(bits: u64) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite());
            let (ours, others) = (digits(&canonical(&format!("{double:e}")).expect("in range")), digits(&format!("{double:e}")));
            prop_assert!(ours == others || ours % 2 == 0 && ours.abs_diff(others) == 1, "{ours} {others}");
        }

        #[test]
        fn an_integer_is_kept_exactly_or_refused(number: i128, shift in 0u32..128) {
            let number = number >> shift;
            let exact = number as f64 as i128 == number;
            match canonical(&number.to_string()) {
                // Up to 10^21, the text itself; beyond, digits and an exponent that say the same.
                Ok(text) if !text.contains('e') => prop_assert_eq!(text, number.to_string()),
                Ok(text) => {
                    let (mantissa, exponent) = text.split_once("e+").expect("large");
                    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
                    let zeros: usize = exponent.parse::<usize>().expect("a number") - fraction;
                    prop_assert_eq!(mantissa.replace('.', "") + &"0".repeat(zeros), number.to_string());
                }
                Err(error) => {
                    prop_assert!(matches!(error, NumberError::Lossy(_)));
                    // Up to 2^53, every integer is a double; above, most that are exact are not the shortest text.
                    prop_assert!(!exact || number.unsigned_abs() > 1 << 53);
                }
            }
        }
    }
}
