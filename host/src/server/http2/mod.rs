//! HTTP/2 connections of clients (RFC 9113).
//!
//! Each exchange is a task of its own on the worker's thread; the connection's task reads and writes frames. What a client may
//! make the gateway do is bounded: streams at the same time, bytes of a head, what is received and not taken, and how often
//! it may take a request back (CVE-2023-44487, "rapid reset").
//!
//! - [`request`]: a head, held to the rules of HTTP/1.1
//! - [`stream`]: the stream of one exchange, and the body that comes over it
//! - [`answer`]: the response
//! - [`patience`]: how often a request may be taken back
//! - [`writing`]: how long the client has taken nothing

pub mod answer;
pub mod patience;
pub mod request;
pub mod stream;
pub mod writing;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{self, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request, Version};
use tokio::task::JoinSet;

use self::answer::{Answer, answer_to_connect};
use self::patience::Patience;
use self::stream::{Asked, Stream};
use self::writing::{Watched, Writing};
use super::LINGER;
use super::connection::{Context, Counted, TOO_MANY_CONNECTIONS, Watching, switched, within};
use super::downstream::Downstream;
use crate::config::ServerLimits;
use crate::exchange::failure::{Failure, Form};
use crate::exchange::new_request_id;
use crate::gateway::{self, Served, Switch};
use crate::http2::tunnel::Tunnel;
use crate::observe::failure_log;
use crate::timer::Timer;
use crate::transport;
use crate::websocket::tunnel::End;

/// What one stream may send before it is taken.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What all streams of a connection may send before it is taken. So much more than one stream's that those whose bodies nobody takes
/// do not keep others waiting.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// What waits to be written to one stream.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves a connection as long as it lives.
pub async fn serve(context: Rc<Context>, stream: transport::Stream, limits: &ServerLimits) {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .enable_connect_protocol();
    let (stream, writing) = Watched::new(stream);
    let handshake = builder.handshake(stream);
    let drain = &context.worker.drain;
    let connection = match within(drain, limits.header_timeout, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!("no HTTP/2: {error}");
            return;
        }
        Err(_) => return,
    };
    let mut exchanges = Exchanges::default();
    accept(&context, connection, &writing, limits, &mut exchanges).await;
    // They learn from their streams that the connection has ended; what plugins of a hub are told then is theirs to finish.
    while exchanges.tasks.join_next().await.is_some() {}
}

/// The exchanges of a connection that have not ended.
#[derive(Default)]
struct Exchanges {
    tasks: JoinSet<()>,
    /// Each but one counts as a connection: that one is the connection itself.
    further: Vec<Counted>,
}

impl Exchanges {
    /// Whether there is room for one more among all connections of the gateway.
    fn admits(&mut self, count: &Arc<AtomicUsize>, most: usize) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.forget_ended();
        if self.tasks.is_empty() {
            return true;
        }
        let (counted, open) = Counted::new(count);
        let is_admitted = open <= most;
        if is_admitted {
            self.further.push(counted);
        }
        is_admitted
    }

    /// Whether none is left.
    fn poll_ended(&mut self, cx: &mut task::Context<'_>) -> bool {
        while let Poll::Ready(Some(_)) = self.tasks.poll_join_next(cx) {}
        self.forget_ended();
        self.tasks.is_empty()
    }

    fn forget_ended(&mut self) {
        self.further.truncate(self.tasks.len().saturating_sub(1));
    }
}

/// Accepts requests until the connection ends.
async fn accept(
    context: &Rc<Context>,
    mut connection: Connection<Watched, Bytes>,
    writing: &Writing,
    limits: &ServerLimits,
    exchanges: &mut Exchanges,
) {
    let worker = &context.worker;
    let _watching = Watching::new(&worker.drain).await;
    let patience = Patience::default();
    let (mut idle, mut overdue) = (Timer::default(), Timer::default());
    let (mut is_ending, mut waited_for_them) = (false, false);
    let ended = poll_fn(|cx| {
        loop {
            if !is_ending && worker.drain.has_begun() {
                is_ending = true;
                // Not after the time that an idle one has otherwise.
                idle.stop();
                connection.graceful_shutdown();
            }
            if patience.is_over() {
                tracing::debug!("a client took back too many requests");
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                // Once more, to have that written.
                let _ = connection.poll_accept(cx);
                return Poll::Ready(Ok(()));
            }
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, mut respond)))) => {
                    if !exchanges.admits(&worker.connections, limits.connections) {
                        let form = Form::asked_for(Version::HTTP_2, request.headers());
                        refuse(
                            context,
                            &mut respond,
                            form,
                            &Failure::Limit(TOO_MANY_CONNECTIONS),
                        );
                        continue;
                    }
                    let exchange = exchange(
                        Rc::clone(context),
                        request,
                        respond,
                        limits,
                        patience.clone(),
                    );
                    exchanges.tasks.spawn_local(exchange);
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            let is_empty = exchanges.poll_ended(cx);
            let patient_for = limits.idle_timeout;
            if writing
                .poll_overdue(cx, &mut overdue, patient_for)
                .is_ready()
            {
                tracing::debug!("a client took nothing for {patient_for:?}");
                return Poll::Ready(Ok(()));
            }
            if !is_empty || writing.is_blocked() {
                idle.stop();
                return Poll::Pending;
            }
            // A response may wait here for its client when its exchange has ended.
            let has_streams = connection.has_streams();
            if !idle.is_running() || has_streams != waited_for_them {
                waited_for_them = has_streams;
                idle.start(if is_ending && !has_streams {
                    LINGER
                } else {
                    patient_for
                });
            }
            if idle.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if is_ending {
                return Poll::Ready(Ok(()));
            }
            is_ending = true;
            connection.graceful_shutdown();
        }
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!("an HTTP/2 connection broke: {error}");
    }
}

