//! How a target is reached: what its connections pass before HTTP is spoken over them.
//!
//! - [`dial`]: the connection that everything else is in
//! - [`resolve`]: names become addresses
//! - [`destination`]: where a connection leads, and whether that is still right
//! - [`proxied`]: the way through a forward proxy; [`proxy`]: how one is asked
//! - [`secure`]: TLS to a target, or to a proxy

mod clock;
pub mod destination;
pub mod dial;
pub mod proxied;
pub mod proxy;
pub mod resolve;
pub mod secure;

use std::io;
use std::sync::Arc;

pub use destination::Destination;
pub use dial::Endpoint;
use resolve::{NotFound, Resolver};
use secure::{Offer, Secure};

use proxied::{Absolute, Proxied};
use proxy::ProxyError;

use crate::config::{self, Place};
use crate::tls::client::Connector;
use crate::transport::Stream;

/// See the module's documentation. Two targets with the same way can use each other's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Where it leads.
    pub endpoint: Endpoint,
    /// Through which forward proxy; `None`: directly.
    pub proxied: Option<Proxied>,
    /// By TLS, where its URL says so.
    pub secure: Option<Secure>,
}

/// What an upstream has for TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connectors {
    /// To its targets; `None`: none of them needs it.
    pub targets: Option<Connector>,
    /// To its forward proxy; `None`: it has none that needs it.
    pub proxy: Option<Connector>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name could not be resolved.
    #[error("name not resolved: {0}")]
    Dns(NotFound),
    /// No address of the target took the connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// There is no way through the forward proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// No TLS: with the error of `rustls`, if it is to blame.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// HTTP/2 was to be spoken, and the target speaks something else.
    #[error("it does not speak HTTP/2")]
    NotHttp2,
    /// HTTP/2 could not be begun.
    #[error("HTTP/2: {0}")]
    Http2(h2::Error),
}

impl Way {
    /// To a target of an upstream of a configuration; `connectors`: what the upstream has for TLS.
    pub fn to(
        target: &config::Target,
        upstream: &config::Upstream,
        resolver: &Arc<Resolver>,
        connectors: &Connectors,
    ) -> Self {
        let endpoint = match &target.place {
            Place::Network { host, port } => Endpoint::at(host, *port, resolver),
            Place::Unix(path) => Endpoint::Unix(Arc::clone(path)),
        };
        Self {
            endpoint,
            proxied: Proxied::to(target, upstream, resolver, connectors.proxy.as_ref()),
            secure: Secure::to(target, upstream, connectors.targets.as_ref()),
        }
    }

    /// What is dialled.
    pub fn first_hop(&self) -> &Endpoint {
        match &self.proxied {
            None => &self.endpoint,
            Some(proxied) => proxied.endpoint(),
        }
    }

    /// Where tunnels end, if that is looked up here.
    pub fn resolved_end(&self) -> Option<&Endpoint> {
        let proxied = self.proxied.as_ref();
        proxied
            .filter(|proxied| proxied.resolves_targets())
            .map(|_| &self.endpoint)
    }

    /// Has names looked up before the first connection waits for them.
    pub fn prepare(&self) {
        self.first_hop().prepare();
        if let Some(end) = self.resolved_end() {
            end.prepare();
        }
    }

    /// That a name is not resolved, if that is what who connects waits for.
    pub fn awaited_name(&self) -> Option<ConnectError> {
        match &self.proxied {
            None => self
                .endpoint
                .is_awaiting_name()
                .then_some(ConnectError::Dns(NotFound::Timeout)),
            Some(proxied) => Some(proxied.awaited_name(&self.endpoint)?.into()),
        }
    }

    /// Connects, up to where HTTP is spoken to the target. Without a limit of time: that is the caller's.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(&self) -> Result<Stream, ConnectError> {
        self.open_offering(Offer::Usual).await
    }

    /// As [`Self::open`], for what only HTTP/1.1 can do: over TLS nothing else is offered.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open_http1(&self) -> Result<Stream, ConnectError> {
        self.open_offering(Offer::Http1).await
    }

    /// The protocol that the target and we agreed on (ALPN) over a connection of [`Self::open`]. What was agreed on with a
    /// proxy says nothing about what is spoken through its tunnel.
    pub fn agreed<'s>(&self, stream: &'s Stream) -> Option<&'s [u8]> {
        self.secure.as_ref().and_then(|_| stream.alpn())
    }

    async fn open_offering(&self, offer: Offer) -> Result<Stream, ConnectError> {
        let stream = match &self.proxied {
            None => self.endpoint.dial().await?,
            Some(proxied) => proxied.tunnel(&self.endpoint).await?,
        };
        match &self.secure {
            None => Ok(stream),
            Some(secure) => secure.over(stream, offer).await,
        }
    }

    /// Whether the other way leads to the same target through the same proxy, whatever certificates are shown and believed on it.
    pub fn leads_where(&self, other: &Self) -> bool {
        let is_same_proxy = match (&self.proxied, &other.proxied) {
            (None, None) => true,
            (Some(one), Some(other)) => one.leads_where(other),
            _ => false,
        };
        let is_same_name = Secure::have_same_name(self.secure.as_ref(), other.secure.as_ref());
        is_same_proxy && is_same_name && self.endpoint == other.endpoint
    }

    /// Whether requests go to a forward proxy which passes them on, over connections of [`Absolute::open`], and what they need
    /// for that. `None`: they go over connections of [`Self::open`], as upgrades do in any case.
    pub fn absolute(&self) -> Option<Absolute<'_>> {
        self.proxied.as_ref()?.absolute()
    }

    /// The target with the proxy that leads to it, for messages.
    pub fn described(&self) -> String {
        match &self.proxied {
            None => self.to_string(),
            Some(proxied) => format!("{self} through forward proxy {}", proxied.name()),
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.endpoint.fmt(f)
    }
}
