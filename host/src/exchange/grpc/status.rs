//! gRPC's status for what HTTP has another one for.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// By <https://grpc.github.io/grpc/core/md_doc_http-grpc-status-mapping.html>, which is for clients that get an answer of HTTP's
/// from somebody who knows no gRPC. The gateway knows more: what is late is `DEADLINE_EXCEEDED` and what is too large
/// `RESOURCE_EXHAUSTED`, so that a client does not try them again as it would what is `UNAVAILABLE`.
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        408 | 504 => 4,
        403 => 7,
        413 | 431 => 8,
        404 | 405 | 501 => 12,
        400 | 500 | 505 => 13,
        429 | 502 | 503 => 14,
        401 => 16,
        _ => 2,
    }
}

/// Writes status and message into a head, or into trailers.
pub fn write(headers: &mut HeaderMap, status: StatusCode, message: &str) {
    headers.insert(STATUS.clone(), code(status).into());
    if let Ok(message) = HeaderValue::from_str(&encoded(message)) {
        headers.insert(MESSAGE.clone(), message);
    }
}

/// A message is text of any kind; printable ASCII stands for itself, but for `%`.
fn encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_escaped() {
        assert_eq!(encoded("a b~"), "a b~");
        assert_eq!(encoded("100 %\n\u{e9}"), "100 %25%0A%C3%A9");
    }

    #[test]
    fn every_status_has_a_code() {
        for (status, expected) in [
            (404, 12),
            (413, 8),
            (500, 13),
            (503, 14),
            (504, 4),
            (426, 2),
        ] {
            assert_eq!(code(StatusCode::from_u16(status).unwrap()), expected);
        }
    }
}
