//! A client's connection as bytes: reads heads and bodies, and writes what is to be written.
//!
//! The connection's own loop and the body of the exchange that is going on share it. Both run in one task, so there is no
//! channel between them: who wants the next piece of a body reads it from the socket.
//!
//! No more than [`READ_AHEAD`] of what follows, and what comes with the read that reaches it, is read before it is asked for.

mod reading;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};

use crate::exchange::failure::ClientFailure;
use crate::exchange::hop_by_hop;
use crate::http1::body::{Decoder, Piece};
use crate::http1::grammar::Field;
use crate::http1::inbox::Inbox;
use crate::http1::outbox::Outbox;
use crate::http1::request::{HeadLimits, Request};
use crate::timer::Timer;
use crate::transport::Stream;

/// What is read ahead of the current exchange: pipelined requests, or a body that nobody wants yet.
const READ_AHEAD: usize = 16 * 1024;
/// Interim responses that wait for one client: an upstream may not make the gateway hoard.
const MOST_INTERIM: usize = 64 * 1024;
/// What is read of a body that nobody wanted, for the sake of its connection.
const MOST_DROPPED: usize = 64 * 1024;
/// How long a client that has connected and asked nothing is waited for when the gateway stops: its request may be on
/// its way.
pub(super) const LAST_REQUEST: Duration = Duration::from_secs(1);

/// Timeouts of the client's side.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From a head's first byte, or the connection's start, to the head's end.
    pub header: Duration,
    /// Between two requests, between two pieces of a request's body, and until a client takes more of its response.
    pub idle: Duration,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct ClientSocket(Rc<RefCell<Socket>>);

/// Which of a connection's exchanges a body belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeNumber(u64);

/// A request's head, and what its connection needs to know of it.
#[derive(Debug)]
pub struct Received {
    /// The request.
    pub request: Request,
    /// Whether the client wants to send more requests.
    pub keep_alive: bool,
}

/// What a connection without an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// Its first head.
    First,
    /// The rest of a head that has begun to come.
    Rest,
    /// Another head, after an exchange.
    Next,
}

/// Whether the client has to be asked for its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// It has been asked, or does not wait for that.
    Done,
    /// It waits, and is asked when somebody wants the body.
    Due,
    /// It waits for nothing any more: the final response has begun, and nothing may be put in front of it.
    TooLate,
}

#[derive(Debug)]
struct Socket {
    stream: Stream,
    limits: HeadLimits,
    timeouts: Timeouts,
    inbox: Inbox,
    /// Whether bytes have come in that can complete a head. Reading all of it anew for each byte of
    /// a slow client would be work that the client pays nothing for.
    unread: bool,
    fields: Vec<Field>,
    body: Decoder,
    asking: Asking,
    exchange: ExchangeNumber,
    /// Nothing of this connection may be used after the current exchange.
    is_refused: bool,
    awaited: Awaited,
    timer: Timer,
    outbox: Outbox,
}

impl ClientSocket {
    /// A new connection.
    pub fn new(stream: Stream, limits: HeadLimits, timeouts: Timeouts) -> Self {
        Self(Rc::new(RefCell::new(Socket {
            stream,
            limits,
            timeouts,
            inbox: Inbox::default(),
            unread: true,
            fields: Vec::new(),
            body: Decoder::default(),
            asking: Asking::Done,
            exchange: ExchangeNumber(0),
            is_refused: false,
            awaited: Awaited::First,
            timer: Timer::started(timeouts.header),
            outbox: Outbox::default(),
        })))
    }

    /// Between exchanges: the next head. `None`: the connection ends, and there is nothing to answer.
    ///
    /// # Errors
    /// What the client is to be refused for.
    pub fn poll_head(
        &self,
        cx: &mut Context<'_>,
        is_draining: bool,
    ) -> Poll<Result<Option<Received>, ClientFailure>> {
        self.0.borrow_mut().poll_head(cx, is_draining)
    }

