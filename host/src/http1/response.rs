//! Reads targets' heads. More is forgiven here than in clients' heads (a line that ends in a bare LF, a length that is
//! said twice), as what is passed on is written anew; but never a body whose end can be read in two ways.

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Malformed;
use super::body::Framing;
use super::grammar::{self, Field, members};

/// The largest head, and the most that interim responses in a flood can make one poll read before others have their turn.
pub const MAX_BYTES: usize = 64 * 1024;
/// The most fields.
const MAX_FIELDS: usize = 256;

/// A response without its body.
#[derive(Debug)]
pub struct Response {
    /// Any; below 200 it is an interim response.
    pub status: StatusCode,
    /// As received.
    pub headers: HeaderMap,
    /// Where its body ends.
    pub framing: Framing,
    /// Whether the connection can carry another exchange after this one.
    pub keep_alive: bool,
}

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// More than [`MAX_BYTES`], or too many fields.
    #[error("the response head is too large")]
    TooLarge,
    /// A body whose end can be read in two ways.
    #[error("ambiguous framing")]
    Framing,
}

/// Takes a head from the start of `buffer`. `None`: it isn't whole yet. `fields` is room that is used again and again.
/// `is_head`: the request's method was HEAD, so there is no body whatever the head says.
///
/// # Errors
/// See [`HeadError`].
pub fn take_head(
    buffer: &mut BytesMut,
    fields: &mut Vec<Field>,
    is_head: bool,
) -> Result<Option<Response>, HeadError> {
    let Some((is_1_1, status, mut headers)) = take(buffer, fields)? else {
        return Ok(None);
    };
    let framing = framing(&mut headers, status, is_head)?;
    let keep_alive = framing != Framing::UntilClose
        && keeps_alive(&headers, is_1_1)
        // What speaks 1.0 and sends chunks is not to be trusted with another request (RFC 9112, section 6.1).
        && (is_1_1 || framing != Framing::Chunked);
    Ok(Some(Response {
        status,
        headers,
        framing,
        keep_alive,
    }))
}

/// Takes the head of what a proxy answers to a CONNECT, as [`take_head`] does; but what it says about a body's length is
/// not looked at: behind a 2xx the tunnel begins whatever stands there (RFC 9110, section 9.3.6), and behind
/// everything else the connection is given up.
///
/// # Errors
/// See [`HeadError`]; never `Framing`.
pub fn take_connect_head(
    buffer: &mut BytesMut,
    fields: &mut Vec<Field>,
) -> Result<Option<StatusCode>, HeadError> {
    Ok(take(buffer, fields)?.map(|(_, status, _)| status))
}

/// A head whose framing has not been looked at: whether it is HTTP/1.1, the status, the fields.
type Taken = (bool, StatusCode, HeaderMap);

fn take(buffer: &mut BytesMut, fields: &mut Vec<Field>) -> Result<Option<Taken>, HeadError> {
    fields.clear();
    let Some((line, mut next)) = next_line(buffer, 0)? else {
        return check_beginning(buffer).map(|()| None);
    };
    let (is_1_1, status) = status_line(line)?;
    loop {
        let start = next;
        let Some((line, after)) = next_line(buffer, start)? else {
            return Ok(None);
        };
        next = after;
        if line.is_empty() {
            break;
        }
        if fields.len() >= MAX_FIELDS {
            return Err(HeadError::TooLarge);
        }
        fields.push(Field::read(line, start)?);
    }
    let head = buffer.split_to(next).freeze();
    Ok(Some((is_1_1, status, grammar::headers(&head, fields)?)))
}

/// The line that begins at `from`, without what ends it, and where the next one begins.
fn next_line(buffer: &[u8], from: usize) -> Result<Option<(&[u8], usize)>, HeadError> {
    let found = grammar::line(buffer, from);
    if found.map_or(buffer.len(), |(_, next)| next) > MAX_BYTES {
        return Err(HeadError::TooLarge);
    }
    Ok(found.map(|(line, next)| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        (line.strip_suffix(b"\r").unwrap_or(line), next)
    }))
}

/// Refuses early what can't become a status line: a TLS alert, another protocol's greeting.
fn check_beginning(buffer: &[u8]) -> Result<(), HeadError> {
    const START: &[u8] = b"HTTP/1.";
    let length = buffer.len().min(START.len());
    if buffer.get(..length) == START.get(..length) {
        Ok(())
    } else {
        Err(Malformed("this is not an HTTP response").into())
    }
}

/// `HTTP/1.1 200 OK`: whether it is HTTP/1.1, and the status. The phrase means nothing, and may be missing with the
/// space before it.
fn status_line(line: &[u8]) -> Result<(bool, StatusCode), Malformed> {
    let malformed = Malformed("malformed status line");
    let (version, rest) = line.split_at_checked(9).ok_or(malformed)?;
    let is_1_1 = match version {
        b"HTTP/1.1 " => true,
        b"HTTP/1.0 " => false,
        _ => return Err(malformed),
    };
    let (status, phrase) = rest.split_at_checked(3).ok_or(malformed)?;
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !matches!(phrase.first(), None | Some(b' ')) || !phrase.iter().all(is_text) {
        return Err(malformed);
    }
    let status = StatusCode::from_bytes(status).map_err(|_| malformed)?;
    Ok((is_1_1, status))
}

