//! One client's connection from accept to close.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{IpAddr, TcpListener};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{HeaderValue, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::LINGER;
use super::answer::{Answer, Asked, Broken};
use super::downstream::Downstream;
use super::handshake::{self, Established, HandshakeError};
use super::http2;
use super::socket::{ClientSocket, LAST_REQUEST, Received, Timeouts};
use super::worker::{Drain, Worker};
use crate::config::{Protocols, Redirect};
use crate::exchange::failure::{ClientFailure, Failure, Form};
use crate::exchange::forwarded::Forwarded;
use crate::exchange::{Scheme, new_request_id};
use crate::gateway::{self, Served, Switch};
use crate::http1::outbox::Outbox;
use crate::http1::request::HeadLimits;
use crate::hub;
use crate::observe::failure_log;
use crate::observe::record::Recorded;
use crate::snapshot::listeners::Listener;
use crate::timer::Timer;
use crate::tls::HTTP_2;
use crate::transport::Stream;
use crate::websocket::tunnel;

/// What exchanges know of the connection that they came over.
#[derive(Debug)]
pub struct Context {
    /// What may be spoken over it.
    pub protocols: Protocols,
    /// The worker.
    pub worker: Rc<Worker>,
    /// The other end's address, or that of who is behind it.
    pub peer: IpAddr,
    /// How it reached us.
    pub scheme: Scheme,
    /// The subject of the certificate that it has shown, and that was verified.
    pub client_subject: Option<Arc<str>>,
    /// Where its requests are sent to instead of being served.
    pub redirect: Option<Redirect>,
    /// Tells upstreams about the other end.
    pub forwarded: Forwarded,
}

/// Wait so long after a failed accept: the reason (no file descriptors, mostly) does not go away
/// faster by asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is told to those who are above `limits.connections`.
pub(super) const TOO_MANY_CONNECTIONS: &str = "too many connections";

/// Accepts connections until the gateway stops. No error ends it. What the system has taken on for this socket by then is
/// still accepted: closing the socket would reset it.
///
/// `index`: the listener's, in the snapshot.
pub async fn accept(
    worker: Rc<Worker>,
    listener: TcpListener,
    index: usize,
    connections: Rc<RefCell<JoinSet<()>>>,
    mut draining: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("a listener can't be used: {error}");
            return;
        }
    };
    let admit = |stream, peer: std::net::SocketAddr| {
        let mut connections = connections.borrow_mut();
        connections.spawn_local(serve(Rc::clone(&worker), index, stream, peer.ip()));
        while connections.try_join_next().is_some() {}
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = draining.wait_for(|draining| *draining) => break,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer),
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Without tokio's budget, which ends after a hundred and some.
    let all = tokio::task::unconstrained(poll_fn(|cx| {
        for _ in 0..super::listen::BACKLOG {
            let Poll::Ready(Ok((stream, peer))) = listener.poll_accept(cx) else {
                break;
            };
            admit(stream, peer);
        }
        Poll::Ready(())
    }));
    all.await;
}

