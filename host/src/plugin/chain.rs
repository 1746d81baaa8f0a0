//! The layers of a route around an exchange: on the way in in the listed order, on the way out in
//! reverse, like the layers of an onion.
//!
//! A plugin that fails is treated by its `on_failure`: `reject` ends the exchange with 500 and nothing is
//! forwarded, `skip` goes on as if the plugin were not listed. A body that is already streaming through a
//! failing plugin can't be taken back; it is broken off.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRAILER};
use http::{HeaderMap, Method, StatusCode};
use http_body::Body;

use super::bindings::sluicegate::plugin::http::{BodyKind, Reply};
use super::failure::{Hook, HookFailure};
use super::instance::{Change, Direction, Instance, Plan, Side, Verdict};
use super::pool::{LayerPool, Lease};
use super::transform::Transform;
use crate::config::{Isolation, OnFailure};
use crate::exchange::body::{BodyError, CollectError, Flow, RequestBody, ResponseBody};
use crate::exchange::failure::ClientFailure;
use crate::exchange::{Exchange, Failure, ResponseHead, edit};

/// The layers of one exchange.
#[derive(Debug)]
pub struct Chain<'a> {
    /// The worker's pools.
    pools: &'a [Rc<LayerPool>],
    /// The route's layers, outermost first: indices into `pools`.
    layers: &'a [usize],
    /// Instances that belong to this exchange alone (`isolation = "request"`), by place in `layers`.
    own: Vec<(usize, Lease)>,
}

/// How the way in ended.
#[derive(Debug)]
pub enum Inbound {
    /// The request goes to the upstream with this body.
    Forward(RequestBody),
    /// A plugin answers. The answer is in the exchange; it passes back out through the first
    /// `passed` layers.
    Reply {
        /// Layers that the request had passed.
        passed: usize,
        /// The answer's body.
        body: ResponseBody,
    },
}

/// What a step of a layer came to.
enum Step<B> {
    Continue(B),
    Reply(Reply),
}

/// Why a step of a layer did not come to anything.
enum StepFailure<B> {
    /// The plugin failed; the body is as it was, unless it is lost.
    Plugin(HookFailure, Option<B>),
    /// Something else failed.
    Other(Failure),
}

