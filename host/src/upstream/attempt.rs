//! Picks a target, connects, sends, and waits for the response's head.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use super::body::UpstreamBody;
use super::connect::ConnectError;
use super::connection::{Broken, Connection, SendError, Unanswered};
use super::deadline::{Deadline, Expired};
use super::health;
use super::http2::shared::Shared;
use super::http2::stream::Stream;
use super::key;
use super::limits::{Limits, Place};
use super::link::{Head, Link};
use super::pool::Pool;
use super::target::{InFlight, Target, Upstream};
use super::view::{LastResort, View};
use crate::balance::{Candidates, Outcome};
use crate::config::UpstreamProtocol;
use crate::exchange::Exchange;
use crate::exchange::body::RequestBody;
use crate::exchange::client_body::Upload;
use crate::exchange::failure::{ClientFailure, Failure, UpstreamFailure};
use crate::http1::response::HeadError;
use crate::plugin::failure::BrokeBody;
use crate::server::downstream::Downstream;
use crate::websocket::upgrade;

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
    /// Until when a head must have come, by the route's `timeout`, or by the client's own.
    pub deadline: Instant,
    /// Whether it is the client that wants nothing any more then: no target has failed by that.
    pub is_clients_deadline: bool,
    /// Takes interim responses to the client; `None` for a client of HTTP/1.0.
    pub interim: Option<&'a Downstream>,
}

/// What is sent, once or several times. Attempts borrow it: what they take by value would make every
/// request's future larger.
struct Message<'a> {
    exchange: &'a Exchange,
    /// Of the next attempt.
    body: RequestBody,
    /// The body once more, where it may be sent twice.
    replay: Option<Bytes>,
    /// The body on its way, where it comes from the client.
    upload: Option<Rc<Upload>>,
}

/// An attempt that came to nothing.
#[derive(Debug)]
struct Failed {
    failure: Failure,
    /// The request's body, where none of the request was sent: it can go to another target.
    unsent: Option<RequestBody>,
}

/// A request's body for one more attempt.
struct Again {
    body: RequestBody,
    /// Whether a target may have begun to work on it.
    was_sent: bool,
}

impl Message<'_> {
    fn take_body(&mut self) -> RequestBody {
        std::mem::replace(&mut self.body, RequestBody::Empty)
    }
}

impl From<Failure> for Box<Failed> {
    fn from(failure: Failure) -> Self {
        Box::new(Failed {
            failure,
            unsent: None,
        })
    }
}

impl From<UpstreamFailure> for Box<Failed> {
    fn from(failure: UpstreamFailure) -> Self {
        Failure::from(failure).into()
    }
}

type Attempted = Result<Response<UpstreamBody>, Box<Failed>>;

