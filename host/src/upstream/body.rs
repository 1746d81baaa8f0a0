//! A response's body as it comes from the upstream. It drives the connection that it comes over, and
//! gives it back to the pool when the response has ended.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::connection::Connection;
use super::limits::Place;
use super::link::Link;
use super::pool::Pool;
use super::target::InFlight;
use crate::exchange::body::BodyError;
use crate::observe::metrics::Metrics;
use crate::websocket::tunnel::{End, Opening};

/// Pieces of a discarded body that are read for the sake of its connection.
const MOST_DISCARDED: usize = 4;

/// Breaks a body off whose next piece did not come within this time.
#[derive(Debug, thiserror::Error)]
#[error("nothing came for {0:?}")]
pub struct Silence(pub Duration);

/// See the module's documentation.
#[derive(Debug)]
pub struct UpstreamBody {
    /// `None` once it has been given back or has broken.
    link: Option<Link>,
    pool: Rc<Pool>,
    idle: Duration,
    in_flight: Option<InFlight>,
    /// The connection is not HTTP any more.
    is_switched: bool,
}

impl UpstreamBody {
    /// The body of a response that came over `link`. Between two pieces of it at most
    /// `idle` may pass.
    pub fn new(link: Link, pool: Rc<Pool>, idle: Duration, in_flight: InFlight) -> Self {
        let mut body = Self {
            link: Some(link),
            pool,
            idle,
            in_flight: Some(in_flight),
            is_switched: false,
        };
        // It ran for the head.
        if let Some(link) = &mut body.link {
            link.timer().stop();
        }
        if body.is_end_stream() {
            body.finish();
        }
        body
    }

    /// No body at all: a 101, behind which the connection is something else than HTTP. `idle` is for that.
    pub fn switched(
        connection: Box<Connection>,
        pool: Rc<Pool>,
        idle: Duration,
        in_flight: InFlight,
    ) -> Self {
        Self {
            link: Some(Link::Http1(connection)),
            pool,
            idle,
            in_flight: Some(in_flight),
            is_switched: true,
        }
    }

    /// The target's end of the tunnel that a 101 makes of its connection. `None` where there was no 101.
    pub fn into_opening(self, metrics: Option<Arc<Metrics>>) -> Option<Opening> {
        if !self.is_switched {
            return None;
        }
        let Some(Link::Http1(connection)) = self.link else {
            return None;
        };
        let (stream, read_ahead) = connection.into_parts();
        Some(Opening {
            target: End { stream, read_ahead },
            in_flight: self.in_flight,
            idle: self.idle,
            metrics,
        })
    }

    /// Sends more of the request, while nobody asks for more of the response.
    pub fn drive_upload(&mut self, cx: &mut Context<'_>) {
        if let Some(link) = &mut self.link
            && !self.is_switched
        {
            link.drive_upload(cx);
        }
    }

    /// Lets go of a response that nobody will get. What has come already is read, so that the connection
    /// of a short one can be used again; any other one's is closed.
    pub fn discard(mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..MOST_DISCARDED {
            match Pin::new(&mut self).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(_))) => {}
                _ => return,
            }
        }
    }

    /// Keeps the exchange's place in the upstream's limits until the body has ended.
    pub fn keep(&mut self, place: Place) {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.keep(place);
        }
    }

    fn finish(&mut self) {
        let in_flight = self.in_flight.take();
        if let Some(Link::Http1(connection)) = self.link.take()
            && let Some(target) = in_flight.as_ref().and_then(InFlight::target)
        {
            self.pool.give_back(target.slot, connection, self.idle);
        }
    }

    fn fail(&mut self) {
        self.link = None;
        self.in_flight = None;
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(link) = &mut this.link else {
            return Poll::Ready(None);
        };
        if this.is_switched {
            return Poll::Ready(None);
        }
        match link.poll_body(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                link.timer().stop();
                // Nothing is asked for behind trailers.
                if link.is_body_done() || frame.is_trailers() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.fail();
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let timer = link.timer();
                if !timer.is_running() {
                    timer.start(this.idle);
                }
                if timer.poll(cx).is_pending() {
                    return Poll::Pending;
                }
                let limit = this.idle;
                this.fail();
                Poll::Ready(Some(Err(Silence(limit).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.link {
            Some(link) => link.is_body_done(),
            None => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let left = match &self.link {
            Some(link) => link.remaining_body(),
            None => Some(0),
        };
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
