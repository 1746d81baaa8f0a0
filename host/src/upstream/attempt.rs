//! Picks a target, connects, sends, and waits for the response's head.

use std::error::Error as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::body::UpstreamBody;
use super::connection::{ConnectError, Connection};
use super::pool::Pool;
use super::target::{InFlight, Target, Upstream};
use crate::balance::{Candidates, hash_key};
use crate::config::HashOn;
use crate::exchange::body::RequestBody;
use crate::exchange::client_body::Upload;
use crate::exchange::failure::{Failure, UpstreamFailure};
use crate::exchange::{Exchange, RequestHead};
use crate::plugin::failure::BrokeBody;
use crate::server::interim::Interim;
use crate::timer::Timer;

/// What an attempt needs to know besides the exchange.
#[derive(Debug)]
pub struct Sending<'a> {
    /// The worker's kept connections.
    pub pool: &'a Rc<Pool>,
    /// Where the request goes.
    pub upstream: &'a Arc<Upstream>,
    /// Whether the client's Host is sent.
    pub preserve_host: bool,
    /// When the exchange began to be directed.
    pub began: Instant,
    /// Until when a head must have come, by the route's `timeout`.
    pub deadline: Instant,
    /// Takes interim responses to the client; `None` for a client of HTTP/1.0.
    pub interim: Option<Arc<Interim>>,
}

/// A connection that carries the request.
struct Ready {
    connection: Box<Connection>,
    in_flight: InFlight,
}

impl Sending<'_> {
    /// Sends the request and returns what comes back.
    ///
    /// # Errors
    /// No connection, no response, or a client's body that broke off.
    pub async fn send(
        &self,
        exchange: &Exchange,
        mut body: RequestBody,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let mut ready = self.connect(exchange, Reuse::Allowed).await?;
        let upload = upload_of(&body);
        let mut fresh = false;
        loop {
            let reused = ready.connection.served > 0;
            let target = target_of(&ready.in_flight)?;
            let can_repeat =
                matches!(body, RequestBody::Empty) && exchange.request.method.is_idempotent();
            let request = self.request(exchange, target, body)?;
            let limit = self.upstream.timeouts.response;
            let deadline = Deadline {
                upload: upload.as_deref(),
                limit,
                end: self.deadline,
                began: self.began,
            };
            deadline.start(&mut ready.connection.timer);
            let sent = ready
                .connection
                .send(request, |timer, cx| deadline.poll(timer, cx))
                .await;
            let error = match sent {
                Ok(Ok(response)) => return self.received(response, ready),
                Err(Expired) => {
                    let target = target_of(&ready.in_flight)?.endpoint.to_string();
                    return Err(UpstreamFailure::ResponseTimeout { target, limit }.into());
                }
                Ok(Err(error)) => error,
            };
            if let Some(failure) = upload.as_ref().and_then(|upload| upload.failure()) {
                return Err(failure.into());
            }
            // The target may close a kept connection just when it is used again. That is nobody's
            // failure: where the request can be sent once more it is, on a fresh connection.
            let mut error = error;
            let unsent = error.take_message().map(Request::into_body);
            let source = error.into_error();
            if let Some(failure) = source.source().and_then(BrokeBody::cause) {
                return Err(failure);
            }
            let again = match unsent {
                Some(unsent) => Some(unsent),
                None if can_repeat && !source.is_parse() => Some(RequestBody::Empty),
                None => None,
            };
            match again {
                Some(again) if reused && !fresh => {
                    fresh = true;
                    body = again;
                    ready = self.connect(exchange, Reuse::Refused).await?;
                }
                _ => {
                    let target = target_of(&ready.in_flight)?.endpoint.to_string();
                    return Err(failure_of(target, source).into());
                }
            }
        }
    }

    /// A connection to the first candidate that takes one.
    async fn connect(&self, exchange: &Exchange, reuse: Reuse) -> Result<Ready, Failure> {
        let key = key_of(&self.upstream.hash_on, exchange);
        let candidates = Candidates::new(&*self.upstream.balancer, &**self.upstream, key);
        let mut failure = UpstreamFailure::NoTarget {
            upstream: self.upstream.name.to_string(),
        };
        for index in candidates.take(self.upstream.connect_attempts + 1) {
            let in_flight = InFlight::new(Arc::clone(self.upstream), index);
            let target = target_of(&in_flight)?;
            if reuse == Reuse::Allowed
                && let Some(connection) = self.pool.take(target.slot)
            {
                return Ok(Ready {
                    connection,
                    in_flight,
                });
            }
            // Boxed, as all that is seldom awaited: it would make every request's future larger.
            match Box::pin(self.open(target)).await {
                Ok(connection) => {
                    return Ok(Ready {
                        connection,
                        in_flight,
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure.into())
    }

    async fn open(&self, target: &Target) -> Result<Box<Connection>, UpstreamFailure> {
        let limit = self.upstream.timeouts.connect;
        let end = (Instant::now() + limit).min(self.deadline);
        let name = || target.endpoint.to_string();
        match tokio::time::timeout_at(end, Connection::open(&target.endpoint)).await {
            Ok(Ok(connection)) => Ok(Box::new(connection)),
            Ok(Err(ConnectError::Dns(source))) => Err(UpstreamFailure::Dns {
                target: name(),
                source,
            }),
            Ok(Err(ConnectError::Connect(source))) => Err(UpstreamFailure::Connect {
                target: name(),
                source,
            }),
            Err(_) => Err(UpstreamFailure::ConnectTimeout {
                target: name(),
                limit,
            }),
        }
    }

    /// The request as it goes to this target.
    fn request(
        &self,
        exchange: &Exchange,
        target: &Target,
        mut body: RequestBody,
    ) -> Result<Request<RequestBody>, Failure> {
        let head = &exchange.request;
        let path = head
            .target
            .join(&target.base_path)
            .map_err(|error| Failure::Internal(format!("request target: {error}")))?;
        let host = match &head.authority {
            Some(authority) => authority,
            None if self.preserve_host => &head.host,
            None => &target.host,
        };
        let mut headers = head.headers.clone();
        headers.insert(HOST, host.clone());
        let gate = hold_for_continue(&mut headers, &mut body);
        // hyper drops a body of unknown length from GET and HEAD unless it is told how to frame it.
        if !body.is_end_stream()
            && body.size_hint().exact().is_none()
            && !headers.contains_key(CONTENT_LENGTH)
        {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = Uri::from(path);
        *request.headers_mut() = headers;
        if let Some(interim) = &self.interim {
            let interim = Arc::clone(interim);
            hyper::ext::on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    // hyper's server sends its own 100 when the body is asked for.
                    if let Some(gate) = &gate {
                        gate.open();
                    }
                } else {
                    interim.push(response.status(), response.headers());
                }
            });
        }
        Ok(request)
    }

    fn received(
        &self,
        response: Response<Incoming>,
        ready: Ready,
    ) -> Result<Response<UpstreamBody>, Failure> {
        if response.status().is_informational() {
            // 101 without having been asked to switch.
            let target = target_of(&ready.in_flight)?.endpoint.to_string();
            return Err(UpstreamFailure::Unexpected {
                target,
                status: response.status(),
            }
            .into());
        }
        if !is_framed_clearly(response.headers()) {
            let target = target_of(&ready.in_flight)?.endpoint.to_string();
            return Err(UpstreamFailure::Framing { target }.into());
        }
        let Ready {
            connection,
            in_flight,
        } = ready;
        let idle = self.upstream.timeouts.idle;
        Ok(response.map(|incoming| {
            UpstreamBody::new(incoming, connection, Rc::clone(self.pool), idle, in_flight)
        }))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reuse {
    Allowed,
    Refused,
}

fn target_of(in_flight: &InFlight) -> Result<&Target, Failure> {
    in_flight
        .target()
        .ok_or_else(|| Failure::Internal("no such target".to_owned()))
}

fn upload_of(body: &RequestBody) -> Option<Rc<Upload>> {
    match body {
        RequestBody::Source(body) => Some(body.upload()),
        RequestBody::Transformed(body) => upload_of(body.inner()),
        RequestBody::Empty | RequestBody::Whole(_) => None,
    }
}

/// Whether a response's body has one end for everybody (RFC 9112, section 6.3). hyper reads a coding
/// with a length as chunked and leaves the length in the head, and a coding that it does not know as a
/// body without any; passed on, both would say what is not so.
fn is_framed_clearly(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            coding
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"chunked")
                && !headers.contains_key(CONTENT_LENGTH)
        }
        (Some(_), Some(_)) => false,
    }
}

