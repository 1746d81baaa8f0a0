//! How a target is reached: what its connections pass before HTTP is spoken over them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::config;
use crate::transport::Stream;

/// See the module's documentation. Two targets with the same way can use each other's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Where it leads.
    pub endpoint: Endpoint,
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
}

impl Way {
    /// To a target of a configuration.
    pub fn to(target: &config::Target) -> Self {
        let endpoint = match target.host.parse::<IpAddr>() {
            Ok(address) => Endpoint::Address(SocketAddr::new(address, target.port)),
            Err(_) => Endpoint::Name(target.host.as_str().into(), target.port),
        };
        Self { endpoint }
    }

    /// Connects, up to where HTTP is spoken. Without a limit of time: that is the caller's.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(&self) -> Result<Stream, ConnectError> {
        Ok(self.endpoint.dial().await?.into())
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
