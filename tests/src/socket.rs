//! A WebSocket client that hides nothing.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::wait::LIMIT;

/// The bytes that a client's frames are masked with. Any will do.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// One end of a WebSocket. Fails the test where what is expected does not come.
#[derive(Debug)]
pub struct WebSocket {
    stream: TcpStream,
    /// The head of the answer to the handshake.
    pub head: String,
    held: Vec<u8>,
}

/// What has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Text.
    Text(String),
    /// Binary.
    Binary(Vec<u8>),
    /// A text or binary frame with its compressed payload.
    Compressed(Vec<u8>),
    /// Ping.
    Ping(Vec<u8>),
    /// Pong.
    Pong(Vec<u8>),
    /// A close frame's code and reason.
    Close(u16, String),
    /// No more bytes.
    End,
}

impl WebSocket {
    /// Opens one.
    #[track_caller]
    pub fn open(address: SocketAddr, path: &str) -> Self {
        Self::open_with(address, path, "")
    }

    /// Opens one with further lines in the head, each with its line end.
    #[track_caller]
    pub fn open_with(address: SocketAddr, path: &str, lines: &str) -> Self {
        let socket = Self::handshake(address, path, lines);
        assert!(socket.head.starts_with("HTTP/1.1 101 "), "{}", socket.head);
        socket
    }

    /// Asks for one, whatever comes of it.
    #[track_caller]
    pub fn handshake(address: SocketAddr, path: &str, lines: &str) -> Self {
        Self::raw(
            address,
            &format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
            ),
        )
    }

    /// Sends this as the request's head.
    #[track_caller]
    pub fn raw(address: SocketAddr, request: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the hub listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        stream.set_write_timeout(Some(LIMIT)).expect("a socket");
        let mut socket = Self {
            stream,
            head: String::new(),
            held: Vec::new(),
        };
        socket.write(request);
        let mut end = None;
        while end.is_none() && socket.fill() {
            end = socket
                .held
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n");
        }
        let end = end.map_or(socket.held.len(), |end| end + 4);
        let head = socket.held.drain(..end).collect();
        socket.head = String::from_utf8(head).expect("a head is text");
        socket
    }

    /// The socket below.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).expect("the hub reads");
    }

    /// Sends bytes, where the hub may have gone.
    pub fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a text message.
    #[track_caller]
    pub fn text(&mut self, text: &str) {
        self.write(frame(0x81, text.as_bytes()));
    }

    /// Sends a binary message.
    #[track_caller]
    pub fn binary(&mut self, bytes: &[u8]) {
        self.write(frame(0x82, bytes));
    }

    /// Sends a frame with this first byte.
    #[track_caller]
    pub fn frame(&mut self, first: u8, payload: &[u8]) {
        self.write(frame(first, payload));
    }

    /// The next frame.
    #[track_caller]
    pub fn read(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.whole_frame() {
                return frame;
            }
            if !self.fill() {
                assert!(self.held.is_empty(), "half a frame: {:x?}", self.held);
                return Frame::End;
            }
        }
    }

    /// The next message, which is text.
    #[track_caller]
    pub fn read_text(&mut self) -> String {
        match self.read() {
            Frame::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    /// Fails if something comes within this time.
    #[track_caller]
    pub fn nothing_within(&mut self, time: Duration) {
        assert_eq!(self.whole_frame(), None);
        self.stream.set_read_timeout(Some(time)).expect("a socket");
        let mut byte = [0];
        let read = self.stream.peek(&mut byte);
        self.stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        assert!(read.is_err(), "{:?}", self.read());
    }

    /// Reads up to the close frame, answers it, and reads the end.
    #[track_caller]
    pub fn read_close(&mut self) -> (u16, String) {
        loop {
            match self.read() {
                Frame::Close(code, reason) => {
                    let _ = self.try_write(frame(0x88, &code.to_be_bytes()));
                    assert_eq!(self.read(), Frame::End);
                    return (code, reason);
                }
                Frame::End => panic!("closed without a close frame"),
                _ => {}
            }
        }
    }

    /// Closes our direction.
    pub fn half_close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(size) => {
                self.held.extend_from_slice(&buffer[..size]);
                size > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}; held: {:?}", String::from_utf8_lossy(&self.held)),
        }
    }

    fn whole_frame(&mut self) -> Option<Frame> {
        let [first, second, rest @ ..] = &self.held[..] else {
            return None;
        };
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (length, header) = match second {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
            short => (u64::from(*short), 2),
        };
        let end = header + usize::try_from(length).expect("it fits");
        let payload = self.held.get(header..end)?.to_vec();
        let first = *first;
        self.held.drain(..end);
        let text = |bytes| String::from_utf8(bytes).expect("text is UTF-8");
        Some(match first {
            0x81 => Frame::Text(text(payload)),
            0x82 => Frame::Binary(payload),
            0xc1 | 0xc2 => Frame::Compressed(payload),
            0x89 => Frame::Ping(payload),
            0x8a => Frame::Pong(payload),
            0x88 if payload.is_empty() => Frame::Close(1005, String::new()),
            0x88 => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                Frame::Close(code, text(payload[2..].to_vec()))
            }
            first => panic!("a frame that begins with {first:#x}"),
        })
    }
}

/// A frame as clients send it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).expect("it is short")),
        length => {
            if let Ok(length) = u16::try_from(length) {
                frame.push(0xfe);
                frame.extend_from_slice(&length.to_be_bytes());
            } else {
                frame.push(0xff);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
    }
    frame.extend_from_slice(&MASK);
    let masked = payload.iter().zip(MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}
