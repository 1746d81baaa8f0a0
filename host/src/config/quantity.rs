//! Durations ("250ms", "2s", "1m", "1h") and sizes ("512B", "64KiB", "16MiB", "1GiB").
//!
//! A whole number and one unit, nothing between and nothing around them. Powers of two only:
//! whether "64KB" means 64,000 or 65,536 is not a thing to guess.

use std::time::Duration;

/// The longest duration: a year. Deadlines are sums of a clock and a duration, and stay far from
/// what the clock can hold.
pub(super) const LONGEST: Duration = Duration::from_hours(365 * 24);

/// From the largest; milliseconds per unit.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// From the largest; bytes per unit.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Why a text is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuantityError {
    /// It is not a whole number with one of the units.
    Form,
    /// It is more than can be held.
    TooLarge,
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let duration = Duration::from_millis(parse(text, &DURATION_UNITS)?);
    if duration > LONGEST {
        Err(QuantityError::TooLarge)
    } else {
        Ok(duration)
    }
}

/// Bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, QuantityError> {
    parse(text, &SIZE_UNITS)
}

/// As it would be written in the file; parts below a millisecond are left out.
pub(super) fn write_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    write(millis, &DURATION_UNITS, "0s")
}

/// As it would be written in the file.
pub(super) fn write_size(bytes: u64) -> String {
    write(bytes, &SIZE_UNITS, "0B")
}

fn parse(text: &str, units: &[(&str, u64)]) -> Result<u64, QuantityError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(QuantityError::Form)?;
    let (_, per_unit) = units
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or(QuantityError::Form)?;
    if number.is_empty() {
        return Err(QuantityError::Form);
    }
    // All digits: the only thing that can be wrong with it is its size.
    let number: u64 = number.parse().map_err(|_| QuantityError::TooLarge)?;
    number.checked_mul(*per_unit).ok_or(QuantityError::TooLarge)
}

fn write(amount: u64, units: &[(&str, u64)], zero: &str) -> String {
    units
        .iter()
        .find(|(_, per_unit)| amount > 0 && amount.is_multiple_of(*per_unit))
        .map_or_else(
            || zero.to_owned(),
            |(unit, per_unit)| format!("{}{unit}", amount / per_unit),
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units() {
        for (text, millis) in [
            ("250ms", 250),
            ("2s", 2000),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("0s", 0),
            ("007s", 7000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for (text, bytes) in [
            ("512B", 512),
            ("64KiB", 65_536),
            ("16MiB", 1 << 24),
            ("2GiB", 1 << 31),
            ("0B", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity() {
        for text in [
            "", "s", "2", "2 s", " 2s", "2s ", "-2s", "+2s", "1.5s", "1m30s", "2S", "2sec", "٢s",
            "2ms2",
        ] {
            assert_eq!(parse_duration(text), Err(QuantityError::Form), "{text:?}");
        }
        for text in [
            "", "KiB", "64", "64KB", "64k", "64kib", "64 KiB", "none", "-1B", "1.5MiB",
        ] {
            assert_eq!(parse_size(text), Err(QuantityError::Form), "{text:?}");
        }
    }

    #[test]
    fn what_is_too_much() {
        assert_eq!(parse_duration("8760h"), Ok(LONGEST));
        for text in [
            "8761h",
            "31536000001ms",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse_duration(text), Err(QuantityError::TooLarge), "{text}");
        }
        assert_eq!(parse_size("18446744073709551615B"), Ok(u64::MAX));
        for text in [
            "18446744073709551616B",
            "18446744073709551615KiB",
            "17179869184GiB",
        ] {
            assert_eq!(parse_size(text), Err(QuantityError::TooLarge), "{text}");
        }
    }

    #[test]
    fn written_in_the_largest_whole_unit() {
        assert_eq!(write_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(write_duration(Duration::from_secs(90)), "90s");
        assert_eq!(write_duration(Duration::from_hours(2)), "2h");
        assert_eq!(write_duration(Duration::ZERO), "0s");
        assert_eq!(write_size(65_536), "64KiB");
        assert_eq!(write_size(65_537), "65537B");
        assert_eq!(write_size(0), "0B");
    }

    proptest! {
        #[test]
        fn durations_round_trip(millis in 0..=31_536_000_000_u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&write_duration(duration)), Ok(duration));
        }

        #[test]
        fn sizes_round_trip(bytes: u64) {
            prop_assert_eq!(parse_size(&write_size(bytes)), Ok(bytes));
        }

        #[test]
        fn arbitrary_text_is_refused_or_means_what_it_says(text in "\\PC{0,24}") {
            if let Ok(duration) = parse_duration(&text) {
                prop_assert_eq!(parse_duration(&write_duration(duration)), Ok(duration));
            }
            if let Ok(bytes) = parse_size(&text) {
                prop_assert_eq!(parse_size(&write_size(bytes)), Ok(bytes));
            }
        }
    }
}