impl Sending<'_> {
    /// Sends the request and returns what comes back.
    ///
    /// # Errors
    /// No connection, no response, or a client's body that broke off.
    pub async fn send(
        &self,
        exchange: &Exchange,
        body: RequestBody,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let mut message = Message {
            exchange,
            replay: replay_of(exchange, &body),
            upload: upload_of(&body),
            body,
        };
        let mut began = self.began;
        let mut place = None;
        if let Some(limits) = &self.upstream.limits {
            place = limits.enter();
            if place.is_none() {
                place = Some(Box::pin(self.wait(limits)).await?);
                began = Instant::now();
            }
        }
        let key = key::of(&self.upstream.hash_on, exchange);
        let view = View::new(self.upstream);
        let mut candidates = Candidates::new(&*self.upstream.balancer, &view, key);
        let mut next = candidates.next();
        let last_resort = LastResort(self.upstream);
        if next.is_none() {
            // One that warms up is better than one that has failed.
            view.take_any();
            candidates = Candidates::new(&*self.upstream.balancer, &view, key);
            next = candidates.next();
        }
        if next.is_none() {
            candidates = Candidates::new(&*self.upstream.balancer, &last_resort, key);
            next = candidates.next();
        }
        let retries = &self.upstream.retries;
        retries.count_request();
        let mut left = retries.attempts;
        let mut result = loop {
            let Some(index) = next else {
                let upstream = self.upstream.name.to_string();
                break Err(UpstreamFailure::NoTarget { upstream }.into());
            };
            let picked = self.upstream.is_timed.then(Instant::now);
            let mut attempted = self.attempt(&mut message, index, began).await;
            let is_first = left == retries.attempts;
            let upload = message.upload.as_deref();
            self.report(index, picked, &attempted, upload, is_first);
            let again = if left > 0 {
                self.again(&mut attempted, message.replay.as_ref())
            } else {
                None
            };
            let Some(again) = again else {
                break attempted.map_err(|failed| failed.failure);
            };
            // Always to another target: one that asked for a pause (Retry-After) gets it.
            view.take_any();
            next = candidates.next();
            began = Instant::now();
            if next.is_none()
                || began >= self.deadline
                || (again.was_sent && !retries.take(health::now()))
            {
                break attempted.map_err(|failed| failed.failure);
            }
            match attempted {
                Ok(response) => response.into_body().discard(),
                Err(failed) => tracing::debug!("another target is tried: {}", failed.failure),
            }
            left -= 1;
            message.body = again.body;
        };
        if let (Ok(response), Some(place)) = (&mut result, place) {
            response.body_mut().keep(place);
        }
        result
    }

    /// Waits for another exchange to end.
    async fn wait(&self, limits: &Limits) -> Result<Place, Failure> {
        // Waiting for a connection is a part of connecting.
        let until = (Instant::now() + self.upstream.timeouts.connect).min(self.deadline);
        let place = limits.wait(until).await;
        place.ok_or(Failure::Limit("too many requests"))
    }

    /// What can be sent to another target after this attempt, if anything.
    fn again(&self, attempted: &mut Attempted, replay: Option<&Bytes>) -> Option<Again> {
        let retries = &self.upstream.retries;
        let status = match attempted {
            Ok(response) => response.status(),
            Err(failed) => {
                if let Some(body) = failed.unsent.take() {
                    let was_sent = false;
                    return retries
                        .on_connect_failure
                        .then_some(Again { body, was_sent });
                }
                if !matches!(failed.failure, Failure::Upstream(_)) {
                    return None;
                }
                // What the gateway would answer itself.
                failed.failure.status()
            }
        };
        if !retries.are_for(status) {
            return None;
        }
        let body = RequestBody::whole(replay?.clone());
        let was_sent = true;
        Some(Again { body, was_sent })
    }

    /// Tells the upstream how an attempt went. What the client or a plugin did is no outcome.
    fn report(
        &self,
        index: usize,
        picked: Option<Instant>,
        attempted: &Attempted,
        upload: Option<&Upload>,
        is_first: bool,
    ) {
        let failed = match attempted {
            Ok(response) => says_failure(response.status()),
            Err(failed) => match &failed.failure {
                // Who waits for the client's next piece is not late.
                Failure::Upstream(
                    UpstreamFailure::ResponseTimeout { .. } | UpstreamFailure::RouteTimeout { .. },
                ) if upload.is_some_and(|upload| !upload.is_finished()) => return,
                // The time may have been up for what happened before.
                Failure::Upstream(UpstreamFailure::RouteTimeout { .. }) if !is_first => return,
                Failure::Upstream(_) => true,
                _ => return,
            },
        };
        let latency = picked.map_or(Duration::ZERO, |picked| picked.elapsed());
        self.upstream.report(index, Outcome { latency, failed });
    }

    /// Sends the request to this target, over a kept connection where there is one.
    async fn attempt(
        &self,
        message: &mut Message<'_>,
        index: usize,
        mut began: Instant,
    ) -> Attempted {
        let in_flight = InFlight::new(Arc::clone(self.upstream), index);
        let target = self.upstream.targets.get(index);
        let target = target.ok_or_else(|| Failure::Internal("no such target".to_owned()))?;
        let is_upgrade = message.exchange.request.upgrade.is_some();
        let mut kept = self.kept(target, is_upgrade, message.replay.is_some());
        let mut may_repeat = true;
        loop {
            let mut link = match kept.take() {
                Some(link) => link,
                // Boxed, as all that is seldom awaited: it would make every request's future larger.
                None => match Box::pin(self.open(target, is_upgrade)).await {
                    Ok(link) => {
                        // Connecting has a limit of its own.
                        began = Instant::now();
                        link
                    }
                    Err(failure) => {
                        let unsent = Some(message.take_body());
                        return Err(Box::new(Failed { failure, unsent }));
                    }
                },
            };
            let reused = link.is_reused() && may_repeat;
            let body = message.take_body();
            let gate = self.begin(&mut link, message.exchange, target, body)?;
            let upload = message.upload.as_deref();
            let limit = self.upstream.timeouts.response;
            let deadline = Deadline {
                upload,
                limit,
                end: self.deadline,
                began,
            };
            deadline.start(link.timer());
            let on_interim = |status, headers: &http::HeaderMap| {
                if status == StatusCode::CONTINUE {
                    // The client is asked when its body is.
                    if let Some(gate) = &gate {
                        gate.open();
                    }
                } else if let Some(client) = self.interim {
                    client.push_interim(status, headers);
                }
            };
            let sent = link
                .send(on_interim, |timer, cx| deadline.poll(timer, cx))
                .await;
            let Unanswered { error, unsent } = match sent {
                Ok(Ok(response)) => {
                    let asked = message.exchange.request.upgrade.as_ref();
                    return self.received(response, asked, target, link, in_flight);
                }
                Err(Expired) => {
                    let target = target.way.described();
                    let timeout = if Instant::now() >= self.deadline {
                        self.out_of_time(target)
                    } else {
                        UpstreamFailure::ResponseTimeout { target, limit }.into()
                    };
                    if matches!(timeout, Failure::Upstream(_)) {
                        link.is_late();
                    }
                    return Err(timeout.into());
                }
                Ok(Err(unanswered)) => unanswered,
            };
            if let Some(failure) = upload.and_then(Upload::failure) {
                return Err(Failure::from(failure).into());
            }
            if let SendError::Body(error) = &error
                && let Some(failure) = BrokeBody::cause(&**error)
            {
                return Err(failure.into());
            }
            // The target may close a kept connection just when it is used again. That is nobody's
            // failure: where the request can be sent once more it is, once, on another connection; or over the same one, where
            // the target has not worked on it.
            may_repeat = false;
            message.body = match (unsent, &message.replay) {
                (Some(unsent), _) if reused => unsent,
                (None, Some(replay)) if reused && error.is_of_connection() => {
                    RequestBody::whole(replay.clone())
                }
                (unsent, _) => {
                    let failure = refused_by_proxy(target, &link, &error)
                        .unwrap_or_else(|| failure_of(target.way.described(), error));
                    return Err(Box::new(Failed { failure, unsent }));
                }
            };
        }
    }

    /// A connection that is there already. `is_repeatable`: whether the request can be sent again when that closes.
    fn kept(&self, target: &Target, is_upgrade: bool, is_repeatable: bool) -> Option<Link> {
        if target.protocol != UpstreamProtocol::Http1
            && !is_upgrade
            && let Some(shared) = self.pool.shared(target.slot)
            && let Some(place) = shared.take_place(&target.way)
        {
            return Some(Link::Http2(Box::new(Stream::new(place))));
        }
        if target.protocol == UpstreamProtocol::Http2 && !is_upgrade {
            return None;
        }
        let is_passed_on = target.way.absolute().is_some();
        let connection = match () {
            // A forward proxy does not pass it on; what is kept may have one at its end.
            () if is_passed_on && is_upgrade => None,
            () if is_passed_on && !is_repeatable => self.pool.take_proven(target.slot, &target.way),
            () => self.pool.take(target.slot, &target.way),
        };
        connection.map(Link::Http1)
    }

    async fn open(&self, target: &Target, is_upgrade: bool) -> Result<Link, Failure> {
        let limit = self.upstream.timeouts.connect;
        let end = (Instant::now() + limit).min(self.deadline);
        match tokio::time::timeout_at(end, self.connect(target, is_upgrade)).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(not_connected(target.way.to_string(), error).into()),
            Err(_) if end == self.deadline => Err(self.out_of_time(target.way.described())),
            Err(_) => Err(match target.way.awaited_name() {
                Some(error) => not_connected(target.way.to_string(), error),
                None => UpstreamFailure::ConnectTimeout {
                    target: target.way.described(),
                    limit,
                },
            }
            .into()),
        }
    }

    /// Makes a connection, or waits for one that somebody else makes and that can be shared. What asks for an upgrade
    /// goes over HTTP/1.1: there it has a connection to itself.
    async fn connect(&self, target: &Target, is_upgrade: bool) -> Result<Link, ConnectError> {
        if let Some(absolute) = target.way.absolute()
            && !is_upgrade
        {
            let mut connection = Box::new(Connection::over(absolute.open().await?));
            connection.is_to_proxy = true;
            return Ok(Link::Http1(connection));
        }
        let http1 = |stream| Ok(Link::Http1(Box::new(Connection::over(stream))));
        let shared = self.pool.shared(target.slot);
        let (false, Some(shared)) = (
            is_upgrade || target.protocol == UpstreamProtocol::Http1,
            shared,
        ) else {
            return http1(target.way.open_http1().await?);
        };
        let mut opening = None;
        if !shared.is_http1() {
            opening = Some(shared.lock().await);
            if shared.is_http1() {
                // Found out meanwhile.
                opening = None;
            }
            if let Some(place) = shared.take_place(&target.way) {
                return Ok(Link::Http2(Box::new(Stream::new(place))));
            }
        }
        let stream = target.way.open().await?;
        match (target.way.agreed(&stream), target.protocol) {
            // Without a choice, by prior knowledge (RFC 9113, section 3.3).
            (Some(b"h2"), _) | (None, UpstreamProtocol::Http2) => {}
            (Some(_), UpstreamProtocol::Http2) => return Err(ConnectError::NotHttp2),
            (_, UpstreamProtocol::Auto | UpstreamProtocol::Http1) => {
                shared.chose_http1(true);
                return http1(stream);
            }
        }
        shared.chose_http1(false);
        let connection = Shared::begin(stream).await.map_err(ConnectError::Http2)?;
        let place = shared.add(connection, self.upstream.timeouts.idle);
        drop(opening);
        let place = place.ok_or(ConnectError::NotHttp2)?;
        Ok(Link::Http2(Box::new(Stream::new(place))))
    }

    /// What it means that there is no head at [`Self::deadline`].
    fn out_of_time(&self, target: String) -> Failure {
        if self.is_clients_deadline {
            return ClientFailure::Deadline.into();
        }
        let limit = self.deadline - self.began;
        UpstreamFailure::RouteTimeout { target, limit }.into()
    }

    fn received(
        &self,
        response: Head,
        asked: Option<&HeaderValue>,
        target: &Target,
        link: Link,
        in_flight: InFlight,
    ) -> Attempted {
        if response.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
            && let Link::Http1(connection) = &link
            && connection.is_to_proxy
            && let Some(absolute) = target.way.absolute()
        {
            // It is said to the gateway; no client could answer it.
            let (target, source) = (target.way.to_string(), absolute.unauthorized());
            return Err(UpstreamFailure::Proxy { target, source }.into());
        }
        let pool = Rc::clone(self.pool);
        let timeouts = &self.upstream.timeouts;
        let body = if response.status != StatusCode::SWITCHING_PROTOCOLS {
            UpstreamBody::new(link, pool, timeouts.idle, in_flight)
        } else if asked.is_some_and(|asked| upgrade::is_answered_by(asked, &response.headers))
            && let Link::Http1(connection) = link
        {
            UpstreamBody::switched(connection, pool, timeouts.tunnel, in_flight)
        } else {
            // Without having been asked for it, or to something else.
            let (target, status) = (target.way.to_string(), response.status);
            return Err(UpstreamFailure::Unexpected { target, status }.into());
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = response.status;
        *answer.headers_mut() = response.headers;
        Ok(answer)
    }
}