    /// The next piece of the body of an exchange; `None` at its end.
    ///
    /// # Errors
    /// A body that is malformed, broke off, or stopped coming: the caller has to [refuse](Self::refuse) what follows.
    pub fn poll_body(
        &self,
        exchange: ExchangeNumber,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Piece, ClientFailure>>> {
        self.0.borrow_mut().poll_body(exchange, cx)
    }

    /// Whether nothing of a body is left to come.
    pub fn is_body_done(&self, exchange: ExchangeNumber) -> bool {
        let socket = self.0.borrow();
        socket.exchange != exchange || socket.body.is_done()
    }

    /// How much of a body is left to come, where that is known.
    pub fn remaining_body(&self, exchange: ExchangeNumber) -> Option<u64> {
        let socket = self.0.borrow();
        if socket.exchange == exchange {
            socket.body.remaining()
        } else {
            Some(0)
        }
    }

    /// Whether what has come in, which is no request of HTTP/1, begins a connection of HTTP/2 by prior knowledge
    /// (RFC 9113, section 3.3).
    pub fn begins_http2(&self) -> bool {
        let socket = self.0.borrow();
        socket.awaited != Awaited::Next && socket.inbox.bytes.starts_with(b"PRI * HTTP/2.0\r\n")
    }

    /// The exchange that is going on.
    pub fn exchange(&self) -> ExchangeNumber {
        self.0.borrow().exchange
    }

    /// Nothing that comes over this connection may be used any more once the current exchange is over.
    pub fn refuse(&self) {
        self.0.borrow_mut().is_refused = true;
    }

    /// Whether it is known already that the connection can't be used after the current exchange.
    pub fn must_close(&self) -> bool {
        let socket = self.0.borrow();
        let is_here = socket.inbox.bytes.len() as u64;
        let is_long = |left| left > is_here + MOST_DROPPED as u64;
        // Whoever was not asked for a body may send it or not: what comes next can't be told.
        socket.is_refused
            || !socket.is_asked_for_or_done()
            || socket.body.remaining().is_some_and(is_long)
    }

    /// The final response begins: from now on a client that waits to be asked for its body is not asked.
    pub fn begin_answer(&self) {
        let asking = &mut self.0.borrow_mut().asking;
        if *asking == Asking::Due {
            *asking = Asking::TooLate;
        }
    }

    /// Whether dropping the connection, whoever does it, is to reset it: so that a client that reads until the end of the
    /// stream can't take a part for the whole.
    pub fn reset_when_dropped(&self, is_reset: bool) {
        self.0.borrow_mut().stream.reset_when_dropped(is_reset);
    }

    /// While an exchange is going on: whether the client has gone, so that nobody is there to read the response.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let socket = &mut *self.0.borrow_mut();
        while socket.inbox.bytes.len() < READ_AHEAD && !socket.inbox.has_ended {
            if ready!(socket.inbox.poll_fill(cx, &mut socket.stream)).is_err() {
                return Poll::Ready(());
            }
        }
        if socket.inbox.has_ended && socket.inbox.bytes.is_empty() {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// After an exchange: whether the connection can carry another one. What is left of a short body is dropped.
    pub fn end_exchange(&self, cx: &mut Context<'_>) -> bool {
        let mut socket = self.0.borrow_mut();
        !socket.is_refused && socket.is_asked_for_or_done() && socket.drop_body(cx)
    }

    /// Puts an interim response in front of the final one. It is dropped where too many wait already.
    pub fn push_interim(&self, status: StatusCode, headers: &HeaderMap) {
        let mut socket = self.0.borrow_mut();
        if socket.outbox.len() > MOST_INTERIM {
            return;
        }
        let mut headers = headers.clone();
        hop_by_hop::strip(&mut headers);
        headers.remove(CONTENT_LENGTH);
        socket.outbox.put_status(true, status);
        for (name, value) in &headers {
            socket.outbox.put_field(name, value);
        }
        socket.outbox.put(b"\r\n");
    }

    /// Lets something be put into the outbox.
    pub fn with_outbox<T>(&self, put: impl FnOnce(&mut Outbox) -> T) -> T {
        put(&mut self.0.borrow_mut().outbox)
    }

    /// Writes what is in the outbox.
    ///
    /// # Errors
    /// The stream's.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_write(cx)
    }

    /// Changes whenever the client's connection has taken something, out of TLS too.
    pub fn progress(&self) -> (usize, u64) {
        let socket = self.0.borrow();
        (socket.outbox.len(), socket.stream.taken())
    }

    /// How long a client may take nothing of its response.
    pub fn idle_timeout(&self) -> Duration {
        self.0.borrow().timeouts.idle
    }

    /// The connection's stream, and what was read of it and not used. `None` where somebody else still holds this socket.
    pub fn into_parts(self) -> Option<(Stream, BytesMut)> {
        let socket = Rc::into_inner(self.0)?.into_inner();
        Some((socket.stream, socket.inbox.bytes))
    }
}
