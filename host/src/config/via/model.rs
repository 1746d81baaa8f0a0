//! What `via` and its companions become.

use std::fmt;

use crate::config::UpstreamTls;
use crate::upstream::connect::proxy::Credentials;
use crate::upstream::connect::proxy::no_proxy::NoProxy;

/// `upstreams.NAME.via`, `via_tls`, `via_mode` and `no_proxy`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Via {
    /// "direct" (the default)
    #[default]
    Direct,
    /// Through a forward proxy.
    Proxy(Box<ForwardProxy>),
}

/// `http://[USER[:PASSWORD]@]HOST[:PORT]`, or another scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardProxy {
    /// What is spoken to it.
    pub protocol: ProxyScheme,
    /// A name, or an address without brackets.
    pub host: String,
    /// Default 80 for `http`, 443 for `https`, 1080 for SOCKS.
    pub port: u16,
    /// `via_tls`: for `https`, and only there.
    pub tls: Option<UpstreamTls>,
    /// The user and the password that stand in front of the host, decoded.
    pub credentials: Option<Credentials>,
    /// `via_mode`
    pub mode: ViaMode,
    /// `no_proxy`
    pub no_proxy: NoProxy,
}

/// The scheme of a proxy's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyScheme {
    /// "http"
    Http,
    /// "https": HTTP over TLS, which ends at the proxy.
    Https,
    /// "socks5": names of targets are resolved here.
    Socks5,
    /// "socks5h": names of targets are resolved by the proxy.
    Socks5h,
}

impl ProxyScheme {
    /// Whether HTTP is spoken to it.
    pub fn is_http(self) -> bool {
        match self {
            Self::Http | Self::Https => true,
            Self::Socks5 | Self::Socks5h => false,
        }
    }
}

impl Via {
    /// What TLS to the proxy needs, where there is any.
    pub fn tls(&self) -> Option<&UpstreamTls> {
        match self {
            Self::Direct => None,
            Self::Proxy(proxy) => proxy.tls.as_ref(),
        }
    }
}

/// `upstreams.NAME.via_mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ViaMode {
    /// "auto" (the default): an HTTP proxy is asked for each request to an `http` target (absolute-form), and for a tunnel where
    /// that can't be done.
    #[default]
    Auto,
    /// "connect": an HTTP proxy is asked for tunnels only.
    Connect,
}

/// As an authority: `proxy:3128`, `[::1]:3128`.
impl fmt::Display for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}
