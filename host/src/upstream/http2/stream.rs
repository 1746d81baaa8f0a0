//! One exchange over a connection of HTTP/2.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, StatusCode};
use http_body::{Body as _, Frame};

use super::shared::Place;
use crate::exchange::body::{BodyError, RequestBody};
use crate::exchange::trailers;
use crate::http1::Malformed;
use crate::http1::grammar;
use crate::http1::response::{HeadError, has_no_body};
use crate::http2::room::poll_room;
use crate::timer::Timer;
use crate::upstream::connection::{Broken, SendError, Unanswered};
use crate::upstream::link::Head;

/// See the module's documentation.
#[derive(Debug)]
pub struct Stream {
    place: Place,
    /// Until it is sent.
    request: Option<Request<()>>,
    is_head: bool,
    /// The request's body, until it is sent; then once more, where all of it is here.
    body: Option<RequestBody>,
    upload: Option<Upload>,
    response: Option<ResponseFuture>,
    /// The response's body.
    receive: Option<RecvStream>,
    /// Of the response's body, where it was said.
    left: Option<u64>,
    /// For whatever the exchange waits for at the moment.
    pub timer: Timer,
}

/// A request's body on its way.
#[derive(Debug)]
struct Upload {
    send: SendStream<Bytes>,
    body: RequestBody,
    /// Taken from the body, and not sent yet.
    piece: Bytes,
}

impl Stream {
    /// An exchange that has not begun.
    pub fn new(place: Place) -> Self {
        Self {
            place,
            request: None,
            is_head: false,
            body: None,
            upload: None,
            response: None,
            receive: None,
            left: None,
            timer: Timer::default(),
        }
    }

    /// Whether the connection has brought a response before.
    pub fn is_reused(&self) -> bool {
        self.place.is_reused()
    }

    /// See [`crate::upstream::link::Link::is_late`].
    pub fn is_late(&mut self) {
        self.place.retire();
    }

    /// Begins the exchange. Nothing is sent yet.
    pub fn begin(&mut self, request: Request<()>, body: RequestBody) {
        self.is_head = request.method() == http::Method::HEAD;
        self.request = Some(request);
        self.body = Some(body);
    }

