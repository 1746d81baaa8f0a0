//! What listeners do with connections. All of it can change while they listen, but for the address.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{self, Protocols, ProxyProtocol, Redirect};
use crate::tls::loader::Loader;
use crate::tls::server::Acceptor;
use crate::tls::{HTTP_1_1, HTTP_2};

/// What one listener does with connections.
#[derive(Debug)]
pub struct Listener {
    /// Its address in the configuration.
    address: SocketAddr,
    /// What is spoken.
    pub protocols: Protocols,
    /// For handshakes; `None`: plain.
    pub tls: Option<Acceptor>,
    /// Where requests are sent to instead of being served.
    pub redirect: Option<Redirect>,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: Option<ProxyProtocol>,
}

impl Listener {
    /// Whether HTTP is all that there is.
    pub fn is_bare(&self) -> bool {
        self.tls.is_none() && self.proxy_protocol.is_none()
    }
}

/// The listeners of a configuration. Those that listen already stay in the order in which they began, whatever order the file has; one that
/// the file has no more goes on as it was, because it listens until the next start.
pub(super) fn load(
    config: &config::Config,
    previous: Option<&[Arc<Listener>]>,
    loader: &mut Loader,
) -> Vec<Arc<Listener>> {
    let mut left: Vec<&Arc<Listener>> = previous.into_iter().flatten().collect();
    let mut new: Vec<(Option<&Arc<Listener>>, Arc<Listener>)> = Vec::new();
    for listener in &config.listeners {
        // Several on port 0 are told apart by their order.
        let position = left.iter().position(|old| old.address == listener.address);
        let before = position.map(|position| left.remove(position));
        let tls = listener.tls.as_ref().and_then(|tls| {
            let before = before.and_then(|before| before.tls.as_ref());
            Acceptor::load(tls, names(listener.protocols), loader, before)
        });
        let now = Listener {
            address: listener.address,
            protocols: listener.protocols,
            tls,
            redirect: listener.redirect,
            proxy_protocol: listener.proxy_protocol.clone(),
        };
        new.push((before, Arc::new(now)));
    }
    match previous {
        None => new.into_iter().map(|(_, listener)| listener).collect(),
        Some(previous) => {
            let now = |old: &Arc<Listener>| {
                let is_same = |before: Option<&Arc<Listener>>| {
                    before.is_some_and(|before| Arc::ptr_eq(before, old))
                };
                let found = new.iter().find(|(before, _)| is_same(*before));
                found.map_or_else(|| Arc::clone(old), |(_, new)| Arc::clone(new))
            };
            previous.iter().map(now).collect()
        }
    }
}

/// What clients may choose from (ALPN); HTTP/2 is preferred.
fn names(protocols: Protocols) -> &'static [&'static [u8]] {
    match protocols {
        Protocols {
            http1: true,
            http2: true,
        } => &[HTTP_2, HTTP_1_1],
        Protocols { http2: true, .. } => &[HTTP_2],
        Protocols { .. } => &[HTTP_1_1],
    }
}
