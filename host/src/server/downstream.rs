//! The client's side of one exchange, whichever version of HTTP it came in.

use std::rc::Rc;

use http::{HeaderMap, StatusCode, Version};

use super::http2::stream::Stream;
use super::socket::ClientSocket;
use crate::exchange::body::RequestBody;
use crate::exchange::client_body::ClientBody;
use crate::exchange::failure::ClientFailure;

/// See the module's documentation.
#[derive(Debug, Clone)]
pub enum Downstream {
    /// A connection that is this exchange's alone for as long as it takes.
    Http1(ClientSocket),
    /// A stream among others.
    Http2(Rc<Stream>),
}

impl Downstream {
    /// The request's body, of at most `limit` bytes.
    ///
    /// # Errors
    /// It is known to be larger before any of it has been read.
    pub fn body(&self, limit: Option<u64>) -> Result<RequestBody, ClientFailure> {
        let remaining = match self {
            Self::Http1(socket) => socket.remaining_body(socket.exchange()),
            Self::Http2(stream) => stream.remaining_body(),
        };
        match (limit, remaining) {
            // Most requests: nothing need be made for them.
            (_, Some(0)) => Ok(RequestBody::Empty),
            (Some(limit), Some(length)) if length > limit => Err(ClientFailure::BodyTooLarge),
            _ => Ok(self.make_body(limit)),
        }
    }

    /// What the client speaks, as the access log says it. What asks for an upgrade over HTTP/2 has the version that it stands for.
    pub fn protocol(&self, version: Version) -> &'static str {
        match self {
            Self::Http1(_) if version == Version::HTTP_10 => "HTTP/1.0",
            Self::Http1(_) => "HTTP/1.1",
            Self::Http2(_) => "HTTP/2",
        }
    }

    /// Whether a success would say that another protocol is spoken from here on (RFC 8441, section 5).
    pub fn is_connect(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2(stream) => stream.is_connect(),
        }
    }

    fn make_body(&self, limit: Option<u64>) -> RequestBody {
        match self {
            Self::Http1(socket) => {
                RequestBody::Source(ClientBody::of_socket(socket.clone(), limit))
            }
            Self::Http2(stream) => match stream.take_incoming() {
                Some(incoming) => RequestBody::Source(ClientBody::of_stream(incoming, limit)),
                None => RequestBody::Empty,
            },
        }
    }

    /// What else comes of the request must not be used.
    pub fn refuse(&self) {
        match self {
            Self::Http1(socket) => socket.refuse(),
            // The next request has a stream of its own.
            Self::Http2(_) => {}
        }
    }

    /// Sends an interim response in front of the final one. It is dropped where too many have been sent or wait already.
    pub fn push_interim(&self, status: StatusCode, headers: &HeaderMap) {
        match self {
            Self::Http1(socket) => socket.push_interim(status, headers),
            Self::Http2(stream) => stream.push_interim(status, headers),
        }
    }
}
