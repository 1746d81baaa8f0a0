//! Requests that ask for another protocol on their connection (`Upgrade`, RFC 9110, section 7.8), and their answers.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Version};

use crate::http1::grammar::members;

/// The protocols that a client asks to switch to: the value of its `Upgrade`, to be sent on. Any protocol but `h2c`: behind
/// that switch a client could send requests past all routes and plugins (and RFC 9113 has given it up).
pub fn asked_for(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let mut values = headers.get_all(UPGRADE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let names_it = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
        .any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    let is_passed = version == Version::HTTP_11
        && names_it
        && members(value.as_bytes()).next().is_some()
        && !members(value.as_bytes()).any(|protocol| protocol.eq_ignore_ascii_case(b"h2c"));
    is_passed.then(|| value.clone())
}

/// Whether a 101 switches to one of the protocols that were asked for.
pub fn is_answered_by(asked: &HeaderValue, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(UPGRADE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let mut protocols = members(value.as_bytes()).peekable();
    protocols.peek().is_some()
        && protocols.all(|protocol| {
            members(asked.as_bytes()).any(|asked| asked.eq_ignore_ascii_case(protocol))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn takes_what_is_asked_for_in_full_and_never_h2c() {
        let asked = |fields: &[_], version| {
            asked_for(&headers(fields), version).map(|value| value.to_str().unwrap().to_owned())
        };
        let connection = ("connection", "keep-alive, Upgrade");
        for (fields, expected) in [
            (
                &[connection, ("upgrade", "websocket")][..],
                Some("websocket"),
            ),
            (&[connection, ("upgrade", "x/1, y")], Some("x/1, y")),
            (&[("upgrade", "websocket")], None),
            (&[("connection", "close"), ("upgrade", "websocket")], None),
            (&[connection], None),
            (&[connection, ("upgrade", " ,")], None),
            (&[connection, ("upgrade", "websocket, H2C")], None),
            (&[connection, ("upgrade", "a"), ("upgrade", "h2c")], None),
        ] {
            assert_eq!(
                asked(fields, Version::HTTP_11).as_deref(),
                expected,
                "{fields:?}"
            );
        }
        let fields = [connection, ("upgrade", "websocket")];
        assert_eq!(asked(&fields, Version::HTTP_10), None);
    }

    #[test]
    fn an_answer_switches_to_what_was_asked_for() {
        let asked = HeaderValue::from_static("WebSocket, x/1");
        for (fields, is_one) in [
            (&[("upgrade", "websocket")][..], true),
            (&[("upgrade", "X/1")], true),
            (&[("upgrade", "y")], false),
            (&[("upgrade", "websocket, y")], false),
            (&[("upgrade", "websocket"), ("upgrade", "x/1")], false),
            (&[], false),
        ] {
            assert_eq!(
                is_answered_by(&asked, &headers(fields)),
                is_one,
                "{fields:?}"
            );
        }
    }
}
