//! Stands between a client's socket and hyper: hyper sees only bytes of messages that
//! [`super::message`] and [`super::body_framing`] have accepted, and never a byte of the next
//! request before the current exchange has ended.
//!
//! ```text
//! socket → Guard (strict framing, limits, header and idle timeouts) → hyper → the spine
//! ```
//!
//! A head that is refused is never shown to hyper. The guard reports the end of the stream
//! instead; hyper finishes cleanly, and the connection's driver writes the answer that
//! [`Guard::refusal`] asks for. A body that is refused halfway is an I/O error for hyper, and thereby
//! for whoever reads the body.
//!
//! The guard also lets the spine write interim responses (1xx) in front of the final one, which
//! hyper's server has no call for.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body_framing::BodyFraming;
use super::interim::Interim;
use super::message::{self, HeadLimits};
use crate::exchange::failure::ClientFailure;
use crate::small_write;
use crate::timer::Timer;

/// Read ahead of the current exchange at most this much (pipelined requests).
const READ_AHEAD: usize = 16 * 1024;
/// One read from the socket while a head is collected.
const READ_SIZE: usize = 8 * 1024;

/// Timeouts of the client's side.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From a head's first byte, or the connection's start, to the head's end.
    pub header: Duration,
    /// Between two requests, and between two pieces of a request body.
    pub idle: Duration,
}

/// What the guard and the exchanges of one connection tell each other.
#[derive(Debug, Default)]
pub struct Signals {
    in_exchange: Cell<bool>,
    /// Interim responses, to be written in front of anything else.
    pub interim: Arc<Interim>,
    abort: Cell<bool>,
    answered: Cell<bool>,
}

impl Signals {
    /// To be called when an exchange is over: its response has been handed to hyper completely.
    pub fn end_exchange(&self) {
        self.in_exchange.set(false);
    }

    /// The connection is to be reset, not closed, so that a client that reads until the end of
    /// the stream can't take a broken response for a whole one.
    pub fn abort(&self) {
        self.abort.set(true);
    }

    /// An exchange has answered the request whose body was refused.
    pub fn answer_refusal(&self) {
        self.answered.set(true);
    }

    /// Whether [`Self::answer_refusal`] was called.
    pub fn has_answered(&self) -> bool {
        self.answered.get()
    }

    /// Whether [`Self::abort`] was called.
    pub fn is_aborted(&self) -> bool {
        self.abort.get()
    }
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

/// See the module's documentation.
#[derive(Debug)]
pub struct Guard<S> {
    stream: S,
    signals: Rc<Signals>,
    limits: HeadLimits,
    timeouts: Timeouts,
    body: BodyFraming,
    /// Bytes that were read and are not shown to hyper yet.
    held: BytesMut,
    /// Bytes at the start of `held` that belong to an accepted message.
    accepted: usize,
    refusal: Option<ClientFailure>,
    /// Whether bytes have come in that can complete a head. Reading `held` anew for each byte of
    /// a slow client would be work that the client pays nothing for.
    unread: bool,
    awaited: Awaited,
    ended: bool,
    timer: Timer,
}

impl<S> Guard<S> {
    /// Guards a connection.
    pub fn new(stream: S, signals: Rc<Signals>, limits: HeadLimits, timeouts: Timeouts) -> Self {
        Self {
            stream,
            signals,
            limits,
            timeouts,
            body: BodyFraming::Done,
            held: BytesMut::new(),
            accepted: 0,
            refusal: None,
            unread: true,
            awaited: Awaited::First,
            ended: false,
            timer: Timer::started(timeouts.header),
        }
    }

    /// What the connection was refused for, if it was.
    pub fn refusal(&self) -> Option<ClientFailure> {
        self.refusal
    }

    /// The stream.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    fn refuse(&mut self, failure: ClientFailure) {
        self.refusal = Some(failure);
        self.held.clear();
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Reads from the socket to the end of `held`; the number of bytes, 0 at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [std::mem::MaybeUninit::<u8>::uninit(); READ_SIZE];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let filled = buffer.filled();
        self.unread |= self.held.is_empty()
            || memchr::memchr(b'\n', filled).is_some()
            || self.held.len() + filled.len() > self.limits.bytes;
        self.held.extend_from_slice(filled);
        if filled.is_empty() {
            self.ended = true;
        }
        Poll::Ready(Ok(filled.len()))
    }

