//! One request and its response while they are inside of the gateway, and the rules that HTTP has
//! for a proxy in between.
//!
//! - [`head`]: the request and response heads that plugins see and change
//! - [`target`]: the request target: normalising a path, cleaning a query, joining with a base path
//! - [`hop_by_hop`]: fields that concern one connection only
//! - [`forwarded`]: `X-Forwarded-*` and `Forwarded`
//! - [`body`] and [`client_body`]: bodies in both directions
//! - [`edit`]: what a plugin may change, and why an edit is refused
//! - [`redirect`]: the answer of a listener that sends everybody to https
//! - [`representation`]: a head whose body is changed
//! - [`grpc`]: what of a message of gRPC concerns a proxy
//! - [`failure`]: everything that can go wrong, by its source, and the one place where it becomes a response

pub mod body;
pub mod client_body;
pub mod edit;
pub mod failure;
pub mod forwarded;
pub mod grpc;
pub mod head;
pub mod hop_by_hop;
pub mod redirect;
pub mod representation;
pub mod target;
pub mod trailers;

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;

pub use failure::Failure;
pub use head::{RequestHead, ResponseHead};

use crate::snapshot::Snapshot;

/// Everything that belongs to one exchange. Boxed, because it moves into a plugin's store for the
/// time of a call and back out of it.
#[derive(Debug)]
pub struct Exchange {
    /// The configuration that this exchange began with; it ends with the same.
    pub snapshot: Arc<Snapshot>,
    /// Index of the matched route, or hub, in the snapshot's table.
    pub route: usize,
    /// Who asked.
    pub client: Client,
    /// The subject of the certificate that the client has shown, and that was verified.
    pub client_subject: Option<Arc<str>>,
    /// 32 hexadecimal digits, or what a trusted proxy called it.
    pub request_id: HeaderValue,
    /// The request on its way to the upstream.
    pub request: RequestHead,
    /// The response on its way back, from its arrival on.
    pub response: Option<ResponseHead>,
    /// What plugins noted for later hooks of this exchange.
    pub notes: Notes,
}

impl Exchange {
    /// What stands in an instance's store while no exchange is in it.
    pub fn vacant() -> Self {
        let nowhere = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        Self {
            snapshot: Snapshot::empty(),
            route: 0,
            client: Client {
                address: nowhere,
                peer: nowhere,
                trusted: false,
                scheme: Scheme::Http,
            },
            client_subject: None,
            request_id: HeaderValue::from_static("-"),
            request: RequestHead::vacant(),
            response: None,
            notes: Notes::default(),
        }
    }

    /// A parameter of the route's path pattern, percent-decoded.
    pub fn path_parameter(&self, name: &str) -> Option<String> {
        let pattern = self.snapshot.table.pattern(self.route)?;
        self.request
            .params
            .decoded(pattern, &self.request.matched_path, name)
            .map(std::borrow::Cow::into_owned)
    }

    /// The name of the matched route, or hub.
    pub fn route_name(&self) -> &str {
        match self.snapshot.routes.get(self.route) {
            Some(route) => &route.name,
            None => self
                .snapshot
                .hub(self.route)
                .map_or("", |hub| &hub.config.name),
        }
    }
}

/// The other end of a client's connection.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The client as far as the trusted proxies let us see it.
    pub address: IpAddr,
    /// Who is connected to us.
    pub peer: IpAddr,
    /// Whether the peer is one of `server.trusted_proxies`.
    pub trusted: bool,
    /// How the peer reached us.
    pub scheme: Scheme,
}

/// The scheme of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As it stands in `X-Forwarded-Proto`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Notes that plugins leave for later hooks of the same exchange. Few and short, so a list.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    entries: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

impl Notes {
    /// Names and values together; a note beyond it is dropped.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// The note of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.entries
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_slice())
    }

    /// Sets or replaces a note; `false` where it would go over [`Self::MAX_BYTES`].
    pub fn set(&mut self, name: String, value: Vec<u8>) -> bool {
        let replaced = self
            .entries
            .iter()
            .position(|(key, _)| *key == name)
            .map(|position| self.entries.swap_remove(position))
            .map_or(0, |(name, value)| name.len() + value.len());
        let bytes = self.bytes - replaced + name.len() + value.len();
        if bytes > Self::MAX_BYTES {
            self.bytes -= replaced;
            return false;
        }
        self.bytes = bytes;
        self.entries.push((name, value));
        true
    }
}

/// A new request identifier: 128 random bits in hexadecimal.
pub fn new_request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random: u128 = rand::random();
    let mut text = [0; 32];
    for (position, byte) in text.iter_mut().enumerate() {
        let nibble = (random >> (4 * position)) & 0xf;
        *byte = DIGITS.get(nibble as usize).copied().unwrap_or(b'0');
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_replaced_and_bounded() {
        let mut notes = Notes::default();
        assert!(notes.set("a".into(), b"1".to_vec()));
        assert!(notes.set("a".into(), b"2".to_vec()));
        assert_eq!(notes.get("a"), Some(&b"2"[..]));
        assert_eq!(notes.bytes, 2);
        assert!(!notes.set("b".into(), vec![0; Notes::MAX_BYTES]));
        assert_eq!(notes.get("b"), None);
        assert_eq!(notes.bytes, 2);
    }

    #[test]
    fn request_ids_differ_and_are_hexadecimal() {
        let (one, other) = (new_request_id(), new_request_id());
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
        assert!(one.as_bytes().iter().all(u8::is_ascii_hexdigit));
    }
}
