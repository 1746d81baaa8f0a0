//! One connection to a target, driven by whoever uses it.
//!
//! The exchange itself reads and writes: what happens on the upstream's socket wakes the task that waits for it, directly,
//! and there is no channel between the two. An idle connection is polled by nobody, so [`Connection::is_alive`] looks
//! at it now and then.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body::{Body as _, Frame};
use tokio::io::AsyncWrite as _;

use super::connect::Destination;
use crate::exchange::body::{BodyError, RequestBody};
use crate::exchange::trailers;
use crate::http1::body::{Decoder, Piece, Writer};
use crate::http1::grammar::Field;
use crate::http1::inbox::Inbox;
use crate::http1::outbox::{Encoder, Outbox, WrongLength};
use crate::http1::response::{self, HeadError, Response};
use crate::timer::Timer;
use crate::transport::Stream;

/// See the module's documentation.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    inbox: Inbox,
    outbox: Outbox,
    fields: Vec<Field>,
    /// The request's body, until all of it is in the outbox.
    upload: Option<Upload>,
    /// The request's body once more, as long as it has not been touched.
    untouched: Option<RequestBody>,
    /// A request could not be sent to its end.
    is_cut_short: bool,
    /// The response's body.
    body: Decoder,
    state: State,
    /// For whatever the exchange waits for at the moment.
    pub timer: Timer,
    /// Exchanges that this connection has carried to their ends.
    pub served: u32,
    destination: Destination,
    /// Whether a forward proxy is at its end and not the target: it gets requests in absolute-form.
    pub is_to_proxy: bool,
}

#[derive(Debug)]
struct Upload {
    body: RequestBody,
    encoder: Encoder,
    /// Whether any of the body has been taken: then what is left is not the request's body any more.
    is_touched: bool,
    /// Fields that may stand behind the body.
    announced: Vec<HeaderName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between two exchanges.
    Idle,
    /// A head is awaited.
    Waiting {
        /// Of a request whose method is HEAD.
        is_head: bool,
        /// Whether a byte of the request has been written.
        has_written: bool,
    },
    /// The body is read; afterwards the connection can be used again or not.
    Reading { keep_alive: bool },
    /// It can't be used any more.
    Over,
}

/// What of a request decides about the form in which it is sent and answered.
#[derive(Debug)]
pub struct Form {
    /// How its body is written.
    pub encoder: Encoder,
    /// Fields that may stand behind its body.
    pub announced: Vec<HeaderName>,
    /// Whether its method is HEAD.
    pub is_head: bool,
}

/// Why there is no response's head.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// What came back is not HTTP, or can be read in two ways.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The request's body broke off.
    #[error("the request's body: {0}")]
    Body(BodyError),
}

impl SendError {
    /// Whether the connection itself has ended: what a target does with one request is no such thing.
    pub fn is_of_connection(&self) -> bool {
        match self {
            Self::Broken(Broken::Http2(error)) => !error.is_reset(),
            Self::Broken(Broken::Io(_) | Broken::Closed) => true,
            Self::Head(_) | Self::Body(_) => false,
        }
    }
}

/// How a connection broke.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The system says why.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// By its end.
    #[error("it was closed")]
    Closed,
    /// As an error of HTTP/2 says.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Unanswered {
    /// Why.
    pub error: SendError,
    /// Its body, where nothing of the request was sent.
    pub unsent: Option<RequestBody>,
}

impl Connection {
    /// A connection that is open and has carried nothing.
    pub fn over(stream: Stream) -> Self {
        Self {
            destination: Destination::of(&stream),
            stream,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            fields: Vec::new(),
            upload: None,
            untouched: None,
            is_cut_short: false,
            body: Decoder::default(),
            state: State::Idle,
            timer: Timer::default(),
            served: 0,
            is_to_proxy: false,
        }
    }

    /// Whether an idle connection was usable when it was looked at last. Enough before it is used: the first thing
    /// that [`Self::poll_head`] does is to look, and nothing is sent where the target has closed meanwhile.
    pub fn was_alive(&self) -> bool {
        self.state == State::Idle && !self.inbox.has_ended && self.inbox.bytes.is_empty()
    }

