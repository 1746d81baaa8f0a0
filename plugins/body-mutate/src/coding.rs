//! Content codings (RFC 9110 section 8.4.1): gzip, deflate and br are taken off, up to a bound.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use sluicegate_plugin::Headers;
use std::fmt;
use std::io::{self, Write};

/// The field that names a body's coding.
pub const CONTENT_ENCODING: &str = "content-encoding";

/// A coding that can be taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950; some send RFC 1951 without its frame under this name, which is seen and read as well.
    Deflate,
    /// RFC 7932.
    Brotli,
}

/// What a head says of its body's coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announced {
    /// None at all.
    Identity,
    /// One that can be taken off.
    Known(Coding),
    /// Another, or several on top of each other.
    Unknown,
}

/// Reads `content-encoding`: one call to the gateway where there is none, two where there is.
pub fn announced(head: &impl Headers) -> Announced {
    if head.header(CONTENT_ENCODING).is_none() {
        return Announced::Identity;
    }
    let values = head.header_values(CONTENT_ENCODING);
    let [value] = values.as_slice() else {
        return Announced::Unknown;
    };
    match value.trim_ascii().to_ascii_lowercase().as_slice() {
        b"" | b"identity" => Announced::Identity,
        b"gzip" | b"x-gzip" => Announced::Known(Coding::Gzip),
        b"deflate" => Announced::Known(Coding::Deflate),
        b"br" => Announced::Known(Coding::Brotli),
        _ => Announced::Unknown,
    }
}

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It is not of the coding that the head announces, or it ends too early.
    Corrupt,
    /// More comes of it than is allowed.
    TooLarge,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupt => {
                "the body is not of the coding that its content-encoding names, or ends too early"
            }
            Self::TooLarge => "the decoded body is larger than the limit",
        })
    }
}

impl std::error::Error for DecodeError {}

/// The whole of a body, decoded to at most `limit` bytes.
pub fn decode(coding: Coding, body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(coding);
    let mut text = decoder.push(body, limit)?;
    text.append(&mut decoder.finish(limit.saturating_sub(text.len()))?);
    Ok(text)
}

/// Decodes a body that comes in pieces. After an error it is of no more use.
pub struct Decoder {
    running: Running,
    /// A body without a single byte is taken for an empty one: some send that for an empty page.
    started: bool,
}

enum Running {
    Gzip(Box<MultiGzDecoder<Sink>>),
    /// The bytes that tell the two kinds of deflate apart are not all here.
    Undecided(Vec<u8>),
    Inflate {
        state: Box<Decompress>,
        ended: bool,
    },
    Brotli {
        state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
        ended: bool,
    },
}

/// How much is made room for at a time.
const STEP: usize = 16 * 1024;

impl Decoder {
    /// Before the first piece.
    pub fn new(coding: Coding) -> Self {
        let running = match coding {
            Coding::Gzip => Running::Gzip(Box::new(MultiGzDecoder::new(Sink::default()))),
            Coding::Deflate => Running::Undecided(Vec::new()),
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                Running::Brotli {
                    state: Box::new(BrotliState::new(alloc(), alloc(), alloc())),
                    ended: false,
                }
            }
        };
        Self {
            running,
            started: false,
        }
    }

    /// The next piece; at most `room` bytes may come of it.
    pub fn push(&mut self, piece: &[u8], room: usize) -> Result<Vec<u8>, DecodeError> {
        self.started |= !piece.is_empty();
        match &mut self.running {
            Running::Gzip(decoder) => {
                decoder.get_mut().room = room;
                let written = decoder.write_all(piece).and_then(|()| decoder.flush());
                decoder.get_mut().take(&written)
            }
            Running::Undecided(head) => {
                head.extend_from_slice(piece);
                let [first, second, ..] = head.as_slice() else {
                    return Ok(Vec::new());
                };
                // RFC 1950 section 2.2: method 8, and a check that makes both bytes a multiple of 31.
                let zlib =
                    first & 0x0f == 8 && u16::from_be_bytes([*first, *second]).is_multiple_of(31);
                let head = std::mem::take(head);
                self.running = Running::Inflate {
                    state: Box::new(Decompress::new(zlib)),
                    ended: false,
                };
                self.push(&head, room)
            }
            Running::Inflate { state, ended } => inflate(state, ended, piece, room),
            Running::Brotli { state, ended } => unbrotli(state, ended, piece, room),
        }
    }

    /// The body has ended: what is left of it, at most `room` bytes.
    pub fn finish(&mut self, room: usize) -> Result<Vec<u8>, DecodeError> {
        match &mut self.running {
            _ if !self.started => Ok(Vec::new()),
            Running::Gzip(decoder) => {
                decoder.get_mut().room = room;
                let finished = decoder.try_finish();
                decoder.get_mut().take(&finished)
            }
            Running::Inflate { ended: true, .. } | Running::Brotli { ended: true, .. } => {
                Ok(Vec::new())
            }
            Running::Undecided(_) | Running::Inflate { .. } | Running::Brotli { .. } => {
                Err(DecodeError::Corrupt)
            }
        }
    }
}

/// What follows the end of the data is left out, as browsers do.
fn inflate(
    state: &mut Decompress,
    ended: &mut bool,
    piece: &[u8],
    room: usize,
) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::new();
    let mut rest = piece;
    while !*ended {
        out.reserve(STEP);
        let (read, written) = (state.total_in(), out.len());
        let status = state
            .decompress_vec(rest, &mut out, FlushDecompress::None)
            .map_err(|_| DecodeError::Corrupt)?;
        if out.len() > room {
            return Err(DecodeError::TooLarge);
        }
        let used = usize::try_from(state.total_in() - read).unwrap_or(rest.len());
        rest = rest.get(used..).unwrap_or_default();
        *ended = status == Status::StreamEnd;
        if used == 0 && out.len() == written {
            break;
        }
    }
    Ok(out)
}

fn unbrotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    ended: &mut bool,
    piece: &[u8],
    room: usize,
) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::new();
    let (mut left, mut read) = (piece.len(), 0);
    while !*ended {
        let mut written = out.len();
        let mut free = STEP;
        out.resize(written + STEP, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            piece,
            &mut free,
            &mut written,
            &mut out,
            &mut 0,
            state,
        );
        out.truncate(written);
        if out.len() > room {
            return Err(DecodeError::TooLarge);
        }
        match result {
            BrotliResult::ResultFailure => return Err(DecodeError::Corrupt),
            BrotliResult::NeedsMoreInput => break,
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess => *ended = true,
        }
    }
    Ok(out)
}

/// Takes what a decoder writes, up to a bound.
#[derive(Default)]
struct Sink {
    out: Vec<u8>,
    room: usize,
    overflown: bool,
}

impl Sink {
    fn take(&mut self, result: &io::Result<()>) -> Result<Vec<u8>, DecodeError> {
        match result {
            Ok(()) => Ok(std::mem::take(&mut self.out)),
            Err(_) if self.overflown => Err(DecodeError::TooLarge),
            Err(_) => Err(DecodeError::Corrupt),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() > self.room {
            self.overflown = true;
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
