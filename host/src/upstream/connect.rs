//! How a target is reached: what its connections pass before HTTP is spoken over them.
//!
//! - [`dial`]: the connection that everything else is in
//! - [`resolve`]: names become addresses

mod clock;
pub mod dial;
pub mod resolve;

use std::io;
use std::sync::Arc;

pub use dial::Endpoint;
use resolve::{NotFound, Resolver};

use crate::config::{self, Place};
use crate::transport::Stream;

/// See the module's documentation. Two targets with the same way can use each other's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Where it leads.
    pub endpoint: Endpoint,
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
    /// HTTP/2 was to be spoken, and the target speaks something else.
    #[error("it does not speak HTTP/2")]
    NotHttp2,
    /// HTTP/2 could not be begun.
    #[error("HTTP/2: {0}")]
    Http2(h2::Error),
}

impl Way {
    /// To a target of a configuration.
    pub fn to(target: &config::Target, resolver: &Arc<Resolver>) -> Self {
        let endpoint = match &target.place {
            Place::Network { host, port } => Endpoint::at(host, *port, resolver),
            Place::Unix(path) => Endpoint::Unix(Arc::clone(path)),
        };
        Self { endpoint }
    }

    /// What is dialled. Whether kept connections still lead there, and what who connects waits for, is asked of this one.
    pub fn first_hop(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connects, up to where HTTP is spoken. Without a limit of time: that is the caller's.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(&self) -> Result<Stream, ConnectError> {
        self.first_hop().dial().await
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.endpoint.fmt(f)
    }
}
