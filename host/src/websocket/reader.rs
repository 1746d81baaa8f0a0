//! Reading what clients send (RFC 6455, section 5): bytes in, messages out.
//!
//! A [`Reader`] is given bytes as they came, unmasks them where they are, and hands out whole messages. A message that
//! came in one frame and in one read is lent out of the caller's buffer; only what is cut off is copied and kept. It
//! judges every byte as soon as it has it: a message that breaks a rule is not waited for.

use super::close::{self, Close};
use super::deflate;
use super::frame::{BINARY, CLOSE, CONTINUATION, FIN, Kind, PING, PONG, RSV1, TEXT};
use super::utf8::Utf8;

const MASKED: u8 = 0x80;
/// The longest header: two bytes, eight of length, four of mask.
const HEADER: usize = 14;

/// What a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Bytes of a message, whole and inflated.
    pub message: usize,
    /// Whether permessage-deflate has been agreed on.
    pub deflate: bool,
}

/// The state of a connection's reading side. See the module's documentation.
#[derive(Debug)]
pub struct Reader {
    rules: Rules,
    header: [u8; HEADER],
    held: u8,
    frame: Option<InFrame>,
    message: Option<InMessage>,
    /// Of a control frame that is not whole.
    control: Vec<u8>,
}

/// A frame whose header has come.
#[derive(Debug, Clone, Copy)]
struct InFrame {
    opcode: u8,
    is_last: bool,
    mask: [u8; 4],
    left: usize,
}

/// A message that is not whole.
#[derive(Debug)]
struct InMessage {
    kind: Kind,
    compressed: bool,
    bytes: Vec<u8>,
    utf8: Utf8,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// A whole message; text is UTF-8.
    Message(Kind, Payload<'b>),
    /// It wants a pong with the same payload.
    Ping(Payload<'b>),
    /// Of whatever ping.
    Pong,
    /// The other side closes, with or without a code. Nothing that comes after it counts.
    Close(Option<Close>),
}

/// Bytes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'b> {
    /// In the buffer that they were read into.
    Lent(&'b [u8]),
    /// They came in pieces, or deflated.
    Owned(Vec<u8>),
}

impl std::ops::Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Payload<'_> {
    /// The bytes for oneself.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Lent(bytes) => bytes.to_vec(),
            Self::Owned(bytes) => bytes,
        }
    }
}

