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
    /// TCP, and how many bytes it has taken.
    Tcp(TcpStream, u64),
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
            Self::Tcp(stream, _) => {
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
            Self::Tcp(stream, _) => stream.peer_addr().ok().map(|address| address.ip()),
            Self::Unix(_) | Self::Http2(_) => None,
            Self::Tls(stream) => stream.get_ref().0.peer_ip(),
            Self::Begun(stream) => stream.rest.peer_ip(),
        }
    }

    /// Where a tunnel leads that it goes through, if that was found here.
    pub fn tunnel_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(..) | Self::Unix(_) | Self::Http2(_) => None,
            Self::Tls(stream) => stream.get_ref().0.tunnel_ip(),
            Self::Begun(stream) => stream.tunnel.or_else(|| stream.rest.tunnel_ip()),
        }
    }

    /// The protocol that both ends agreed on (ALPN, RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
            Self::Begun(stream) => stream.rest.alpn(),
            Self::Tcp(..) | Self::Unix(_) | Self::Http2(_) => None,
        }
    }

    /// How many bytes the TCP connection underneath has taken: TLS takes some before that, and whether its peer reads
    /// shows here alone. 0 where there is no TCP, or where it is shared with other streams.
    pub fn taken(&self) -> u64 {
        match self {
            Self::Tcp(_, taken) => *taken,
            Self::Tls(stream) => stream.get_ref().0.taken(),
            Self::Begun(stream) => stream.rest.taken(),
            Self::Unix(_) | Self::Http2(_) => 0,
        }
    }

    /// Counts what was written, where it went into TCP.
    fn count(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Self::Tcp(_, taken), Poll::Ready(Ok(written))) = (self, written) {
            *taken += *written as u64;
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream, 0)
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
        match &mut *$self {
            Stream::Tcp(stream, _) => {
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = with!(self, stream => stream.poll_write(cx, bytes));
        self.count(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = with!(self, stream => stream.poll_write_vectored(cx, slices));
        self.count(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream, _) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Http2(stream) => stream.is_write_vectored(),
            Self::Begun(stream) => stream.rest.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, stream => stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Two streams of TLS that hold a connection of TCP; the far end does not read by itself.
    async fn secure() -> (Stream, Stream) {
        use std::sync::Arc;
        let key = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let cert = key.cert.der().clone();
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der());
        let provider = crate::tls::provider;
        let server = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.clone()], private.unwrap())
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        let connect = tokio_rustls::TlsConnector::from(Arc::new(client))
            .connect("a".try_into().unwrap(), Stream::from(near.unwrap()));
        let accept =
            tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(Stream::from(far.unwrap().0));
        let (near, far) = tokio::join!(connect, accept);
        (near.unwrap().into(), far.unwrap().into())
    }

    #[tokio::test]
    async fn what_tls_has_taken_is_not_taken_before_the_connection_has_it() {
        use std::future::poll_fn;
        let (mut near, mut far) = secure().await;
        let piece = vec![0; 64 * 1024];
        // Until neither TCP nor TLS takes any more.
        loop {
            let written = poll_fn(|cx| Poll::Ready(Pin::new(&mut near).poll_write(cx, &piece)));
            if written.await.is_pending() {
                break;
            }
        }
        let before = near.taken();
        // The writer has nothing more for it: only what TLS holds goes on.
        let reading = tokio::spawn(async move {
            let mut space = vec![0; 64 * 1024];
            while far.read(&mut space).await.is_ok_and(|read| read > 0) {}
        });
        near.flush().await.unwrap();
        assert!(near.taken() > before);
        drop(near);
        reading.await.unwrap();
    }

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
