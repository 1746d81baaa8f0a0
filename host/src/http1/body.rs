//! Finds the end of a body, and what is in it. Strict where chunked bodies can be read in two ways (RFC 9112, section 7.1).

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::Malformed;
use super::grammar::{self, Field};

/// The longest line in a chunked body: a chunk's size with its extensions, or a trailer field.
const LINE_BYTES: usize = 4096;
/// All trailer fields together.
const TRAILER_BYTES: usize = 16 * 1024;

const MALFORMED: Malformed = Malformed("malformed chunk");

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 where there is no body.
    Length(u64),
    /// Chunked.
    Chunked,
    /// All until the connection's end. Only a response can be framed so.
    UntilClose,
}

/// Who wrote a body: servers are forgiven white space behind a chunk's size, which some of them pad to a fixed width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// A client.
    Client,
    /// An upstream.
    Server,
}

/// What comes out of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some of its bytes.
    Data(Bytes),
    /// The fields behind its end.
    Trailers(HeaderMap),
}

/// Takes a body out of a connection's bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// The body has ended.
    #[default]
    Done,
    /// So many bytes are still to come.
    Length(u64),
    /// Somewhere in a chunked body.
    Chunked(Chunked),
    UntilClose,
    Failed(Malformed),
}

impl Decoder {
    /// For a body that begins now.
    pub fn new(framing: Framing, writer: Writer) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked {
                place: Place::Size { size: 0, digits: 0 },
                seen: 0,
                forgives_padding: writer == Writer::Server,
                trailers: Vec::new(),
            }),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// Whether all of the body has been taken.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// How much is still to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Takes the next piece out of what has come in. `None`: the body is done, or more bytes are needed.
    ///
    /// # Errors
    /// A chunked body that is none.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, Malformed> {
        match &mut self.state {
            State::Done => Ok(None),
            State::Failed(malformed) => Err(*malformed),
            State::Length(left) => {
                let data = take(buffer, left);
                if *left == 0 {
                    self.state = State::Done;
                }
                Ok(data)
            }
            State::UntilClose => {
                let data = buffer.split().freeze();
                Ok((!data.is_empty()).then_some(Piece::Data(data)))
            }
            State::Chunked(chunked) => {
                if let Err(malformed) = chunked.skip_lines(buffer) {
                    self.state = State::Failed(malformed);
                    return Err(malformed);
                }
                let piece = if let Place::Data { left } = &mut chunked.place {
                    let data = take(buffer, left);
                    if *left == 0 {
                        chunked.place = Place::DataCr;
                    }
                    // Now rather than later: who knows that this piece is the last one need not ask again.
                    if let Err(malformed) = chunked.skip_lines(buffer) {
                        self.state = State::Failed(malformed);
                        return Ok(data);
                    }
                    data
                } else {
                    None
                };
                if chunked.place == Place::End && piece.is_none() {
                    let trailers = match chunked.take_trailers() {
                        Ok(trailers) => trailers,
                        Err(malformed) => {
                            self.state = State::Failed(malformed);
                            return Err(malformed);
                        }
                    };
                    self.state = State::Done;
                    return Ok((!trailers.is_empty()).then_some(Piece::Trailers(trailers)));
                }
                if chunked.place == Place::End && chunked.trailers.is_empty() {
                    self.state = State::Done;
                }
                Ok(piece)
            }
        }
    }

    /// The connection has ended: whether the body has ended with it.
    pub fn ends_here(&mut self) -> bool {
        if matches!(self.state, State::UntilClose) {
            self.state = State::Done;
        }
        self.is_done()
    }
}

fn take(buffer: &mut BytesMut, left: &mut u64) -> Option<Piece> {
    let length = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    if length == 0 {
        return None;
    }
    *left -= length as u64;
    Some(Piece::Data(buffer.split_to(length).freeze()))
}

/// Where in a chunked body.
#[derive(Debug)]
struct Chunked {
    place: Place,
    /// Bytes of the current line, or of all trailers.
    seen: usize,
    forgives_padding: bool,
    /// The trailer section's lines.
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In a size: its value, and how many digits it had.
    Size {
        size: u64,
        digits: u8,
    },
    /// Behind the size, in white space.
    Padding {
        size: u64,
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
    /// Behind all of it.
    End,
}

impl Chunked {
    /// Reads up to the next data, or to the body's end.
    fn skip_lines(&mut self, buffer: &mut BytesMut) -> Result<(), Malformed> {
        let mut read = 0;
        for byte in &**buffer {
            if matches!(self.place, Place::Data { .. } | Place::End) {
                break;
            }
            read += 1;
            self.step(*byte)?;
        }
        buffer.advance(read);
        Ok(())
    }

    /// One byte of a line.
    fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        self.seen += 1;
        self.place = match (self.place, byte) {
            (Place::Size { size, digits }, byte) if byte.is_ascii_hexdigit() => {
                // 15 digits can't overflow, also not in signed 64 bits elsewhere.
                if digits >= 15 {
                    return Err(MALFORMED);
                }
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Place::Size {
                    size: size << 4 | digit,
                    digits: digits + 1,
                }
            }
            (Place::Size { digits: 0, .. }, _) => return Err(MALFORMED),
            (Place::Size { size, .. } | Place::Padding { size }, b' ' | b'\t')
                if self.forgives_padding =>
            {
                Place::Padding { size }
            }
            (
                Place::Size { size, .. } | Place::Padding { size } | Place::Extension { size },
                b'\r',
            ) => Place::SizeEnd { size },
            (Place::Size { size, .. } | Place::Padding { size }, b';')
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
            (Place::LastLf, b'\n') => Place::End,
            _ => return Err(MALFORMED),
        };
        let limit = match self.place {
            Place::Trailer | Place::TrailerEnd | Place::TrailerStart => {
                if self.seen > 0 {
                    self.trailers.push(byte);
                }
                TRAILER_BYTES
            }
            Place::LastLf | Place::End => TRAILER_BYTES,
            _ => LINE_BYTES,
        };
        if self.seen > limit {
            return Err(MALFORMED);
        }
        Ok(())
    }

