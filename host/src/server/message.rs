//! A strict reading of HTTP/1 messages from clients: what a head may look like and where its
//! body ends (RFC 9112). Pure code over bytes; [`super::guard`] feeds it.
//!
//! hyper parses the same bytes afterwards. It is lenient in places where two readers can come to
//! different results: a line that ends in a bare LF, a Content-Length after a Transfer-Encoding,
//! which it drops without a word. Whatever can be read in two ways is refused here, so the
//! gateway, hyper and the upstream agree on where one request ends and the next begins.

use memchr::memchr;

use crate::exchange::failure::ClientFailure;
use crate::exchange::target::{is_path_byte, is_query_byte};

/// Limits for a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes, request line included.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// A head that was found and accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its length with the empty line at its end.
    pub length: usize,
    /// How its body is framed.
    pub framing: Framing,
}

/// How a request's body is framed. A request without either field has no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 where there is no body.
    Length(u64),
    /// Chunked.
    Chunked,
}

/// A table of the bytes that a class takes: one load for each byte of a head.
macro_rules! table {
    ($class:path) => {{
        let mut table = [false; 256];
        let mut byte = 0_u8;
        loop {
            #[allow(clippy::indexing_slicing)] // a u8 in 256 entries, at compile time
            {
                table[byte as usize] = $class(byte);
            }
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        table
    }};
}

/// RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// RFC 9110, section 5.5.
const fn is_value(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff)
}

static TOKEN: [bool; 256] = table!(is_token);
static VALUE: [bool; 256] = table!(is_value);
static PATH: [bool; 256] = table!(is_path_byte);
static QUERY: [bool; 256] = table!(is_query_byte);

fn all(bytes: &[u8], table: &[bool; 256]) -> bool {
    // `get` of a `u8` in 256 entries compiles to a plain load.
    bytes
        .iter()
        .all(|byte| table.get(usize::from(*byte)).copied().unwrap_or(false))
}

/// Reads a head at the start of `bytes`. `None`: it isn't whole yet.
///
/// # Errors
/// A head that must be refused; no byte behind it may be used.
pub fn read_head(bytes: &[u8], limits: HeadLimits) -> Result<Option<Head>, ClientFailure> {
    let (line, mut rest) = match next_line(bytes)? {
        Some(parts) => parts,
        // Before a request line is whole it can already be known to be none.
        None if bytes.len() > limits.bytes => return Err(ClientFailure::HeadTooLarge),
        None => return check_beginning(bytes).map(|()| None),
    };
    let request = RequestLine::read(line)?;
    let mut fields = Fields::default();
    loop {
        if bytes.len() - rest.len() > limits.bytes {
            return Err(ClientFailure::HeadTooLarge);
        }
        let (line, after) = match next_line(rest)? {
            Some(parts) => parts,
            None if bytes.len() > limits.bytes => return Err(ClientFailure::HeadTooLarge),
            None => return Ok(None),
        };
        rest = after;
        if line.is_empty() {
            let length = bytes.len() - rest.len();
            if length > limits.bytes {
                return Err(ClientFailure::HeadTooLarge);
            }
            return Ok(Some(Head {
                length,
                framing: fields.framing(&request)?,
            }));
        }
        fields.count += 1;
        if fields.count > limits.fields {
            return Err(ClientFailure::HeadTooLarge);
        }
        fields.read(line)?;
    }
}

/// A line without its CRLF, and what follows it.
type Line<'a> = (&'a [u8], &'a [u8]);

/// The first line.
fn next_line(bytes: &[u8]) -> Result<Option<Line<'_>>, ClientFailure> {
    let Some(position) = memchr(b'\n', bytes) else {
        return Ok(None);
    };
    let (line, rest) = bytes.split_at_checked(position + 1).unwrap_or((bytes, &[]));
    let line = line
        .strip_suffix(b"\r\n")
        .ok_or(ClientFailure::Malformed("a line ends in a bare LF"))?;
    Ok(Some((line, rest)))
}

/// Refuses early what can't become a request line: a TLS handshake, a terminal, HTTP/2.
fn check_beginning(bytes: &[u8]) -> Result<(), ClientFailure> {
    match bytes.first() {
        Some(byte) if !all(&[*byte], &TOKEN) && *byte != b'\r' => {
            Err(ClientFailure::Malformed("this is not an HTTP request"))
        }
        _ => Ok(()),
    }
}

struct RequestLine<'a> {
    version_1_1: bool,
    /// The authority of a target in absolute form.
    authority: Option<&'a [u8]>,
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
        if method.is_empty() || !all(method, &TOKEN) {
            return Err(malformed);
        }
        let version_1_1 = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
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
        let authority = match target {
            [b'/', ..] => None,
            b"*" if method == b"OPTIONS" => None,
            target => Some(absolute_authority(target)?),
        };
        Ok(Self {
            version_1_1,
            authority,
        })
    }
}

/// What hyper's URI type takes; a fragment is never sent (RFC 9112, section 3.2).
fn is_target(target: &[u8]) -> bool {
    let (path, query) = match memchr(b'?', target) {
        Some(mark) => target.split_at_checked(mark).unwrap_or((target, &[])),
        None => (target, &[][..]),
    };
    all(path, &PATH)
        && all(query, &QUERY)
        && (target.is_ascii() || std::str::from_utf8(target).is_ok())
}

/// The authority of `http://authority/...` (RFC 9112, section 3.2.2).
fn absolute_authority(target: &[u8]) -> Result<&[u8], ClientFailure> {
    let lower = |prefix: &[u8]| {
        target
            .split_at_checked(prefix.len())
            .filter(|(start, _)| start.eq_ignore_ascii_case(prefix))
            .map(|(_, rest)| rest)
    };
    let rest = lower(b"http://")
        .or_else(|| lower(b"https://"))
        .ok_or(ClientFailure::Malformed("malformed request target"))?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or(rest);
    if authority.is_empty() {
        return Err(ClientFailure::Malformed("malformed request target"));
    }
    Ok(authority)
}

#[derive(Default)]
struct Fields<'a> {
    count: usize,
    host: Option<&'a [u8]>,
    content_length: Option<u64>,
    transfer_encoding: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, line: &'a [u8]) -> Result<(), ClientFailure> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(ClientFailure::Malformed(
                "a header field continues on a second line",
            ));
        }
        let colon =
            memchr(b':', line).ok_or(ClientFailure::Malformed("a header line has no colon"))?;
        let (name, value) = line.split_at_checked(colon).unwrap_or((line, &[]));
        let value = value.get(1..).unwrap_or(&[]);
        if name.is_empty() || !all(name, &TOKEN) {
            return Err(ClientFailure::Malformed("malformed header name"));
        }
        if !all(value, &VALUE) {
            return Err(ClientFailure::Malformed("malformed header value"));
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value.trim_ascii()),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                self.content_length(value.trim_ascii())
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(value.trim_ascii())
            }
            _ => Ok(()),
        }
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
        let malformed = ClientFailure::Malformed("malformed Content-Length");
        // Digits only: parsing alone would take "+3".
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(malformed);
        }
        let length: u64 = std::str::from_utf8(value)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(malformed)?;
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
        if request.version_1_1 && self.host.is_none() {
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
        if !request.version_1_1 {
            return Err(ClientFailure::Malformed("Transfer-Encoding in HTTP/1.0"));
        }
        if coding.eq_ignore_ascii_case(b"chunked") {
            Ok(Framing::Chunked)
        } else if coding
            .iter()
            .all(|byte| all(&[*byte], &TOKEN) || matches!(byte, b',' | b' '))
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
fn is_host(value: &[u8]) -> bool {
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
