//! What waits to be written to one client.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Frames from this size on are written as they are; smaller ones are gathered, because a system call costs more than
/// copying them.
const LARGE: usize = 16 * 1024;
/// What is gathered for one write.
const GATHERED: usize = 64 * 1024;
/// An empty queue that has been longer than this gives its room back.
const KEPT: usize = 8;

/// Encoded frames in their order. They are shared with the queues of other clients; a queue has no bytes of its own.
#[derive(Debug, Default)]
pub struct Outbox {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Whether some of the first frame has been written.
    is_cut: bool,
}

impl Outbox {
    /// How many bytes wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Appends a frame.
    pub fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Takes away the oldest frame of which nothing has been written; `false` where there is none.
    pub fn drop_oldest(&mut self) -> bool {
        let oldest = usize::from(self.is_cut);
        let dropped = self.frames.remove(oldest);
        self.bytes -= dropped.as_ref().map_or(0, Bytes::len);
        dropped.is_some()
    }

    /// Takes away all of which nothing has been written.
    pub fn clear(&mut self) {
        while self.drop_oldest() {}
    }

    /// Writes until all is written, or the other side takes no more. `gathered` is room that others use as well.
    /// Ready with how many bytes have been written.
    ///
    /// # Errors
    /// The connection's.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        gathered: &mut Vec<u8>,
        written: &mut usize,
    ) -> Poll<io::Result<()>> {
        while let Some(first) = self.frames.front() {
            let size = if first.len() >= LARGE || self.frames.len() == 1 {
                ready!(Pin::new(&mut *stream).poll_write(cx, first))?
            } else {
                gathered.clear();
                for frame in &self.frames {
                    if gathered.len() + frame.len() > GATHERED {
                        break;
                    }
                    gathered.extend_from_slice(frame);
                }
                ready!(Pin::new(&mut *stream).poll_write(cx, gathered))?
            };
            if size == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += size;
            self.advance(size);
        }
        if self.frames.capacity() > KEPT {
            self.frames = VecDeque::new();
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written.min(self.bytes);
        while let Some(first) = self.frames.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.is_cut |= written > 0;
                return;
            }
            written -= first.len();
            self.frames.pop_front();
            self.is_cut = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many bytes as it is told, and then no more.
    struct Narrow {
        room: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let size = bytes.len().min(self.room);
            if size == 0 {
                return Poll::Pending;
            }
            self.room -= size;
            self.taken.extend_from_slice(&bytes[..size]);
            Poll::Ready(Ok(size))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(outbox: &mut Outbox, stream: &mut Narrow, room: usize) -> usize {
        stream.room = room;
        let mut written = 0;
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _ = outbox.poll_write(&mut cx, stream, &mut Vec::new(), &mut written);
        written
    }

    #[test]
    fn frames_arrive_whole_and_in_order_whatever_room_there_is() {
        let mut outbox = Outbox::default();
        let mut stream = Narrow {
            room: 0,
            taken: Vec::new(),
        };
        let mut expected = Vec::new();
        for length in [3, 200, 20_000, 1, 70_000, 5] {
            let frame = vec![length as u8; length];
            expected.extend_from_slice(&frame);
            outbox.push(Bytes::from(frame));
        }
        let mut room = 1;
        while !outbox.is_empty() {
            write(&mut outbox, &mut stream, room);
            assert_eq!(outbox.bytes(), expected.len() - stream.taken.len());
            room = room * 3 % 5003 + 1;
        }
        assert_eq!(stream.taken, expected);
    }

    #[test]
    fn a_frame_that_has_been_begun_is_not_dropped() {
        let mut outbox = Outbox::default();
        let mut stream = Narrow {
            room: 0,
            taken: Vec::new(),
        };
        for frame in [&b"first"[..], b"second", b"third"] {
            outbox.push(Bytes::from_static(frame));
        }
        assert_eq!(write(&mut outbox, &mut stream, 2), 2);
        assert!(outbox.drop_oldest());
        assert_eq!(outbox.bytes(), 8);
        write(&mut outbox, &mut stream, 100);
        assert_eq!(stream.taken, b"firstthird");
        assert!(!outbox.drop_oldest());
        outbox.push(Bytes::from_static(b"x"));
        outbox.clear();
        assert!(outbox.is_empty());
    }
}
