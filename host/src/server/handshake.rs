//! What a connection passes before HTTP is spoken over it: the PROXY protocol, then TLS. Each where its listener has it.
//!
//! It goes on in the connection's own task, within `server.limits.handshake_timeout`: nobody who dawdles keeps others from being
//! accepted.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::connection::within;
use super::proxy_protocol::{self, ProxyError};
use super::worker::Drain;
use crate::config::ProxyProtocol;
use crate::exchange::Scheme;
use crate::observe::throttle::Throttle;
use crate::snapshot::listeners::Listener;
use crate::tls::certificate;
use crate::transport::Stream;

/// A connection that HTTP can be spoken over.
#[derive(Debug)]
pub struct Established {
    /// Its bytes.
    pub stream: Stream,
    /// The other end, or who is behind it.
    pub peer: IpAddr,
    /// Whether there is TLS.
    pub scheme: Scheme,
    /// The subject of the certificate that the client has shown, and that was verified.
    pub client_subject: Option<Arc<str>>,
}

impl Established {
    /// Where a listener has neither TLS nor the PROXY protocol.
    pub fn plain(stream: TcpStream, peer: IpAddr) -> Self {
        Self {
            stream: stream.into(),
            peer,
            scheme: Scheme::Http,
            client_subject: None,
        }
    }
}

/// Why HTTP is not spoken.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// `server.limits.handshake_timeout`
    #[error("not done within {0:?}")]
    Timeout(Duration),
    /// It does not begin as `proxy_protocol` wants it to.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// Its peer is none of those that `proxy_protocol` lists.
    #[error("not one of those that listeners[].proxy_protocol lists")]
    Untrusted,
    /// The client went before it began.
    #[error("the client sent nothing")]
    Closed,
    /// A request that is not encrypted, on a port that speaks TLS. It can be answered.
    #[error("plain HTTP on a port that speaks TLS")]
    PlainHttp(Stream),
    /// TLS failed. The client may still have to read why.
    #[error("{0}")]
    Tls(io::Error, Box<Stream>),
}

impl HandshakeError {
    /// A word for it, the label of metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Proxy(ProxyError::Io(_)) | Self::Closed => "closed",
            Self::Proxy(_) => "proxy_protocol",
            Self::Untrusted => "untrusted_proxy",
            Self::PlainHttp(_) => "plain_http",
            Self::Tls(error, _) => match tls_error(error) {
                None => "closed",
                Some(rustls::Error::NoCertificatesPresented) => "no_client_certificate",
                Some(rustls::Error::InvalidCertificate(_)) => "bad_client_certificate",
                Some(rustls::Error::AlertReceived(_)) => "alert_received",
                Some(rustls::Error::NoApplicationProtocol) => "no_common_protocol",
                Some(rustls::Error::PeerIncompatible(_)) => "incompatible",
                Some(_) => "malformed",
            },
        }
    }

    /// Whether a client was not let in that somebody may have meant to let in.
    pub fn is_about_certificates(&self) -> bool {
        matches!(
            self.reason(),
            "no_client_certificate" | "bad_client_certificate"
        )
    }

    /// A line for the log, if there are not too many already.
    pub fn log(&self, peer: IpAddr) {
        static LINES: LazyLock<Throttle> = LazyLock::new(|| Throttle::new(20, 2));
        // The others are what every port on the network sees all day.
        let is_of_interest = self.is_about_certificates() || matches!(self, Self::Untrusted);
        if !is_of_interest && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let Some(left_out) = LINES.admit() else {
            return;
        };
        if left_out > 0 {
            tracing::warn!("{left_out} lines about failed handshakes were left out");
        }
        if is_of_interest {
            tracing::warn!(%peer, "handshake failed: {self}");
        } else {
            tracing::debug!(%peer, "handshake failed: {self}");
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Passes what the listener has, within a time; when the gateway stops, it is not waited for much longer.
///
/// # Errors
/// [`HandshakeError`]
pub async fn establish(
    stream: TcpStream,
    peer: IpAddr,
    listener: &Listener,
    limit: Duration,
    drain: &Drain,
) -> Result<Established, HandshakeError> {
    let steps = async {
        let mut stream = stream;
        let peer = match &listener.proxy_protocol {
            None => peer,
            Some(senders) => behind(&mut stream, peer, senders).await?,
        };
        match &listener.tls {
            None => Ok(Established::plain(stream, peer)),
            Some(tls) => secure(stream, peer, Arc::clone(&tls.config)).await,
        }
    };
    match within(drain, limit, steps).await {
        Ok(result) => result,
        Err(limit) => Err(HandshakeError::Timeout(limit)),
    }
}

/// Who is behind a peer.
async fn behind(
    stream: &mut TcpStream,
    peer: IpAddr,
    senders: &ProxyProtocol,
) -> Result<IpAddr, HandshakeError> {
    if let ProxyProtocol::From(networks) = senders {
        let address = peer.to_canonical();
        if !networks.iter().any(|network| network.contains(&address)) {
            return Err(HandshakeError::Untrusted);
        }
    }
    Ok(proxy_protocol::read(stream).await?.unwrap_or(peer))
}

async fn secure(
    stream: TcpStream,
    peer: IpAddr,
    config: Arc<ServerConfig>,
) -> Result<Established, HandshakeError> {
    // No record of TLS begins with a letter, and every method does.
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => return Err(HandshakeError::Closed),
        Ok(_) if first[0].is_ascii_alphabetic() => {
            return Err(HandshakeError::PlainHttp(stream.into()));
        }
        Ok(_) => {}
    }
    let accept = TlsAcceptor::from(config).accept(Stream::from(stream));
    let stream = accept
        .into_fallible()
        .await
        .map_err(|(error, stream)| HandshakeError::Tls(error, Box::new(stream)))?;
    let certificates = stream.get_ref().1.peer_certificates();
    let client_subject = certificates
        .and_then(<[_]>::first)
        .map(|own| certificate::subject(own).into());
    Ok(Established {
        stream: stream.into(),
        peer,
        scheme: Scheme::Https,
        client_subject,
    })
}
