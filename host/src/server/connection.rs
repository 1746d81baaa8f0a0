//! One client's connection from accept to close.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{IpAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::LINGER;
use super::guard::{Guard, Signals, Timeouts};
use super::message::HeadLimits;
use super::worker::Worker;
use crate::exchange::failure::Failure;
use crate::exchange::forwarded::Forwarded;
use crate::exchange::{Scheme, new_request_id};
use crate::gateway;
use crate::observe::failure_log;

/// What exchanges know of the connection that they came over.
#[derive(Debug)]
pub struct Context {
    /// The worker.
    pub worker: Rc<Worker>,
    /// Between the guard and the exchange.
    pub signals: Rc<Signals>,
    /// The other end's address.
    pub peer: IpAddr,
    /// How it reached us.
    pub scheme: Scheme,
    /// Tells upstreams about the other end.
    pub forwarded: Forwarded,
}

/// Wait so long after a failed accept: the reason (no file descriptors, mostly) does not go away
/// faster by asking again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until the gateway stops. No error ends it. What the system has taken on for this socket by then is
/// still accepted: closing the socket would reset it.
pub async fn accept(
    worker: Rc<Worker>,
    listener: TcpListener,
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
        connections.spawn_local(serve(Rc::clone(&worker), stream, peer.ip()));
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
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..super::listen::BACKLOG {
        let std::task::Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut cx) else {
            break;
        };
        admit(stream, peer);
    }
}

/// Counts an open connection for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> (Self, usize) {
        let before = count.fetch_add(1, Ordering::Relaxed);
        (Self(Arc::clone(count)), before + 1)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(worker: Rc<Worker>, mut stream: TcpStream, peer: IpAddr) {
    let (_counted, open) = Counted::new(&worker.connections);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("a connection ended before it began: {error}");
        return;
    }
    let limits = worker.generation.borrow().snapshot.limits.clone();
    if open > limits.connections {
        let failure = Failure::Limit("too many connections");
        let request_id = new_request_id();
        failure_log::failed(&request_id, &failure);
        refuse(&mut stream, &failure, &request_id).await;
        return;
    }
    let signals = Rc::new(Signals::default());
    let guard = Guard::new(
        stream,
        Rc::clone(&signals),
        HeadLimits {
            bytes: limits.header_bytes,
            fields: limits.headers,
        },
        Timeouts {
            header: limits.header_timeout,
            idle: limits.idle_timeout,
        },
    );
    let context = Rc::new(Context {
        worker,
        signals: Rc::clone(&signals),
        peer,
        scheme: Scheme::Http,
        forwarded: Forwarded::new(peer),
    });
    let here = Rc::clone(&context);
    let service = service_fn(move |request| Box::pin(gateway::serve(&here, request)));
    let mut connection = http1::Builder::new()
        // The guard has its own, stricter limits; hyper's must not be smaller.
        .max_headers(limits.headers.saturating_add(1))
        .max_buf_size(limits.header_bytes.max(64 * 1024) + 8 * 1024)
        .serve_connection(TokioIo::new(guard), service);
    let mut watching = None;
    let mut told = false;
    let result = poll_fn(|cx| {
        watching.get_or_insert_with(|| context.worker.drain.watch(cx.waker()));
        if !told && context.worker.drain.has_begun() {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    })
    .await;
    if let Some(key) = watching {
        context.worker.drain.forget(key);
    }
    let mut guard = connection.into_parts().io.into_inner();
    let refusal = guard.refusal();
    let stream = guard.stream();
    match (result, refusal) {
        _ if signals.is_aborted() => {
            let _ = stream.set_zero_linger();
        }
        (Ok(()), Some(refusal)) if !signals.has_answered() => {
            let generation = Rc::clone(&context.worker.generation.borrow());
            if let Some(metrics) = &generation.snapshot.metrics {
                metrics.failed(Failure::from(refusal).error_type());
            }
            let request_id = new_request_id();
            failure_log::refused(&request_id, peer, refusal);
            refuse(stream, &refusal.into(), &request_id).await;
        }
        (Ok(()), _) => close(stream).await,
        (Err(error), _) => {
            tracing::debug!(%peer, "connection ended: {error}");
            close(stream).await;
        }
    }
}

/// Answers outside of any exchange, and closes.
async fn refuse(stream: &mut TcpStream, failure: &Failure, request_id: &HeaderValue) {
    let response = failure.respond(request_id, false);
    let mut bytes = Vec::with_capacity(512);
    let status = response.status();
    bytes.extend_from_slice(
        format!(
            "HTTP/1.1 {} {}\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or("")
        )
        .as_bytes(),
    );
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let body = response.body();
    bytes.extend_from_slice(
        format!(
            "content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        )
        .as_bytes(),
    );
    bytes.extend_from_slice(body);
    let write = async {
        stream.write_all(&bytes).await?;
        stream.flush().await
    };
    if matches!(tokio::time::timeout(LINGER, write).await, Ok(Ok(()))) {
        close(stream).await;
    }
}

/// Closes in two steps (RFC 9112, section 9.6): closing at once while the client still sends would
/// reset the connection, and the client could lose the answer.
async fn close(stream: &mut TcpStream) {
    const MOST: usize = 256 * 1024;
    let linger = async {
        stream.shutdown().await?;
        let mut dropped = 0;
        let mut buffer = [0; 4096];
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
