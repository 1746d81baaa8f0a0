//! What can go wrong in a plugin, and how it reaches the gateway's log.

use std::fmt::{self, Write as _};

/// Why a plugin failed. Anything that implements [`std::error::Error`] converts by `?`, a text by
/// `Err("no tenant".into())` or `Err(format!("no tenant {id}"))?`.
///
/// The text goes to the gateway's log and never to the client; what happens to the request is decided by the
/// plugin's `on_failure`.
pub type Error = Box<dyn std::error::Error>;

/// What a hook returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the gateway refused an edit. Nothing is changed then; a plugin may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// Not a method, path or field name by RFC 9110's grammar.
    InvalidName,
    /// Bytes that may not stand there (CR, LF, NUL and other controls).
    InvalidValue,
    /// The gateway decides about this itself (framing and hop-by-hop fields), or it is too late for it; the text
    /// says which.
    Forbidden(String),
    /// The head would grow over `limits.header_bytes` or `limits.headers`.
    TooLarge,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName => f.write_str("not a valid name"),
            Self::InvalidValue => f.write_str("the value has bytes that may not stand there"),
            Self::Forbidden(why) => write!(f, "not allowed: {why}"),
            Self::TooLarge => f.write_str("the head would grow over its limit"),
        }
    }
}

impl std::error::Error for EditError {}

/// Why a hub did not take a message; see [`hubs`](crate::hubs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// No hub of that name is granted to this plugin, or there is none.
    UnknownHub,
    /// Not a room's or a client's name; see [`is_name`](crate::hub::is_name).
    InvalidName,
    /// The message is larger than the hub's `limits.message`.
    TooLarge,
    /// The hub can't take it now; the text says why.
    Unavailable(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownHub => f.write_str("no such hub is granted to this plugin"),
            Self::InvalidName => f.write_str("not a valid name of a room or a client"),
            Self::TooLarge => f.write_str("the message is larger than the hub's limit"),
            Self::Unavailable(why) => write!(f, "the hub can't take the message now: {why}"),
        }
    }
}

impl std::error::Error for SendError {}

/// An error and its sources in one line, as the gateway's log shows it.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_error_converts_by_question_mark_and_reads_well() {
        fn hook() -> Result<()> {
            Err(EditError::Forbidden(
                "content-length is the gateway's".to_owned(),
            ))?;
            Ok(())
        }
        let error = hook().unwrap_err();
        assert_eq!(
            describe(error.as_ref()),
            "not allowed: content-length is the gateway's"
        );
    }

    #[test]
    fn sources_are_part_of_the_line() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("no quota")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer("x".parse::<u8>().unwrap_err());
        assert_eq!(describe(&error), "no quota: invalid digit found in string");
    }
}
