//! Writes a response to a stream: the head, the body as it comes and as fast as the client takes it, and trailers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, DATE, SEC_WEBSOCKET_ACCEPT};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body as _, Frame};

use super::super::answer::{Broken, now};
use super::stream::Stream;
use crate::exchange::body::BodyError;
use crate::exchange::{Failure, grpc, hop_by_hop, trailers};
use crate::http1::grammar;
use crate::http1::response::has_no_body;
use crate::http2::room::poll_room;
use crate::observe::record::Recorded;
use crate::timer::Timer;

/// A response whose head has been sent.
#[derive(Debug)]
pub struct Answer {
    send: SendStream<Bytes>,
    body: Recorded,
    /// Taken from the body, and not sent yet.
    piece: Bytes,
    /// How much is to come, where the head says so.
    left: Option<u64>,
    is_complete: bool,
    /// A message of gRPC: its status comes behind the body.
    is_grpc: bool,
    /// What the body broke off for.
    failure: Option<Failure>,
    /// Runs while the client takes nothing.
    timer: Timer,
    patience: std::time::Duration,
}

impl Answer {
    /// Sends the head.
    ///
    /// # Errors
    /// The client has gone.
    pub fn begin(
        stream: &Stream,
        response: Response<Recorded>,
        is_head: bool,
    ) -> Result<Self, Broken> {
        let (head, body) = response.into_parts();
        let mut headers = head.headers;
        // A plugin's or hub's answer may have them.
        hop_by_hop::strip(&mut headers);
        let said = headers.get(CONTENT_LENGTH);
        let said = said.and_then(|value| grammar::length(value.as_bytes()));
        let is_bodiless = has_no_body(head.status, is_head);
        // What is there of the body is surer than what a head says that plugins may have changed.
        let left = body.size_hint().exact().or(said);
        if !is_bodiless {
            headers.remove(CONTENT_LENGTH);
            if let Some(length) = left {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        if !headers.contains_key(DATE) {
            headers.insert(DATE, now());
        }
        let is_grpc = grpc::is_message(&headers);
        let is_complete = is_bodiless || left == Some(0) && body.is_end_stream();
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        let send = stream.send_head(response, is_complete);
        Ok(Self {
            send: send.map_err(|_| Broken::Gone)?,
            body,
            piece: Bytes::new(),
            left,
            is_complete,
            is_grpc,
            failure: None,
            timer: Timer::default(),
            patience: stream.idle_timeout(),
        })
    }

    /// Writes the response, as fast as the client takes it; what has come of a body is never held back for more of it.
    ///
    /// # Errors
    /// See [`Broken`]; the stream has been reset, so that the client doesn't take what it has got for the whole. To gRPC, where
    /// only a status says that it is whole, the trailers say why it is not.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let result = ready!(self.poll_send(cx));
        if result == Err(Broken::Body) {
            self.break_off();
        }
        Poll::Ready(result)
    }

    fn break_off(&mut self) {
        // A body that is shorter than its head says is malformed, whatever follows it.
        if self.is_grpc && self.left.is_none() {
            let failure = self.failure.take();
            let failure =
                failure.unwrap_or_else(|| Failure::BrokenBody("of another length".to_owned()));
            let mut trailers = HeaderMap::new();
            failure.add_grpc_status(&mut trailers);
            if self.send.send_trailers(trailers).is_ok() {
                return;
            }
        }
        self.send.send_reset(Reason::INTERNAL_ERROR);
    }

    fn broke(&mut self, error: &BodyError) -> Broken {
        self.failure = Some(Failure::of_response_body(error));
        Broken::Body
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if self.is_complete {
                return Poll::Ready(Ok(()));
            }
            if !self.piece.is_empty() {
                ready!(self.poll_piece(cx))?;
                continue;
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.take(frame)?,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.broke(&error))),
                Poll::Ready(None) => self.end(None)?,
                Poll::Pending => {
                    ready!(self.send.poll_reset(cx)).ok();
                    return Poll::Ready(Err(Broken::Gone));
                }
            }
        }
    }

    /// Sends as much of the piece as the client takes.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let size = match poll_room(&mut self.send, self.piece.len(), cx) {
            Poll::Ready(Some(Ok(size))) => size,
            Poll::Ready(_) => return Poll::Ready(Err(Broken::Gone)),
            Poll::Pending => {
                if !self.timer.is_running() {
                    self.timer.start(self.patience);
                }
                if let Poll::Ready(error) = self.body.poll_overdue(cx) {
                    return Poll::Ready(Err(self.broke(&error)));
                }
                // The other direction has nothing to do with a client that does not read.
                self.body.drive_upload(cx);
                ready!(self.timer.poll(cx));
                tracing::debug!("a client took nothing for {:?}", self.patience);
                self.send.send_reset(Reason::CANCEL);
                return Poll::Ready(Err(Broken::Gone));
            }
        };
        self.timer.stop();
        let part = self.piece.split_to(size);
        let is_last = self.piece.is_empty() && self.body.is_end_stream();
        if is_last {
            self.finish()?;
        }
        let sent = self.send.send_data(part, is_last);
        Poll::Ready(sent.map_err(|_| Broken::Gone))
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<(), Broken> {
        match frame.into_data() {
            Ok(data) => {
                if let Some(left) = &mut self.left {
                    *left = left
                        .checked_sub(data.len() as u64)
                        .ok_or_else(wrong_length)?;
                }
                let is_empty = data.is_empty();
                self.piece = data;
                if is_empty && self.body.is_end_stream() {
                    return self.end(None);
                }
                Ok(())
            }
            Err(frame) => self.end(frame.into_trailers().ok()),
        }
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Broken> {
        self.finish()?;
        let sent = match trailers {
            Some(received) => self.send.send_trailers(trailers::allowed(&received)),
            None => self.send.send_data(Bytes::new(), true),
        };
        sent.map_err(|_| Broken::Gone)
    }

    /// All of the body has been taken.
    fn finish(&mut self) -> Result<(), Broken> {
        self.is_complete = true;
        match self.left {
            Some(left) if left > 0 => Err(wrong_length()),
            _ => Ok(()),
        }
    }
}

fn wrong_length() -> Broken {
    tracing::debug!("a response's body is not as long as its head says");
    Broken::Body
}

/// The head that answers an extended CONNECT (RFC 8441, section 5): what a 101 is in HTTP/1.1 is a 200 here. What else is a
/// success has become a failure before ([`Failure::NotSwitched`](crate::exchange::Failure::NotSwitched)).
pub fn answer_to_connect<B>(mut response: Response<B>) -> Response<B> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
    }
    response
}