impl Reader {
    /// A reader at the start of a connection.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            header: [0; HEADER],
            held: 0,
            frame: None,
            message: None,
            control: Vec::new(),
        }
    }

    /// Whether a message or a frame has begun and not ended.
    pub fn is_within(&self) -> bool {
        self.held > 0 || self.frame.is_some() || self.message.is_some()
    }

    /// Reads up to the next event. Returns how many of the bytes are done with, which is all where there is no event.
    ///
    /// # Errors
    /// What the connection is to be closed with.
    pub fn read<'b>(&mut self, input: &'b mut [u8]) -> Result<(usize, Option<Event<'b>>), Close> {
        let mut done = 0;
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.header(input.get(done..).unwrap_or_default())? {
                    Header::Cut(taken) => return Ok((done + taken, None)),
                    Header::Whole(taken, frame) => {
                        done += taken;
                        frame
                    }
                },
            };
            let available = input.len() - done;
            let size = frame.left.min(available);
            if size == 0 && frame.left > 0 {
                self.frame = Some(frame);
                return Ok((done, None));
            }
            // The borrow checker does not see that a piece that is lent ends the loop, so the input is taken apart.
            let is_whole = size == frame.left;
            let piece = input.get_mut(done..done + size).unwrap_or_default();
            unmask(piece, frame.mask);
            done += size;
            self.frame = (!is_whole).then(|| frame.after(size));
            let is_event = is_whole && (frame.is_control() || frame.is_last);
            if !is_event {
                self.keep(frame, piece)?;
                if done == input.len() {
                    return Ok((done, None));
                }
                continue;
            }
            let piece = input.get(done - size..done).unwrap_or_default();
            let event = if frame.is_control() {
                self.control_event(frame, piece)?
            } else {
                self.message_event(frame, piece)?
            };
            return Ok((done, Some(event)));
        }
    }

    /// The next header, of which some bytes may have been there before.
    fn header(&mut self, input: &[u8]) -> Result<Header, Close> {
        let held = usize::from(self.held);
        let room = self.header.get_mut(held..).unwrap_or_default();
        let copied = room.len().min(input.len());
        for (place, byte) in room.iter_mut().zip(input) {
            *place = *byte;
        }
        let there = held + copied;
        let [first, second, ..] = self.header;
        if there < 2 {
            self.held = there as u8;
            return Ok(Header::Cut(copied));
        }
        self.check(first, second)?;
        let length_bytes = match second & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let size = 2 + length_bytes + 4;
        if there < size {
            self.held = there as u8;
            return Ok(Header::Cut(copied));
        }
        let length = match length_bytes {
            0 => u64::from(second & !MASKED),
            _ => self
                .header
                .get(2..2 + length_bytes)
                .into_iter()
                .flatten()
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let least = match length_bytes {
            2 => 126,
            8 => 1 << 16,
            _ => 0,
        };
        if length < least || length > i64::MAX as u64 {
            return Err(Close::new(close::PROTOCOL, "a malformed length"));
        }
        let mask = self
            .header
            .get(size - 4..size)
            .and_then(|mask| mask.try_into().ok())
            .unwrap_or_default();
        self.held = 0;
        let frame = InFrame {
            opcode: first & 0x0f,
            is_last: first & FIN != 0,
            mask,
            left: self.room_for(first & 0x0f, length)?,
        };
        if frame.opcode == TEXT || frame.opcode == BINARY {
            self.message = Some(InMessage {
                kind: if frame.opcode == TEXT {
                    Kind::Text
                } else {
                    Kind::Binary
                },
                compressed: first & RSV1 != 0,
                bytes: Vec::new(),
                utf8: Utf8::default(),
            });
        }
        Ok(Header::Whole(size - held, frame))
    }

    /// What the first two bytes can be wrong in.
    fn check(&self, first: u8, second: u8) -> Result<(), Close> {
        let protocol = |reason| Err(Close::new(close::PROTOCOL, reason));
        let opcode = first & 0x0f;
        let begins = opcode == TEXT || opcode == BINARY;
        if first & 0x30 != 0 || (first & RSV1 != 0 && !(self.rules.deflate && begins)) {
            return protocol("a reserved bit is set");
        }
        if second & MASKED == 0 {
            return protocol("a frame without a mask");
        }
        match opcode {
            CONTINUATION if self.message.is_none() => protocol("nothing to be continued"),
            TEXT | BINARY if self.message.is_some() => protocol("a message within a message"),
            CLOSE | PING | PONG if first & FIN == 0 => protocol("a control frame in pieces"),
            CLOSE | PING | PONG if second & !MASKED > 125 => {
                protocol("a control frame that is too long")
            }
            CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => Ok(()),
            _ => protocol("a reserved opcode"),
        }
    }

    /// The length, where the limit has room for it.
    fn room_for(&self, opcode: u8, length: u64) -> Result<usize, Close> {
        let before = match opcode {
            CONTINUATION => self
                .message
                .as_ref()
                .map_or(0, |message| message.bytes.len()),
            _ => 0,
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if opcode < CLOSE && before.saturating_add(length) > self.rules.message {
            return Err(too_large());
        }
        Ok(length)
    }

    /// Keeps a piece of what is not whole.
    fn keep(&mut self, frame: InFrame, piece: &[u8]) -> Result<(), Close> {
        if frame.is_control() {
            self.control.extend_from_slice(piece);
            return Ok(());
        }
        let Some(message) = &mut self.message else {
            return Ok(());
        };
        if message.kind == Kind::Text && !message.compressed {
            message.utf8.push(piece).map_err(|_| invalid_text())?;
        }
        message.bytes.extend_from_slice(piece);
        Ok(())
    }

    fn control_event<'b>(&mut self, frame: InFrame, piece: &'b [u8]) -> Result<Event<'b>, Close> {
        let payload = if self.control.is_empty() {
            Payload::Lent(piece)
        } else {
            let mut whole = std::mem::take(&mut self.control);
            whole.extend_from_slice(piece);
            Payload::Owned(whole)
        };
        Ok(match frame.opcode {
            PING => Event::Ping(payload),
            PONG => Event::Pong,
            _ => Event::Close(Close::read(&payload)?),
        })
    }

    fn message_event<'b>(&mut self, frame: InFrame, piece: &'b [u8]) -> Result<Event<'b>, Close> {
        let Some(mut message) = self.message.take() else {
            return Err(Close::new(close::PROTOCOL, "nothing to be continued"));
        };
        let is_alone = frame.opcode != CONTINUATION && message.bytes.is_empty();
        if is_alone && !message.compressed {
            if message.kind == Kind::Text && std::str::from_utf8(piece).is_err() {
                return Err(invalid_text());
            }
            return Ok(Event::Message(message.kind, Payload::Lent(piece)));
        }
        if message.compressed {
            let inflate = |bytes: &[u8]| deflate::inflate(bytes, self.rules.message);
            let inflated = if is_alone {
                inflate(piece)
            } else {
                message.bytes.extend_from_slice(piece);
                inflate(&message.bytes)
            };
            let inflated = inflated.map_err(|error| match error {
                deflate::InflateError::TooLarge => too_large(),
                deflate::InflateError::Corrupt => Close::new(
                    close::INVALID_DATA,
                    "compressed data that can't be inflated",
                ),
            })?;
            if message.kind == Kind::Text && std::str::from_utf8(&inflated).is_err() {
                return Err(invalid_text());
            }
            return Ok(Event::Message(message.kind, Payload::Owned(inflated)));
        }
        if message.kind == Kind::Text {
            message.utf8.push(piece).map_err(|_| invalid_text())?;
            message.utf8.finish().map_err(|_| invalid_text())?;
        }
        message.bytes.extend_from_slice(piece);
        Ok(Event::Message(message.kind, Payload::Owned(message.bytes)))
    }
}

enum Header {
    /// All bytes are taken, and more are needed.
    Cut(usize),
    /// So many bytes were left of it.
    Whole(usize, InFrame),
}

impl InFrame {
    fn is_control(self) -> bool {
        self.opcode >= CLOSE
    }

    /// What is left of it after so many bytes of its payload.
    fn after(self, size: usize) -> Self {
        let mut mask = self.mask;
        mask.rotate_left(size % 4);
        Self {
            mask,
            left: self.left - size,
            ..self
        }
    }
}

fn too_large() -> Close {
    Close::new(close::TOO_LARGE, "a message that is too large")
}

fn invalid_text() -> Close {
    Close::new(close::INVALID_DATA, "text that is not UTF-8")
}

/// RFC 6455, section 5.3; eight bytes at a time, where there are so many.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests;
