//! What is to be written to a connection next.
//!
//! Heads and small pieces of bodies are put together in one buffer, so that a head and a small body are one write. A large
//! piece is not copied: it is written from where it lies, behind the buffer.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::AsyncWrite;

/// Pieces up to this size are copied: the kernel takes longer to look through a list of slices than that takes.
const SMALL: usize = 4 * 1024;
/// So much is put together at most before it is written.
const ROOM: usize = 16 * 1024;
/// What a head and a small body need.
const FIRST: usize = 2 * 1024;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Outbox {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that have been written.
    written: usize,
    /// Behind the buffer.
    large: Bytes,
    /// Behind that.
    end: &'static [u8],
    /// The stream has taken bytes, and may still hold some of them back.
    must_flush: bool,
}

impl Outbox {
    /// Whether everything has been written, and the stream holds nothing of it back.
    pub fn is_done(&self) -> bool {
        self.is_empty() && !self.must_flush
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether more may be put in now. Where not, what is there has to be written first.
    pub fn has_room(&self) -> bool {
        self.large.is_empty() && self.end.is_empty() && self.buffer.len() < ROOM
    }

    /// Bytes that have not been written.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.written + self.large.len() + self.end.len()
    }

    /// Lets go of the buffer, where nothing waits in it: a connection that is idle needs none.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.buffer = Vec::new();
            self.written = 0;
        }
    }

    /// Throws away what has not been written.
    pub fn discard(&mut self) {
        *self = Self::default();
    }

    /// Puts in bytes of a head.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(FIRST);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Puts in a status line.
    pub fn put_status(&mut self, is_1_1: bool, status: StatusCode) {
        self.put(if is_1_1 { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
        self.put(status.as_str().as_bytes());
        self.put(b" ");
        self.put(status.canonical_reason().unwrap_or("").as_bytes());
        self.put(b"\r\n");
    }

    /// Puts in a field.
    pub fn put_field(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.put(name.as_str().as_bytes());
        self.put(b": ");
        self.put(value.as_bytes());
        self.put(b"\r\n");
    }

    /// Puts in the field that says how long the body is.
    pub fn put_length(&mut self, length: u64) {
        self.put(b"content-length: ");
        self.put_number(format_args!("{length}"));
        self.put(b"\r\n");
    }

    fn put_number(&mut self, number: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = self.buffer.write_fmt(number);
    }

    fn put_piece(&mut self, data: Bytes, end: &'static [u8]) {
        if data.len() <= SMALL {
            self.put(&data);
            self.put(end);
        } else {
            self.large = data;
            self.end = end;
        }
    }

    /// Writes until nothing is left.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let head = self.buffer.get(self.written..).unwrap_or(&[]);
            let written = if self.large.is_empty() && self.end.is_empty() {
                ready!(stream.as_mut().poll_write(cx, head))?
            } else {
                let slices = [head, &self.large, self.end].map(IoSlice::new);
                ready!(stream.as_mut().poll_write_vectored(cx, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
            self.must_flush = true;
        }
        self.buffer.clear();
        self.written = 0;
        if self.must_flush {
            ready!(stream.as_mut().poll_flush(cx))?;
            self.must_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        let of_buffer = written.min(self.buffer.len() - self.written);
        self.written += of_buffer;
        written -= of_buffer;
        let of_large = written.min(self.large.len());
        self.large.advance(of_large);
        written -= of_large;
        self.end = self.end.get(written..).unwrap_or(&[]);
        if self.large.is_empty() {
            // What it was a part of may be much larger.
            self.large = Bytes::new();
        }
    }
}

/// A body that does not have the length that its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not as long as the head says")]
pub struct WrongLength;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoder {
    /// There is none, whatever is put in.
    None,
    /// So many bytes are missing.
    Length(u64),
    /// In chunks.
    Chunked,
    /// All until the connection's end.
    UntilClose,
}

impl Encoder {
    /// Whether the other end can tell the body's end from its bytes.
    pub fn ends_by_itself(self) -> bool {
        self != Self::UntilClose
    }

    /// Puts in a piece of the body; `is_last`: nothing comes behind it, no trailers either.
    ///
    /// # Errors
    /// More than the head says.
    pub fn data(
        &mut self,
        out: &mut Outbox,
        data: Bytes,
        is_last: bool,
    ) -> Result<(), WrongLength> {
        match self {
            Self::None => {}
            Self::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(WrongLength)?;
                out.put_piece(data, b"");
            }
            Self::UntilClose => out.put_piece(data, b""),
            // A chunk of no bytes would be the end.
            Self::Chunked if data.is_empty() => {
                if is_last {
                    out.put(b"0\r\n\r\n");
                }
            }
            Self::Chunked => {
                let length = data.len();
                // Makes the buffer, if there is none.
                out.put(b"");
                out.put_number(format_args!("{length:x}\r\n"));
                out.put_piece(data, if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
            }
        }
        Ok(())
    }

    /// Ends the body, where the last piece was not known to be the last.
    ///
    /// # Errors
    /// Fewer bytes than the head says.
    pub fn end(self, out: &mut Outbox, trailers: Option<&HeaderMap>) -> Result<(), WrongLength> {
        match self {
            Self::Length(left) if left > 0 => return Err(WrongLength),
            Self::Chunked => {
                out.put(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    out.put_field(name, value);
                }
                out.put(b"\r\n");
            }
            Self::None | Self::Length(_) | Self::UntilClose => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::body::{Decoder, Framing, Piece, Writer};
    use bytes::BytesMut;
    use proptest::prelude::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    /// What is written when the stream takes so many bytes at a time.
    fn written(out: &mut Outbox, step: usize) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut near, mut far) = tokio::io::duplex(step);
            let reading = tokio::spawn(async move {
                let mut read = Vec::new();
                far.read_to_end(&mut read).await.unwrap();
                read
            });
            poll_fn(|cx| out.poll_write(cx, Pin::new(&mut near)))
                .await
                .unwrap();
            drop(near);
            reading.await.unwrap()
        })
    }

    #[test]
    fn a_head_and_a_body_of_any_size_arrive_in_order() {
        for size in [0, 1, SMALL, SMALL + 1, 5 * SMALL] {
            for step in [1, 100, 1 << 20] {
                let mut out = Outbox::default();
                out.put_status(true, StatusCode::OK);
                out.put_length(size as u64);
                out.put(b"\r\n");
                let mut encoder = Encoder::Length(size as u64);
                let body = Bytes::from(vec![b'x'; size]);
                encoder.data(&mut out, body, true).unwrap();
                encoder.end(&mut out, None).unwrap();
                let expected = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n{}",
                    "x".repeat(size)
                );
                assert_eq!(written(&mut out, step), expected.into_bytes());
                assert!(out.is_empty());
            }
        }
    }

    #[test]
    fn a_length_is_kept_to() {
        let mut out = Outbox::default();
        let mut encoder = Encoder::Length(3);
        let piece = Bytes::from_static(b"ab");
        assert_eq!(encoder.data(&mut out, piece.clone(), false), Ok(()));
        assert_eq!(encoder.end(&mut out, None), Err(WrongLength));
        assert_eq!(encoder.data(&mut out, piece, false), Err(WrongLength));
    }

    #[test]
    fn an_empty_piece_ends_no_chunked_body() {
        let mut out = Outbox::default();
        let mut encoder = Encoder::Chunked;
        encoder.data(&mut out, Bytes::new(), false).unwrap();
        assert!(out.is_empty());
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        encoder.end(&mut out, Some(&trailers)).unwrap();
        assert_eq!(written(&mut out, 64), b"0\r\nx-sum: 1\r\n\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_in_chunks_can_be_read(
            sizes in proptest::collection::vec(0..3 * SMALL, 0..5),
            is_known in any::<bool>(),
        ) {
            let (mut encoder, mut bytes, mut expected) = (Encoder::Chunked, Vec::new(), Vec::new());
            let last = sizes.len().wrapping_sub(1);
            for (index, size) in sizes.iter().enumerate() {
                let piece = vec![b'a' + u8::try_from(index).unwrap(); *size];
                expected.extend_from_slice(&piece);
                let mut out = Outbox::default();
                encoder.data(&mut out, piece.into(), is_known && index == last).unwrap();
                bytes.extend(written(&mut out, 1 << 20));
            }
            if !is_known || sizes.is_empty() {
                let mut out = Outbox::default();
                encoder.end(&mut out, None).unwrap();
                bytes.extend(written(&mut out, 1 << 20));
            }
            let mut decoder = Decoder::new(Framing::Chunked, Writer::Client);
            let mut buffer = BytesMut::from(&*bytes);
            let mut read = Vec::new();
            while let Some(Piece::Data(data)) = decoder.decode(&mut buffer).unwrap() {
                read.extend_from_slice(&data);
            }
            prop_assert!(decoder.is_done() && buffer.is_empty());
            prop_assert_eq!(read, expected);
        }
    }
}