/// Where the client waits to be asked for its body, the body waits for the upstream to ask.
fn hold_for_continue(
    headers: &mut HeaderMap,
    body: &mut RequestBody,
) -> Option<Arc<crate::exchange::client_body::Gate>> {
    if !headers.contains_key(EXPECT) {
        return None;
    }
    if let RequestBody::Source(body) = body {
        return Some(body.hold());
    }
    // The body is here already, or a plugin is reading it: nobody has to ask for it.
    headers.remove(EXPECT);
    None
}

/// The response's head must come within `limit` of the request's last byte, and before `end`.
struct Deadline<'a> {
    upload: Option<&'a Upload>,
    limit: Duration,
    end: Instant,
    /// A request without a body has been sent about then: another look at the clock would tell
    /// no more.
    began: Instant,
}

struct Expired;

impl Deadline<'_> {
    fn current(&self) -> Instant {
        let since = self.upload.map_or(self.began, Upload::last_progress);
        (since + self.limit).min(self.end)
    }

    fn start(&self, timer: &mut Timer) {
        timer.start_at(self.current());
    }

    fn poll(&self, timer: &mut Timer, cx: &mut Context<'_>) -> Poll<Expired> {
        while timer.poll(cx).is_ready() {
            match self.upload {
                // Something was sent meanwhile.
                Some(_) if self.current() > Instant::now() => timer.start_at(self.current()),
                _ => return Poll::Ready(Expired),
            }
        }
        Poll::Pending
    }
}

fn failure_of(target: String, source: hyper::Error) -> UpstreamFailure {
    if source.is_parse() || source.is_parse_too_large() {
        UpstreamFailure::Malformed { target, source }
    } else {
        UpstreamFailure::Broken { target, source }
    }
}

/// What a hashing balancer picks by. A request that lacks it is picked for by its client's address.
fn key_of(hash_on: &HashOn, exchange: &Exchange) -> u64 {
    let request = &exchange.request;
    let found = match hash_on {
        HashOn::ClientIp | HashOn::Plugin => None,
        HashOn::Header(name) => request
            .headers
            .get(name)
            .map(|value| hash_key(value.as_bytes())),
        HashOn::Cookie(name) => cookie(request, name).map(hash_key),
        HashOn::Query(name) => query(request, name).map(|value| hash_key(value.as_bytes())),
        HashOn::Path => Some(hash_key(request.target.path().as_bytes())),
    };
    match (&request.balance_key, found) {
        (Some(key), _) => hash_key(key),
        (None, Some(key)) => key,
        (None, None) => match exchange.client.address {
            IpAddr::V4(address) => hash_key(&address.octets()),
            IpAddr::V6(address) => hash_key(&address.octets()),
        },
    }
}

fn cookie<'a>(request: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    request
        .headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

fn query<'a>(request: &'a RequestHead, name: &str) -> Option<&'a str> {
    request
        .target
        .query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