/// Whether a response has no body whatever its head says. `is_head`: it answers a HEAD.
pub fn has_no_body(status: StatusCode, is_head: bool) -> bool {
    is_head
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// RFC 9112, section 6.3.
fn framing(
    headers: &mut HeaderMap,
    status: StatusCode,
    is_head: bool,
) -> Result<Framing, HeadError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        _ => return Err(HeadError::Framing),
    };
    let length = length(headers)?;
    if is_chunked && length.is_some() {
        return Err(HeadError::Framing);
    }
    Ok(match length {
        _ if has_no_body(status, is_head) => Framing::Length(0),
        _ if is_chunked => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}

/// The content-length. One that is said several times, and each time the same, is put into one field.
fn length(headers: &mut HeaderMap) -> Result<Option<u64>, HeadError> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if let Some(length) = grammar::length(first.as_bytes())
        && values.next().is_none()
    {
        return Ok(Some(length));
    }
    let mut all = headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|value| grammar::length(value.trim_ascii()));
    let length = all.next().flatten().ok_or(HeadError::Framing)?;
    if !all.all(|other| other == Some(length)) {
        return Err(HeadError::Framing);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(Some(length))
}

fn keeps_alive(headers: &HeaderMap, is_1_1: bool) -> bool {
    let mut kept = is_1_1;
    for value in headers.get_all(http::header::CONNECTION) {
        for option in members(value.as_bytes()) {
            if option.eq_ignore_ascii_case(b"close") {
                return false;
            }
            kept |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(text: &str) -> Result<Option<Response>, HeadError> {
        take_head(&mut BytesMut::from(text), &mut Vec::new(), false)
    }

    fn whole(fields: &str) -> Response {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        take(&text).unwrap().unwrap()
    }

    #[test]
    fn takes_a_head_and_leaves_what_follows() {
        let text = "HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 2\r\n\r\nno";
        let mut buffer = BytesMut::from(text);
        let head = take_head(&mut buffer, &mut Vec::new(), false);
        let head = head.unwrap().unwrap();
        assert_eq!(head.status, 404);
        assert_eq!(head.headers["server"], "x");
        assert_eq!(head.framing, Framing::Length(2));
        assert!(head.keep_alive);
        assert_eq!(buffer, "no");
        for end in 0..text.len() - 2 {
            assert!(take(&text[..end]).unwrap().is_none(), "{end}");
        }
    }

    #[test]
    fn forgives_what_harms_nobody() {
        for line in ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 200 \u{e4} (x)"] {
            assert!(
                take(&format!("{line}\r\n\r\n")).unwrap().is_some(),
                "{line}"
            );
        }
        let head = take("HTTP/1.1 200 OK\nx: 1\n\n").unwrap().unwrap();
        assert_eq!(head.headers["x"], "1");
        let head = whole("content-length: 5\r\ncontent-length: 5 , 5\r\n");
        assert_eq!(head.framing, Framing::Length(5));
        assert_eq!(head.headers.get_all("content-length").iter().count(), 1);
    }

    #[test]
    fn a_body_ends_in_one_way() {
        assert_eq!(whole("").framing, Framing::UntilClose);
        assert_eq!(
            whole("transfer-encoding: Chunked\r\n").framing,
            Framing::Chunked
        );
        for fields in [
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: 5, 6\r\n",
            "content-length: -1\r\n",
            "content-length: +5\r\n",
            "content-length: \r\n",
            "content-length: 99999999999999999999999\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: identity\r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(take(&text).unwrap_err(), HeadError::Framing, "{fields}");
        }
        for (status, is_head) in [(204, false), (304, false), (103, false), (200, true)] {
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\n");
            let head = take_head(&mut BytesMut::from(&*text), &mut Vec::new(), is_head);
            assert_eq!(
                head.unwrap().unwrap().framing,
                Framing::Length(0),
                "{status}"
            );
        }
    }

    #[test]
    fn says_whether_the_connection_is_kept() {
        for (version, fields, kept) in [
            ("1.1", "content-length: 0\r\n", true),
            (
                "1.1",
                "content-length: 0\r\nconnection: x, Close\r\n",
                false,
            ),
            ("1.1", "", false),
            ("1.0", "content-length: 0\r\n", false),
            (
                "1.0",
                "content-length: 0\r\nconnection: keep-alive\r\n",
                true,
            ),
            (
                "1.0",
                "transfer-encoding: chunked\r\nconnection: keep-alive\r\n",
                false,
            ),
        ] {
            let text = format!("HTTP/{version} 200 OK\r\n{fields}\r\n");
            assert_eq!(take(&text).unwrap().unwrap().keep_alive, kept, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_response() {
        for text in [
            "x",
            "\x16\x03\x01",
            "HTTP/2",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 200 O\x07K\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx : 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: a\r\n\r\n",
        ] {
            assert!(
                matches!(take(text), Err(HeadError::Malformed(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn bounds_bytes_and_fields() {
        let many = format!(
            "HTTP/1.1 200 OK\r\n{}\r\n",
            "x: y\r\n".repeat(MAX_FIELDS + 1)
        );
        assert_eq!(take(&many).unwrap_err(), HeadError::TooLarge);
        for long in [
            format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_BYTES)),
            format!("HTTP/1.1 200 {}", "y".repeat(MAX_BYTES)),
        ] {
            assert_eq!(take(&long).unwrap_err(), HeadError::TooLarge);
        }
    }

    proptest! {
        #[test]
        fn a_prefix_of_a_head_is_never_a_head(fields in "([a-zA-Z :\r\n\t0-9-]{0,12}\r\n){0,4}") {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            let mut buffer = BytesMut::from(&*text);
            if let Ok(Some(_)) = take_head(&mut buffer, &mut Vec::new(), false) {
                let length = text.len() - buffer.len();
                for end in 0..length {
                    prop_assert!(take(&text[..end]).unwrap().is_none());
                }
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&b"HTTP/1.1 200 OK\r\n"[..]);
            buffer.extend_from_slice(&bytes);
            let _ = take_head(&mut buffer, &mut Vec::new(), false);
        }
    }
}
