//! Heads and bodies as they come in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http::StatusCode;

use super::{Asking, Awaited, ExchangeNumber, LAST_REQUEST, MOST_DROPPED, Received, Socket};
use crate::exchange::failure::ClientFailure;
use crate::http1::body::{Decoder, Piece, Writer};
use crate::http1::request::{self, Head};

impl Socket {
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        is_draining: bool,
    ) -> Poll<Result<Option<Received>, ClientFailure>> {
        loop {
            self.skip_empty_lines();
            if std::mem::take(&mut self.unread)
                && let Some(head) =
                    request::find_head(&self.inbox.bytes, self.limits, &mut self.fields)?
            {
                return Poll::Ready(self.take_head(&head).map(Some));
            }
            if self.inbox.has_ended {
                // Half a head is nobody's request.
                return Poll::Ready(Ok(None));
            }
            if !self.inbox.bytes.is_empty() && self.awaited != Awaited::Rest {
                // Begun, and not complete: most heads come whole, and need no look at the clock.
                self.awaited = Awaited::Rest;
                self.timer.start(self.timeouts.header);
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Pending => return self.poll_head_timer(cx, is_draining),
            }
        }
    }

    pub(super) fn take_head(&mut self, head: &Head) -> Result<Received, ClientFailure> {
        let bytes = self.inbox.bytes.split_to(head.length).freeze();
        let request = head.request(&bytes, &self.fields)?;
        self.unread = true;
        self.body = Decoder::new(head.framing, Writer::Client);
        self.asking = if head.expects_continue {
            Asking::Due
        } else {
            Asking::Done
        };
        self.timer.stop();
        self.awaited = Awaited::Next;
        self.exchange.0 += 1;
        Ok(Received {
            request,
            keep_alive: head.keep_alive,
        })
    }

    pub(super) fn poll_head_timer(
        &mut self,
        cx: &mut Context<'_>,
        is_draining: bool,
    ) -> Poll<Result<Option<Received>, ClientFailure>> {
        let is_idle = self.inbox.bytes.is_empty();
        if is_idle {
            self.inbox.release();
            self.outbox.release();
            self.fields = Vec::new();
        }
        match self.awaited {
            Awaited::Next if is_draining => return Poll::Ready(Ok(None)),
            Awaited::First if is_draining => self.timer.start_before(LAST_REQUEST),
            Awaited::Next if !self.timer.is_running() => self.timer.start(self.timeouts.idle),
            _ if !self.timer.is_running() => self.timer.start(self.timeouts.header),
            _ => {}
        }
        ready!(self.timer.poll(cx));
        Poll::Ready(if is_idle {
            // Nothing was asked, so there is nothing to answer.
            Ok(None)
        } else {
            Err(ClientFailure::Timeout)
        })
    }

    /// RFC 9112, section 2.2: an empty line before a request line is to be ignored.
    pub(super) fn skip_empty_lines(&mut self) {
        while self.inbox.bytes.starts_with(b"\r\n") {
            self.inbox.bytes.advance(2);
        }
    }

    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let before = self.inbox.bytes.len();
        let read = ready!(self.inbox.poll_fill(cx, &mut self.stream))?;
        self.note_unread(before);
        Poll::Ready(Ok(read))
    }

    /// Whether what came in behind `before` can complete a head.
    pub(super) fn note_unread(&mut self, before: usize) {
        let bytes = &self.inbox.bytes;
        let new = bytes.get(before..).unwrap_or(&[]);
        self.unread |=
            before == 0 || memchr::memchr(b'\n', new).is_some() || bytes.len() > self.limits.bytes;
    }

    pub(super) fn poll_body(
        &mut self,
        exchange: ExchangeNumber,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Piece, ClientFailure>>> {
        if self.exchange != exchange {
            // Its exchange is over: what comes now belongs to another one.
            return Poll::Ready(Some(Err(ClientFailure::BodyBroken)));
        }
        loop {
            match self.body.decode(&mut self.inbox.bytes) {
                Ok(Some(piece)) => {
                    self.unread = true;
                    self.asking = Asking::Done;
                    self.timer.stop();
                    return Poll::Ready(Some(Ok(piece)));
                }
                Ok(None) if self.body.is_done() => {
                    self.unread = true;
                    self.timer.stop();
                    return Poll::Ready(None);
                }
                Ok(None) => {}
                Err(malformed) => return Poll::Ready(Some(Err(malformed.into()))),
            }
            if self.inbox.has_ended {
                return Poll::Ready(Some(Err(ClientFailure::BodyBroken)));
            }
            if self.asking == Asking::TooLate {
                // Nobody asks any more. What the client sends all the same is taken.
                match self.inbox.poll_fill(cx, &mut self.stream) {
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(_)) => {
                        return Poll::Ready(Some(Err(ClientFailure::BodyBroken)));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.asking == Asking::Due {
                self.ask_for_body();
            }
            if matches!(self.poll_write(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(Some(Err(ClientFailure::BodyBroken)));
            }
            match self.inbox.poll_fill(cx, &mut self.stream) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Some(Err(ClientFailure::BodyBroken))),
                Poll::Pending => {
                    if !self.timer.is_running() {
                        self.timer.start(self.timeouts.idle);
                    }
                    ready!(self.timer.poll(cx));
                    return Poll::Ready(Some(Err(ClientFailure::Timeout)));
                }
            }
        }
    }

    /// Unless it comes already.
    pub(super) fn ask_for_body(&mut self) {
        self.asking = Asking::Done;
        if self.inbox.bytes.is_empty() {
            self.outbox.put_status(true, StatusCode::CONTINUE);
            self.outbox.put(b"\r\n");
        }
    }

    pub(super) fn is_asked_for_or_done(&self) -> bool {
        self.asking == Asking::Done || self.body.is_done()
    }

    /// Drops what is left of a body that nobody wanted, if all of it is here.
    pub(super) fn drop_body(&mut self, cx: &mut Context<'_>) -> bool {
        let mut dropped = 0;
        self.timer.stop();
        while !self.body.is_done() {
            match self.body.decode(&mut self.inbox.bytes) {
                Ok(Some(Piece::Data(data))) => dropped += data.len(),
                Ok(Some(Piece::Trailers(_))) => {}
                Ok(None) if self.body.is_done() => break,
                Ok(None) => match self.inbox.poll_fill(cx, &mut self.stream) {
                    Poll::Ready(Ok(read)) if read > 0 => {}
                    _ => return false,
                },
                Err(_) => return false,
            }
            if dropped > MOST_DROPPED {
                return false;
            }
        }
        self.unread = true;
        true
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_write(cx, Pin::new(&mut self.stream))
    }
}
