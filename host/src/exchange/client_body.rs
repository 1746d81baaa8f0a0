//! The client's body on its way to the upstream: limited, observed, and held back until the
//! upstream wants it where the client asked for that (`Expect: 100-continue`).

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::body::BodyError;
use super::failure::ClientFailure;
use crate::http1::body::Piece;
use crate::server::http2::stream::Incoming;
use crate::server::socket::{ClientSocket, ExchangeNumber};
use crate::timer::Timer;

/// How long an upstream may take to ask for the body before it is sent unasked: not every server
/// knows `Expect`, and a client must not wait for ever (RFC 9110, section 10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// What the exchange learns about its client's body while it is being sent.
#[derive(Debug)]
pub struct Upload {
    failure: Cell<Option<ClientFailure>>,
    last_progress: Cell<Instant>,
    finished: Cell<bool>,
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
}

/// Opened by the upstream's `100 Continue`.
#[derive(Debug, Default)]
pub struct Gate {
    is_open: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Gate {
    /// Lets the body go.
    pub fn open(&self) {
        self.is_open.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_open.get() {
            return Poll::Ready(());
        }
        self.waiting.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct ClientBody {
    source: Source,
    left: Option<u64>,
    upload: Rc<Upload>,
    gate: Option<(Rc<Gate>, Timer)>,
}

/// Where a body comes from.
#[derive(Debug)]
enum Source {
    /// A connection of HTTP/1, for this exchange.
    Socket(ClientSocket, ExchangeNumber),
    /// A stream of HTTP/2.
    Stream(Box<Incoming>),
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, ClientFailure>>> {
        match self {
            Self::Socket(socket, exchange) => socket.poll_body(*exchange, cx),
            Self::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Socket(socket, exchange) => socket.is_body_done(*exchange),
            Self::Stream(stream) => stream.is_done(),
        }
    }

    fn remaining(&self) -> Option<u64> {
        match self {
            Self::Socket(socket, exchange) => socket.remaining_body(*exchange),
            Self::Stream(stream) => stream.remaining(),
        }
    }
}

impl ClientBody {
    /// The body of the exchange that is going on over `socket`, of at most `limit` bytes.
    pub fn of_socket(socket: ClientSocket, limit: Option<u64>) -> Self {
        let exchange = socket.exchange();
        Self::new(Source::Socket(socket, exchange), limit)
    }

    /// The body that comes over a stream, of at most `limit` bytes.
    pub fn of_stream(stream: Incoming, limit: Option<u64>) -> Self {
        Self::new(Source::Stream(Box::new(stream)), limit)
    }

    fn new(source: Source, limit: Option<u64>) -> Self {
        let upload = Upload {
            failure: Cell::new(None),
            last_progress: Cell::new(Instant::now()),
            finished: Cell::new(false),
        };
        Self {
            source,
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
    pub fn hold(&mut self) -> Rc<Gate> {
        let gate = Rc::new(Gate::default());
        self.gate = Some((Rc::clone(&gate), Timer::started(CONTINUE_WAIT)));
        gate
    }

    fn fail(&mut self, failure: ClientFailure) -> BodyError {
        self.upload.failure.set(Some(failure));
        if let Source::Socket(socket, _) = &self.source {
            socket.refuse();
        }
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
        let frame = match this.source.poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(Piece::Data(data)))) => Frame::data(data),
            Poll::Ready(Some(Ok(Piece::Trailers(trailers)))) => Frame::trailers(trailers),
            Poll::Ready(Some(Err(failure))) => return Poll::Ready(Some(Err(this.fail(failure)))),
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
        this.upload.last_progress.set(Instant::now());
        this.upload.finished.set(this.is_end_stream());
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        match self.source.remaining() {
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}
