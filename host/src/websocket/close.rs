//! Close codes (RFC 6455, section 7.4) and the payload of close frames.

use std::borrow::Cow;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The code.
    pub code: u16,
    /// The reason, at most [`MAX_REASON`] bytes.
    pub reason: Cow<'static, str>,
}

/// What a control frame has room for, less the code.
pub const MAX_REASON: usize = 123;

/// The purpose is fulfilled.
pub const NORMAL: u16 = 1000;
/// The server goes away, or the page is left.
pub const GOING_AWAY: u16 = 1001;
/// What was sent is no WebSocket.
pub const PROTOCOL: u16 = 1002;
/// A kind of message that is not taken here.
pub const UNSUPPORTED: u16 = 1003;
/// No code was sent. Never on the wire.
pub const NO_STATUS: u16 = 1005;
/// There was no closing handshake. Never on the wire.
pub const ABNORMAL: u16 = 1006;
/// Text that is not UTF-8, or compressed data that can't be inflated.
pub const INVALID_DATA: u16 = 1007;
/// A message that is too large.
pub const TOO_LARGE: u16 = 1009;
/// The server is to blame.
pub const INTERNAL: u16 = 1011;
/// The hub has been replaced: connect again.
pub const RESTART: u16 = 1012;
/// Not now: connect again later.
pub const TRY_LATER: u16 = 1013;

impl Close {
    /// With a reason that is known to be short enough.
    pub const fn new(code: u16, reason: &'static str) -> Self {
        Self {
            code,
            reason: Cow::Borrowed(reason),
        }
    }

    /// With a reason of any length, of which as much is taken as fits.
    pub fn with_reason(code: u16, mut reason: String) -> Self {
        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Self {
            code,
            reason: Cow::Owned(reason),
        }
    }

    /// Reads the payload of a close frame; `None`: an empty one, which is allowed.
    ///
    /// # Errors
    /// How the payload is wrong.
    pub fn read(payload: &[u8]) -> Result<Option<Self>, Self> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return if payload.is_empty() {
                Ok(None)
            } else {
                Err(Self::new(PROTOCOL, "a close code of one byte"))
            };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(Self::new(PROTOCOL, "a close code that may not be sent"));
        }
        match std::str::from_utf8(reason) {
            Ok(reason) => Ok(Some(Self::with_reason(code, reason.to_owned()))),
            Err(_) => Err(Self::new(INVALID_DATA, "a close reason that is not UTF-8")),
        }
    }
}

/// Whether a code may stand in a close frame (RFC 6455, section 7.4, and IANA's registry of close codes).
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads() {
        assert_eq!(Close::read(b""), Ok(None));
        assert_eq!(
            Close::read(b"\x03\xe8bye"),
            Ok(Some(Close::new(1000, "bye")))
        );
        assert_eq!(Close::read(b"\x03").unwrap_err().code, PROTOCOL);
        assert_eq!(Close::read(b"\x03\xee").unwrap_err().code, PROTOCOL);
        assert_eq!(Close::read(b"\x03\xe8\xff").unwrap_err().code, INVALID_DATA);
    }

    #[test]
    fn codes_that_may_be_sent() {
        let refused: Vec<u16> = (0..=5000).filter(|code| !may_be_sent(*code)).collect();
        let expected: Vec<u16> = (0..1000)
            .chain(1004..=1006)
            .chain(1015..3000)
            .chain([5000])
            .collect();
        assert_eq!(refused, expected);
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let close = Close::with_reason(NORMAL, "ü".repeat(100));
        assert_eq!(&*close.reason, "ü".repeat(61));
    }
}
