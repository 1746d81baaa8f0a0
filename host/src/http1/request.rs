//! A strict reading of clients' heads: what one may look like and where its body ends (RFC 9112). Pure code over bytes.
//!
//! Whatever two readers can come to different results about is refused: a line that ends in a bare LF, a Content-Length
//! with a Transfer-Encoding, a folded line. So the gateway and the upstream agree on where one request ends and
//! the next begins.

use std::ops::Range;

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Version};
use memchr::memchr;

use super::Malformed;
use super::body::Framing;
use super::grammar::{self, Field, is_path, is_query, is_tokens, members};
use crate::exchange::failure::ClientFailure;

/// Limits for a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes, request line included.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// A head that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its length with the empty line at its end.
    pub length: usize,
    /// How its body is framed. A request without a length and a coding has none.
    pub framing: Framing,
    /// Of the request; `HTTP/1.0` or `HTTP/1.1`.
    pub version: Version,
    /// Whether the client wants to send more requests over this connection (RFC 9112, section 9.3).
    pub keep_alive: bool,
    /// Whether the client waits with the body until it is asked for it (RFC 9110, section 10.1.1).
    pub expects_continue: bool,
    method: Range<usize>,
    /// Path and query, where there are any.
    target: Range<usize>,
    /// Of a target in absolute form without a Host beside it, which HTTP/1.0 need not have.
    authority: Option<Range<usize>>,
}

/// A request without its body.
#[derive(Debug)]
pub struct Request {
    /// As received.
    pub method: Method,
    /// Path and query, also of a target in absolute form.
    pub target: PathAndQuery,
    /// Of the client.
    pub version: Version,
    /// As received.
    pub headers: HeaderMap,
}

impl From<Malformed> for ClientFailure {
    fn from(Malformed(what): Malformed) -> Self {
        Self::Malformed(what)
    }
}

/// Finds a head at the start of `bytes`; its fields come into `fields`. `None`: it isn't whole yet.
///
/// # Errors
/// A head that must be refused; no byte behind it may be used.
pub fn find_head(
    bytes: &[u8],
    limits: HeadLimits,
    fields: &mut Vec<Field>,
) -> Result<Option<Head>, ClientFailure> {
    fields.clear();
    let (line, mut next) = match next_line(bytes, 0)? {
        Some(found) => found,
        // Before a request line is whole it can already be known to be none.
        None if bytes.len() > limits.bytes => return Err(ClientFailure::HeadTooLarge),
        None => return check_beginning(bytes).map(|()| None),
    };
    let request = RequestLine::read(line)?;
    let mut known = Known::default();
    loop {
        if next > limits.bytes {
            return Err(ClientFailure::HeadTooLarge);
        }
        let start = next;
        let (line, after) = match next_line(bytes, start)? {
            Some(found) => found,
            None if bytes.len() > limits.bytes => return Err(ClientFailure::HeadTooLarge),
            None => return Ok(None),
        };
        next = after;
        if line.is_empty() {
            if next > limits.bytes {
                return Err(ClientFailure::HeadTooLarge);
            }
            return Ok(Some(Head {
                length: next,
                framing: known.framing(&request)?,
                version: request.version,
                keep_alive: known.keeps_alive(request.version),
                expects_continue: known.expects_continue && request.version == Version::HTTP_11,
                method: request.method,
                authority: known
                    .host
                    .is_none()
                    .then_some(request.authority_place)
                    .flatten(),
                target: request.target,
            }));
        }
        if fields.len() >= limits.fields {
            return Err(ClientFailure::HeadTooLarge);
        }
        let field = Field::read(line, start)?;
        known.read(bytes, &field)?;
        fields.push(field);
    }
}

