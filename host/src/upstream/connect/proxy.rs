//! Forward proxies: what stands between the gateway and its targets where the network lets nothing else out.
//!
//! - [`http_connect`]: a tunnel through an HTTP proxy
//! - [`socks5`]: a tunnel through a SOCKS proxy
//! - [`no_proxy`]: targets that are connected to directly all the same
//!
//! Code over any stream: what it runs over, and how long it may take, is the caller's. A proxy that says no is an error which
//! says so; nothing is ever tried without the proxy, or in another way than was configured.
//!
//! Why not hyper-util's connectors: they take the port for 443 whatever the scheme, only the status 200 for a tunnel, and drop
//! what comes behind the head.

pub mod http_connect;
pub mod no_proxy;
pub mod socks5;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;

use super::resolve::NotFound;
use crate::http1::response::HeadError;
use crate::tls;

/// What a tunnel leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination<'a> {
    /// An address.
    Address(SocketAddr),
    /// A name, which the proxy resolves, and a port.
    Name(&'a str, u16),
}

impl Destination<'_> {
    /// Its port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Address(address) => address.port(),
            Self::Name(_, port) => *port,
        }
    }
}

/// As an authority: `name:80`, `[::1]:80`.
impl fmt::Display for Destination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A user and a password for a proxy. Neither is shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// There is no way through a proxy. The text is for the log, and names the proxy and never its credentials.
#[derive(Debug, thiserror::Error)]
#[error("forward proxy {proxy}: {problem}")]
pub struct ProxyError {
    /// Host and port.
    pub proxy: Arc<str>,
    /// Whether HTTP is spoken to it.
    pub is_http: bool,
    /// Why.
    pub problem: Problem,
}

impl ProxyError {
    /// Parameters of `proxy-status` (RFC 9209, section 2.1): which proxy it was, and the status that it answered with.
    pub fn parameters(&self) -> String {
        let status = match &self.problem {
            Problem::CredentialsRefused | Problem::CredentialsMissing if self.is_http => 407,
            Problem::Refused { status, .. } => status.as_u16(),
            _ => return format!("; next-hop=\"{}\"", self.proxy),
        };
        format!("; next-hop=\"{}\"; received-status={status}", self.proxy)
    }
}

/// Why there is no way through a proxy.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Its name could not be resolved.
    #[error("its name was not resolved: {0}")]
    Dns(NotFound),
    /// It takes no connection.
    #[error("no connection: {0}")]
    Connect(io::Error),
    /// No TLS to it: with the error of `rustls`, if it is to blame.
    #[error("TLS to it: {0}")]
    Tls(io::Error),
    /// The name of a target that is to be resolved here could not be.
    #[error("the target's name was not resolved: {0}")]
    TargetDns(NotFound),
    /// Its connection broke before the tunnel was open.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// It closed the connection before the tunnel was open.
    #[error("it closed the connection without an answer")]
    Closed,
    /// What it answers is not HTTP.
    #[error("its answer: {0}")]
    Head(#[from] HeadError),
    /// It asks for credentials, and there are none.
    #[error("it wants a user name and a password, and `via` has none")]
    CredentialsMissing,
    /// It does not take the credentials.
    #[error("it does not accept the user name and the password of `via`")]
    CredentialsRefused,
    /// It answers a CONNECT with another status than 2xx.
    #[error("it refused a tunnel to {destination} with status {}{hint}", status.as_u16())]
    Refused {
        /// Its answer.
        status: StatusCode,
        /// Host and port of the target.
        destination: String,
        /// What probably helps.
        hint: Hint,
    },
    /// It answers a SOCKS request with an error.
    #[error("it refused a tunnel to {destination}: {reply}")]
    Socks {
        /// Its answer.
        reply: socks5::Reply,
        /// Host and port of the target.
        destination: String,
    },
    /// What it answers is not SOCKS.
    #[error("{0}")]
    NotSocks(&'static str),
}

impl Problem {
    /// The proxy error type for it (RFC 9209, section 2.3).
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Dns(NotFound::Timeout) | Self::TargetDns(NotFound::Timeout) => "dns_timeout",
            Self::Dns(_) | Self::TargetDns(_) => "dns_error",
            Self::Connect(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection_refused",
                io::ErrorKind::TimedOut => "connection_timeout",
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    "destination_ip_unroutable"
                }
                _ => "connection_terminated",
            },
            // In TLS 1.3 a certificate of the gateway's own is refused after the handshake.
            Self::Tls(error) | Self::Broken(error) => {
                tls::error_type(error).unwrap_or("connection_terminated")
            }
            Self::Closed => "connection_terminated",
            Self::Head(_) | Self::NotSocks(_) => "http_protocol_error",
            Self::CredentialsMissing | Self::CredentialsRefused => "proxy_configuration_error",
            Self::Refused { status, .. } if status.is_client_error() => "http_request_denied",
            Self::Refused { .. } => "destination_unavailable",
            Self::Socks { reply, .. } => reply.error_type(),
        }
    }
}

/// What probably helps against a CONNECT that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Nothing that is known here.
    None,
    /// Proxies let tunnels to 443 pass and no others, until they are told to.
    Port {
        /// The one that was asked for.
        port: u16,
        /// Whether there would be another way than a tunnel.
        is_choice: bool,
    },
}

impl Hint {
    fn of(status: StatusCode, port: u16, is_choice: bool) -> Self {
        match status {
            StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED if port != 443 => {
                Self::Port { port, is_choice }
            }
            _ => Self::None,
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Port { port, is_choice } = self else {
            return Ok(());
        };
        write!(
            f,
            "; probably because its port is not 443: squid's configuration has \"http_access deny CONNECT !SSL_ports\", and \
             \"acl SSL_ports port {port}\" there lets it pass"
        )?;
        if *is_choice {
            f.write_str("; via_mode = \"auto\" needs no tunnel to http targets")?;
        }
        Ok(())
    }
}
