//! The way to a target through a forward proxy.
//!
//! There are two of them. A *tunnel* is a connection to the target as any other once the proxy has opened it: what goes over it,
//! also TLS, is the target's alone. An HTTP proxy takes requests to `http` targets as well, each with the whole URL
//! (absolute-form, RFC 9112, section 3.2.2) and with our credentials for the proxy; such a connection belongs to the proxy. What a
//! proxy can't pass on, an upgrade to another protocol, goes through a tunnel all the same: squid and others take the
//! `Upgrade` field away.
//!
//! A proxy that is spoken to by TLS has shown who it is before anything else goes over the connection. TLS to a target goes
//! through its tunnel all the same: one inside of the other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;

use super::proxy::no_proxy::NoProxy;
use super::proxy::{Destination, Problem, ProxyError, http_connect, socks5};
use super::resolve::{Name, NotFound, Resolver};
use super::secure::{Offer, Secure};
use super::{ConnectError, Endpoint};
use crate::config::{self, ForwardProxy, Place, ProxyScheme, UpstreamProtocol, Via, ViaMode};
use crate::exchange::Scheme;
use crate::tls::{self, client::Connector};
use crate::transport::Stream;
use crate::upstream::health;

/// Addresses of one target that a SOCKS proxy is asked for, one after the other.
const MOST_ADDRESSES: usize = 8;

/// How one target is reached through a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxied {
    proxy: ForwardProxy,
    endpoint: Endpoint,
    /// By TLS, where its address says so.
    secure: Option<Secure>,
    /// Host and port of the proxy.
    name: Arc<str>,
    /// What a proxy is told about us, where HTTP is spoken to it.
    authorization: Option<HeaderValue>,
    /// What stands in front of a request's path in absolute-form. `None`: there are tunnels only.
    origin: Option<Arc<str>>,
    /// There are tunnels only because the configuration says so.
    is_choice: bool,
}

/// The way on which a proxy passes requests on.
#[derive(Debug, Clone, Copy)]
pub struct Absolute<'a> {
    /// What stands in front of each request's path: `http://host:port`.
    pub origin: &'a str,
    proxied: &'a Proxied,
}

impl<'a> Absolute<'a> {
    /// A connection to the proxy.
    ///
    /// # Errors
    /// See [`ProxyError`]. No limit of time: that is the caller's.
    pub async fn open(self) -> Result<Stream, ProxyError> {
        self.proxied.dial().await
    }

    /// `Proxy-Authorization` for each request.
    pub fn authorization(self) -> Option<&'a HeaderValue> {
        self.proxied.authorization.as_ref()
    }

    /// What it means that the proxy answers a request with 407.
    pub fn unauthorized(self) -> ProxyError {
        self.proxied.error(match self.authorization() {
            Some(_) => Problem::CredentialsRefused,
            None => Problem::CredentialsMissing,
        })
    }

    /// What it means that a connection to the proxy breaks where the answer to a request was to come: `None`, if that is not for
    /// TLS to blame.
    pub fn broken_by_tls(self, error: &io::Error) -> Option<ProxyError> {
        tls::error_type(error)?;
        // Of an error that is in use elsewhere there is only a copy.
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?.clone();
        Some(self.proxied.error(Problem::Broken(io::Error::new(
            io::ErrorKind::InvalidData,
            error,
        ))))
    }
}

impl Proxied {
    /// `None`: this target is reached without a proxy.
    pub(super) fn to(
        target: &config::Target,
        upstream: &config::Upstream,
        resolver: &Arc<Resolver>,
        connector: Option<&Connector>,
    ) -> Option<Self> {
        // A unix socket is on this machine.
        let (Via::Proxy(proxy), Place::Network { host, port }) = (&upstream.via, &target.place)
        else {
            return None;
        };
        if proxy.no_proxy.covers(host, *port) {
            return None;
        }
        // HTTP/2 is spoken to the target itself, and what goes by TLS is for its eyes only.
        let is_http = proxy.protocol.is_http();
        let can_pass_on = is_http
            && target.scheme == Scheme::Http
            && upstream.protocol != UpstreamProtocol::Http2;
        let authorization = proxy.credentials.as_ref().filter(|_| is_http);
        Some(Self {
            endpoint: Endpoint::at(&proxy.host, proxy.port, resolver),
            secure: Secure::to_proxy(proxy, connector),
            name: proxy.to_string().into(),
            authorization: authorization.and_then(http_connect::authorization),
            is_choice: can_pass_on && proxy.mode == ViaMode::Connect,
            origin: (can_pass_on && proxy.mode == ViaMode::Auto)
                .then(|| format!("http://{}", target.authority).into()),
            proxy: ForwardProxy {
                // It is decided: lists that differ and say the same of this target make no difference.
                no_proxy: NoProxy::default(),
                // What counts of it is in `secure`.
                tls: None,
                ..ForwardProxy::clone(proxy)
            },
        })
    }