impl Head {
    /// Makes a request of the head's bytes, and of the fields that [`find_head`] has found in them.
    ///
    /// # Errors
    /// A head that must be refused after all: a field's name or value is none.
    pub fn request(&self, head: &Bytes, fields: &[Field]) -> Result<Request, ClientFailure> {
        let malformed = ClientFailure::Malformed("malformed request line");
        let mut headers = grammar::headers(head, fields)?;
        if let Some(authority) = self.authority.clone()
            && let Ok(host) = HeaderValue::from_maybe_shared(head.slice(authority))
        {
            headers.insert(HOST, host);
        }
        let method = head.get(self.method.clone()).ok_or(malformed)?;
        let method = Method::from_bytes(method).map_err(|_| malformed)?;
        let target = head.slice(self.target.clone());
        let target = match target.first() {
            None => Ok(PathAndQuery::from_static("/")),
            // Of a target in absolute form without a path.
            Some(b'?') => PathAndQuery::from_maybe_shared(Bytes::from([b"/", &*target].concat())),
            Some(_) => PathAndQuery::from_maybe_shared(target),
        };
        Ok(Request {
            method,
            target: target.map_err(|_| ClientFailure::Malformed("malformed request target"))?,
            version: self.version,
            headers,
        })
    }
}

/// The line that begins at `from`, without its CRLF, and where the next one begins.
fn next_line(bytes: &[u8], from: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let Some((line, next)) = grammar::line(bytes, from) else {
        return Ok(None);
    };
    let line = line
        .strip_suffix(b"\r\n")
        .ok_or(Malformed("a line ends in a bare LF"))?;
    Ok(Some((line, next)))
}

/// Refuses early what can't become a request line: a TLS handshake, a terminal, HTTP/2.
fn check_beginning(bytes: &[u8]) -> Result<(), ClientFailure> {
    match bytes.first() {
        Some(byte) if !is_tokens(&[*byte]) && *byte != b'\r' => {
            Err(ClientFailure::Malformed("this is not an HTTP request"))
        }
        _ => Ok(()),
    }
}

struct RequestLine<'a> {
    method: Range<usize>,
    /// Without scheme and authority.
    target: Range<usize>,
    version: Version,
    /// The authority of a target in absolute form.
    authority: Option<&'a [u8]>,
    authority_place: Option<Range<usize>>,
}

impl<'a> RequestLine<'a> {
    fn read(line: &'a [u8]) -> Result<Self, ClientFailure> {
        let malformed = ClientFailure::Malformed("malformed request line");
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let (Some(method), Some(target), Some(version)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed);
        };
        if method.is_empty() || !is_tokens(method) {
            return Err(malformed);
        }
        let version = match version {
            b"HTTP/1.1" => Version::HTTP_11,
            b"HTTP/1.0" => Version::HTTP_10,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(ClientFailure::Version);
            }
            _ => return Err(malformed),
        };
        if method == b"CONNECT" {
            return Err(ClientFailure::NotImplemented("this is no forward proxy"));
        }
        if target.is_empty() || !is_target(target) {
            return Err(ClientFailure::Malformed("malformed request target"));
        }
        let start = method.len() + 1;
        let end = start + target.len();
        let (authority, before_path) = match target {
            [b'/', ..] => (None, 0),
            b"*" if method == b"OPTIONS" => (None, 0),
            target => {
                let (authority, before_path) = absolute_authority(target)?;
                (Some(authority), before_path)
            }
        };
        Ok(Self {
            method: 0..method.len(),
            target: start + before_path..end,
            version,
            authority,
            authority_place: authority.map(|authority| {
                let end = start + before_path;
                end - authority.len()..end
            }),
        })
    }
}

/// What the URI type takes; a fragment is never sent (RFC 9112, section 3.2).
/// Whether these are a path and a query that can be read in one way only.
pub fn is_target(target: &[u8]) -> bool {
    let (path, query) = match memchr(b'?', target) {
        Some(mark) => target.split_at_checked(mark).unwrap_or((target, &[])),
        None => (target, &[][..]),
    };
    is_path(path) && is_query(query) && (target.is_ascii() || std::str::from_utf8(target).is_ok())
}

/// The authority of `http://authority/...` (RFC 9112, section 3.2.2), and where it ends.
fn absolute_authority(target: &[u8]) -> Result<(&[u8], usize), ClientFailure> {
    let after = |scheme: &[u8]| {
        target
            .split_at_checked(scheme.len())
            .filter(|(start, _)| start.eq_ignore_ascii_case(scheme))
            .map(|(_, rest)| rest)
    };
    let rest = after(b"http://")
        .or_else(|| after(b"https://"))
        .ok_or(ClientFailure::Malformed("malformed request target"))?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or(rest);
    if authority.is_empty() {
        return Err(ClientFailure::Malformed("malformed request target"));
    }
    Ok((authority, target.len() - rest.len() + end))
}