/// Counts an open connection for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// And how many there are with it.
    pub(super) fn new(count: &Arc<AtomicUsize>) -> (Self, usize) {
        let before = count.fetch_add(1, Ordering::Relaxed);
        (Self(Arc::clone(count)), before + 1)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that has become something else than HTTP.
struct Switched {
    switch: Switch,
    record: Recorded,
    client: tunnel::End,
}

/// Serves a connection as long as it lives. The parts are boxed, so that none takes up room while another one runs: of
/// those that have become something else there may be very many.
async fn serve(worker: Rc<Worker>, index: usize, stream: TcpStream, peer: IpAddr) {
    let (_counted, open) = Counted::new(&worker.connections);
    let Some(listener) = worker.listener(index) else {
        return;
    };
    let Some(established) = Box::pin(begin(&worker, &listener, stream, peer, open)).await else {
        return;
    };
    let Some(to) = Box::pin(speak_http(worker, listener, established)).await else {
        return;
    };
    let Switched {
        switch,
        record,
        client,
    } = to;
    Box::pin(switched(switch, record, client)).await;
}

/// What becomes of a connection, or of a stream, that is not HTTP any more.
pub(super) async fn switched(switch: Switch, record: Recorded, client: tunnel::End) {
    match switch {
        Switch::Tunnel(opening) => tunnel::run(client, opening, record).await,
        Switch::Hub(hub, accepted) => {
            // Recorded now: what follows is the hub's to tell.
            drop(record);
            let tunnel::End { stream, read_ahead } = client;
            hub::serve(hub, *accepted, stream, read_ahead.freeze()).await;
        }
    }
}

/// Up to where HTTP can be spoken. `open`: connections that there are. `None`: it is over.
async fn begin(
    worker: &Rc<Worker>,
    listener: &Listener,
    stream: TcpStream,
    peer: IpAddr,
    open: usize,
) -> Option<Established> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("a connection ended before it began: {error}");
        return None;
    }
    let snapshot = Arc::clone(&worker.generation.borrow().snapshot);
    let limits = &snapshot.limits;
    if open > limits.connections {
        let failure = Failure::Limit(TOO_MANY_CONNECTIONS);
        let request_id = new_request_id();
        failure_log::failed(&request_id, &failure);
        if let Some(metrics) = &snapshot.metrics {
            metrics.failed(failure.error_type());
        }
        // A client of TLS could not read it before a handshake, which is what there is no room for.
        if listener.tls.is_none() {
            refuse(&mut stream.into(), &failure, &request_id).await;
        }
        return None;
    }
    if listener.is_bare() {
        return Some(Established::plain(stream, peer));
    }
    let limit = limits.handshake_timeout;
    let established = handshake::establish(stream, peer, listener, limit, &worker.drain);
    let error = match established.await {
        Ok(established) => return Some(established),
        Err(error) => error,
    };
    error.log(peer);
    if let Some(metrics) = &snapshot.metrics {
        metrics.handshake_failed(error.reason());
    }
    let is_about_certificates = error.is_about_certificates();
    match error {
        HandshakeError::PlainHttp(mut stream) => {
            let failure = ClientFailure::Malformed(
                "this port speaks https, and the request was not encrypted",
            );
            refuse(&mut stream, &failure.into(), &new_request_id()).await;
        }
        // A client of TLS 1.3 has sent its request by now. To close at once would take from it the alert that says why.
        HandshakeError::Tls(_, mut stream) if is_about_certificates => close(&mut stream).await,
        _ => {}
    }
    None
}

/// Serves exchanges until the connection ends, or becomes something else.
async fn speak_http(
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    established: Established,
) -> Option<Switched> {
    let Established {
        stream,
        peer,
        scheme,
        client_subject,
    } = established;
    let limits = worker.generation.borrow().snapshot.limits.clone();
    let context = Rc::new(Context {
        worker: Rc::clone(&worker),
        protocols: spoken(&stream, scheme, listener.protocols),
        peer,
        scheme,
        client_subject,
        redirect: listener.redirect,
        forwarded: Forwarded::new(peer),
    });
    // What a later configuration makes of the listener is for later connections.
    drop(listener);
    if !context.protocols.http1 && scheme == Scheme::Https {
        // Boxed: the connections of HTTP/1.1 need not have room for it.
        Box::pin(http2::serve(context, stream, &limits)).await;
        return None;
    }
    let socket = ClientSocket::new(
        stream,
        HeadLimits {
            bytes: limits.header_bytes,
            fields: limits.headers,
        },
        Timeouts {
            header: limits.header_timeout,
            idle: limits.idle_timeout,
        },
    );
    let end = exchanges(&context, &socket).await;
    let context = match end {
        End::Http2 => Some(context),
        _ => None,
    };
    // What is left of an exchange that was cancelled may hold it: then it closes with that.
    let (mut stream, read_ahead) = socket.into_parts()?;
    match end {
        End::Switch(switch, record) => {
            return Some(Switched {
                switch,
                record: *record,
                client: tunnel::End { stream, read_ahead },
            });
        }
        End::Http2 => {
            let stream = stream.begun(read_ahead.freeze());
            if let Some(context) = context {
                Box::pin(http2::serve(context, stream, &limits)).await;
            }
        }
        End::Close => close(&mut stream).await,
        End::Gone => {}
        End::Abort => {
            stream.reset_when_dropped(true);
        }
        End::Refuse(refusal) => {
            let generation = Rc::clone(&worker.generation.borrow());
            if let Some(metrics) = &generation.snapshot.metrics {
                metrics.failed(Failure::from(refusal).error_type());
            }
            let request_id = new_request_id();
            failure_log::refused(&request_id, peer, refusal);
            refuse(&mut stream, &refusal.into(), &request_id).await;
        }
    }
    None
}