/// From a request's head to the last byte of its response, and what comes behind an extended CONNECT.
fn exchange(
    context: Rc<Context>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    limits: &ServerLimits,
    patience: Patience,
) -> impl Future<Output = ()> + use<> {
    let (head, receive) = request.into_parts();
    let form = Form::asked_for(head.version, &head.headers);
    let received = request::read(head, limits.headers);
    let idle = limits.idle_timeout;
    let began = Instant::now();
    async move {
        let received = match received {
            Ok(received) => received,
            Err(refusal) => {
                refuse(&context, &mut respond, form, &refusal.into());
                return;
            }
        };
        let is_head = received.request.method == Method::HEAD;
        let length = if received.is_connect {
            Some(0)
        } else {
            received.length
        };
        let asked = Asked {
            is_connect: received.is_connect,
            length,
            expects_continue: received.expects_continue,
        };
        let stream = Stream::new(respond, receive, asked, idle);
        let downstream = Downstream::Http2(Rc::clone(&stream));
        let mut serving = Box::pin(gateway::serve(&context, received.request, downstream));
        let served = poll_fn(|cx| match serving.as_mut().poll(cx) {
            Poll::Ready(served) => Poll::Ready(Some(served)),
            Poll::Pending => stream.poll_gone(cx).map(|()| None),
        })
        .await;
        drop(serving);
        let Some(Served { response, switch }) = served else {
            patience.taken_back(began);
            return;
        };
        if let Some(switch) = switch {
            Box::pin(switch_over(&stream, response, switch)).await;
            // One that hardly lived is as good as taken back, however it ended.
            patience.taken_back(began);
            return;
        }
        let Ok(mut answer) = Answer::begin(&stream, response, is_head) else {
            patience.taken_back(began);
            return;
        };
        match poll_fn(|cx| answer.poll(cx)).await {
            Ok(()) => patience.answered(),
            Err(super::answer::Broken::Gone) => patience.taken_back(began),
            Err(super::answer::Broken::Body) => {}
        }
    }
}

/// The stream becomes a tunnel, or a hub's.
async fn switch_over(
    stream: &Stream,
    response: http::Response<crate::observe::record::Recorded>,
    switch: Switch,
) {
    let (head, record) = answer_to_connect(response).into_parts();
    let mut response = http::Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    crate::exchange::hop_by_hop::strip(response.headers_mut());
    let send = stream.send_head(response, false);
    let (Ok(send), Some(receive)) = (send, stream.take_receive()) else {
        return;
    };
    let client = End {
        stream: transport::Stream::Http2(Box::new(Tunnel::new(send, receive))),
        read_ahead: bytes::BytesMut::new(),
    };
    switched(switch, record, client).await;
}

/// Answers a head that is no request, or one too many.
fn refuse(context: &Context, respond: &mut SendResponse<Bytes>, form: Form, failure: &Failure) {
    let generation = Rc::clone(&context.worker.generation.borrow());
    if let Some(metrics) = &generation.snapshot.metrics {
        metrics.failed(failure.error_type());
    }
    let request_id = new_request_id();
    match failure {
        Failure::Client(refusal) => failure_log::refused(&request_id, context.peer, *refusal),
        _ => failure_log::failed(&request_id, failure),
    }
    let (mut head, body) = failure.respond(&request_id, form).into_parts();
    head.version = Version::HTTP_2;
    let response = http::Response::from_parts(head, ());
    if let Ok(mut send) = respond.send_response(response, body.is_empty())
        && !body.is_empty()
        && let Err(error) = send.send_data(body, true)
    {
        tracing::debug!("a refusal was not sent: {error}");
    }
}
