//! RESP3, the protocol that Redis speaks: what is sent are arrays of strings, what comes are the values that scripts and
//! subscriptions answer with. No I/O. A codec of our own, for these are two functions, where client libraries bring
//! connection pools, clusters and a type for every command.

/// The longest string that is taken; more is no answer to anything that is asked.
pub(super) const LONGEST: usize = 64 << 20;
/// Items of an array.
const ITEMS: usize = 1 << 20;
/// Arrays in arrays.
const DEPTH: usize = 8;
/// A line that says a length, or an error.
const LINE: usize = 4096;

/// What has come.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'b> {
    Null,
    /// Strings of all kinds, and whatever else is one line of text.
    Text(&'b [u8]),
    Error(&'b [u8]),
    Integer(i64),
    List(Vec<Value<'b>>),
    /// What comes unasked: messages of subscriptions.
    Push(Vec<Value<'b>>),
}

/// What has come is not RESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what came is not the protocol of Redis")]
pub(super) struct Malformed;

impl<'b> Value<'b> {
    pub(super) fn bytes(&self) -> Option<&'b [u8]> {
        match self {
            Self::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A number, also one that is written in a string.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Text(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> Option<&[Value<'b>]> {
        match self {
            Self::List(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }
}

/// A command as it is sent.
pub(super) fn command(parts: &[&[u8]]) -> Vec<u8> {
    let bytes: usize = parts.iter().map(|part| part.len() + 16).sum();
    let mut command = Vec::with_capacity(bytes + 16);
    command.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        command.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        command.extend_from_slice(part);
        command.extend_from_slice(b"\r\n");
    }
    command
}

/// The value that these bytes begin with, and how long it is; `None`: not all of it is there.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Value<'_>, usize)>, Malformed> {
    let mut cursor = Cursor { bytes, at: 0 };
    Ok(cursor.value(0)?.map(|value| (value, cursor.at)))
}

struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    fn value(&mut self, depth: usize) -> Result<Option<Value<'b>>, Malformed> {
        let Some((kind, line)) = self.line()? else {
            return Ok(None);
        };
        Ok(match kind {
            b'+' | b'#' | b',' | b'(' => Some(Value::Text(line)),
            b'-' => Some(Value::Error(line)),
            b'_' => Some(Value::Null),
            b':' => Some(Value::Integer(number(line)?)),
            b'$' | b'=' | b'!' | b'*' if line == b"-1" => Some(Value::Null),
            b'$' | b'=' | b'!' => self.string(length(line, LONGEST)?)?.map(|text| {
                if kind == b'!' {
                    Value::Error(text)
                } else {
                    Value::Text(text)
                }
            }),
            b'*' | b'~' => self.list(length(line, ITEMS)?, depth)?.map(Value::List),
            b'%' => self
                .list(2 * length(line, ITEMS / 2)?, depth)?
                .map(Value::List),
            b'>' => self.list(length(line, ITEMS)?, depth)?.map(Value::Push),
            _ => return Err(Malformed),
        })
    }

    fn list(&mut self, count: usize, depth: usize) -> Result<Option<Vec<Value<'b>>>, Malformed> {
        if depth == DEPTH {
            return Err(Malformed);
        }
        let mut items = Vec::new();
        for _ in 0..count {
            let Some(item) = self.value(depth + 1)? else {
                return Ok(None);
            };
            items.push(item);
        }
        Ok(Some(items))
    }

    fn string(&mut self, length: usize) -> Result<Option<&'b [u8]>, Malformed> {
        let end = self.at + length;
        let (Some(text), Some(after)) =
            (self.bytes.get(self.at..end), self.bytes.get(end..end + 2))
        else {
            return Ok(None);
        };
        if after != b"\r\n" {
            return Err(Malformed);
        }
        self.at = end + 2;
        Ok(Some(text))
    }

    /// The first byte of a line, and the rest of it.
    fn line(&mut self) -> Result<Option<(u8, &'b [u8])>, Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return if rest.len() > LINE {
                Err(Malformed)
            } else {
                Ok(None)
            };
        };
        let line = rest
            .get(..end)
            .and_then(|line| line.strip_suffix(b"\r"))
            .ok_or(Malformed)?;
        let (kind, line) = line.split_first().ok_or(Malformed)?;
        self.at += end + 1;
        Ok(Some((*kind, line)))
    }
}

fn number<T: std::str::FromStr>(line: &[u8]) -> Result<T, Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| Malformed)?;
    text.parse().map_err(|_| Malformed)
}

fn length(line: &[u8], most: usize) -> Result<usize, Malformed> {
    number(line).and_then(|length| (length <= most).then_some(length).ok_or(Malformed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_whole_wherever_they_are_cut() {
        let bytes = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n*2\r\n:-5\r\n%1\r\n+a\r\n_\r\n+next\r\n";
        let whole = bytes.len() - b"+next\r\n".len();
        for end in 0..whole {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end}");
        }
        let value = Value::Push(vec![
            Value::Text(b"message"),
            Value::Text(b"c"),
            Value::List(vec![
                Value::Integer(-5),
                Value::List(vec![Value::Text(b"a"), Value::Null]),
            ]),
        ]);
        assert_eq!(parse(bytes), Ok(Some((value, whole))));
        assert_eq!(
            parse(b"-ERR no\r\n"),
            Ok(Some((Value::Error(b"ERR no"), 9)))
        );
        assert_eq!(parse(b"$-1\r\n"), Ok(Some((Value::Null, 5))));
        assert_eq!(
            parse(b"$2\r\n\r\n\r\n"),
            Ok(Some((Value::Text(b"\r\n"), 8)))
        );
    }

    #[test]
    fn what_is_none_is_refused_and_nothing_is_reserved_for_what_it_promises() {
        for bytes in [
            &b"HTTP/1.1 400\r\n"[..],
            b"$99999999999\r\n",
            b"$-2\r\n",
            b"*9999999\r\n",
            b"$1\r\nabc",
            b":x\r\n",
            b"\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ] {
            assert_eq!(parse(bytes), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(parse(&[b'+'; LINE + 2]), Err(Malformed));
    }

    #[test]
    fn commands() {
        assert_eq!(
            command(&[b"GET", b"a\r\n"]),
            b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n"
        );
    }
}