    /// See [`crate::upstream::link::Link::send`].
    ///
    /// # Errors
    /// Outer: `on_wait`'s. Inner: see [`Unanswered`].
    pub async fn send<E>(
        &mut self,
        mut on_interim: impl FnMut(StatusCode, &HeaderMap),
        mut on_wait: impl FnMut(&mut Timer, &mut Context<'_>) -> Poll<E>,
    ) -> Result<Result<Head, Unanswered>, E> {
        poll_fn(|cx| match self.poll_head(cx, &mut on_interim) {
            Poll::Ready(Ok(head)) => Poll::Ready(Ok(Ok(head))),
            Poll::Ready(Err(error)) => Poll::Ready(Ok(Err(self.unanswered(error)))),
            Poll::Pending => on_wait(&mut self.timer, cx).map(Err),
        })
        .await
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        on_interim: &mut impl FnMut(StatusCode, &HeaderMap),
    ) -> Poll<Result<Head, Error>> {
        if self.request.is_some() {
            ready!(self.poll_begin(cx))?;
        }
        self.poll_upload(cx)?;
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(Error::Closed));
        };
        while let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            let (head, ()) = interim?.into_parts();
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                // There is none in HTTP/2 (RFC 9113, section 8.6), and a client would believe it.
                return Poll::Ready(Err(Error::Switched));
            }
            on_interim(head.status, &head.headers);
        }
        let (head, receive) = ready!(Pin::new(response).poll(cx))?.into_parts();
        self.place.served();
        self.left = if has_no_body(head.status, self.is_head) {
            Some(0)
        } else {
            let said = head.headers.get(CONTENT_LENGTH);
            said.and_then(|value| grammar::length(value.as_bytes()))
        };
        self.receive = Some(receive);
        Poll::Ready(Ok(Head {
            status: head.status,
            headers: head.headers,
        }))
    }

    /// Sends the head, when the connection has room for another stream.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut sender = self.place.sender();
        ready!(sender.poll_ready(cx))?;
        let (Some(request), Some(body)) = (self.request.take(), self.body.take()) else {
            return Poll::Ready(Err(Error::Closed));
        };
        let is_bodiless = body.is_end_stream();
        let kept = match &body {
            RequestBody::Whole(bytes) => Some(RequestBody::Whole(bytes.clone())),
            _ if is_bodiless => Some(RequestBody::Empty),
            _ => None,
        };
        let (response, send) = match sender.send_request(request, is_bodiless) {
            Ok(sent) => sent,
            Err(error) => {
                self.body = Some(body);
                return Poll::Ready(Err(error.into()));
            }
        };
        self.response = Some(response);
        self.body = kept;
        if !is_bodiless {
            self.upload = Some(Upload {
                send,
                body,
                piece: Bytes::new(),
            });
        }
        Poll::Ready(Ok(()))
    }

    /// Sends as much of the request's body as there is and the target takes.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        match upload.poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Err(Error::Body(error))) => {
                upload.send.send_reset(Reason::CANCEL);
                self.upload = None;
                Err(Error::Body(error))
            }
            // Also an error: who takes no more of a request may have answered it already.
            Poll::Ready(_) => {
                self.upload = None;
                Ok(())
            }
        }
    }

    fn unanswered(&mut self, error: Error) -> Unanswered {
        // What the target has not worked on can be sent again (RFC 9113, section 8.7), as long as all of it is here.
        let is_unsent = match &error {
            Error::H2(error) => is_unprocessed(error) || self.response.is_none(),
            Error::Closed => self.response.is_none(),
            Error::Switched | Error::Body(_) => false,
        };
        let unsent = self.body.take();
        self.upload = None;
        if !error.is_of_stream() {
            self.place.retire();
        }
        Unanswered {
            error: error.into(),
            unsent: unsent.filter(|_| is_unsent),
        }
    }

    /// The next piece of the response's body. The rest of the request is sent meanwhile.
    pub fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.drive_upload(cx);
        let Some(receive) = &mut self.receive else {
            return Poll::Ready(None);
        };
        if let Some(data) = ready!(receive.poll_data(cx)) {
            let data = data?;
            // Who asks for the next piece has passed this one on.
            receive.flow_control().release_capacity(data.len())?;
            if let Some(left) = &mut self.left {
                *left = left.saturating_sub(data.len() as u64);
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(receive.poll_trailers(cx))?;
        self.receive = None;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// Sends more of the request while the response is not read.
    pub fn drive_upload(&mut self, cx: &mut Context<'_>) {
        if let Err(error) = self.poll_upload(cx) {
            tracing::debug!("the rest of a request is not sent: {error:?}");
        }
    }

    /// Whether all of the response's body has been read.
    pub fn is_body_done(&self) -> bool {
        self.receive.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    /// How much of the response's body is to come, where that is known.
    pub fn remaining_body(&self) -> Option<u64> {
        if self.is_body_done() {
            Some(0)
        } else {
            self.left
        }
    }
}

impl Upload {
    /// Ready when all has been sent, or nothing more can be.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if !self.piece.is_empty() {
                if ready!(self.poll_piece(cx))? {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() && self.body.is_end_stream() => {
                        return Poll::Ready(self.end(None));
                    }
                    Ok(data) => self.piece = data,
                    Err(frame) => return Poll::Ready(self.end(frame.into_trailers().ok())),
                },
                Some(Err(error)) => return Poll::Ready(Err(Error::Body(error))),
                None => return Poll::Ready(self.end(None)),
            }
        }
    }

    /// Sends as much of the piece as the target takes; `true`: it was the last one.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let room = ready!(poll_room(&mut self.send, self.piece.len(), cx));
        let size = room.ok_or(Error::Closed)??;
        let part = self.piece.split_to(size);
        let is_last = self.piece.is_empty() && self.body.is_end_stream();
        self.send.send_data(part, is_last)?;
        Poll::Ready(Ok(is_last))
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Error> {
        match trailers {
            Some(received) => self.send.send_trailers(trailers::allowed(&received))?,
            None => self.send.send_data(Bytes::new(), true)?,
        }
        Ok(())
    }
}

/// Why an exchange ended early.
#[derive(Debug)]
enum Error {
    H2(h2::Error),
    Closed,
    Switched,
    Body(BodyError),
}

impl Error {
    /// Whether other exchanges over the same connection are not concerned.
    fn is_of_stream(&self) -> bool {
        match self {
            Self::H2(error) => error.is_reset(),
            Self::Switched | Self::Body(_) => true,
            Self::Closed => false,
        }
    }
}

impl From<h2::Error> for Error {
    fn from(error: h2::Error) -> Self {
        Self::H2(error)
    }
}

impl From<Error> for SendError {
    fn from(error: Error) -> Self {
        match error {
            // What came is not what HTTP/2 is.
            Error::H2(error)
                if error.is_library()
                    && error.is_reset()
                    && error.reason() != Some(Reason::CANCEL) =>
            {
                Self::Head(HeadError::Malformed(Malformed("not HTTP/2")))
            }
            Error::H2(error) => Self::Broken(Broken::Http2(error)),
            Error::Closed => Self::Broken(Broken::Closed),
            Error::Switched => Self::Head(HeadError::Malformed(Malformed("101 over HTTP/2"))),
            Error::Body(error) => Self::Body(error),
        }
    }
}

fn is_unprocessed(error: &h2::Error) -> bool {
    error.reason() == Some(Reason::REFUSED_STREAM)
        || error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}
