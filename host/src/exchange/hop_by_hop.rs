//! Fields that concern one connection only, and are never passed on (RFC 9110, section 7.6.1).
//!
//! They go **before** the first plugin sees the request. Removing them afterwards would let a
//! client delete a field that a plugin has added, by naming it in `Connection`
//! (the reason why Go deprecated `ReverseProxy.Director`).

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRAILER};

use super::trailers::announced;
use crate::http1::grammar::members;

/// Whether a plugin or a `reply` may not set this field: the host frames messages and decides
/// about connections.
pub fn is_forbidden(name: &HeaderName) -> bool {
    is_hop_by_hop(name) || name == http::header::CONTENT_LENGTH
}

/// The fixed list. Asked for every field of every message, so it looks at the length first.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.len() {
        2 => name == "te",
        7 => name == "upgrade",
        10 => name == "connection" || name == "keep-alive",
        14 => name == "http2-settings",
        16 => name == "proxy-connection",
        17 => name == "transfer-encoding",
        18 => name == "proxy-authenticate",
        19 => name == "proxy-authorization",
        _ => false,
    }
}

/// Removes the fixed list and every field that any `Connection` value names. `TE: trailers` is
/// kept, for the next hop is asked for trailers by it; everything else in `TE` goes.
///
/// `Trailer` stays: it announces fields of the message, not of the connection.
pub fn strip(headers: &mut HeaderMap) {
    // Most messages have one of them or none: found in one walk, and looked up only then.
    let mut found = [None, None];
    let mut count = 0;
    for name in headers.keys().filter(|name| is_hop_by_hop(name)) {
        if let Some(slot) = found.get_mut(count) {
            *slot = Some(name.clone());
        }
        count += 1;
    }
    if count == 0 {
        return;
    }
    let trailers = accepts_trailers(headers);
    if headers.contains_key(CONNECTION) {
        strip_named(headers);
    }
    if count <= found.len() {
        for name in found.into_iter().flatten() {
            headers.remove(name);
        }
    } else {
        let all: Vec<HeaderName> = headers
            .keys()
            .filter(|name| is_hop_by_hop(name))
            .cloned()
            .collect();
        for name in all {
            headers.remove(name);
        }
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Fields that a `Connection` value may name without losing them: the gateway needs them to
/// route and to frame the message, and no client has a say in that.
fn is_needed(name: &HeaderName) -> bool {
    name == http::header::HOST || name == http::header::CONTENT_LENGTH || name == TE
}

fn strip_named(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
        .filter(|token| !is_common_option(token))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !is_needed(name))
        .collect();
    for name in &named {
        headers.remove(name);
    }
    // Nor may they come behind the body.
    if !named.is_empty() && headers.contains_key(TRAILER) {
        let kept: Vec<HeaderName> = announced(headers)
            .into_iter()
            .filter(|name| !named.contains(name))
            .collect();
        headers.remove(TRAILER);
        for name in kept {
            headers.append(TRAILER, HeaderValue::from(name));
        }
    }
}

/// What nearly every `Connection` field says; none of them names another field to be removed.
fn is_common_option(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"close")
        || token.eq_ignore_ascii_case(b"keep-alive")
        || token.eq_ignore_ascii_case(b"upgrade")
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
        .any(|token| token.eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn removes_every_token_of_every_connection_value() {
        let mut map = HeaderMap::new();
        map.append(CONNECTION, HeaderValue::from_static("close, x-one"));
        map.append(CONNECTION, HeaderValue::from_static(" X-Two ,,keep-alive"));
        for name in [
            "x-one",
            "x-two",
            "x-three",
            "keep-alive",
            "proxy-connection",
        ] {
            map.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        strip(&mut map);
        assert_eq!(map, headers(&[("x-three", "1")]));
    }

    #[test]
    fn a_connection_value_cannot_remove_what_frames_or_routes_the_message() {
        let mut map = headers(&[
            ("connection", "host, content-length"),
            ("host", "a"),
            ("content-length", "3"),
        ]);
        strip(&mut map);
        assert_eq!(map, headers(&[("host", "a"), ("content-length", "3")]));
    }

    #[test]
    fn only_trailers_survive_in_te() {
        let mut map = headers(&[("te", "gzip;q=0.5, Trailers"), ("connection", "te")]);
        strip(&mut map);
        assert_eq!(map, headers(&[("te", "trailers")]));
        let mut map = headers(&[("te", "gzip")]);
        strip(&mut map);
        assert!(map.is_empty());
    }
}
