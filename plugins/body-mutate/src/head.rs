//! The head of a response without a body, as it would be with a changed one.
//!
//! Where there is a body, the gateway keeps the head true to it. The answers to HEAD and to a conditional request have
//! none that it could see changing; what they say of a body is here:
//!
//! - `content-length`: the upstream's body has another than the changed one.
//! - `etag`: a strong validator stands for exact bytes (RFC 9110 section 8.8.1), which are no longer the upstream's;
//!   a weak one stands for the meaning. It is kept, made weak, so that `If-None-Match` goes on working: the upstream
//!   compares it weakly (section 13.1.2). A weak one is no good for `If-Range` and `If-Match`, which is as it must be.
//! - `accept-ranges`: parts of the upstream's bytes are not parts of these.
//! - `content-md5`, `digest`, `content-digest`, `repr-digest` (RFC 9530): they are of the upstream's bytes.
//! - `content-encoding`: gone where the body would be decoded.

use crate::coding::CONTENT_ENCODING;
use sluicegate_plugin::Headers;

const OF_THE_OLD_BYTES: [&str; 6] = [
    "accept-ranges",
    "content-digest",
    "content-length",
    "content-md5",
    "digest",
    "repr-digest",
];

/// The head of an answer to HEAD, where GET would give a changed body.
pub fn adapt(head: &impl Headers, decoded: bool) {
    for name in OF_THE_OLD_BYTES {
        head.remove_header(name);
    }
    if decoded {
        head.remove_header(CONTENT_ENCODING);
    }
    if let Some(weak) = head.header("etag").and_then(|etag| weak(&etag)) {
        // It is the value that was there and two characters: only a head that is full would refuse it, and then
        // no validator is better than one that is wrong.
        if head.set_header("etag", &weak).is_err() {
            head.remove_header("etag");
        }
    }
}

/// The weak form of a strong validator; `None` where it is weak already.
fn weak(etag: &[u8]) -> Option<Vec<u8>> {
    (!etag.starts_with(b"W/")).then(|| [b"W/".as_slice(), etag].concat())
}

/// The validator of a 304 in the form that the client holds: weak if it has the weak form, which it was given with a
/// changed body. A strong one stands for a body that had passed unchanged, and stays what it is (RFC 9111 section
/// 4.3.4 finds the stored response by it).
pub fn weak_if_held(etag: &[u8], if_none_match: &[Vec<u8>]) -> Option<Vec<u8>> {
    let weak = weak(etag)?;
    let held = if_none_match
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','));
    held.map(<[u8]>::trim_ascii)
        .any(|held| held == weak)
        .then_some(weak)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side::fake::Fake;

    #[test]
    fn what_was_true_of_the_old_bytes_goes() {
        let head = Fake::new(&[
            ("etag", "\"a\""),
            ("content-length", "3"),
            ("accept-ranges", "bytes"),
            ("content-md5", "x"),
            ("digest", "x"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
            ("content-encoding", "gzip"),
            ("last-modified", "x"),
        ]);
        adapt(&head, false);
        assert_eq!(
            head.text(),
            "content-encoding=gzip; last-modified=x; etag=W/\"a\""
        );
        adapt(&head, true);
        assert_eq!(head.text(), "last-modified=x; etag=W/\"a\"");
    }

    #[test]
    fn a_304_names_what_the_client_holds() {
        let held = |value: &str| weak_if_held(b"\"a\"", &[value.as_bytes().to_vec()]);
        assert_eq!(held("\"b\", W/\"a\"").unwrap(), b"W/\"a\"");
        assert_eq!(held("\"a\""), None);
        assert_eq!(held("*"), None);
        assert_eq!(weak_if_held(b"W/\"a\"", &[b"W/\"a\"".to_vec()]), None);
    }
}
