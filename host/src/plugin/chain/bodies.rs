//! The hooks of bodies: what a plugin is shown of a body, and what becomes of it.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Body;

use super::{Chain, Step, StepFailure};
use crate::exchange::body::{BodyError, CollectError, Flow, RequestBody, ResponseBody};
use crate::exchange::failure::ClientFailure;
use crate::exchange::{Exchange, Failure, representation};
use crate::plugin::bindings::sluicegate::plugin::http::BodyKind;
use crate::plugin::failure::{BrokeBody, HookFailure};
use crate::plugin::instance::{Instance, Plan, Side, Verdict};
use crate::plugin::interest::{Interest, Shown};
use crate::plugin::pool::{LayerPool, Lease};
use crate::plugin::reply::has_no_body;
use crate::plugin::transform::Transform;

impl Chain<'_> {
    /// Asks a plugin what it wants of a body. A plan to stream belongs to the instance that made it.
    async fn open(
        &mut self,
        place: usize,
        pool: &Rc<LayerPool>,
        exchange: &mut Box<Exchange>,
        side: Side,
        kind: BodyKind,
    ) -> Result<(Plan, Lease), HookFailure> {
        let mut lease = self.lease(place, pool).await?;
        let plan = lease.run(|instance| instance.open(exchange, side, kind))?;
        Ok((plan, lease))
    }

    pub(super) async fn request_body(
        &mut self,
        place: usize,
        pool: &Rc<LayerPool>,
        exchange: &mut Box<Exchange>,
        body: RequestBody,
    ) -> Result<Step<RequestBody>, StepFailure<RequestBody>> {
        let kind = body.kind();
        let headers = &exchange.request.headers;
        let (plan, lease) = match shown(
            pool.layer.interests.request.as_ref(),
            kind,
            headers,
            &body,
            false,
        ) {
            Shown::Never => return Ok(Step::Continue(body)),
            Shown::Whole(limit) => (Plan::Collect(limit), None),
            Shown::Ask => match self.open(place, pool, exchange, Side::Request, kind).await {
                Ok((plan, lease)) => (plan, Some(lease)),
                Err(failure) => return Err(StepFailure::Plugin(failure, Some(body))),
            },
        };
        let limit = match (plan, lease) {
            (Plan::Pass, lease) => {
                self.release(place, lease);
                return Ok(Step::Continue(body));
            }
            (Plan::Stream(handle), Some(lease)) => {
                let transform = Transform::new(lease, handle, Side::Request, exchange);
                if kind == BodyKind::None {
                    return Ok(Step::Continue(body));
                }
                representation::streamed(&mut exchange.request.headers);
                return Ok(Step::Continue(body.through(transform)));
            }
            // No plan to stream comes without the instance that made it.
            (Plan::Stream(_), None) => return Ok(Step::Continue(body)),
            (Plan::Collect(limit), lease) => {
                // The instance is free for others while the body comes in.
                self.release(place, lease);
                limit
            }
        };
        let whole = body.collect_up_to(limit).await.map_err(|error| {
            StepFailure::Other(match error {
                CollectError::TooLong => ClientFailure::BodyTooLarge.into(),
                CollectError::Broken(error) => {
                    BrokeBody::cause(&*error).unwrap_or_else(|| client_failure(&error).into())
                }
            })
        })?;
        let call = |instance: &mut Instance| instance.receive(exchange, Side::Request, &whole);
        match self.run(place, pool, call).await {
            // No `content-length: 0` for a GET that came without a body.
            Ok(Verdict::Unchanged) if kind == BodyKind::None => {
                Ok(Step::Continue(RequestBody::Empty))
            }
            Ok(Verdict::Unchanged) => {
                representation::collected(&mut exchange.request.headers, whole.len());
                Ok(Step::Continue(Flow::whole(whole)))
            }
            Ok(Verdict::Replace(body)) => {
                representation::replaced(&mut exchange.request.headers, body.len());
                Ok(Step::Continue(Flow::whole(body)))
            }
            Ok(Verdict::Reply(reply)) => Ok(Step::Reply(reply)),
            Err(failure) => {
                representation::collected(&mut exchange.request.headers, whole.len());
                Err(StepFailure::Plugin(failure, Some(Flow::whole(whole))))
            }
        }
    }

    pub(super) async fn response_body(
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
        let head = exchange.response.as_ref();
        let is_partial = head.is_some_and(|head| head.status == StatusCode::PARTIAL_CONTENT);
        let no_headers = HeaderMap::new();
        let headers = head.map_or(&no_headers, |head| &head.headers);
        let interest = pool.layer.interests.response.as_ref();
        let (plan, lease) = match shown(interest, kind, headers, &body, is_partial) {
            Shown::Never => return Ok(Step::Continue(body)),
            Shown::Whole(limit) => (Plan::Collect(limit), None),
            Shown::Ask => match self.open(place, pool, exchange, Side::Response, kind).await {
                Ok((plan, lease)) => (plan, Some(lease)),
                Err(failure) => return Err(StepFailure::Plugin(failure, Some(body))),
            },
        };
        let limit = match (plan, lease) {
            (Plan::Pass, lease) => {
                self.release(place, lease);
                return Ok(Step::Continue(body));
            }
            (Plan::Stream(_), None) => return Ok(Step::Continue(body)),
            (Plan::Stream(handle), Some(lease)) => {
                let transform = Transform::new(lease, handle, Side::Response, exchange);
                if let Some(response) = &mut exchange.response {
                    representation::streamed(&mut response.headers);
                }
                if has_no_body(exchange) {
                    return Ok(Step::Continue(body));
                }
                return Ok(Step::Continue(body.through(transform)));
            }
            (Plan::Collect(limit), lease) => {
                self.release(place, lease);
                limit
            }
        };
        if has_no_body(exchange) {
            if let Some(response) = &mut exchange.response {
                representation::streamed(&mut response.headers);
            }
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
                return Err(StepFailure::Other(Failure::of_response_body(&error)));
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
            Ok(Verdict::Unchanged) => {
                representation::collected(&mut response.headers, whole.len());
                Ok(Step::Continue(Flow::whole(whole)))
            }
            Ok(Verdict::Replace(body)) => {
                representation::replaced(&mut response.headers, body.len());
                Ok(Step::Continue(Flow::whole(body)))
            }
            Ok(Verdict::Reply(reply)) => Ok(Step::Reply(reply)),
            Err(failure) => {
                representation::collected(&mut response.headers, whole.len());
                Err(StepFailure::Plugin(failure, Some(Flow::whole(whole))))
            }
        }
    }
}

/// Whether a body is shown to a plugin, by what it said while it was configured.
fn shown<S>(
    interest: Option<&Interest>,
    kind: BodyKind,
    headers: &HeaderMap,
    body: &Flow<S>,
    is_partial: bool,
) -> Shown
where
    S: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    match interest {
        Some(interest) if kind != BodyKind::None => {
            interest.decide(headers, body.size_hint().exact(), is_partial)
        }
        _ => Shown::Ask,
    }
}

fn client_failure(error: &BodyError) -> ClientFailure {
    error
        .downcast_ref::<ClientFailure>()
        .copied()
        .unwrap_or(ClientFailure::BodyBroken)
}
