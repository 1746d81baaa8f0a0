//! The admin listener: is the gateway alive and ready, what has it counted, what are its upstreams, load the configuration
//! again.
//!
//! It has a thread and a runtime of its own, so that nothing asked of it delays a worker. Without a token it takes callers on
//! loopback only (the configuration sees to the address), and refuses what a web page in a browser on this machine could
//! send: a foreign `Host`, and any `Origin`.
//!
//! | path | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200, or 503 with the reasons |
//! | `GET /metrics` | Prometheus' text format |
//! | `GET /upstreams` | targets and their state |
//! | `/hubs` and below | see [`hubs`] |
//! | `POST /reload` | 200 when the configuration has been loaded again, 422 with its errors |

mod answer;
mod exposition;
mod hubs;
mod readiness;
mod upstreams;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::Secret;
use crate::server::reload::Running;
use crate::side_thread::{SideThread, Stopped};
use answer::Answer;

/// Connections at a time. A monitor and a person need a handful.
const CONNECTIONS: usize = 64;
/// For a request's head, and for a connection without a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the admin listener tells about.
#[derive(Debug)]
pub struct Subject {
    /// The configuration that is being served.
    pub running: Arc<Running>,
    /// Open client connections, and exchanges of HTTP/2 beyond the first of each.
    pub connections: Arc<AtomicUsize>,
    /// What callers have to present.
    pub token: Option<Secret>,
}

/// A running admin listener; it ends when this is dropped.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    _thread: SideThread,
}

impl Admin {
    /// Serves on a socket that is bound already.
    ///
    /// # Errors
    /// No thread.
    pub fn start(listener: TcpListener, subject: Subject) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let subject = Arc::new(subject);
        // A reload that is still compiling is not waited for.
        let thread = SideThread::start("admin", |stopped| serve(listener, subject, stopped))?;
        Ok(Self {
            address,
            _thread: thread,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener, subject: Arc<Subject>, mut stopped: Stopped) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!("the admin listener can't be used: {error}");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = tokio::select! {
            accepted = async { (place.await, listener.accept().await) } => accepted,
            () = stopped.wait() => return,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            (Ok(place), Ok((stream, _))) => {
                let subject = Arc::clone(&subject);
                connections.spawn_local(async move {
                    connection(stream, subject).await;
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::warn!("the admin listener could not accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (Err(_), _) => return,
        }
    }
}

async fn connection(stream: TcpStream, subject: Arc<Subject>) {
    let service = service_fn(move |request| {
        let subject = Arc::clone(&subject);
        async move { Ok::<_, Infallible>(answer(&subject, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!("an admin connection ended: {error}");
    }
}

async fn answer(subject: &Arc<Subject>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let is_trusted = is_trusted(subject, &request);
    let asks = request.method() == Method::GET || request.method() == Method::HEAD;
    // Whoever probes need not know a secret; what it is that is wrong is for those who do.
    match path {
        "/healthz" if asks => return Answer::text("ok\n").into(),
        "/readyz" if asks && subject.token.is_some() && !is_trusted => {
            return readiness::answer(subject).without_details().into();
        }
        _ => {}
    }
    if !is_trusted {
        return if subject.token.is_some() {
            Answer::error(StatusCode::UNAUTHORIZED, "a token is needed").into()
        } else {
            Answer::error(
                StatusCode::FORBIDDEN,
                "only for callers on this machine that are no web page",
            )
            .into()
        };
    }
    if let Some(rest) = path.strip_prefix("/hubs")
        && (rest.is_empty() || rest.starts_with('/'))
    {
        let rest = rest.to_owned();
        let snapshot = subject.running.snapshot();
        return hubs::answer(&snapshot, &rest, request).await.into();
    }
    match (path, request.method()) {
        ("/readyz", _) if asks => readiness::answer(subject).into(),
        ("/metrics", _) if asks => Answer::metrics(exposition::text(subject)).into(),
        ("/upstreams", _) if asks => Answer::json(&upstreams::list(&subject.running)).into(),
        ("/reload", &Method::POST) => reload(subject).await.into(),
        ("/healthz" | "/readyz" | "/metrics" | "/upstreams", _) => {
            Answer::not_allowed("GET, HEAD").into()
        }
        ("/reload", _) => Answer::not_allowed("POST").into(),
        _ => Answer::error(StatusCode::NOT_FOUND, "no such path").into(),
    }
}

/// Whether the caller may know and do everything.
fn is_trusted(subject: &Subject, request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    if let Some(token) = &subject.token {
        return headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|guess| token.is(guess.trim()));
    }
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    !headers.contains_key(ORIGIN) && host.is_none_or(is_local)
}

/// Whether a Host names this machine as no foreign name that resolves to it can (DNS rebinding).
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

async fn reload(subject: &Arc<Subject>) -> Answer {
    let running = Arc::clone(&subject.running);
    match tokio::task::spawn_blocking(move || running.reload()).await {
        Ok(Ok(reloaded)) => Answer::json(&serde_json::json!({
            "reloaded": true,
            "warnings": reloaded.warnings,
            "at_next_start": reloaded.at_next_start,
        })),
        Ok(Err(error)) => Answer::errors(
            StatusCode::UNPROCESSABLE_ENTITY,
            &error.to_string().lines().collect::<Vec<_>>(),
        ),
        Err(error) => Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_names_that_cannot_be_rebound_are_local() {
        for host in [
            "localhost",
            "LOCALHOST:9900",
            "127.0.0.1:9900",
            "[::1]:9900",
            "[::1]",
            "10.0.0.1",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "127.0.0.1.example.com:9900",
            "localhost.example.com",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
