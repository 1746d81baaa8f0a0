//! HTTP/2 frame by frame (RFC 9113), for clients that no library would let us be.

use std::net::{SocketAddr, TcpStream};

use crate::message::End;
use crate::wire::Wire;

/// What a connection of HTTP/2 begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
pub mod kind {
    #![allow(missing_docs)]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![allow(missing_docs)]
    pub const END_STREAM: u8 = 1;
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// 0: the connection.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// What a connection, or one of its streams, was ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A reset with this error code.
    Stream(u32),
    /// GOAWAY with this error code.
    Connection(u32),
    /// The head of a response with this status.
    Status(u16),
    /// Without a word.
    Closed,
}

impl Ended {
    /// Closed for being too much (`ENHANCE_YOUR_CALM`); the reason may be lost with what was sent behind it.
    pub fn is_calmed(self) -> bool {
        [Self::Connection(11), Self::Closed].contains(&self)
    }
}

/// A connection, down to the frames.
#[derive(Debug)]
pub struct Frames {
    /// The connection below.
    pub wire: Wire,
}

impl RawFrame {
    /// As it stands on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        frame(self.kind, self.flags, self.stream, &self.payload)
    }

    /// The 32 bits at this place of its payload.
    pub fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }

    /// The status of a response's head. The value's coding is the static table's, or a literal with or without Huffman.
    pub fn status(&self) -> Option<u16> {
        if self.kind != kind::HEADERS {
            return None;
        }
        let fixed = [200, 204, 206, 304, 400, 404, 500];
        match *self.payload.as_slice() {
            [first @ 0x88..=0x8e, ..] => Some(fixed[usize::from(first - 0x88)]),
            [0x48..=0x4e | 0x08..=0x0e, 3, a, b, c, ..] => {
                std::str::from_utf8(&[a, b, c]).ok()?.parse().ok()
            }
            [0x48..=0x4e | 0x08..=0x0e, 0x82, a, b, ..] => digits([a, b, 0]),
            [0x48..=0x4e | 0x08..=0x0e, 0x83, a, b, c, ..] => digits([a, b, c]),
            _ => None,
        }
    }
}

/// Three digits in Huffman's code (RFC 7541, appendix B).
fn digits([a, b, c]: [u8; 3]) -> Option<u16> {
    let mut bits = u32::from_be_bytes([a, b, c, 0]);
    let mut number = 0;
    for _ in 0..3 {
        let short = bits >> 27;
        let (digit, length) = if short < 3 {
            (short, 5)
        } else {
            ((bits >> 26).checked_sub(0b01_1001)? + 3, 6)
        };
        number = number * 10 + digit;
        bits <<= length;
    }
    u16::try_from(number).ok()
}

/// A frame with a length that is its own.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(payload.len(), kind, flags, stream);
    bytes.extend_from_slice(payload);
    bytes
}

/// The nine bytes in front of a payload.
pub fn head(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let length = u32::try_from(length).expect("a length").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes
}

/// A block of fields, each a literal that goes into no table (RFC 7541, section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// RFC 7541, section 5.1, with a prefix of seven bits.
fn integer(block: &mut Vec<u8>, number: usize) {
    let byte = |number: usize| u8::try_from(number).expect("a byte");
    let Some(mut rest) = number.checked_sub(127) else {
        return block.push(byte(number));
    };
    block.push(127);
    while rest >= 128 {
        block.push(byte(rest % 128) | 0x80);
        rest /= 128;
    }
    block.push(byte(rest));
}

/// The pseudo fields of a request that is in order.
pub const GET: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];

/// As [`GET`].
pub const POST: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];

impl Frames {
    /// Connects, and exchanges settings.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[])
    }

    /// Connects with these settings.
    #[track_caller]
    pub fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let stream = TcpStream::connect(address).expect("somebody listens");
        let mut frames = Self {
            wire: Wire::new(stream),
        };
        frames.wire.write(PREFACE);
        frames.write(kind::SETTINGS, 0, 0, &payload);
        let theirs = frames.read().expect("settings");
        assert_eq!((theirs.kind, theirs.flags), (kind::SETTINGS, 0));
        frames.write(kind::SETTINGS, flag::ACK, 0, &[]);
        frames
    }

    /// Sends a frame.
    pub fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.wire.write(frame(kind, flags, stream, payload));
    }

    /// Sends a request's head.
    pub fn request(&mut self, stream: u32, fields: &[(&str, &str)], is_end: bool) {
        let end = if is_end { flag::END_STREAM } else { 0 };
        let flags = flag::END_HEADERS | end;
        self.write(kind::HEADERS, flags, stream, &block(fields));
    }

    /// The next frame; `None` at the connection's end.
    pub fn read(&mut self) -> Option<RawFrame> {
        let head = match self.wire.try_read_exact(9) {
            Ok(head) => head,
            Err(error) => {
                assert_ne!(error.end, End::TimedOut, "nothing came");
                return None;
            }
        };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(RawFrame {
            kind: head[3],
            flags: head[4],
            stream,
            payload: self
                .wire
                .try_read_exact(usize::try_from(length).ok()?)
                .ok()?,
        })
    }

    /// Reads up to a frame of this kind.
    #[track_caller]
    pub fn read_until(&mut self, kind: u8) -> RawFrame {
        let mut seen = Vec::new();
        loop {
            match self.read() {
                Some(frame) if frame.kind == kind => return frame,
                Some(frame) => seen.push(frame),
                None => panic!("closed after {seen:?}"),
            }
        }
    }

    /// Reads up to what ends a stream or the connection, or answers a request.
    pub fn ended(&mut self) -> Ended {
        while let Some(frame) = self.read() {
            match frame.kind {
                kind::RST_STREAM => return Ended::Stream(frame.number(0)),
                kind::GOAWAY => return Ended::Connection(frame.number(4)),
                kind::HEADERS => {
                    let status = frame.status();
                    let status = status.unwrap_or_else(|| panic!("no status: {frame:x?}"));
                    return Ended::Status(status);
                }
                _ => {}
            }
        }
        Ended::Closed
    }

    /// Reads to the connection's end; the last error code that it was given.
    pub fn read_to_end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.read() {
            if frame.kind == kind::GOAWAY {
                code = Some(frame.number(4));
            }
        }
        code
    }

    /// Sends the same again and again, until the other end closes or all has been sent. What comes back is not read, as far
    /// as the system's buffers do not hold it.
    pub fn flood(&mut self, bytes: &[u8], times: usize) {
        for _ in 0..times {
            if self.wire.try_write(bytes).is_err() {
                return;
            }
        }
    }

    /// That the connection is alive: a PING is answered.
    #[track_caller]
    pub fn ping(&mut self) {
        self.write(kind::PING, 0, 0, b"are you?");
        while self.read_until(kind::PING).payload != b"are you?" {}
    }
}
