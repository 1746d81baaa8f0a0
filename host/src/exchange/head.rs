//! The heads of an exchange, as the spine and plugins see them.

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::target::Target;
use crate::route::Params;

/// The request on its way to the upstream.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// Method, as received or as a plugin changed it.
    pub method: Method,
    /// Method as received: it decides whether the client expects a body.
    pub received_method: Method,
    /// Path and query.
    pub target: Target,
    /// The client's Host.
    pub host: HeaderValue,
    /// Host as a plugin wants it sent, whatever the route says.
    pub authority: Option<HeaderValue>,
    /// End-to-end fields, and the client's Host, which is replaced when the request is sent.
    pub headers: HeaderMap,
    /// The path as it was matched; the parameters' values are pieces of it.
    pub matched_path: Box<str>,
    /// What the route's pattern found in it.
    pub params: Params,
    /// Index of the upstream that a plugin chose instead of the route's.
    pub upstream: Option<usize>,
    /// The key that a plugin gave to a hashing balancer.
    pub balance_key: Option<Vec<u8>>,
    /// The protocols that the client asks to switch to, if it does.
    pub upgrade: Option<HeaderValue>,
    /// Whether it can still be changed: not from the response phase on.
    pub stage: Stage,
    /// Bytes that plugins have added to the fields so far.
    pub added: usize,
}

impl RequestHead {
    /// The head of no request.
    pub fn vacant() -> Self {
        Self {
            method: Method::GET,
            received_method: Method::GET,
            target: Target::default(),
            host: HeaderValue::from_static(""),
            authority: None,
            headers: HeaderMap::new(),
            matched_path: Box::default(),
            params: Params::default(),
            upstream: None,
            balance_key: None,
            upgrade: None,
            stage: Stage::Sent,
            added: 0,
        }
    }
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not sent yet: it can be changed.
    Inbound,
    /// Sent, or answered without being sent.
    Sent,
}

/// The response on its way to the client.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// Status, 200 to 599, or 101.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
    /// Bytes that plugins have added to the fields so far.
    pub added: usize,
}

impl ResponseHead {
    /// A head with these parts.
    pub fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Self {
            status,
            headers,
            added: 0,
        }
    }
}
