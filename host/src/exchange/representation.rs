//! Keeps a head right when the body that it describes is collected or changed (RFC 9110, section 8).

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, ETAG, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that hold a sum over the body's bytes: `Content-MD5` (RFC 1864), `Digest` (RFC 3230),
/// `Content-Digest` and `Repr-Digest` (RFC 9530).
static SUMS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// The body has been collected: its bytes are the same, its length is known, its trailers are gone.
pub fn collected(headers: &mut HeaderMap, length: usize) {
    headers.remove(TRAILER);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// Another body of this length has taken its place.
pub fn replaced(headers: &mut HeaderMap, length: usize) {
    forget_old_bytes(headers);
    collected(headers, length);
}

/// The body is changed while it passes: its length is not known.
pub fn streamed(headers: &mut HeaderMap) {
    forget_old_bytes(headers);
    headers.remove(CONTENT_LENGTH);
}

fn forget_old_bytes(headers: &mut HeaderMap) {
    for sum in &SUMS {
        headers.remove(sum);
    }
    // A range of the upstream's bytes is no range of ours.
    headers.remove(ACCEPT_RANGES);
    // A strong validator promises the same bytes (RFC 9110, section 8.8.1). A weak one still lets
    // caches ask whether the content is the same, which it is as long as the upstream's is.
    if let Some(tag) = headers.get(ETAG)
        && !tag.as_bytes().starts_with(b"W/")
    {
        let weak = [b"W/", tag.as_bytes()].concat();
        match HeaderValue::try_from(weak) {
            Ok(weak) => headers.insert(ETAG, weak),
            Err(_) => headers.remove(ETAG),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> HeaderMap {
        [
            ("content-length", "3"),
            ("content-md5", "x"),
            ("digest", "x"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
            ("accept-ranges", "bytes"),
            ("etag", "\"a\""),
            ("trailer", "x-sum"),
            ("x-other", "1"),
        ]
        .into_iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
    }

    #[test]
    fn a_replaced_body_is_not_described_by_the_old_ones_fields() {
        let mut map = headers();
        replaced(&mut map, 5);
        assert_eq!(map.len(), 3, "{map:?}");
        assert_eq!(map[CONTENT_LENGTH], "5");
        assert_eq!(map[ETAG], "W/\"a\"");
        replaced(&mut map, 5);
        assert_eq!(map[ETAG], "W/\"a\"");
    }

    #[test]
    fn a_streamed_body_has_no_length_and_may_have_trailers() {
        let mut map = headers();
        streamed(&mut map);
        assert!(!map.contains_key(CONTENT_LENGTH));
        assert_eq!(map[TRAILER], "x-sum");
        assert_eq!(map[ETAG], "W/\"a\"");
    }

    #[test]
    fn a_collected_body_keeps_what_is_true_of_it() {
        let mut map = headers();
        collected(&mut map, 3);
        assert_eq!(map[ETAG], "\"a\"");
        assert!(map.contains_key("digest") && map.contains_key(ACCEPT_RANGES));
        assert!(!map.contains_key(TRAILER));
    }
}
