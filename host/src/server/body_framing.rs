//! Follows a request body to its end, so that the guard knows where the next head begins.
//! Strict where chunked bodies can be read in two ways (RFC 9112, section 7.1).

use super::message::Framing;
use crate::exchange::failure::ClientFailure;

/// The longest line in a chunked body: a chunk's size with its extensions, or a trailer field.
const LINE_BYTES: usize = 4096;
/// All trailer fields together.
const TRAILER_BYTES: usize = 16 * 1024;

/// How much of a body is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// Nothing: a head may follow.
    Done,
    /// So many bytes.
    Length(u64),
    /// Somewhere in a chunked body.
    Chunked(Chunked),
}

/// Where in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunked {
    place: Place,
    /// Bytes of the current line, or of all trailers.
    seen: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a size: its value, and how many digits it had.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the size, in extensions.
    Extension {
        size: u64,
    },
    /// Behind the CR of a size line.
    SizeEnd {
        size: u64,
    },
    /// In data.
    Data {
        left: u64,
    },
    /// Behind data: CR, then LF.
    DataCr,
    DataLf,
    /// At the start of a trailer line, or of the empty line that ends the body.
    TrailerStart,
    /// In a trailer line.
    Trailer,
    /// Behind the CR of a trailer line.
    TrailerEnd,
    /// Behind the CR of the last line.
    LastLf,
}

impl From<Framing> for BodyFraming {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunked {
                place: Place::Size { size: 0, digits: 0 },
                seen: 0,
            }),
        }
    }
}

impl BodyFraming {
    /// Takes the next bytes from the connection; returns how many of them belong to this body.
    /// Fewer than given means that the body has ended.
    ///
    /// # Errors
    /// A chunked body that must be refused.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, ClientFailure> {
        match self {
            Self::Done => Ok(0),
            Self::Length(left) => {
                let taken =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(taken)
            }
            Self::Chunked(chunked) => match chunked.advance(bytes)? {
                Progress::More => Ok(bytes.len()),
                Progress::End(taken) => {
                    *self = Self::Done;
                    Ok(taken)
                }
            },
        }
    }
}

enum Progress {
    More,
    End(usize),
}

impl Chunked {
    fn advance(&mut self, bytes: &[u8]) -> Result<Progress, ClientFailure> {
        let mut position = 0;
        while let Some(rest) = bytes.get(position..)
            && let Some(byte) = rest.first()
        {
            if let Place::Data { left } = &mut self.place {
                let taken = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                *left -= taken as u64;
                position += taken;
                if *left == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            position += 1;
            if self.step(*byte)? {
                return Ok(Progress::End(position));
            }
        }
        Ok(Progress::More)
    }

    /// One byte of a line; `true` at the body's end.
    fn step(&mut self, byte: u8) -> Result<bool, ClientFailure> {
        let malformed = ClientFailure::Malformed("malformed chunk");
        self.seen += 1;
        self.place = match (self.place, byte) {
            (Place::Size { size, digits }, byte) if byte.is_ascii_hexdigit() => {
                // 15 digits can't overflow, also not in signed 64 bits elsewhere.
                if digits >= 15 {
                    return Err(malformed);
                }
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Place::Size {
                    size: size << 4 | digit,
                    digits: digits + 1,
                }
            }
            (Place::Size { digits: 0, .. }, _) => return Err(malformed),
            (Place::Size { size, .. } | Place::Extension { size }, b'\r') => {
                Place::SizeEnd { size }
            }
            (Place::Size { size, .. }, b';')
            | (Place::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => {
                Place::Extension { size }
            }
            (Place::SizeEnd { size: 0 }, b'\n') => {
                self.seen = 0;
                Place::TrailerStart
            }
            (Place::SizeEnd { size }, b'\n') => Place::Data { left: size },
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => {
                self.seen = 0;
                Place::Size { size: 0, digits: 0 }
            }
            (Place::TrailerStart, b'\r') => Place::LastLf,
            (Place::TrailerStart, byte) if !matches!(byte, b' ' | b'\t' | b':' | b'\n') => {
                Place::Trailer
            }
            (Place::Trailer, b'\r') => Place::TrailerEnd,
            (Place::Trailer, b'\t' | b' '..=b'~' | 0x80..) => Place::Trailer,
            (Place::TrailerEnd, b'\n') => Place::TrailerStart,
            (Place::LastLf, b'\n') => return Ok(true),
            _ => return Err(malformed),
        };
        let limit = match self.place {
            Place::TrailerStart | Place::Trailer | Place::TrailerEnd | Place::LastLf => {
                TRAILER_BYTES
            }
            _ => LINE_BYTES,
        };
        if self.seen > limit {
            return Err(malformed);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many bytes of `text` the body takes when it arrives in pieces of `step` bytes;
    /// `None` if it did not end.
    fn end(text: &[u8], step: usize) -> Result<Option<usize>, ClientFailure> {
        let mut framing = BodyFraming::from(Framing::Chunked);
        let mut taken = 0;
        for piece in text.chunks(step) {
            taken += framing.advance(piece)?;
            if framing == BodyFraming::Done {
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    #[test]
    fn finds_the_end_of_a_chunked_body_however_it_arrives() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=\"b c\"\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n",
            "1\r\n\n\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
        ] {
            let text = format!("{body}GET / HTTP/1.1\r\n");
            for step in 1..=text.len() {
                assert_eq!(
                    end(text.as_bytes(), step),
                    Ok(Some(body.len())),
                    "{body:?} by {step}"
                );
            }
        }
    }

    #[test]
    fn refuses_chunks_that_can_be_read_in_two_ways() {
        for body in [
            "\r\n",
            "x\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5;a\nb\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "1000000000000000\r\n",
            "0\r\n folded: 1\r\n\r\n",
            "0\r\nx: y\n\r\n",
            "0\r\nx: \0\r\n\r\n",
        ] {
            assert!(end(body.as_bytes(), 1).is_err(), "{body:?}");
            assert!(end(body.as_bytes(), 64).is_err(), "{body:?}");
        }
    }

    #[test]
    fn bounds_extensions_and_trailers() {
        let extension = format!("5;{}", "a".repeat(LINE_BYTES));
        assert!(end(extension.as_bytes(), 100).is_err());
        let trailers = format!("0\r\n{}", "x: y\r\n".repeat(TRAILER_BYTES / 6 + 1));
        assert!(end(trailers.as_bytes(), 100).is_err());
    }

    #[test]
    fn counts_a_content_length() {
        let mut framing = BodyFraming::from(Framing::Length(5));
        assert_eq!(framing.advance(b"abc"), Ok(3));
        assert_eq!(framing.advance(b"defg"), Ok(2));
        assert_eq!(framing, BodyFraming::Done);
        assert_eq!(BodyFraming::from(Framing::Length(0)), BodyFraming::Done);
    }

    proptest! {
        #[test]
        fn the_end_does_not_depend_on_how_bytes_arrive(
            bytes in "[0-9a-f;x\r\n]{0,40}",
            step in 1_usize..40,
        ) {
            prop_assert_eq!(end(bytes.as_bytes(), 1).is_err(), end(bytes.as_bytes(), step).is_err());
            if let (Ok(one), Ok(other)) = (end(bytes.as_bytes(), 1), end(bytes.as_bytes(), step)) {
                prop_assert_eq!(one, other);
            }
        }

        #[test]
        fn every_chunked_body_ends_where_it_was_written_to(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8),
            step in 1_usize..64,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let length = body.len();
            body.extend_from_slice(b"next");
            prop_assert_eq!(end(&body, step), Ok(Some(length)));
        }
    }
}