    /// The fields behind the last chunk.
    fn take_trailers(&mut self) -> Result<HeaderMap, Malformed> {
        if self.trailers.is_empty() {
            return Ok(HeaderMap::new());
        }
        let section = Bytes::from(std::mem::take(&mut self.trailers));
        let mut fields = Vec::new();
        let mut start = 0;
        while let Some((line, next)) = grammar::line(&section, start) {
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            fields.push(Field::read(line, start)?);
            start = next;
        }
        grammar::headers(&section, &fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes out of a body.
    type Decoded = (Vec<u8>, HeaderMap);

    /// Takes a body out of `text` when it arrives in pieces of `step` bytes; how many bytes it takes, and what is in it.
    /// `None` if it did not end.
    fn decode(
        text: &[u8],
        step: usize,
        writer: Writer,
    ) -> Result<Option<(usize, Decoded)>, Malformed> {
        let mut decoder = Decoder::new(Framing::Chunked, writer);
        let (mut data, mut trailers) = (Vec::new(), HeaderMap::new());
        let mut buffer = BytesMut::new();
        let mut given = 0;
        for piece in text.chunks(step) {
            buffer.extend_from_slice(piece);
            given += piece.len();
            while let Some(piece) = decoder.decode(&mut buffer)? {
                match piece {
                    Piece::Data(piece) => data.extend_from_slice(&piece),
                    Piece::Trailers(fields) => trailers = fields,
                }
            }
            if decoder.is_done() {
                return Ok(Some((given - buffer.len(), (data, trailers))));
            }
        }
        Ok(None)
    }

    /// How many bytes of `text` the body takes.
    fn end(text: &[u8], step: usize) -> Result<Option<usize>, Malformed> {
        Ok(decode(text, step, Writer::Client)?.map(|(length, _)| length))
    }

    #[test]
    fn only_servers_are_forgiven_padding() {
        let body = b"5  \r\nhello\r\n0 \r\n\r\n";
        assert!(decode(body, 1, Writer::Client).is_err());
        for step in 1..=body.len() {
            let decoded = decode(body, step, Writer::Server).unwrap();
            assert_eq!(
                decoded,
                Some((body.len(), (b"hello".to_vec(), HeaderMap::new())))
            );
        }
        assert!(decode(b"5 5\r\n", 1, Writer::Server).is_err());
        assert!(decode(b" 5\r\n", 1, Writer::Server).is_err());
    }

    #[test]
    fn trailers_come_out() {
        let body = "1\r\na\r\n0\r\nX-Sum: 1 \r\nx-other:\r\nx-sum:2\r\n\r\n";
        for step in 1..=body.len() {
            let (_, (data, trailers)) = decode(body.as_bytes(), step, Writer::Client)
                .unwrap()
                .unwrap();
            assert_eq!(data, b"a");
            let values: Vec<_> = trailers.get_all("x-sum").iter().collect();
            assert_eq!(values, ["1", "2"]);
            assert_eq!(trailers["x-other"], "");
        }
    }

    #[test]
    fn the_last_piece_is_known_to_be_the_last() {
        for (framing, text) in [
            (Framing::Chunked, &b"5\r\nhello\r\n0\r\n\r\n"[..]),
            (Framing::Length(5), b"hello"),
        ] {
            let mut decoder = Decoder::new(framing, Writer::Server);
            let piece = decoder.decode(&mut BytesMut::from(text)).unwrap();
            assert_eq!(piece, Some(Piece::Data(Bytes::from_static(b"hello"))));
            assert!(decoder.is_done(), "{framing:?}");
        }
    }

    #[test]
    fn data_before_a_malformed_chunk_comes_out_and_then_the_error() {
        let mut decoder = Decoder::new(Framing::Chunked, Writer::Server);
        let mut buffer = BytesMut::from(&b"5\r\nhelloX"[..]);
        let piece = decoder.decode(&mut buffer).unwrap();
        assert_eq!(piece, Some(Piece::Data(Bytes::from_static(b"hello"))));
        assert!(!decoder.is_done());
        assert_eq!(decoder.decode(&mut buffer), Err(MALFORMED));
    }

    #[test]
    fn only_a_body_without_a_length_ends_with_its_connection() {
        for (framing, ends) in [
            (Framing::UntilClose, true),
            (Framing::Length(1), false),
            (Framing::Length(0), true),
            (Framing::Chunked, false),
        ] {
            let mut decoder = Decoder::new(framing, Writer::Server);
            assert_eq!(decoder.ends_here(), ends, "{framing:?}");
        }
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
        let mut decoder = Decoder::new(Framing::Length(5), Writer::Client);
        let mut buffer = BytesMut::from(&b"abc"[..]);
        let piece = decoder.decode(&mut buffer);
        assert_eq!(piece, Ok(Some(Piece::Data(Bytes::from_static(b"abc")))));
        assert_eq!(decoder.remaining(), Some(2));
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        buffer.extend_from_slice(b"defg");
        let piece = decoder.decode(&mut buffer);
        assert_eq!(piece, Ok(Some(Piece::Data(Bytes::from_static(b"de")))));
        assert!(decoder.is_done());
        assert_eq!(buffer, "fg");
        assert!(Decoder::new(Framing::Length(0), Writer::Client).is_done());
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
            let decoded = decode(&body, step, Writer::Client);
            prop_assert_eq!(decoded, Ok(Some((length, (chunks.concat(), HeaderMap::new())))));
        }
    }
}