    /// Whether both lead through the same proxy, with the same credentials, in the same way, whatever certificates are shown
    /// and believed on it.
    pub(super) fn leads_where(&self, other: &Self) -> bool {
        let way = |proxied: &'_ Self| {
            let mut proxied = proxied.clone();
            proxied.secure = None;
            proxied
        };
        Secure::have_same_name(self.secure.as_ref(), other.secure.as_ref())
            && way(self) == way(other)
    }

    /// Host and port of the proxy.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where the proxy listens.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether names of targets are resolved here.
    pub(super) fn resolves_targets(&self) -> bool {
        self.proxy.protocol == ProxyScheme::Socks5
    }

    /// That a name is not resolved, if that is what who connects waits for.
    pub(super) fn awaited_name(&self, target: &Endpoint) -> Option<ProxyError> {
        if self.endpoint.is_awaiting_name() {
            Some(self.error(Problem::Dns(NotFound::Timeout)))
        } else if self.resolves_targets() && target.is_awaiting_name() {
            Some(self.error(Problem::TargetDns(NotFound::Timeout)))
        } else {
            None
        }
    }

    /// `None`: there are tunnels only.
    pub(super) fn absolute(&self) -> Option<Absolute<'_>> {
        let origin = self.origin.as_deref()?;
        Some(Absolute {
            origin,
            proxied: self,
        })
    }

    /// A connection to the proxy.
    async fn dial(&self) -> Result<Stream, ProxyError> {
        let dialled = self.endpoint.dial().await;
        let stream = dialled.map_err(|error| self.dialled(error))?;
        let Some(secure) = &self.secure else {
            return Ok(stream);
        };
        let shaken = secure.shake_hands(stream, Offer::Http1).await;
        shaken.map_err(|error| self.error(Problem::Tls(error)))
    }

    fn dialled(&self, error: ConnectError) -> ProxyError {
        self.error(match error {
            ConnectError::Dns(error) => Problem::Dns(error),
            ConnectError::Connect(error) => Problem::Connect(error),
            ConnectError::Proxy(error) => return error,
            // Not of a connection that has only been dialled.
            ConnectError::Tls(_) | ConnectError::NotHttp2 | ConnectError::Http2(_) => {
                Problem::Connect(io::Error::other(error))
            }
        })
    }

    /// A tunnel to a target.
    pub(super) async fn tunnel(&self, target: &Endpoint) -> Result<Stream, ProxyError> {
        let destination = match target {
            Endpoint::Name(name, port) if self.resolves_targets() => {
                return self.tunnel_to_any(name, *port).await;
            }
            Endpoint::Name(name, port) => Destination::Name(name.host(), *port),
            Endpoint::Address(address) => Destination::Address(*address),
            // It has no way through a proxy, and none is tried past it: see [`Self::to`].
            Endpoint::Unix(_) => {
                let error = io::Error::from(io::ErrorKind::Unsupported);
                return Err(self.error(Problem::Connect(error)));
            }
        };
        let tunnel = self.tunnel_to(destination).await;
        tunnel.map_err(|problem| self.error(problem))
    }

    /// A tunnel to the first of a name's addresses that the proxy can reach. A proxy that has said no is done with
    /// its connection, so each address gets one of its own.
    async fn tunnel_to_any(&self, name: &Name, port: u16) -> Result<Stream, ProxyError> {
        let answer = name.answer().await;
        let answer = answer.map_err(|error| self.error(Problem::TargetDns(error)))?;
        let none = NotFound::Failed("the name has no address".into());
        let mut last = Problem::TargetDns(none);
        let addresses = answer.in_order(name.next_turn(), health::now());
        for ip in addresses.into_iter().take(MOST_ADDRESSES) {
            let destination = Destination::Address(SocketAddr::new(ip, port));
            match self.tunnel_to(destination).await {
                Ok(stream) => return Ok(stream.tunnel_to(ip)),
                Err(problem @ Problem::Socks { reply, .. }) if reply.is_of_address() => {
                    answer.avoid(ip, health::now());
                    last = problem;
                }
                Err(problem) => return Err(self.error(problem)),
            }
        }
        Err(self.error(last))
    }

    async fn tunnel_to(&self, destination: Destination<'_>) -> Result<Stream, Problem> {
        let mut stream = self.dial().await.map_err(|error| error.problem)?;
        match self.proxy.protocol {
            ProxyScheme::Http | ProxyScheme::Https => {
                let authorization = self.authorization.as_ref();
                let opened =
                    http_connect::open(&mut stream, destination, authorization, self.is_choice)
                        .await;
                Ok(stream.begun(opened?.freeze()))
            }
            ProxyScheme::Socks5 | ProxyScheme::Socks5h => {
                let credentials = self.proxy.credentials.as_ref();
                socks5::open(&mut stream, destination, credentials).await?;
                Ok(stream)
            }
        }
    }

    fn error(&self, problem: Problem) -> ProxyError {
        let proxy = Arc::clone(&self.name);
        let is_http = self.proxy.protocol.is_http();
        ProxyError {
            proxy,
            is_http,
            problem,
        }
    }
}
