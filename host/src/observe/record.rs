//! The last phase of an exchange: its response's body is followed to its end, then the exchange is recorded.

use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::access_log::{AccessLog, Entry};
use super::failure_log;
use super::metrics::{Finished, RouteMetrics};
use crate::exchange::Failure;
use crate::exchange::body::{BodyError, ResponseBody};
use crate::http1::request::Request;
use crate::server::connection::Context;
use crate::server::worker::Generation;
use crate::timer::Timer;

/// What is collected while an exchange goes on. Recorded when it is dropped, however it ends.
#[derive(Debug)]
pub struct Record {
    /// The status that was sent.
    status: u16,
    /// Bytes of the response's body.
    bytes: u64,
    aborted: bool,
    /// Where somebody is told how long the exchange took.
    began: Option<Instant>,
    entry: Option<Box<(AccessLog, Entry)>>,
    counted: Option<Counted>,
    request_id: HeaderValue,
    /// The route's `exchange_timeout`, from when it matched.
    limit: Option<Box<(Timer, Duration)>>,
    /// In the route's `concurrency`.
    place: Option<OwnedSemaphorePermit>,
}

/// Breaks a response off that has not ended within this time.
#[derive(Debug, thiserror::Error)]
#[error("the exchange took longer than {0:?}")]
pub struct Overdue(pub Duration);

/// Where the exchange is counted.
#[derive(Debug)]
struct Counted {
    generation: Rc<Generation>,
    /// `None` where none matched.
    route: Option<usize>,
    worker: usize,
}

impl Record {
    /// Begins with the request's head, and the protocol that it came in.
    pub fn begin(
        context: &Context,
        generation: &Rc<Generation>,
        request: &Request,
        client: IpAddr,
        request_id: &HeaderValue,
        protocol: &'static str,
    ) -> Self {
        let entry = context.worker.access_log.as_ref().map(|log| {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let entry = Entry {
                ended: SystemTime::UNIX_EPOCH,
                request_id: text(request_id),
                client,
                client_subject: context.client_subject.clone(),
                method: request.method.to_string(),
                host: request
                    .headers
                    .get(http::header::HOST)
                    .map(text)
                    .unwrap_or_default(),
                target: request.target.to_string(),
                protocol,
                route: String::new(),
                status: 0,
                bytes: 0,
                duration: Duration::ZERO,
                error: "",
                aborted: true,
            };
            Box::new((log.clone(), entry))
        });
        let counted = generation.snapshot.metrics.is_some().then(|| Counted {
            generation: Rc::clone(generation),
            route: None,
            worker: context.worker.number,
        });
        Self {
            // What nginx logs where the client went before the head was sent.
            status: 499,
            bytes: 0,
            aborted: true,
            began: (entry.is_some() || counted.is_some()).then(Instant::now),
            entry,
            counted,
            request_id: request_id.clone(),
            limit: None,
            place: None,
        }
    }

    /// Keeps the exchange's place among those of its route until the exchange ends.
    pub fn keep(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }

    /// Breaks the response off where it has not ended within this time.
    pub fn limit(&mut self, limit: Duration) {
        self.limit = Some(Box::new((Timer::started(limit), limit)));
    }

    /// The route is known: its index in the snapshot, and its name.
    pub fn matched(&mut self, index: usize, route: &Arc<str>) {
        if let Some(counted) = &mut self.counted {
            counted.route = Some(index);
        }
        if let Some(record) = &mut self.entry {
            record.1.route.push_str(route);
        }
    }

    /// The gateway answers itself.
    pub fn failed(&mut self, failure: &Failure) {
        // The answer says why, also where that is that the time is up.
        self.limit = None;
        self.erred(failure.error_type());
    }

    fn erred(&mut self, error_type: &'static str) {
        if let Some(record) = &mut self.entry {
            record.1.error = error_type;
        }
        if let Some(counted) = &self.counted
            && let Some(metrics) = &counted.generation.snapshot.metrics
        {
            metrics.failed(error_type);
        }
    }

    /// Follows the response's body.
    pub fn attach(mut self, response: Response<ResponseBody>) -> Response<Recorded> {
        self.status = response.status().as_u16();
        response.map(|body| {
            let mut recorded = Recorded { body, record: self };
            if recorded.body.is_end_stream() {
                recorded.record.completed();
            }
            recorded
        })
    }

    fn passed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    fn completed(&mut self) {
        self.aborted = false;
    }

    fn broke(&mut self, error: &BodyError) {
        failure_log::broke_off(&self.request_id, error);
        self.erred(Failure::of_response_body(error).error_type());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Some(began) = self.began else { return };
        let duration = began.elapsed();
        if let Some(counted) = &self.counted
            && let Some(metrics) = counted.route_metrics()
        {
            metrics.finished(&Finished {
                worker: counted.worker,
                status: self.status,
                aborted: self.aborted,
                bytes: self.bytes,
                duration,
            });
        }
        if let Some(record) = self.entry.take() {
            let (log, entry) = *record;
            log.record(Entry {
                ended: SystemTime::now(),
                status: self.status,
                bytes: self.bytes,
                duration,
                aborted: self.aborted,
                ..entry
            });
        }
    }
}

impl Counted {
    fn route_metrics(&self) -> Option<&RouteMetrics> {
        let route = self.generation.snapshot.routes.get(self.route?)?;
        route.metrics.as_deref()
    }
}

/// A response's body with the record of its exchange.
#[derive(Debug)]
pub struct Recorded {
    body: ResponseBody,
    record: Record,
}

impl Recorded {
    /// Ready when the exchange has taken longer than it may.
    pub fn poll_overdue(&mut self, cx: &mut TaskContext<'_>) -> Poll<BodyError> {
        let Some(limit) = &mut self.record.limit else {
            return Poll::Pending;
        };
        let (timer, limit) = &mut **limit;
        ready!(timer.poll(cx));
        let error = BodyError::from(Overdue(*limit));
        self.record.broke(&error);
        Poll::Ready(error)
    }

    /// Sends more of the request, while the client takes no more of the response.
    pub fn drive_upload(&mut self, cx: &mut TaskContext<'_>) {
        self.body.drive_upload(cx);
    }

    /// What followed a 101 has ended: bytes that went to the client, and whether both ends ended it in order.
    pub fn tunnelled(&mut self, bytes: u64, in_order: bool) {
        self.record.bytes += bytes;
        self.record.aborted = !in_order;
    }
}

impl Body for Recorded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(error) = this.poll_overdue(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.record.passed(frame.data_ref().map_or(0, Bytes::len));
                // Nothing is asked for behind trailers.
                if this.body.is_end_stream() || frame.is_trailers() {
                    this.record.completed();
                }
            }
            Poll::Ready(Some(Err(error))) => this.record.broke(error),
            Poll::Ready(None) => this.record.completed(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
