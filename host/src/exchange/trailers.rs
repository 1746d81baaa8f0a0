//! Which fields may come behind a body.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, LOCATION, MAX_FORWARDS, RANGE,
    SET_COOKIE, TRAILER, VARY, WWW_AUTHENTICATE,
};

use super::hop_by_hop::is_hop_by_hop;
use crate::http1::grammar::members;

/// Whether it says nothing that has been decided by the time that it comes: about framing, routing, who asked, or how the
/// message is to be read (RFC 9110, section 6.5.1).
fn may_be_trailer(name: &HeaderName) -> bool {
    !is_hop_by_hop(name)
        && ![
            AUTHORIZATION,
            CACHE_CONTROL,
            CONTENT_ENCODING,
            CONTENT_LENGTH,
            CONTENT_RANGE,
            CONTENT_TYPE,
            COOKIE,
            EXPECT,
            FORWARDED,
            HOST,
            LOCATION,
            MAX_FORWARDS,
            RANGE,
            SET_COOKIE,
            TRAILER,
            VARY,
            WWW_AUTHENTICATE,
        ]
        .contains(name)
        && !["x-forwarded-", "x-request-id", "x-real-ip", "if-"]
            .iter()
            .any(|start| name.as_str().starts_with(start))
}

/// The fields that a head announces to stand behind its body (`Trailer`, RFC 9110, section 6.6.2). Others do not pass: what
/// looks at heads, and changes them, has not seen them.
pub fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(TRAILER)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

/// Those of the trailers that were announced, and may be trailers at all.
pub fn kept(trailers: &HeaderMap, announced: &[HeaderName]) -> HeaderMap {
    those(trailers, |name| {
        announced.contains(name) && may_be_trailer(name)
    })
}

/// Those of the trailers that may be trailers. HTTP/2 keeps them apart from the head for good, and gRPC announces none.
pub fn allowed(trailers: &HeaderMap) -> HeaderMap {
    those(trailers, may_be_trailer)
}

fn those(trailers: &HeaderMap, pass: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut those = HeaderMap::new();
    for (name, value) in trailers.iter().filter(|(name, _)| pass(name)) {
        those.append(name.clone(), value.clone());
    }
    those
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn only_what_was_announced_is_kept_and_never_what_decides_something() {
        let head = map(&[
            ("trailer", "X-Sum, content-length,, x y"),
            ("trailer", "grpc-status, x-forwarded-for, te, if-match"),
        ]);
        let trailers = map(&[
            ("x-sum", "1"),
            ("x-sum", "2"),
            ("x-other", "1"),
            ("grpc-status", "0"),
            ("content-length", "5"),
            ("x-forwarded-for", "1.1.1.1"),
            ("te", "x"),
            ("if-match", "x"),
        ]);
        let expected = map(&[("x-sum", "1"), ("x-sum", "2"), ("grpc-status", "0")]);
        assert_eq!(kept(&trailers, &announced(&head)), expected);
    }
}