/// The body of a request that may be sent twice (RFC 9110, section 9.2.2), if all of it is here.
fn replay_of(exchange: &Exchange, body: &RequestBody) -> Option<Bytes> {
    if !exchange.request.method.is_idempotent() {
        return None;
    }
    match body {
        RequestBody::Empty | RequestBody::Whole(None) => Some(Bytes::new()),
        RequestBody::Whole(Some(bytes)) => Some(bytes.clone()),
        RequestBody::Source(_) | RequestBody::Transformed(_) => None,
    }
}

/// Whether a target says itself that it could not do its work.
fn says_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

fn upload_of(body: &RequestBody) -> Option<Rc<Upload>> {
    match body {
        RequestBody::Source(body) => Some(body.upload()),
        RequestBody::Transformed(body) => upload_of(body.inner()),
        RequestBody::Empty | RequestBody::Whole(_) => None,
    }
}

/// Why there is no connection, as what it is to an exchange.
fn not_connected(target: String, error: ConnectError) -> UpstreamFailure {
    match error {
        ConnectError::Dns(source) => UpstreamFailure::Dns { target, source },
        ConnectError::Connect(source) => UpstreamFailure::Connect { target, source },
        ConnectError::Tls(source) => UpstreamFailure::Tls { target, source },
        ConnectError::Proxy(source) => UpstreamFailure::Proxy { target, source },
        ConnectError::NotHttp2 => UpstreamFailure::NotHttp2 { target },
        ConnectError::Http2(source) => UpstreamFailure::Broken {
            target,
            source: Broken::Http2(source),
        },
    }
}

/// A certificate of the gateway's own that a forward proxy does not take: in TLS 1.3 it says so after the first request.
fn refused_by_proxy(target: &Target, link: &Link, error: &SendError) -> Option<Failure> {
    let (Link::Http1(connection), SendError::Broken(Broken::Io(error))) = (link, error) else {
        return None;
    };
    let absolute = target.way.absolute().filter(|_| connection.is_to_proxy)?;
    let source = absolute.broken_by_tls(error)?;
    let target = target.way.to_string();
    Some(UpstreamFailure::Proxy { target, source }.into())
}

fn failure_of(target: String, error: SendError) -> Failure {
    let failure = match error {
        SendError::Broken(source) => UpstreamFailure::Broken { target, source },
        SendError::Head(HeadError::Framing) => UpstreamFailure::Framing { target },
        SendError::Head(source) => UpstreamFailure::Malformed { target, source },
        SendError::Body(error) => return Failure::Internal(format!("the request's body: {error}")),
    };
    failure.into()
}
