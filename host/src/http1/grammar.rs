//! Which bytes may stand where, and what a head consists of.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::Malformed;
use crate::exchange::target::{is_path_byte, is_query_byte};

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

static TOKEN: [bool; 256] = table!(is_token);
static PATH: [bool; 256] = table!(is_path_byte);
static QUERY: [bool; 256] = table!(is_query_byte);

fn all(bytes: &[u8], table: &[bool; 256]) -> bool {
    // `get` of a `u8` in 256 entries compiles to a plain load.
    bytes
        .iter()
        .all(|byte| table.get(usize::from(*byte)).copied().unwrap_or(false))
}

/// Whether this is a token (RFC 9110, section 5.6.2), or nothing.
pub fn is_tokens(bytes: &[u8]) -> bool {
    all(bytes, &TOKEN)
}

/// Whether these bytes may stand in a path.
pub fn is_path(bytes: &[u8]) -> bool {
    all(bytes, &PATH)
}

/// Whether these bytes may stand in a query.
pub fn is_query(bytes: &[u8]) -> bool {
    all(bytes, &QUERY)
}

/// The members of a list field (RFC 9110, section 5.6.1), without white space around them.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// A length: decimal digits and nothing else (RFC 9110, section 8.6).
pub fn length(value: &[u8]) -> Option<u64> {
    // Parsing alone would take "+3".
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The line that begins at `from`: its bytes with what ends it, and where the next one begins. `None`: it isn't whole yet.
pub fn line(bytes: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(from..)?;
    let end = memchr(b'\n', rest)? + 1;
    Some((rest.get(..end)?, from + end))
}

/// Where a field of a head stands in its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Range<usize>,
    /// Its value, without white space around it.
    pub value: Range<usize>,
}

impl Field {
    /// Reads a field's line, without what ends it; it begins at `start` of the head.
    ///
    /// # Errors
    /// A line that is none. Whether name and value are right is found out by [`headers`].
    pub fn read(line: &[u8], start: usize) -> Result<Self, Malformed> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Malformed("a header field continues on a second line"));
        }
        let colon = memchr(b':', line).ok_or(Malformed("a header line has no colon"))?;
        let after = line.get(colon + 1..).unwrap_or(&[]);
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let first = after.iter().position(|byte| !is_space(byte));
        let last = after.iter().rposition(|byte| !is_space(byte));
        let value = match (first, last) {
            (Some(first), Some(last)) => first..last + 1,
            _ => 0..0,
        };
        let start_of_value = start + colon + 1;
        Ok(Self {
            name: start..start + colon,
            value: start_of_value + value.start..start_of_value + value.end,
        })
    }
}

/// The fields of a head as a map. Values are parts of `head`: nothing is copied.
///
/// # Errors
/// A name that is no token, or a control character in a value.
pub fn headers(head: &Bytes, fields: &[Field]) -> Result<HeaderMap, Malformed> {
    let too_many = |_| Malformed("too many header fields");
    // A third more than there are: the gateway adds some of its own.
    let mut map = HeaderMap::try_with_capacity(fields.len() + 6).map_err(too_many)?;
    for field in fields {
        let name = head.get(field.name.clone()).unwrap_or(&[]);
        let name = HeaderName::from_bytes(name).map_err(|_| Malformed("malformed header name"))?;
        // The same rule as RFC 9110's, section 5.5: no control character but HTAB.
        let value = HeaderValue::from_maybe_shared(head.slice(field.value.clone()))
            .map_err(|_| Malformed("malformed header value"))?;
        map.try_append(name, value)
            .map_err(|_| Malformed("too many header fields"))?;
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_value_has_no_white_space_around_it() {
        let line = b"Name: \t a b \t";
        let field = Field::read(line, 10).unwrap();
        assert_eq!((field.name, field.value), (10..14, 18..21));
        let field = Field::read(b"x:", 0).unwrap();
        assert_eq!((field.name, field.value.len()), (0..1, 0));
        let field = Field::read(b"x:  ", 0).unwrap();
        assert_eq!(field.value.len(), 0);
    }

    #[test]
    fn members_of_a_list_are_trimmed_and_never_empty() {
        let found: Vec<&[u8]> = members(b" close,, x-one ,\t").collect();
        assert_eq!(found, [&b"close"[..], b"x-one"]);
    }

    #[test]
    fn a_value_with_a_control_character_is_none() {
        for byte in (0..0x20).chain([0x7f]) {
            let head = Bytes::from(vec![b'x', b':', b'a', byte, b'b']);
            let field = Field::read(&head, 0).unwrap();
            let taken = headers(&head, &[field]).is_ok();
            assert_eq!(taken, byte == b'\t', "{byte}");
        }
    }
}
