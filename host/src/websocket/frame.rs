//! Frames that the gateway sends (RFC 6455, section 5.2): never masked, never fragmented.
//!
//! A [`Frame`] is encoded once, in one allocation, and shared by all who get it, on all workers; so is its deflated
//! form, which is made when the first client asks for it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::close::{Close, NO_STATUS};
use super::deflate::{self, Window};

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xa;

pub(super) const FIN: u8 = 0x80;
pub(super) const RSV1: u8 = 0x40;

/// What the longest header takes.
const HEADER: usize = 10;

/// A message, ready to be written.
#[derive(Debug, Clone)]
pub struct Frame(Arc<Encoded>);

#[derive(Debug)]
struct Encoded {
    plain: Bytes,
    /// How long the header is.
    header: usize,
    full: OnceLock<Bytes>,
    small: OnceLock<Bytes>,
}

/// A message in the making: the room for its header comes first, so that nothing is moved when its length is known.
#[derive(Debug)]
pub struct Draft(Vec<u8>);

impl Draft {
    /// With room for a payload of about that length.
    pub fn with_capacity(payload: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER + payload);
        bytes.resize(HEADER, 0);
        Self(bytes)
    }

    /// What the payload is appended to.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// The payload as it is by now.
    pub fn body(&self) -> &[u8] {
        self.0.get(HEADER..).unwrap_or_default()
    }

    /// The frame.
    pub fn finish(self, kind: Kind) -> Frame {
        let (plain, header) = self.seal(FIN | opcode(kind));
        Frame(Arc::new(Encoded {
            plain,
            header,
            full: OnceLock::new(),
            small: OnceLock::new(),
        }))
    }

    fn seal(mut self, first: u8) -> (Bytes, usize) {
        let length = self.0.len().saturating_sub(HEADER);
        let (header, size) = header(first, length);
        let start = HEADER - size;
        if let (Some(room), Some(header)) = (self.0.get_mut(start..HEADER), header.get(..size)) {
            room.copy_from_slice(header);
        }
        // Who waits in a history holds no more than it has to.
        self.0.shrink_to_fit();
        (Bytes::from(self.0).slice(start..), size)
    }
}

impl Frame {
    /// A text message.
    pub fn text(payload: &str) -> Self {
        Self::new(Kind::Text, payload.as_bytes())
    }

    /// A message; text has to be UTF-8.
    pub fn new(kind: Kind, payload: &[u8]) -> Self {
        let mut draft = Draft::with_capacity(payload.len());
        draft.payload().extend_from_slice(payload);
        draft.finish(kind)
    }

    /// What is written to a client that has agreed on this.
    pub fn encoded(&self, deflate: Option<Window>) -> Bytes {
        let Some(window) = deflate else {
            return self.0.plain.clone();
        };
        let place = match window {
            Window::Full => &self.0.full,
            Window::Small => &self.0.small,
        };
        place.get_or_init(|| self.deflated(window)).clone()
    }

    /// The message itself.
    pub fn payload(&self) -> Bytes {
        self.0.plain.slice(self.0.header..)
    }

    /// Whether it is text.
    pub fn kind(&self) -> Kind {
        match self.0.plain.first() {
            Some(first) if first & 0x0f == BINARY => Kind::Binary,
            _ => Kind::Text,
        }
    }

    /// How many bytes it is, undeflated.
    pub fn len(&self) -> usize {
        self.0.plain.len()
    }

    /// Never: a frame has a header.
    pub fn is_empty(&self) -> bool {
        self.0.plain.is_empty()
    }

    fn deflated(&self, window: Window) -> Bytes {
        let payload = self.0.plain.get(self.0.header..).unwrap_or_default();
        let first = self.0.plain.first().copied().unwrap_or_default();
        match deflate::deflate(payload, window) {
            Some(deflated) => {
                let mut draft = Draft::with_capacity(deflated.len());
                draft.payload().extend_from_slice(&deflated);
                draft.seal(first | RSV1).0
            }
            None => self.0.plain.clone(),
        }
    }
}

fn opcode(kind: Kind) -> u8 {
    match kind {
        Kind::Text => TEXT,
        Kind::Binary => BINARY,
    }
}

/// The first bytes of a frame, and how many there are.
fn header(first: u8, length: usize) -> ([u8; HEADER], usize) {
    let mut header = [0; HEADER];
    let put = |header: &mut [u8; HEADER], lead: [u8; 2], length: &[u8]| {
        let bytes = lead.iter().chain(length);
        for (place, byte) in header.iter_mut().zip(bytes) {
            *place = *byte;
        }
        lead.len() + length.len()
    };
    let size = if let (Ok(short), true) = (u8::try_from(length), length < 126) {
        put(&mut header, [first, short], &[])
    } else if let Ok(length) = u16::try_from(length) {
        put(&mut header, [first, 126], &length.to_be_bytes())
    } else {
        put(&mut header, [first, 127], &(length as u64).to_be_bytes())
    };
    (header, size)
}

fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let mut draft = Draft::with_capacity(payload.len());
    draft.payload().extend_from_slice(payload);
    draft.seal(FIN | opcode).0
}

/// A ping without a payload.
pub fn ping() -> Bytes {
    Bytes::from_static(&[FIN | PING, 0])
}

/// The answer to a ping, of at most 125 bytes.
pub fn pong(payload: &[u8]) -> Bytes {
    control(PONG, payload)
}

/// A close frame; codes that stand for the lack of one have none.
pub fn close(close: &Close) -> Bytes {
    if close.code == NO_STATUS {
        return Bytes::from_static(&[FIN | CLOSE, 0]);
    }
    let mut payload = close.code.to_be_bytes().to_vec();
    payload.extend_from_slice(close.reason.as_bytes());
    control(CLOSE, &payload)
}

#[cfg(test)]
mod tests {
    use super::super::deflate::inflate;
    use super::*;

    #[test]
    fn lengths_take_as_few_bytes_as_they_can() {
        for (length, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let text = "x".repeat(length);
            let frame = Frame::text(&text);
            let encoded = frame.encoded(None);
            assert_eq!(&encoded[..header.len()], header);
            assert_eq!(encoded.len(), header.len() + length);
            assert_eq!(frame.payload(), text);
        }
    }

    #[test]
    fn a_frame_is_deflated_once_and_shared() {
        let text = "hello ".repeat(100);
        let frame = Frame::text(&text);
        let one = frame.clone().encoded(Some(Window::Full));
        let other = frame.encoded(Some(Window::Full));
        assert_eq!(one.as_ptr(), other.as_ptr());
        assert_eq!(one[0], 0xc1);
        assert_eq!(inflate(&one[2..], 1000).unwrap(), text.as_bytes());
        let small = frame.encoded(Some(Window::Small));
        assert_eq!(inflate(&small[2..], 1000).unwrap(), text.as_bytes());
    }

    #[test]
    fn only_what_is_empty_is_not_deflated() {
        let empty = Frame::text("");
        assert_eq!(empty.encoded(Some(Window::Full)), empty.encoded(None));
        assert_eq!(&Frame::text("hi").encoded(Some(Window::Full))[..1], [0xc1]);
    }

    #[test]
    fn control_frames() {
        assert_eq!(ping(), &[0x89, 0][..]);
        assert_eq!(pong(b"ab"), &b"\x8a\x02ab"[..]);
        assert_eq!(close(&Close::new(1000, "x")), &b"\x88\x03\x03\xe8x"[..]);
        assert_eq!(close(&Close::new(NO_STATUS, "")), &b"\x88\x00"[..]);
    }
}
