//! Percent-encoding (RFC 3986 section 2) for the places of a URL.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode, percent_encode};
use std::borrow::Cow;

/// Everything but the unreserved characters: what comes of this means the same at any place of a URL.
const NOT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const NOT_UNRESERVED_NOR_SLASH: &AsciiSet = &NOT_UNRESERVED.remove(b'/');
/// What must not stand in a URL as it is. Escapes that are there already stay.
const NOT_IN_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The text with its escapes decoded.
pub(crate) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    percent_decode(text).into()
}

/// A name of a query's pair, decoded as forms encode it (a plus is a space).
pub(crate) fn decoded_name(name: &str) -> Vec<u8> {
    percent_decode(name.replace('+', " ").as_bytes()).collect()
}

/// A value as one segment of a path, or as a part of a query.
pub(crate) fn component(value: &[u8]) -> String {
    percent_encode(value, NOT_UNRESERVED).to_string()
}

/// A value as several segments: its slashes stay.
pub(crate) fn segments(value: &str) -> String {
    percent_encode(value.as_bytes(), NOT_UNRESERVED_NOR_SLASH).to_string()
}

/// A path or query that is escaped already, as a part of a URL: only what may not stand there is encoded.
pub(crate) fn in_url(text: &str) -> String {
    percent_encode(text.as_bytes(), NOT_IN_URL).to_string()
}

/// Whether all of the text may stand in a path as it is (RFC 3986 section 3.3: pchar and "/"): what a configuration
/// puts there.
pub(crate) fn is_path_text(text: &str) -> bool {
    has_whole_escapes(text)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte))
}

/// Whether nothing in the text would end the path or the request line. Clients send more than RFC 3986 lets them
/// (brackets, bars, quotes); what the gateway has let in may go on.
pub(crate) fn may_stand_in_path(text: &str) -> bool {
    !text
        .bytes()
        .any(|byte| byte.is_ascii_control() || b" ?#".contains(&byte))
}

/// Whether every `%` is followed by two hexadecimal digits.
pub(crate) fn has_whole_escapes(text: &str) -> bool {
    text.as_bytes()
        .split(|byte| *byte == b'%')
        .skip(1)
        .all(|after| {
            after
                .iter()
                .take(2)
                .filter(|b| b.is_ascii_hexdigit())
                .count()
                == 2
        })
}
