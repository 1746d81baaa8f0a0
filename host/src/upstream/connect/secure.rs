//! TLS to a target, or to a forward proxy.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::ConnectError;
use crate::config::{self, ForwardProxy, Place, ProxyScheme};
use crate::exchange::Scheme;
use crate::tls::client::Connector;
use crate::transport::Stream;

/// How a target, or a proxy, is spoken to by TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secure {
    /// And whom its certificate has to be for. `None`: that can't be told, which a configuration that was accepted rules out.
    with: Option<(Connector, ServerName<'static>)>,
}

/// What is offered for the negotiation of protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// What the upstream's `protocol` says.
    Usual,
    /// HTTP/1.1 alone.
    Http1,
}

impl Secure {
    /// For a target of an upstream, where its URL asks for it.
    pub(super) fn to(
        target: &config::Target,
        upstream: &config::Upstream,
        connector: Option<&Connector>,
    ) -> Option<Self> {
        if target.scheme == Scheme::Http {
            return None;
        }
        let own = upstream
            .tls
            .as_ref()
            .and_then(|tls| tls.server_name.clone());
        let name = own.or_else(|| match &target.place {
            Place::Network { host, .. } => host.clone().try_into().ok(),
            Place::Unix(_) => None,
        });
        // Never nothing: without TLS it would be sent in the clear.
        Some(Self {
            with: connector.cloned().zip(name),
        })
    }

    /// For a proxy, where its address asks for it.
    pub(super) fn to_proxy(proxy: &ForwardProxy, connector: Option<&Connector>) -> Option<Self> {
        if proxy.protocol != ProxyScheme::Https {
            return None;
        }
        let own = proxy.tls.as_ref().and_then(|tls| tls.server_name.clone());
        let name = own.or_else(|| proxy.host.clone().try_into().ok());
        // As above: credentials in the clear would be the least of it.
        Some(Self {
            with: connector.cloned().zip(name),
        })
    }

    /// Whether both are TLS, and the same name is asked for, whoever vouches for it; or neither is.
    pub(super) fn have_same_name(one: Option<&Self>, other: Option<&Self>) -> bool {
        let name = |secure: Option<&Self>| {
            secure.map(|secure| secure.with.as_ref().map(|(_, name)| name.clone()))
        };
        name(one) == name(other)
    }

    /// Shakes hands with a target over a stream.
    pub(super) async fn over(&self, stream: Stream, offer: Offer) -> Result<Stream, ConnectError> {
        let shaken = self.shake_hands(stream, offer).await;
        shaken.map_err(ConnectError::Tls)
    }

    /// Shakes hands over a stream.
    pub(super) async fn shake_hands(&self, stream: Stream, offer: Offer) -> io::Result<Stream> {
        let Some((connector, name)) = &self.with else {
            return Err(io::Error::other("not set up"));
        };
        let config = match offer {
            Offer::Usual => &connector.config,
            Offer::Http1 => &connector.http1,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        Ok(connector.connect(name.clone(), stream).await?.into())
    }
}
