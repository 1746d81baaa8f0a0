//! One exchange of an HTTP/2 connection: the stream that its request came over and its response goes to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};

use crate::exchange::failure::ClientFailure;
use crate::exchange::hop_by_hop;
use crate::http1::body::Piece;
use crate::timer::Timer;

/// Interim responses of one exchange: an upstream may not make the gateway hoard.
const MOST_INTERIM: usize = 64 * 1024;

/// What a request's head says of its stream.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// It is an extended CONNECT.
    pub is_connect: bool,
    /// Of the request's body, where it was said.
    pub length: Option<u64>,
    /// Whether the client waits with its body until it is asked for it.
    pub expects_continue: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Stream {
    respond: RefCell<SendResponse<Bytes>>,
    receive: RefCell<Option<RecvStream>>,
    asked: Asked,
    /// Between two pieces of the body.
    idle: Duration,
    /// Bytes of interim responses.
    interim: Cell<usize>,
    /// Whether the final head has been sent.
    has_answered: Cell<bool>,
}

impl Stream {
    /// Of the two halves of a stream, and what the request's head says about it.
    pub fn new(
        respond: SendResponse<Bytes>,
        receive: RecvStream,
        asked: Asked,
        idle: Duration,
    ) -> Rc<Self> {
        Rc::new(Self {
            respond: RefCell::new(respond),
            receive: RefCell::new(Some(receive)),
            asked,
            idle,
            interim: Cell::new(0),
            has_answered: Cell::new(false),
        })
    }

    /// How long the body is that has not been taken, where that is known.
    pub fn remaining_body(&self) -> Option<u64> {
        match &*self.receive.borrow() {
            Some(receive) if !receive.is_end_stream() => self.asked.length,
            _ => Some(0),
        }
    }

    /// Whether it was opened by an extended CONNECT.
    pub fn is_connect(&self) -> bool {
        self.asked.is_connect
    }

    /// The request's body; once.
    pub fn take_incoming(self: &Rc<Self>) -> Option<Incoming> {
        Some(Incoming {
            receive: self.take_receive()?,
            is_asked_for: !self.asked.expects_continue,
            left: self.asked.length,
            has_ended: false,
            timer: Timer::default(),
            stream: Rc::clone(self),
        })
    }

    /// What the client sends, as it is; once.
    pub fn take_receive(&self) -> Option<RecvStream> {
        self.receive.take()
    }

    /// Sends the final head, and returns where the body goes.
    ///
    /// # Errors
    /// The client has gone.
    pub fn send_head(
        &self,
        response: Response<()>,
        is_end: bool,
    ) -> Result<SendStream<Bytes>, h2::Error> {
        self.has_answered.set(true);
        self.respond.borrow_mut().send_response(response, is_end)
    }

    /// How long a client may take nothing of its response.
    pub fn idle_timeout(&self) -> Duration {
        self.idle
    }

    /// Before the response: whether the client wants none any more.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.respond.borrow_mut().poll_reset(cx).map(|_| ())
    }

    /// See [`crate::server::downstream::Downstream::push_interim`].
    pub fn push_interim(&self, status: StatusCode, headers: &HeaderMap) {
        // A body may be asked for later than it is answered; there must be none behind the final head (RFC 9110, section 15.2).
        if self.has_answered.get() {
            return;
        }
        let mut headers = headers.clone();
        hop_by_hop::strip(&mut headers);
        headers.remove(CONTENT_LENGTH);
        let bytes = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len()
        };
        let size = self.interim.get() + 64 + headers.iter().map(bytes).sum::<usize>();
        if size > MOST_INTERIM {
            return;
        }
        self.interim.set(size);
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        if let Err(error) = self.respond.borrow_mut().send_informational(response) {
            tracing::debug!("an interim response was not sent: {error}");
        }
    }
}

/// A request's body as it comes.
#[derive(Debug)]
pub struct Incoming {
    stream: Rc<Stream>,
    receive: RecvStream,
    is_asked_for: bool,
    left: Option<u64>,
    has_ended: bool,
    timer: Timer,
}

impl Incoming {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The body broke off, or stopped coming.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, ClientFailure>>> {
        loop {
            if self.has_ended {
                return Poll::Ready(None);
            }
            match self.receive.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.timer.stop();
                    self.is_asked_for = true;
                    let flow = self.receive.flow_control();
                    // Who asks for the next piece has passed this one on.
                    if flow.release_capacity(data.len()).is_err() {
                        return Poll::Ready(Some(Err(ClientFailure::BodyBroken)));
                    }
                    self.has_ended = self.receive.is_end_stream();
                    if let Some(left) = &mut self.left {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Piece::Data(data))));
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    return Poll::Ready(Some(Err(ClientFailure::BodyBroken)));
                }
                Poll::Ready(None) => match self.receive.poll_trailers(cx) {
                    Poll::Ready(trailers) => {
                        self.has_ended = true;
                        return Poll::Ready(match trailers {
                            Ok(trailers) => trailers.map(|trailers| Ok(Piece::Trailers(trailers))),
                            Err(_) => Some(Err(ClientFailure::BodyBroken)),
                        });
                    }
                    Poll::Pending => return self.poll_timer(cx),
                },
                Poll::Pending => {
                    if !std::mem::replace(&mut self.is_asked_for, true) {
                        self.stream
                            .push_interim(StatusCode::CONTINUE, &HeaderMap::new());
                    }
                    return self.poll_timer(cx);
                }
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, ClientFailure>>> {
        if !self.timer.is_running() {
            self.timer.start(self.stream.idle);
        }
        self.timer
            .poll(cx)
            .map(|()| Some(Err(ClientFailure::Timeout)))
    }

    /// Whether nothing is left to come.
    pub fn is_done(&self) -> bool {
        self.has_ended || self.receive.is_end_stream()
    }

    /// How much is left to come, where that is known.
    pub fn remaining(&self) -> Option<u64> {
        if self.is_done() { Some(0) } else { self.left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_interim_is_sent_behind_the_final_head() {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let client = async {
            let (mut send, connection) = h2::client::handshake(near).await.unwrap();
            tokio::spawn(connection);
            let request = http::Request::post("http://a/").body(()).unwrap();
            let (response, body) = send.send_request(request, false).unwrap();
            let mut response = response.await.unwrap().into_body();
            let end = response.data().await.map(Result::unwrap);
            drop((body, send));
            end
        };
        let server = async {
            let mut connection = h2::server::handshake(far).await.unwrap();
            let (request, respond) = connection.accept().await.unwrap().unwrap();
            let asked = Asked {
                is_connect: false,
                length: None,
                expects_continue: true,
            };
            let receive = request.into_body();
            let stream = Stream::new(respond, receive, asked, Duration::from_mins(1));
            let mut incoming = stream.take_incoming().unwrap();
            let mut send = stream.send_head(Response::new(()), false).unwrap();
            // Polled late, it would ask for the body.
            let asked = std::future::poll_fn(|cx| Poll::Ready(incoming.poll(cx).is_pending()));
            assert!(asked.await);
            assert_eq!(stream.interim.get(), 0);
            send.send_data(Bytes::from_static(b"end"), true).unwrap();
            drop((send, incoming, stream));
            while connection.accept().await.is_some() {}
        };
        let (end, ()) = tokio::join!(client, server);
        assert_eq!(end, Some(Bytes::from_static(b"end")));
    }
}