    /// While an exchange is going on: notices a client that has gone, reads a little ahead.
    fn poll_during_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.held.len() < READ_AHEAD && !self.ended {
            ready!(self.poll_fill(cx))?;
        }
        if self.ended && self.held.is_empty() {
            // Nobody is there to read the response: hyper cancels the exchange.
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Between exchanges: collects a head. Ready when there is one, or when the connection ends.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.skip_empty_lines();
            let head = if std::mem::take(&mut self.unread) {
                message::read_head(&self.held, self.limits)
            } else {
                Ok(None)
            };
            match head {
                Ok(Some(head)) => {
                    self.unread = true;
                    self.accepted = head.length;
                    self.body = head.framing.into();
                    self.timer.stop();
                    self.awaited = Awaited::Next;
                    self.signals.in_exchange.set(true);
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => {}
                Err(failure) => {
                    self.refuse(failure);
                    return Poll::Ready(Ok(()));
                }
            }
            if self.ended {
                // Half a head is nobody's request.
                self.held.clear();
                return Poll::Ready(Ok(()));
            }
            if !self.held.is_empty() && self.awaited != Awaited::Rest {
                // Begun, and not complete: most heads come whole, and need no look at the clock.
                self.awaited = Awaited::Rest;
                self.timer.start(self.timeouts.header);
            }
            if self.poll_fill(cx)?.is_pending() {
                return self.poll_head_timer(cx);
            }
        }
    }

    fn poll_head_timer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waiting = self.held.is_empty();
        if waiting && self.awaited == Awaited::Next && !self.timer.is_running() {
            self.timer.start(self.timeouts.idle);
        } else if !self.timer.is_running() {
            self.timer.start(self.timeouts.header);
        }
        ready!(self.timer.poll(cx));
        if waiting {
            // Nothing was asked, so there is nothing to answer.
            self.ended = true;
        } else {
            self.refuse(ClientFailure::Timeout);
        }
        Poll::Ready(Ok(()))
    }

    /// RFC 9112, section 2.2: an empty line before a request line is to be ignored.
    fn skip_empty_lines(&mut self) {
        while self.held.starts_with(b"\r\n") {
            self.held.advance(2);
        }
    }

    /// Shows hyper what is accepted.
    fn deliver(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.accepted.min(buffer.remaining());
        let bytes = self.held.split_to(length);
        buffer.put_slice(&bytes);
        self.accepted -= length;
    }

    /// Body bytes that were read together with a head.
    fn accept_held_body(&mut self) -> io::Result<()> {
        let rest = self.held.get(self.accepted..).unwrap_or(&[]);
        if rest.is_empty() {
            return Ok(());
        }
        match self.body.advance(rest) {
            Ok(taken) => {
                self.accepted += taken;
                Ok(())
            }
            Err(failure) => Err(self.refuse_body(failure)),
        }
    }

    fn refuse_body(&mut self, failure: ClientFailure) -> io::Error {
        self.accepted = 0;
        self.refuse(failure);
        io::Error::new(io::ErrorKind::InvalidData, failure)
    }

    /// A body's bytes go from the socket into hyper's buffer without a stop.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if Pin::new(&mut self.stream)
            .poll_read(cx, buffer)?
            .is_pending()
        {
            if !self.timer.is_running() {
                self.timer.start(self.timeouts.idle);
            }
            ready!(self.timer.poll(cx));
            self.refusal = Some(ClientFailure::Timeout);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                ClientFailure::Timeout,
            )));
        }
        self.timer.stop();
        let read = buffer.filled().get(before..).unwrap_or(&[]);
        match self.body.advance(read) {
            Ok(taken) => {
                // What follows the body is the next request's.
                self.held
                    .extend_from_slice(read.get(taken..).unwrap_or(&[]));
                buffer.set_filled(before + taken);
                Poll::Ready(Ok(()))
            }
            Err(failure) => {
                buffer.set_filled(before);
                Poll::Ready(Err(self.refuse_body(failure)))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.accepted == 0 {
            if this.refusal.is_some() && !this.signals.in_exchange.get() {
                return Poll::Ready(Ok(()));
            }
            if this.body != BodyFraming::Done {
                return this.poll_body(cx, buffer);
            }
            if this.signals.in_exchange.get() {
                return this.poll_during_exchange(cx);
            }
            ready!(this.poll_head(cx))?;
            if this.accepted > 0 {
                this.accept_held_body()?;
            }
        }
        this.deliver(buffer);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Guard<S> {
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let interim = Arc::clone(&self.signals.interim);
        interim.poll_write(cx, Pin::new(&mut self.stream))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        small_write::poll_write_vectored(Pin::new(&mut this.stream), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_interim(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