impl<'a> Chain<'a> {
    /// The chain of a route on this worker.
    pub fn new(pools: &'a [Rc<LayerPool>], layers: &'a [usize]) -> Self {
        Self {
            pools,
            layers,
            own: Vec::new(),
        }
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    fn pool(&self, place: usize) -> Option<Rc<LayerPool>> {
        self.pools.get(*self.layers.get(place)?).cloned()
    }

    /// An instance for a hook: the exchange's own, or one from the pool.
    async fn lease(&mut self, place: usize, pool: &Rc<LayerPool>) -> Result<Lease, HookFailure> {
        if let Some(position) = self.own.iter().position(|(owner, _)| *owner == place) {
            return Ok(self.own.swap_remove(position).1);
        }
        pool.lease().await
    }

    /// Ends the use of an instance by one hook.
    fn release(&mut self, place: usize, lease: Lease) {
        if lease.layer().isolation == Isolation::Request {
            self.own.push((place, lease));
        }
    }

    async fn run<T>(
        &mut self,
        place: usize,
        pool: &Rc<LayerPool>,
        call: impl FnOnce(&mut Instance) -> Result<T, HookFailure>,
    ) -> Result<T, HookFailure> {
        let mut lease = self.lease(place, pool).await?;
        let result = lease.run(call);
        self.release(place, lease);
        result
    }

    /// The director chain, in order, each plugin's `request-body` right after its `direct`.
    ///
    /// # Errors
    /// A plugin that failed and is not to be skipped, or a client's body that could not be read.
    pub async fn inbound(
        &mut self,
        exchange: &mut Box<Exchange>,
        mut body: RequestBody,
    ) -> Result<Inbound, Failure> {
        for place in 0..self.layers.len() {
            let Some(pool) = self.pool(place) else {
                continue;
            };
            let component = &pool.layer.component;
            if component.has_director() {
                match self
                    .run(place, &pool, |instance| instance.direct(exchange))
                    .await
                {
                    Ok(Direction::Forward) => {}
                    Ok(Direction::Reply(reply)) => match accept_reply(exchange, reply) {
                        Ok(body) => {
                            return Ok(Inbound::Reply {
                                passed: place,
                                body,
                            });
                        }
                        Err(failure) => policy(exchange, &pool, Hook::Direct, &failure)?,
                    },
                    Err(failure) => policy(exchange, &pool, Hook::Direct, &failure)?,
                }
            }
            if component.has_request_body() {
                match self.request_body(place, &pool, exchange, body).await {
                    Ok(Step::Continue(next)) => body = next,
                    Ok(Step::Reply(reply)) => match accept_reply(exchange, reply) {
                        Ok(body) => {
                            return Ok(Inbound::Reply {
                                passed: place,
                                body,
                            });
                        }
                        Err(failure) => {
                            return Err(failed(exchange, &pool, Hook::RequestBody, &failure));
                        }
                    },
                    Err(StepFailure::Plugin(failure, Some(kept))) => {
                        policy(exchange, &pool, Hook::RequestBody, &failure)?;
                        body = kept;
                    }
                    Err(StepFailure::Plugin(failure, None)) => {
                        return Err(failed(exchange, &pool, Hook::RequestBody, &failure));
                    }
                    Err(StepFailure::Other(failure)) => return Err(failure),
                }
            }
        }
        Ok(Inbound::Forward(body))
    }

    async fn request_body(
        &mut self,
        place: usize,
        pool: &Rc<LayerPool>,
        exchange: &mut Box<Exchange>,
        body: RequestBody,
    ) -> Result<Step<RequestBody>, StepFailure<RequestBody>> {
        let kind = body.kind();
        let mut lease = match self.lease(place, pool).await {
            Ok(lease) => lease,
            Err(failure) => return Err(StepFailure::Plugin(failure, Some(body))),
        };
        let plan = match lease.run(|instance| instance.open(exchange, Side::Request, kind)) {
            Ok(plan) => plan,
            Err(failure) => return Err(StepFailure::Plugin(failure, Some(body))),
        };
        let limit = match plan {
            Plan::Pass => {
                self.release(place, lease);
                return Ok(Step::Continue(body));
            }
            Plan::Stream(handle) => {
                let transform = Transform::new(lease, handle, Side::Request);
                if kind == BodyKind::None {
                    return Ok(Step::Continue(body));
                }
                exchange.request.headers.remove(CONTENT_LENGTH);
                return Ok(Step::Continue(body.through(transform)));
            }
            Plan::Collect(limit) => limit,
        };
        // The instance is free for others while the body comes in.
        self.release(place, lease);
        let whole = body.collect_up_to(limit).await.map_err(|error| {
            StepFailure::Other(match error {
                CollectError::TooLong => ClientFailure::BodyTooLarge.into(),
                CollectError::Broken(error) => client_failure(&error).into(),
            })
        })?;
        let call = |instance: &mut Instance| instance.receive(exchange, Side::Request, &whole);
        match self.run(place, pool, call).await {
            Ok(Verdict::Unchanged) => Ok(Step::Continue(replaced(
                &mut exchange.request.headers,
                whole,
            ))),
            Ok(Verdict::Replace(body)) => Ok(Step::Continue(replaced(
                &mut exchange.request.headers,
                body.into(),
            ))),
            Ok(Verdict::Reply(reply)) => Ok(Step::Reply(reply)),
            Err(failure) => {
                let body = replaced(&mut exchange.request.headers, whole);
                Err(StepFailure::Plugin(failure, Some(body)))
            }
        }
    }

    /// The modify-response chain over the first `layers` layers, in reverse, each plugin's
    /// `response-body` right after its `modify`.
    ///
    /// # Errors
    /// A plugin that failed and is not to be skipped. The upstream's body is closed then.
    pub async fn outbound(
        &mut self,
        exchange: &mut Box<Exchange>,
        mut body: ResponseBody,
        layers: usize,
    ) -> Result<ResponseBody, Failure> {
        for place in (0..layers.min(self.layers.len())).rev() {
            let Some(pool) = self.pool(place) else {
                continue;
            };
            let component = &pool.layer.component;
            if component.has_modifier() {
                match self
                    .run(place, &pool, |instance| instance.modify(exchange))
                    .await
                {
                    Ok(Change::Forward) => {}
                    Ok(Change::Reply(reply)) => match accept_reply(exchange, reply) {
                        Ok(own) => body = own,
                        Err(failure) => policy(exchange, &pool, Hook::Modify, &failure)?,
                    },
                    Err(failure) => policy(exchange, &pool, Hook::Modify, &failure)?,
                }
            }
            if component.has_response_body() && !is_event_stream(exchange) {
                match self.response_body(place, &pool, exchange, body).await {
                    Ok(Step::Continue(next)) => body = next,
                    Ok(Step::Reply(reply)) => match accept_reply(exchange, reply) {
                        Ok(own) => body = own,
                        Err(failure) => {
                            return Err(failed(exchange, &pool, Hook::ResponseBody, &failure));
                        }
                    },
                    Err(StepFailure::Plugin(failure, Some(kept))) => {
                        policy(exchange, &pool, Hook::ResponseBody, &failure)?;
                        body = kept;
                    }
                    Err(StepFailure::Plugin(failure, None)) => {
                        return Err(failed(exchange, &pool, Hook::ResponseBody, &failure));
                    }
                    Err(StepFailure::Other(failure)) => return Err(failure),
                }
            }
        }
        Ok(body)
    }

    async fn response_body(
        &mut self,
        place: usize,
        pool: &Rc<LayerPool>,
        exchange: &mut Box<Exchange>,
        body: ResponseBody,
    ) -> Result<Step<ResponseBody>, StepFailure<ResponseBody>> {
        let kind = if has_no_body(exchange) {
            BodyKind::None
        } else {
            body.kind()
        };
        let mut lease = match self.lease(place, pool).await {
            Ok(lease) => lease,
            Err(failure) => return Err(StepFailure::Plugin(failure, Some(body))),
        };
        let plan = match lease.run(|instance| instance.open(exchange, Side::Response, kind)) {
            Ok(plan) => plan,
            Err(failure) => return Err(StepFailure::Plugin(failure, Some(body))),
        };
        let limit = match plan {
            Plan::Pass => {
                self.release(place, lease);
                return Ok(Step::Continue(body));
            }
            Plan::Stream(handle) => {
                let transform = Transform::new(lease, handle, Side::Response);
                forget_length(exchange);
                if has_no_body(exchange) {
                    return Ok(Step::Continue(body));
                }
                return Ok(Step::Continue(body.through(transform)));
            }
            Plan::Collect(limit) => limit,
        };
        self.release(place, lease);
        if has_no_body(exchange) {
            forget_length(exchange);
            return Ok(Step::Continue(body));
        }
        if body.size_hint().lower() > limit {
            let failure = HookFailure::BodyTooLarge(limit);
            return Err(StepFailure::Plugin(failure, Some(body)));
        }
        let whole = match body.collect_up_to(limit).await {
            Ok(whole) => whole,
            Err(CollectError::TooLong) => {
                return Err(StepFailure::Plugin(HookFailure::BodyTooLarge(limit), None));
            }
            Err(CollectError::Broken(error)) => {
                return Err(StepFailure::Other(Failure::BrokenBody(error.to_string())));
            }
        };
        let call = |instance: &mut Instance| instance.receive(exchange, Side::Response, &whole);
        let verdict = self.run(place, pool, call).await;
        let Some(response) = &mut exchange.response else {
            return Err(StepFailure::Other(Failure::Internal(
                "no response".to_owned(),
            )));
        };
        match verdict {
            Ok(Verdict::Unchanged) => Ok(Step::Continue(replaced(&mut response.headers, whole))),
            Ok(Verdict::Replace(body)) => {
                Ok(Step::Continue(replaced(&mut response.headers, body.into())))
            }
            Ok(Verdict::Reply(reply)) => Ok(Step::Reply(reply)),
            Err(failure) => {
                let body = replaced(&mut response.headers, whole);
                Err(StepFailure::Plugin(failure, Some(body)))
            }
        }
    }
}

/// A failed hook: an error where the plugin's policy is to reject, otherwise only a line in the log.
fn policy(
    exchange: &Exchange,
    pool: &LayerPool,
    hook: Hook,
    failure: &HookFailure,
) -> Result<(), Failure> {
    let failed = failed(exchange, pool, hook, failure);
    match pool.layer.on_failure {
        OnFailure::Reject => Err(failed),
        OnFailure::Skip => Ok(()),
    }
}

fn failed(exchange: &Exchange, pool: &LayerPool, hook: Hook, failure: &HookFailure) -> Failure {
    let (plugin, hook) = (&*pool.layer.name, hook.name());
    let request_id = exchange.request_id.to_str().unwrap_or("-");
    tracing::error!(plugin, hook, request_id, "plugin failed: {failure}");
    Failure::Plugin(format!("{plugin}, {hook}: {failure}"))
}

/// Puts a plugin's own answer into the exchange; returns its body.
fn accept_reply(exchange: &mut Exchange, reply: Reply) -> Result<ResponseBody, HookFailure> {
    let status = edit::status(reply.status)
        .map_err(|_| HookFailure::BadAnswer(format!("status {}", reply.status)))?;
    let mut headers = HeaderMap::with_capacity(reply.headers.len());
    for (name, value) in reply.headers {
        let bad = |what: &str| HookFailure::BadAnswer(format!("{what} of field {name:?}"));
        match edit::field_name(&name) {
            // The host frames the answer; what a plugin says about that is ignored.
            Err(edit::EditError::Forbidden(_)) => continue,
            Err(_) => return Err(bad("name")),
            Ok(field) => {
                let value = HeaderValue::try_from(value).map_err(|_| bad("value"))?;
                headers
                    .try_append(field, value)
                    .map_err(|_| bad("number"))?;
            }
        }
    }
    let budget = exchange.snapshot.head_budget;
    if headers.len() > budget.fields {
        return Err(HookFailure::BadAnswer(format!("{} fields", headers.len())));
    }
    exchange.response = Some(ResponseHead::new(status, headers));
    if has_no_body(exchange) {
        return Ok(ResponseBody::Empty);
    }
    let body = Bytes::from(reply.body);
    set_length(
        exchange
            .response
            .as_mut()
            .map(|response| &mut response.headers),
        body.len(),
    );
    Ok(ResponseBody::whole(body))
}

/// Whether this response has no body whatever its head says (RFC 9112, section 6.3).
pub fn has_no_body(exchange: &Exchange) -> bool {
    exchange.request.received_method == Method::HEAD
        || exchange.response.as_ref().is_some_and(|response| {
            matches!(
                response.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            )
        })
}

fn is_event_stream(exchange: &Exchange) -> bool {
    exchange
        .response
        .as_ref()
        .and_then(|response| response.headers.get(CONTENT_TYPE))
        .is_some_and(|value| {
            let media_type = value
                .as_bytes()
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or(&[]);
            media_type
                .trim_ascii()
                .eq_ignore_ascii_case(b"text/event-stream")
        })
}

/// The length of a body that is going to be changed is not known any more, nor can a range of it
/// be asked for.
fn forget_length(exchange: &mut Exchange) {
    if let Some(response) = &mut exchange.response {
        response.headers.remove(CONTENT_LENGTH);
        response.headers.remove(ACCEPT_RANGES);
    }
}

/// A body that is in hand now, with its length in the head.
fn replaced<S>(headers: &mut HeaderMap, body: Bytes) -> Flow<S>
where
    S: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    headers.remove(TRAILER);
    set_length(Some(headers), body.len());
    Flow::whole(body)
}

fn set_length(headers: Option<&mut HeaderMap>, length: usize) {
    let name: HeaderName = CONTENT_LENGTH;
    if let Some(headers) = headers {
        headers.insert(name, HeaderValue::from(length));
    }
}

fn client_failure(error: &BodyError) -> ClientFailure {
    error
        .downcast_ref::<ClientFailure>()
        .copied()
        .unwrap_or(ClientFailure::BodyBroken)
}
