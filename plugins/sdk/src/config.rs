//! A plugin's configuration: its TOML table, handed over as JSON.

use crate::error::Result;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// The configuration of a plugin that has nothing to configure: any key is refused.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// A number of bytes, written as "64KiB", "1MiB", "100B" or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// That many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit: u64 = match text.get(digits.len()..).unwrap_or_default().trim_start() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => {
                return Err(format!(
                    "{text:?} is not a size; write one as \"64KiB\" or \"1MiB\""
                ));
            }
        };
        let number: u64 = digits
            .parse()
            .map_err(|_| format!("{text:?} is not a size; write one as \"64KiB\""))?;
        number
            .checked_mul(unit)
            .map(Self)
            .ok_or_else(|| format!("{text:?} is too large"))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a size such as \"64KiB\"")
            }
            fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }
            fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes)
                    .map(ByteSize)
                    .map_err(|_| E::custom("a size is not negative"))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Reads a configuration, or says at which key it is wrong: ``request.sett: unknown field `sett`, expected …``.
///
/// [`export!`](crate::export) does this by itself; it is public for a plugin's own tests.
pub fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner().to_string();
        // The position is one in the JSON, which the user has never seen.
        let reason = reason
            .rsplit_once(" at line ")
            .map_or(reason.as_str(), |(reason, _)| reason);
        if path == "." {
            reason.to_owned()
        } else {
            format!("{path}: {reason}")
        }
    })?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Config {
        #[serde(default)]
        request: Request,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Request {
        set: Option<String>,
        limit: Option<ByteSize>,
    }

    #[test]
    fn an_error_names_the_key() {
        let error = parse::<Config>(r#"{"request":{"sett":"x"}}"#).unwrap_err();
        assert_eq!(
            error,
            "request.sett: unknown field `sett`, expected `set` or `limit`"
        );
        let error = parse::<Config>(r#"{"request":{"limit":"7 apples"}}"#).unwrap_err();
        assert!(
            error.starts_with("request.limit: \"7 apples\" is not a size"),
            "{error}"
        );
        let error = parse::<NoConfig>(r#"{"x":1}"#).unwrap_err();
        assert!(error.starts_with("x: unknown field `x`"), "{error}");
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("0", 0),
            ("100B", 100),
            ("64KiB", 65_536),
            ("1 MiB", 1_048_576),
            ("2GiB", 1 << 31),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize::new(bytes)), "{text}");
        }
        for text in ["", "KiB", "-1", "1MB", "1.5KiB", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!(parse::<ByteSize>("12"), Ok(ByteSize::new(12)));
        assert!(parse::<ByteSize>("-12").is_err());
    }
}
