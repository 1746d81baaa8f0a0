//! How a target is reached: what its connections pass before HTTP is spoken over them.

pub mod proxied;
pub mod proxy;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;

use proxied::{Absolute, Proxied};
use proxy::ProxyError;

use crate::config;
use crate::transport::Stream;

/// See the module's documentation. Two targets with the same way can use each other's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Where it leads.
    pub endpoint: Endpoint,
    /// Through which forward proxy; `None`: directly.
    pub proxied: Option<Proxied>,
}

/// Where a target listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An address.
    Address(SocketAddr),
    /// A name, resolved for each new connection, and a port.
    Name(Arc<str>, u16),
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name could not be resolved.
    #[error("name not resolved: {0}")]
    Dns(io::Error),
    /// No address of the target took the connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// There is no way through the forward proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// HTTP/2 was to be spoken, and the target speaks something else.
    #[error("it does not speak HTTP/2")]
    NotHttp2,
    /// HTTP/2 could not be begun.
    #[error("HTTP/2: {0}")]
    Http2(h2::Error),
}

impl Way {
    /// To a target of an upstream of a configuration.
    pub fn to(target: &config::Target, upstream: &config::Upstream) -> Self {
        Self {
            endpoint: Endpoint::of(&target.host, target.port),
            proxied: Proxied::to(target, upstream),
        }
    }

    /// Connects, up to where HTTP is spoken to the target. Without a limit of time: that is the caller's.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(&self) -> Result<Stream, ConnectError> {
        Ok(match &self.proxied {
            None => self.endpoint.dial().await?.into(),
            Some(proxied) => proxied.tunnel(&self.endpoint).await?,
        })
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
        match &self.endpoint {
            Endpoint::Address(address) => write!(f, "{address}"),
            Endpoint::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

impl Endpoint {
    fn of(host: &str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Address(SocketAddr::new(address, port)),
            Err(_) => Self::Name(host.into(), port),
        }
    }

    async fn dial(&self) -> Result<TcpStream, ConnectError> {
        let stream = match self {
            Self::Address(address) => TcpStream::connect(address)
                .await
                .map_err(ConnectError::Connect)?,
            Self::Name(name, port) => connect_by_name(name, *port).await?,
        };
        // Heads and small bodies are written whole; waiting to fill a segment only adds delay.
        stream.set_nodelay(true).map_err(ConnectError::Connect)?;
        Ok(stream)
    }
}

async fn connect_by_name(name: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses = tokio::net::lookup_host((name, port))
        .await
        .map_err(ConnectError::Dns)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Connect(last))
}
