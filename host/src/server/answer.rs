//! Writes a response to its client: the head, the body as it comes, and how the connection goes on.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use http_body::{Body as _, Frame};

use super::socket::ClientSocket;
use crate::exchange::trailers;
use crate::http1::grammar;
use crate::http1::outbox::{Encoder, WrongLength};
use crate::http1::response::has_no_body;
use crate::observe::record::Recorded;
use crate::timer::Timer;

/// What of a request decides about the form of its response.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Its version.
    pub version: Version,
    /// Its method is HEAD.
    pub is_head: bool,
    /// Whether the client wants to send more requests, and may.
    pub keep_alive: bool,
}

impl Asked {
    /// Whether a request has this method, version, and wish.
    pub fn new(method: &Method, version: Version, keep_alive: bool) -> Self {
        Self {
            version,
            is_head: *method == Method::HEAD,
            keep_alive,
        }
    }
}

/// Why a response was not written to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The client has gone, or takes nothing any more.
    Gone,
    /// The body broke off.
    Body,
}

/// A response on its way.
#[derive(Debug)]
pub struct Answer {
    socket: ClientSocket,
    body: Recorded,
    encoder: Encoder,
    /// Fields that may stand behind the body.
    announced: Vec<HeaderName>,
    /// Whether all of the body is in the outbox.
    is_complete: bool,
    broken: Option<Broken>,
    /// Runs while the client takes nothing.
    timer: Timer,
    patience: Duration,
    /// Whether the client was told that the connection stays.
    pub keep_alive: bool,
}

impl Answer {
    /// Puts the head into the socket's outbox.
    pub fn begin(socket: &ClientSocket, response: Response<Recorded>, asked: Asked) -> Self {
        let (head, body) = response.into_parts();
        let is_1_1 = asked.version != Version::HTTP_10;
        let encoder = encoder(asked, head.status, &head.headers, &body);
        let keep_alive = asked.keep_alive && encoder.ends_by_itself() && !socket.must_close();
        socket.begin_answer();
        let announced = match encoder {
            Encoder::Chunked => trailers::announced(&head.headers),
            _ => Vec::new(),
        };
        socket.with_outbox(|out| {
            out.put_status(is_1_1, head.status);
            for (name, value) in &head.headers {
                // A response without a body may say how long one would be.
                if name != CONTENT_LENGTH || encoder == Encoder::None {
                    out.put_field(name, value);
                }
            }
            match encoder {
                Encoder::Chunked => out.put(b"transfer-encoding: chunked\r\n"),
                Encoder::Length(length) => out.put_length(length),
                Encoder::None | Encoder::UntilClose => {}
            }
            if !head.headers.contains_key(DATE) {
                out.put_field(&DATE, &now());
            }
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                // Its head says what becomes of the connection.
            } else if !keep_alive {
                out.put(b"connection: close\r\n");
            } else if !is_1_1 {
                out.put(b"connection: keep-alive\r\n");
            }
            out.put(b"\r\n");
        });
        let is_complete = encoder == Encoder::None || encoder == Encoder::Length(0);
        Self {
            socket: socket.clone(),
            body,
            encoder,
            announced,
            is_complete,
            broken: None,
            timer: Timer::default(),
            patience: socket.idle_timeout(),
            keep_alive,
        }
    }

    /// Whether only the connection's end ends the body.
    pub fn ends_with_connection(&self) -> bool {
        !self.encoder.ends_by_itself()
    }

    /// What is being recorded, at the response's end.
    pub fn into_record(self) -> Recorded {
        self.body
    }

    /// Writes the response, as fast as the client takes it; what has come of a body is never held back for more of it.
    ///
    /// # Errors
    /// See [`Broken`]; the client must not take what it has got for the whole.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            let is_waiting = self.poll_encode(cx).is_pending();
            let before = self.socket.progress();
            match self.socket.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Gone)),
                Poll::Pending => {
                    let has_moved = self.socket.progress() != before;
                    if has_moved || !self.timer.is_running() {
                        self.timer.start(self.patience);
                    }
                    if self.body.poll_overdue(cx).is_ready() {
                        return Poll::Ready(Err(Broken::Body));
                    }
                    // The other direction has nothing to do with a client that does not read.
                    self.body.drive_upload(cx);
                    ready!(self.timer.poll(cx));
                    tracing::debug!("a client took nothing for {:?}", self.patience);
                    return Poll::Ready(Err(Broken::Gone));
                }
            }
            self.timer.stop();
            if let Some(broken) = self.broken {
                return Poll::Ready(Err(broken));
            }
            if self.is_complete {
                return Poll::Ready(Ok(()));
            }
            if is_waiting {
                ready!(self.socket.poll_gone(cx));
                return Poll::Ready(Err(Broken::Gone));
            }
        }
    }

    /// Puts as much into the outbox as there is room for. Pending: no more of the body has come.
    fn poll_encode(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_complete
            && self.broken.is_none()
            && self.socket.with_outbox(|out| out.has_room())
        {
            let encoded = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => self.encode(frame),
                Some(Err(_)) => {
                    self.broken = Some(Broken::Body);
                    return Poll::Ready(());
                }
                None => self.end(None),
            };
            if encoded.is_err() {
                tracing::debug!("a response's body is not as long as its head says");
                self.broken = Some(Broken::Body);
            }
        }
        Poll::Ready(())
    }

    fn encode(&mut self, frame: Frame<Bytes>) -> Result<(), WrongLength> {
        match frame.into_data() {
            Ok(data) => {
                let is_last = self.body.is_end_stream();
                let encoder = &mut self.encoder;
                self.socket
                    .with_outbox(|out| encoder.data(out, data, is_last))?;
                if is_last {
                    self.is_complete = true;
                    if matches!(self.encoder, Encoder::Length(left) if left > 0) {
                        return Err(WrongLength);
                    }
                }
                Ok(())
            }
            Err(frame) => {
                let received = frame.trailers_ref();
                let kept = received.map(|all| trailers::kept(all, &self.announced));
                self.end(kept.as_ref())
            }
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) -> Result<(), WrongLength> {
        self.is_complete = true;
        let encoder = self.encoder;
        self.socket.with_outbox(|out| encoder.end(out, trailers))
    }
}

/// How a response's body is written (RFC 9112, section 6).
fn encoder(asked: Asked, status: StatusCode, headers: &HeaderMap, body: &Recorded) -> Encoder {
    if has_no_body(status, asked.is_head) {
        return Encoder::None;
    }
    let said = headers.get(CONTENT_LENGTH);
    let said = said.and_then(|value| grammar::length(value.as_bytes()));
    // What is there of the body is surer than what a head says that plugins may have changed.
    match body.size_hint().exact().or(said) {
        Some(length) => Encoder::Length(length),
        None if asked.version == Version::HTTP_10 => Encoder::UntilClose,
        None => Encoder::Chunked,
    }
}

/// The date, as it stands in a head. Written once a second.
pub fn now() -> HeaderValue {
    thread_local! {
        static WRITTEN: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }
    let now = SystemTime::now();
    let second = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    WRITTEN.with_borrow_mut(|(written, date)| {
        if *written != second {
            *written = second;
            *date = HeaderValue::from_str(&httpdate::fmt_http_date(now))
                .unwrap_or(HeaderValue::from_static(""));
        }
        date.clone()
    })
}