/// What may be spoken over a connection: with TLS that is agreed on by ALPN, and a client that does not know ALPN speaks HTTP/1.1
/// unless the listener has nothing but HTTP/2 (RFC 9113, section 3.2).
fn spoken(stream: &Stream, scheme: Scheme, protocols: Protocols) -> Protocols {
    if scheme == Scheme::Http {
        return protocols;
    }
    let http2 = match stream.alpn() {
        Some(name) => name == HTTP_2,
        None => !protocols.http1,
    };
    Protocols {
        http1: !http2,
        http2,
    }
}

/// How a connection ends.
#[derive(Debug)]
enum End {
    /// Everything has been said.
    Close,
    /// The client has gone.
    Gone,
    /// The client must be able to tell that its response is not whole, and has nothing else to tell it from.
    Abort,
    /// A head has to be answered with this.
    Refuse(ClientFailure),
    /// What comes is HTTP/2.
    Http2,
    /// It becomes something else than HTTP.
    Switch(Switch, Box<Recorded>),
}

/// One exchange after the other.
async fn exchanges(context: &Rc<Context>, socket: &ClientSocket) -> End {
    let _watching = Watching::new(&context.worker.drain).await;
    loop {
        let drain = &context.worker.drain;
        let received = poll_fn(|cx| socket.poll_head(cx, drain.has_begun())).await;
        match received {
            Ok(Some(_)) if !context.protocols.http1 => return End::Refuse(ClientFailure::Version),
            Ok(Some(received)) => {
                if let Err(end) = exchange(context, socket, received).await {
                    return end;
                }
            }
            Ok(None) => return End::Close,
            Err(ClientFailure::Version) if context.protocols.http2 && socket.begins_http2() => {
                return End::Http2;
            }
            Err(refusal) => return End::Refuse(refusal),
        }
    }
}

/// From a request's head to the last byte of its response.
async fn exchange(
    context: &Rc<Context>,
    socket: &ClientSocket,
    received: Received,
) -> Result<(), End> {
    let Received {
        request,
        keep_alive,
    } = received;
    let mut asked = Asked::new(&request.method, request.version, keep_alive);
    // Boxed: it is large, and a connection that is idle need not have room for it.
    let mut serving = Box::pin(gateway::serve(
        context,
        request,
        Downstream::Http1(socket.clone()),
    ));
    let served = poll_fn(|cx| {
        if let Poll::Ready(served) = serving.as_mut().poll(cx) {
            return Poll::Ready(Some(served));
        }
        // Interim responses.
        match socket.poll_flush(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            _ => socket.poll_gone(cx).map(|()| None),
        }
    })
    .await;
    drop(serving);
    let Served { response, switch } = served.ok_or(End::Gone)?;
    asked.keep_alive &= !context.worker.drain.has_begun();
    let mut answer = Answer::begin(socket, response, asked);
    // However it is cut off, by the end of a shutdown's grace for one.
    let ends_with_connection = answer.ends_with_connection();
    if ends_with_connection {
        socket.reset_when_dropped(true);
    }
    match poll_fn(|cx| answer.poll(cx)).await {
        Ok(()) if ends_with_connection => socket.reset_when_dropped(false),
        Ok(()) => {}
        // What waits in the kernel for somebody who takes nothing is thrown away with it.
        Err(Broken::Gone) => return Err(End::Abort),
        // A client of HTTP/1.0 may take the connection's end for the body's, whatever the head says.
        Err(Broken::Body) if answer.ends_with_connection() || asked.version == Version::HTTP_10 => {
            return Err(End::Abort);
        }
        Err(Broken::Body) => return Err(End::Close),
    }
    if let Some(switch) = switch {
        return Err(End::Switch(switch, Box::new(answer.into_record())));
    }
    let keep_alive = answer.keep_alive;
    drop(answer);
    let can_go_on = poll_fn(|cx| Poll::Ready(socket.end_exchange(cx))).await;
    if keep_alive && can_go_on {
        Ok(())
    } else {
        Err(End::Close)
    }
}

