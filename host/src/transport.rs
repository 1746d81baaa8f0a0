//! Bytes to and from a peer, whatever they pass on their way.
//!
//! Who speaks a protocol over a connection need not know whether there is TLS or a tunnel underneath. It is an enum and no
//! trait object: the commonest kind, plain TCP, costs a comparison.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

use crate::http2::tunnel::Tunnel;

/// See the module's documentation.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over another stream.
    Tls(Box<TlsStream<Stream>>),
    /// A stream of an HTTP/2 connection.
    Http2(Box<Tunnel>),
    /// A stream with something to know about.
    Begun(Box<Begun>),
}

/// A stream of which something has been read already, or that is a tunnel.
#[derive(Debug)]
pub struct Begun {
    read: Bytes,
    tunnel: Option<IpAddr>,
    rest: Stream,
}

impl Stream {
    /// With `read` in front of what is still to be read.
    #[must_use]
    pub fn begun(self, read: Bytes) -> Self {
        if read.is_empty() {
            return self;
        }
        Self::Begun(Box::new(Begun {
            read,
            tunnel: None,
            rest: self,
        }))
    }

    /// As a tunnel, through whoever is at the other end, to an address that was found here.
    #[must_use]
    pub fn tunnel_to(self, ip: IpAddr) -> Self {
        Self::Begun(Box::new(Begun {
            read: Bytes::new(),
            tunnel: Some(ip),
            rest: self,
        }))
    }

    /// Whether dropping the stream is to reset the connection: so that a peer that reads until its end can't take a part for
    /// the whole. A unix socket knows no such thing.
    pub fn reset_when_dropped(&mut self, is_reset: bool) {
        match self {
            Self::Tcp(stream) => {
                let linger = is_reset.then_some(Duration::ZERO);
                let _ = socket2::SockRef::from(&*stream).set_linger(linger);
            }
            Self::Unix(_) => {}
            Self::Tls(stream) => match &mut **stream {
                TlsStream::Client(stream) => stream.get_mut().0.reset_when_dropped(is_reset),
                TlsStream::Server(stream) => stream.get_mut().0.reset_when_dropped(is_reset),
            },
            Self::Http2(stream) => stream.reset_when_dropped(is_reset),
            Self::Begun(stream) => stream.rest.reset_when_dropped(is_reset),
        }
    }

    /// The address of the other end; a unix socket has none, nor has one of several streams of a connection.
    pub fn peer_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|address| address.ip()),
            Self::Unix(_) | Self::Http2(_) => None,
            Self::Tls(stream) => stream.get_ref().0.peer_ip(),
            Self::Begun(stream) => stream.rest.peer_ip(),
        }
    }

    /// Where a tunnel leads that it goes through, if that was found here.
    pub fn tunnel_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_) | Self::Unix(_) | Self::Http2(_) => None,
            Self::Tls(stream) => stream.get_ref().0.tunnel_ip(),
            Self::Begun(stream) => stream.tunnel.or_else(|| stream.rest.tunnel_ip()),
        }
    }

    /// The protocol that both ends agreed on (ALPN, RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
            Self::Begun(stream) => stream.rest.alpn(),
            Self::Tcp(_) | Self::Unix(_) | Self::Http2(_) => None,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<tokio_rustls::server::TlsStream<Stream>> for Stream {
    fn from(stream: tokio_rustls::server::TlsStream<Stream>) -> Self {
        Self::Tls(Box::new(stream.into()))
    }
}

impl From<tokio_rustls::client::TlsStream<Stream>> for Stream {
    fn from(stream: tokio_rustls::client::TlsStream<Stream>) -> Self {
        Self::Tls(Box::new(stream.into()))
    }
}

/// Calls the same method of whatever stream it is.
macro_rules! with {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Stream::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Stream::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
            Stream::Http2(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
            Stream::Begun(stream) => {
                let $stream = Pin::new(&mut stream.rest);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Self::Begun(begun) = &mut *self
            && !begun.read.is_empty()
        {
            let size = begun.read.len().min(buffer.remaining());
            buffer.put_slice(begun.read.get(..size).unwrap_or(&[]));
            begun.read.advance(size);
            return Poll::Ready(Ok(()));
        }
        with!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        with!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with!(self, stream => stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Http2(stream) => stream.is_write_vectored(),
            Self::Begun(stream) => stream.rest.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_was_read_before_comes_first_and_once() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut stream = Stream::from(near).begun(Bytes::from_static(b"early "));
        far.write_all(b"late").await.unwrap();
        far.shutdown().await.unwrap();
        let mut three = [0; 3];
        stream.read_exact(&mut three).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&three, &*rest), (b"ear", "ly late"));
        stream.write_all(b"answer").await.unwrap();
        drop(stream);
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }
}
