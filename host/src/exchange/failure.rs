//! Everything that can go wrong in an exchange, by its source, and the one place where it becomes
//! a response.
//!
//! The client learns a status, a short reason that is the same for everybody, and `proxy-status`
//! (RFC 9209). Addresses, plugin names and error texts go to the log only.

mod respond;

use std::time::Duration;

use http::StatusCode;
use http::header::HeaderName;

pub use respond::Form;

use super::body::BodyError;
use crate::http1::response::HeadError;
use crate::observe::record::Overdue;
use crate::plugin::failure::BrokeBody;
use crate::tls;
use crate::upstream::body::Silence;
use crate::upstream::connect::proxy::ProxyError;
use crate::upstream::connect::resolve::NotFound;
use crate::upstream::connection::Broken;
use crate::websocket::handshake::Refusal;

/// The name of the field that carries an exchange's identifier.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why the gateway answers itself.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The client sent something that can't be taken.
    #[error(transparent)]
    Client(#[from] ClientFailure),
    /// No route leads there.
    #[error(transparent)]
    Route(#[from] RouteFailure),
    /// A request on a hub's path does not become a WebSocket.
    #[error(transparent)]
    Handshake(#[from] Refusal),
    /// A plugin failed; the text is for the log.
    #[error("plugin failed: {0}")]
    Plugin(String),
    /// No answer could be had from the upstream.
    #[error(transparent)]
    Upstream(#[from] UpstreamFailure),
    /// The response's body broke off before it was passed on; the text is for the log.
    #[error("the response's body broke off: {0}")]
    BrokenBody(String),
    /// An extended CONNECT (RFC 8441) was answered with a success that is no switch to its protocol: in HTTP/2 it would be one.
    #[error("answered with {0} in place of a switch to another protocol")]
    NotSwitched(StatusCode),
    /// A limit is reached.
    #[error("{0}")]
    Limit(&'static str),
    /// Something that should not happen; the text is for the log.
    #[error("internal: {0}")]
    Internal(String),
}

/// What a client can do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientFailure {
    /// 400; the text says what, and is shown to the client.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// 408: the head or the body took too long.
    #[error("the request did not arrive in time")]
    Timeout,
    /// 413: the body is larger than allowed.
    #[error("the request body is too large")]
    BodyTooLarge,
    /// 431: the head is larger than allowed.
    #[error("the request head is too large")]
    HeadTooLarge,
    /// 501: a method or transfer coding that the gateway does not implement.
    #[error("not implemented: {0}")]
    NotImplemented(&'static str),
    /// 505
    #[error("this HTTP version is not supported")]
    Version,
    /// 504: the client wanted no answer any more, by its `grpc-timeout`.
    #[error("the client's own time was up")]
    Deadline,
    /// The body broke off or was malformed after the head had been taken.
    #[error("the request body broke off")]
    BodyBroken,
}

/// What the route table can say no with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteFailure {
    /// 404
    #[error("no route for this host and path")]
    NotFound,
    /// 405, with the methods that are allowed.
    #[error("the method is not allowed here")]
    MethodNotAllowed {
        /// For `Allow`.
        allow: String,
    },
}

/// What an upstream can do wrong; the texts are for the log.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFailure {
    /// 502: the name could not be resolved; 504: not in time.
    #[error("{target}: name not resolved: {source}")]
    Dns {
        /// Host and port.
        target: String,
        /// Why.
        source: NotFound,
    },
    /// 502: no connection.
    #[error("{target}: no connection: {source}")]
    Connect {
        /// Host and port.
        target: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// 502: the target's certificate is not good, or TLS failed otherwise.
    #[error("{target}: TLS: {source}")]
    Tls {
        /// Host and port.
        target: String,
        /// With the error of `rustls`, if it is to blame.
        source: std::io::Error,
    },
    /// 502: no way through a forward proxy.
    #[error("{target}: {source}")]
    Proxy {
        /// Host and port.
        target: String,
        /// Which proxy, and why.
        source: ProxyError,
    },
    /// 504: no connection in time.
    #[error("{target}: no connection within {limit:?}")]
    ConnectTimeout {
        /// Host and port.
        target: String,
        /// `timeouts.connect`
        limit: Duration,
    },
    /// 504: no response head in time.
    #[error("{target}: no response within {limit:?}")]
    ResponseTimeout {
        /// Host and port.
        target: String,
        /// `timeouts.response`
        limit: Duration,
    },
    /// 504: no response head before the time of the route was up, whatever it was waited for.
    #[error("{target}: no response within the route's {limit:?}")]
    RouteTimeout {
        /// Host and port.
        target: String,
        /// The route's `timeout`.
        limit: Duration,
    },
    /// 504: a body that stopped coming before any of it was passed on.
    #[error("nothing more of the response came within {limit:?}")]
    IdleTimeout {
        /// `timeouts.idle`
        limit: Duration,
    },
    /// A response that had not ended within the route's time for a whole exchange: broken off.
    #[error("the exchange took longer than the route's {limit:?}")]
    ExchangeTimeout {
        /// The route's `exchange_timeout`
        limit: Duration,
    },
    /// 502: the connection broke before a response.
    #[error("{target}: connection broke before a response: {source}")]
    Broken {
        /// Host and port.
        target: String,
        /// How.
        source: Broken,
    },
    /// 502: what came back is not HTTP.
    #[error("{target}: malformed response: {source}")]
    Malformed {
        /// Host and port.
        target: String,
        /// What is wrong with it.
        source: HeadError,
    },
    /// 502: a body whose end can be read in two ways.
    #[error("{target}: ambiguous framing of the response")]
    Framing {
        /// Host and port.
        target: String,
    },
    /// 502: HTTP/2 was to be spoken.
    #[error("{target}: does not speak HTTP/2")]
    NotHttp2 {
        /// Host and port.
        target: String,
    },
    /// 502: an answer that was not asked for, such as 101.
    #[error("{target}: unexpected status {status}")]
    Unexpected {
        /// Host and port.
        target: String,
        /// What came.
        status: StatusCode,
    },
    /// 503: no target is available.
    #[error("upstream {upstream}: no target available")]
    NoTarget {
        /// Its name.
        upstream: String,
    },
}

/// How a failure looks to a client.
struct Answer {
    status: StatusCode,
    /// A proxy error type of RFC 9209, section 2.3.
    error: &'static str,
    /// Words that give nothing inside away.
    reason: &'static str,
}

impl Failure {
    /// What a response's body broke off for.
    pub fn of_response_body(error: &BodyError) -> Self {
        if let Some(plugin) = BrokeBody::cause(&**error) {
            return plugin;
        }
        if let Some(Overdue(limit)) = error.downcast_ref() {
            return UpstreamFailure::ExchangeTimeout { limit: *limit }.into();
        }
        match error.downcast_ref::<Silence>() {
            Some(Silence(limit)) => UpstreamFailure::IdleTimeout { limit: *limit }.into(),
            None => Self::BrokenBody(error.to_string()),
        }
    }

    /// The status that a client sees.
    pub fn status(&self) -> StatusCode {
        self.answer().status
    }

    /// The proxy error type (RFC 9209), also the label of metrics.
    pub fn error_type(&self) -> &'static str {
        self.answer().error
    }

    fn answer(&self) -> Answer {
        let (status, error, reason) = match self {
            Self::Client(failure) => failure.parts(),
            Self::Route(RouteFailure::NotFound) => {
                (StatusCode::NOT_FOUND, "destination_not_found", "no route")
            }
            Self::Route(RouteFailure::MethodNotAllowed { .. }) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "http_request_denied",
                "method not allowed",
            ),
            Self::Handshake(refusal) => {
                let error = match refusal {
                    Refusal::Full | Refusal::Address => "connection_limit_reached",
                    Refusal::Origin => "http_request_denied",
                    _ => "http_request_error",
                };
                (refusal.status(), error, refusal.reason())
            }
            Self::Plugin(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "proxy_internal_error",
                "plugin failed",
            ),
            Self::Upstream(failure) => failure.parts(),
            Self::BrokenBody(_) => (
                StatusCode::BAD_GATEWAY,
                "http_response_incomplete",
                "upstream failed",
            ),
            Self::NotSwitched(_) => (
                StatusCode::BAD_GATEWAY,
                "http_protocol_error",
                "upstream failed",
            ),
            Self::Limit(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "connection_limit_reached",
                *reason,
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "proxy_internal_error",
                "internal error",
            ),
        };
        Answer {
            status,
            error,
            reason,
        }
    }
}

type Parts = (StatusCode, &'static str, &'static str);

impl ClientFailure {
    fn parts(self) -> Parts {
        match self {
            Self::Malformed(reason) => (StatusCode::BAD_REQUEST, "http_request_error", reason),
            Self::Timeout => (
                StatusCode::REQUEST_TIMEOUT,
                "http_request_error",
                "the request took too long",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "http_request_error",
                "request body too large",
            ),
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "http_request_error",
                "request head too large",
            ),
            Self::NotImplemented(reason) => {
                (StatusCode::NOT_IMPLEMENTED, "http_request_error", reason)
            }
            Self::Version => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "http_request_error",
                "HTTP version not supported",
            ),
            Self::Deadline => (
                StatusCode::GATEWAY_TIMEOUT,
                "http_response_timeout",
                "deadline exceeded",
            ),
            Self::BodyBroken => (
                StatusCode::BAD_REQUEST,
                "http_request_error",
                "the request body is malformed",
            ),
        }
    }
}