/// Has a connection's task woken when the gateway stops.
pub(super) struct Watching<'a> {
    drain: &'a Drain,
    key: usize,
}

impl<'a> Watching<'a> {
    pub(super) async fn new(drain: &'a Drain) -> Self {
        let key = poll_fn(|cx| Poll::Ready(drain.watch(cx.waker()))).await;
        Self { drain, key }
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.drain.forget(self.key);
    }
}

/// Waits for the steps before a first request, for at most `limit`. When the gateway stops, not much longer.
///
/// # Errors
/// They were not done in time, which was this.
pub(super) async fn within<T>(
    drain: &Drain,
    limit: Duration,
    steps: impl Future<Output = T>,
) -> Result<T, Duration> {
    let _watching = Watching::new(drain).await;
    let mut steps = pin!(steps);
    let mut timer = Timer::started(limit);
    let mut limit = limit;
    let mut is_ending = false;
    poll_fn(|cx| {
        if let Poll::Ready(result) = steps.as_mut().poll(cx) {
            return Poll::Ready(Ok(result));
        }
        if !is_ending && drain.has_begun() {
            is_ending = true;
            limit = limit.min(LAST_REQUEST);
            timer.start_before(limit);
        }
        timer.poll(cx).map(|()| Err(limit))
    })
    .await
}

/// Answers outside of any exchange, and closes.
async fn refuse(stream: &mut Stream, failure: &Failure, request_id: &HeaderValue) {
    let response = failure.respond(request_id, Form::Text);
    let mut out = Outbox::default();
    out.put_status(true, response.status());
    for (name, value) in response.headers() {
        out.put_field(name, value);
    }
    out.put_length(response.body().len() as u64);
    out.put(b"connection: close\r\n\r\n");
    out.put(response.body());
    let write = poll_fn(|cx| out.poll_write(cx, Pin::new(&mut *stream)));
    if matches!(tokio::time::timeout(LINGER, write).await, Ok(Ok(()))) {
        close(stream).await;
    }
}

/// Closes in two steps (RFC 9112, section 9.6): closing at once while the client still sends would
/// reset the connection, and the client could lose the answer.
async fn close(stream: &mut Stream) {
    const MOST: usize = 256 * 1024;
    let linger = async {
        stream.shutdown().await?;
        let mut dropped = 0;
        let mut buffer = vec![0; 4096];
        while dropped < MOST {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => dropped += read,
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let _ = tokio::time::timeout(LINGER, linger).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F: Future>(_: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_a_connection_keeps_while_it_is_a_tunnel_or_a_hubs_is_small() {
        let task = size_of_future(serve);
        let tunnel =
            size_of_future(|record, client, opening, ()| tunnel::run(client, opening, record));
        let http = size_of_future(|worker, listener, established, ()| {
            speak_http(worker, listener, established)
        });
        assert!(task <= 1024, "{task}");
        // While it is idle in HTTP/1.1.
        assert!(http <= 1536, "{http}");
        assert!(tunnel <= 1024, "{tunnel}");
    }
}
