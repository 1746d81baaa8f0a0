//! The validated types of `[[listeners]]`.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::config::ListenerTls;

/// `[[listeners]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where to listen; port 0 picks a free one.
    pub address: SocketAddr,
    /// What is spoken there.
    pub protocols: Protocols,
    /// `tls`; `None`: plain.
    pub tls: Option<ListenerTls>,
    /// `redirect`; `None`: requests are served.
    pub redirect: Option<Redirect>,
    /// `proxy_protocol`; `None`: connections begin with TLS or HTTP.
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl Listener {
    /// One that has no more than an address.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            protocols: Protocols::default(),
            tls: None,
            redirect: None,
            proxy_protocol: None,
        }
    }
}

/// `listeners[].protocols`: at least one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// "http/1.1", and with it 1.0.
    pub http1: bool,
    /// "h2": over TLS by ALPN, without TLS by prior knowledge (RFC 9113, section 3.3).
    pub http2: bool,
}

impl Default for Protocols {
    fn default() -> Self {
        Self {
            http1: true,
            http2: true,
        }
    }
}

/// `listeners[].redirect`: every request is answered with 308 to the same host and path by https.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// The port there.
    pub port: u16,
}

/// `listeners[].proxy_protocol`: connections begin with a header that says who is behind the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// `true`: whoever can connect is believed.
    FromAll,
    /// Those who are believed; nobody else is served.
    From(Vec<IpNet>),
}