/// The fields that decide about the message and its connection.
#[derive(Default)]
struct Known<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<u64>,
    transfer_encoding: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl<'a> Known<'a> {
    fn read(&mut self, bytes: &'a [u8], field: &Field) -> Result<(), ClientFailure> {
        let name = bytes.get(field.name.clone()).unwrap_or(&[]);
        let value = bytes.get(field.value.clone()).unwrap_or(&[]);
        // What is taken for none of these must not be one of them to somebody who trims names.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value)?,
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects_continue |=
                    members(value).any(|value| value.eq_ignore_ascii_case(b"100-continue"));
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in members(value) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(value)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (self.keep_alive || version == Version::HTTP_11)
    }

    fn host(&mut self, value: &'a [u8]) -> Result<(), ClientFailure> {
        if self.host.replace(value).is_some() {
            return Err(ClientFailure::Malformed("more than one Host"));
        }
        if !value.is_empty() && !is_host(value) {
            return Err(ClientFailure::Malformed("malformed Host"));
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), ClientFailure> {
        let length =
            grammar::length(value).ok_or(ClientFailure::Malformed("malformed Content-Length"))?;
        if self.content_length.replace(length).is_some() {
            return Err(ClientFailure::Malformed("more than one Content-Length"));
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &'a [u8]) -> Result<(), ClientFailure> {
        if self.transfer_encoding.replace(value).is_some() {
            return Err(ClientFailure::Malformed("more than one Transfer-Encoding"));
        }
        Ok(())
    }

    fn framing(&self, request: &RequestLine<'_>) -> Result<Framing, ClientFailure> {
        let is_1_1 = request.version == Version::HTTP_11;
        if is_1_1 && self.host.is_none() {
            return Err(ClientFailure::Malformed("no Host"));
        }
        if let (Some(authority), Some(host)) = (request.authority, self.host)
            && !authority.eq_ignore_ascii_case(host)
        {
            return Err(ClientFailure::Malformed(
                "the request target and Host disagree",
            ));
        }
        if let Some(authority) = request.authority
            && !is_host(authority)
        {
            return Err(ClientFailure::Malformed("malformed request target"));
        }
        let Some(coding) = self.transfer_encoding else {
            return Ok(Framing::Length(self.content_length.unwrap_or(0)));
        };
        if self.content_length.is_some() {
            return Err(ClientFailure::Malformed(
                "Content-Length with Transfer-Encoding",
            ));
        }
        if !is_1_1 {
            return Err(ClientFailure::Malformed("Transfer-Encoding in HTTP/1.0"));
        }
        if coding.eq_ignore_ascii_case(b"chunked") {
            Ok(Framing::Chunked)
        } else if coding
            .iter()
            .all(|byte| is_tokens(&[*byte]) || matches!(byte, b',' | b' '))
            && coding.to_ascii_lowercase().ends_with(b", chunked")
        {
            Err(ClientFailure::NotImplemented("unknown transfer coding"))
        } else {
            Err(ClientFailure::Malformed("malformed Transfer-Encoding"))
        }
    }
}

/// Host and port: a registered name, an IPv4 address or an IPv6 address in brackets
/// (RFC 3986, section 3.2.2). No user information.
/// Whether this is a host, with a port or without one.
pub fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value {
        [b'[', rest @ ..] => {
            let Some(end) = memchr(b']', rest) else {
                return false;
            };
            let (address, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            if !address
                .iter()
                .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
            {
                return false;
            }
            match after {
                [b']'] => (address, None),
                [b']', b':', port @ ..] => (address, Some(port)),
                _ => return false,
            }
        }
        value => match memchr(b':', value) {
            Some(colon) => {
                let (host, port) = value.split_at_checked(colon).unwrap_or((value, &[]));
                (host, port.get(1..))
            }
            None => (value, None),
        },
    };
    let host_ok = !host.is_empty()
        && host.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'-' | b'.'
                        | b'_'
                        | b'~'
                        | b':'
                        | b'%'
                        | b'!'
                        | b'$'
                        | b'&'
                        | b'\''
                        | b'('
                        | b')'
                        | b'*'
                        | b'+'
                        | b','
                        | b';'
                        | b'='
                )
        });
    host_ok && port.is_none_or(|port| port.len() <= 5 && port.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests;