impl UpstreamFailure {
    fn parts(&self) -> Parts {
        match self {
            Self::Dns {
                source: NotFound::Timeout,
                ..
            } => (
                StatusCode::GATEWAY_TIMEOUT,
                "dns_timeout",
                "upstream timed out",
            ),
            Self::Dns { .. } => (StatusCode::BAD_GATEWAY, "dns_error", "upstream not found"),
            Self::Connect { source, .. } => {
                let error = match source.kind() {
                    std::io::ErrorKind::ConnectionRefused => "connection_refused",
                    std::io::ErrorKind::TimedOut => "connection_timeout",
                    std::io::ErrorKind::HostUnreachable
                    | std::io::ErrorKind::NetworkUnreachable => "destination_ip_unroutable",
                    _ => "connection_terminated",
                };
                (StatusCode::BAD_GATEWAY, error, "upstream failed")
            }
            Self::Tls { source, .. } => {
                let error = tls::error_type(source).unwrap_or("connection_terminated");
                (StatusCode::BAD_GATEWAY, error, "upstream failed")
            }
            Self::Proxy { source, .. } => {
                let error = source.problem.error_type();
                if error == "dns_timeout" {
                    (StatusCode::GATEWAY_TIMEOUT, error, "upstream timed out")
                } else {
                    (StatusCode::BAD_GATEWAY, error, "upstream failed")
                }
            }
            Self::ConnectTimeout { .. } => (
                StatusCode::GATEWAY_TIMEOUT,
                "connection_timeout",
                "upstream timed out",
            ),
            Self::ResponseTimeout { .. } | Self::RouteTimeout { .. } => (
                StatusCode::GATEWAY_TIMEOUT,
                "http_response_timeout",
                "upstream timed out",
            ),
            Self::IdleTimeout { .. } => (
                StatusCode::GATEWAY_TIMEOUT,
                "connection_read_timeout",
                "upstream timed out",
            ),
            // Only in the log and in metrics: the response's head has gone ahead.
            Self::ExchangeTimeout { .. } => (
                StatusCode::GATEWAY_TIMEOUT,
                "exchange_timeout",
                "upstream timed out",
            ),
            Self::Broken { source, .. } => {
                // In TLS 1.3 a certificate of the gateway's own is refused after the gateway has sent its request.
                let error = match source {
                    Broken::Io(source) => tls::error_type(source),
                    Broken::Closed | Broken::Http2(_) => None,
                };
                let error = error.unwrap_or("connection_terminated");
                (StatusCode::BAD_GATEWAY, error, "upstream failed")
            }
            Self::Malformed { .. }
            | Self::Framing { .. }
            | Self::Unexpected { .. }
            | Self::NotHttp2 { .. } => (
                StatusCode::BAD_GATEWAY,
                "http_protocol_error",
                "upstream failed",
            ),
            Self::NoTarget { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "destination_unavailable",
                "no target available",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
