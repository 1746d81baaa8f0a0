//! The client's body on its way to the upstream: limited, observed, and held back until the
//! upstream wants it where the client asked for that (`Expect: 100-continue`).

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::body::BodyError;
use super::failure::ClientFailure;
use crate::timer::Timer;

/// How long an upstream may take to ask for the body before it is sent unasked: not every server
/// knows `Expect`, and a client must not wait for ever (RFC 9110, section 10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// What the exchange learns about its client's body while hyper is sending it.
#[derive(Debug)]
pub struct Upload {
    failure: Cell<Option<ClientFailure>>,
    last_progress: Cell<Instant>,
    finished: Cell<bool>,
    started: Cell<bool>,
}

impl Upload {
    /// Why the client's body ended early, if it did.
    pub fn failure(&self) -> Option<ClientFailure> {
        self.failure.get()
    }

    /// When the last piece went by.
    pub fn last_progress(&self) -> Instant {
        self.last_progress.get()
    }

    /// Whether all of it has been handed over.
    pub fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// Whether any of it has been handed over: from then on the request can't be sent again.
    pub fn has_started(&self) -> bool {
        self.started.get()
    }
}

/// Opened by the upstream's `100 Continue`.
#[derive(Debug, Default)]
pub struct Gate {
    open: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Gate {
    /// Lets the body go.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
        let waiting = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct ClientBody {
    incoming: Incoming,
    left: Option<u64>,
    upload: Rc<Upload>,
    gate: Option<(Arc<Gate>, Timer)>,
}

impl ClientBody {
    /// A body of at most `limit` bytes.
    pub fn new(incoming: Incoming, limit: Option<u64>) -> Self {
        let upload = Upload {
            failure: Cell::new(None),
            last_progress: Cell::new(Instant::now()),
            finished: Cell::new(false),
            started: Cell::new(false),
        };
        Self {
            incoming,
            left: limit,
            upload: Rc::new(upload),
            gate: None,
        }
    }

    /// What is to be known about it while it is being sent.
    pub fn upload(&self) -> Rc<Upload> {
        Rc::clone(&self.upload)
    }

    /// Holds the body back until the gate opens.
    pub fn hold(&mut self) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        self.gate = Some((Arc::clone(&gate), Timer::started(CONTINUE_WAIT)));
        gate
    }

    fn fail(&mut self, failure: ClientFailure) -> BodyError {
        self.upload.failure.set(Some(failure));
        failure.into()
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some((gate, timer)) = &mut this.gate {
            if gate.poll(cx).is_pending() && timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.gate = None;
        }
        let frame = match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => {
                let failure = refusal_in(&error).unwrap_or(ClientFailure::BodyBroken);
                return Poll::Ready(Some(Err(this.fail(failure))));
            }
            Poll::Ready(None) => {
                this.upload.finished.set(true);
                return Poll::Ready(None);
            }
        };
        if let (Some(left), Some(data)) = (&mut this.left, frame.data_ref()) {
            match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Some(Err(this.fail(ClientFailure::BodyTooLarge)))),
            }
        }
        this.upload.started.set(true);
        this.upload.last_progress.set(Instant::now());
        this.upload.finished.set(this.incoming.is_end_stream());
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// What the guard refused, where it is behind hyper's error.
fn refusal_in(error: &hyper::Error) -> Option<ClientFailure> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(failure) = error.downcast_ref::<ClientFailure>() {
            return Some(*failure);
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && let Some(inner) = error.get_ref()
            && let Some(failure) = inner.downcast_ref::<ClientFailure>()
        {
            return Some(*failure);
        }
        source = error.source();
    }
    None
}
