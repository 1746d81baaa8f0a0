//! A stream of an HTTP/2 connection as bytes: what a connection is in HTTP/1.1 behind a 101 (RFC 8441, section 5).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::room::poll_room;

/// See the module's documentation.
#[derive(Debug)]
pub struct Tunnel {
    send: SendStream<Bytes>,
    receive: RecvStream,
    /// Received and not read.
    read: Bytes,
    has_ended: bool,
    is_shut: bool,
    /// Whether dropping it tells the peer that this is no end in order.
    is_reset: bool,
}

impl Tunnel {
    /// Of the two halves of a stream.
    pub fn new(send: SendStream<Bytes>, receive: RecvStream) -> Self {
        Self {
            send,
            receive,
            read: Bytes::new(),
            has_ended: false,
            is_shut: false,
            is_reset: false,
        }
    }

    /// As [`crate::transport::Stream::reset_when_dropped`].
    pub fn reset_when_dropped(&mut self, is_reset: bool) {
        self.is_reset = is_reset;
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if self.is_reset {
            self.send.send_reset(Reason::CONNECT_ERROR);
        } else if !self.is_shut {
            self.send.send_reset(Reason::CANCEL);
        }
    }
}

/// A reset of the stream is what a reset of the connection is in HTTP/1.1.
fn broken(error: h2::Error) -> io::Error {
    if error.is_reset() {
        return io::Error::new(io::ErrorKind::ConnectionReset, error);
    }
    error
        .into_io()
        .unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into())
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.read.is_empty() {
            if self.has_ended {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.receive.poll_data(cx)) {
                Some(Ok(data)) => self.read = data,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => self.has_ended = true,
            }
        }
        let size = self.read.len().min(buffer.remaining());
        buffer.put_slice(self.read.get(..size).unwrap_or(&[]));
        self.read.advance(size);
        // The peer may send as much again.
        let released = self.receive.flow_control().release_capacity(size);
        Poll::Ready(released.map_err(broken))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let size = match ready!(poll_room(&mut self.send, bytes.len(), cx)) {
            Some(size) => size.map_err(broken)?,
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        let part = Bytes::copy_from_slice(bytes.get(..size).unwrap_or(&[]));
        self.send.send_data(part, false).map_err(broken)?;
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's own task writes what was sent.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            self.is_shut = true;
            self.send.send_data(Bytes::new(), true).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}