    /// Where it leads.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Looks whether an idle connection can still be used. One over which something comes unasked can not.
    pub fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let is_alive = self.was_alive() && self.poll_fill(&mut cx).is_pending();
        self.inbox.release();
        is_alive
    }

    /// The stream, and what was read of it and not used.
    pub fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.inbox.bytes)
    }

    /// Frees what an idle connection does not need.
    pub fn rest(&mut self) {
        self.timer.stop();
        self.inbox.release();
        self.outbox.release();
        self.fields = Vec::new();
    }

    /// Begins an exchange: `put_head` puts the request's head into the outbox. Nothing is sent yet.
    pub fn begin(
        &mut self,
        put_head: impl FnOnce(&mut Outbox),
        body: RequestBody,
        Form {
            encoder,
            announced,
            is_head,
        }: Form,
    ) {
        put_head(&mut self.outbox);
        self.state = State::Waiting {
            is_head,
            has_written: false,
        };
        self.untouched = match &body {
            RequestBody::Empty => Some(RequestBody::Empty),
            RequestBody::Whole(bytes) => Some(RequestBody::Whole(bytes.clone())),
            RequestBody::Source(_) | RequestBody::Transformed(_) => None,
        };
        self.upload = match body {
            RequestBody::Empty => None,
            body => Some(Upload {
                body,
                encoder,
                is_touched: false,
                announced,
            }),
        };
    }

    /// Sends the request that has begun and waits for the response's head; `on_interim` is shown interim responses.
    /// `on_wait` is polled whenever nothing moves; its result ends the waiting.
    ///
    /// # Errors
    /// Outer: `on_wait`'s. Inner: see [`Unanswered`].
    pub async fn send<E>(
        &mut self,
        mut on_interim: impl FnMut(StatusCode, &HeaderMap),
        mut on_wait: impl FnMut(&mut Timer, &mut Context<'_>) -> Poll<E>,
    ) -> Result<Result<Response, Unanswered>, E> {
        std::future::poll_fn(|cx| match self.poll_head(cx, &mut on_interim) {
            Poll::Ready(Ok(response)) => Poll::Ready(Ok(Ok(response))),
            Poll::Ready(Err(error)) => {
                let unsent = if self.is_unwritten() {
                    let upload = self.upload.take().filter(|upload| !upload.is_touched);
                    self.untouched.take().or(upload.map(|upload| upload.body))
                } else {
                    None
                };
                self.state = State::Over;
                Poll::Ready(Ok(Err(Unanswered { error, unsent })))
            }
            Poll::Pending => on_wait(&mut self.timer, cx).map(Err),
        })
        .await
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        on_interim: &mut impl FnMut(StatusCode, &HeaderMap),
    ) -> Poll<Result<Response, SendError>> {
        let State::Waiting {
            is_head,
            has_written,
        } = self.state
        else {
            return Poll::Ready(Err(Broken::Closed.into()));
        };
        // The target may have closed a kept connection meanwhile; and what it sends unasked is no answer to this.
        if !has_written && self.served > 0 && self.poll_fill(cx)?.is_ready() {
            return Poll::Ready(Err(Broken::Closed.into()));
        }
        let mut passed = 0;
        loop {
            self.poll_upload(cx)?;
            if passed > response::MAX_BYTES {
                // Interim responses without end: others must have their turn.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let before = self.inbox.bytes.len();
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(Broken::Closed.into()));
            }
            let new = self.inbox.bytes.get(before..).unwrap_or(&[]);
            // Only a line's end can complete a head: reading all of it anew for each byte would cost more than it.
            if before > 0
                && memchr::memchr(b'\n', new).is_none()
                && self.inbox.bytes.len() <= response::MAX_BYTES
            {
                continue;
            }
            passed += new.len();
            while let Some(head) =
                response::take_head(&mut self.inbox.bytes, &mut self.fields, is_head)?
            {
                if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
                {
                    on_interim(head.status, &head.headers);
                    continue;
                }
                self.body = Decoder::new(head.framing, Writer::Server);
                self.state = State::Reading {
                    keep_alive: head.keep_alive,
                };
                return Poll::Ready(Ok(head));
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        self.inbox
            .poll_fill(cx, &mut self.stream)
            .map_err(Broken::Io)
    }

    /// Sends as much of the request as there is and the target takes.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), SendError> {
        loop {
            let is_waiting = self.fill_outbox(cx).map_err(SendError::Body)?;
            if self.outbox.is_done() {
                return Ok(());
            }
            let before = self.outbox.len();
            let polled = self.outbox.poll_write(cx, Pin::new(&mut self.stream));
            if self.outbox.len() < before {
                self.has_written();
            }
            match polled {
                Poll::Ready(Ok(())) if is_waiting || self.upload.is_none() => return Ok(()),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => {
                    if !matches!(self.stream, Stream::Tcp(..) | Stream::Unix(_)) {
                        // TLS may have sent some of what it says that it has not taken.
                        self.has_written();
                    }
                    if self.is_unwritten() {
                        return Err(Broken::Io(error).into());
                    }
                    // Who takes no more of a request may have answered it already.
                    self.give_up_upload(cx);
                    return Ok(());
                }
            }
        }
    }

    fn is_unwritten(&self) -> bool {
        matches!(
            self.state,
            State::Waiting {
                has_written: false,
                ..
            }
        )
    }

    fn has_written(&mut self) {
        if let State::Waiting { has_written, .. } = &mut self.state {
            *has_written = true;
        }
        self.untouched = None;
    }

    /// The rest of the request is not sent, which the target can tell. It may answer all the same, but gets no other
    /// request.
    fn give_up_upload(&mut self, cx: &mut Context<'_>) {
        self.upload = None;
        self.outbox.discard();
        self.is_cut_short = true;
        // Where that fails the connection is broken, and reading from it says so.
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }

    /// Sends more of the request while the response is not read.
    pub fn drive_upload(&mut self, cx: &mut Context<'_>) {
        if (self.upload.is_some() || !self.outbox.is_done()) && self.poll_upload(cx).is_err() {
            // The response has begun, and may come to its end.
            self.give_up_upload(cx);
        }
    }

    /// Puts as much of the body into the outbox as there is room for. `true`: no more of it has come.
    fn fill_outbox(&mut self, cx: &mut Context<'_>) -> Result<bool, BodyError> {
        while let Some(upload) = &mut self.upload
            && self.outbox.has_room()
        {
            let Poll::Ready(frame) = Pin::new(&mut upload.body).poll_frame(cx) else {
                return Ok(true);
            };
            upload.is_touched = true;
            let is_over = match frame {
                Some(Ok(frame)) => upload.encode(&mut self.outbox, frame)?,
                Some(Err(error)) => return Err(error),
                None => {
                    upload.encoder.end(&mut self.outbox, None)?;
                    true
                }
            };
            if is_over {
                self.upload = None;
            }
        }
        Ok(false)
    }

    /// The next piece of the response's body. The rest of the request is sent meanwhile.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.drive_upload(cx);
        loop {
            match self.body.decode(&mut self.inbox.bytes)? {
                Some(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Piece::Trailers(trailers)) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                None if self.body.is_done() => return Poll::Ready(None),
                None => {}
            }
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(if self.body.ends_here() {
                    None
                } else {
                    Some(Err(Broken::Closed.into()))
                });
            }
        }
    }

    /// Whether all of the response's body has been read.
    pub fn is_body_done(&self) -> bool {
        self.body.is_done()
    }

    /// How much of the response's body is to come, where that is known.
    pub fn remaining_body(&self) -> Option<u64> {
        self.body.remaining()
    }

    /// The exchange is over; whether the connection can carry another one.
    pub fn end_exchange(&mut self) -> bool {
        // A target that answered before it had the whole request would take the rest of it for the next one.
        let is_sent = self.upload.is_none() && self.outbox.is_done() && !self.is_cut_short;
        let keep_alive = self.state == State::Reading { keep_alive: true };
        self.state = if keep_alive && is_sent && self.body.is_done() {
            self.served += 1;
            State::Idle
        } else {
            State::Over
        };
        self.is_alive()
    }
}

impl Upload {
    /// Puts in a frame; `true` if it was the last.
    fn encode(&mut self, outbox: &mut Outbox, frame: Frame<Bytes>) -> Result<bool, WrongLength> {
        match frame.into_data() {
            Ok(data) => {
                let is_last = self.body.is_end_stream();
                self.encoder.data(outbox, data, is_last)?;
                match self.encoder {
                    Encoder::Length(left) if is_last && left > 0 => Err(WrongLength),
                    _ => Ok(is_last),
                }
            }
            Err(frame) => {
                let trailers = frame
                    .trailers_ref()
                    .map(|all| trailers::kept(all, &self.announced));
                self.encoder.end(outbox, trailers.as_ref())?;
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests;
