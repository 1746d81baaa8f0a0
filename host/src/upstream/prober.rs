//! Checks the targets of upstreams with `health`: one thread for all workers, one task for each target.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

use super::checks::Change;
use super::connect::ConnectError;
use super::connect::proxied::Absolute;
use super::connection::{Connection, Form, Unanswered};
use super::http2::shared::Shared;
use super::http2::stream::Stream;
use super::target::{Target, Upstream};
use crate::config::{HealthCheck, Probe, UpstreamProtocol};
use crate::exchange::body::RequestBody;
use crate::http1::outbox::{Encoder, Outbox};
use crate::server::worker::Update;
use crate::side_thread::{SideThread, Stopped};

/// How checks call themselves.
const AGENT: HeaderValue = HeaderValue::from_static("sluicegate-health");

/// Starts to check the targets of each configuration that comes, until the thread is dropped.
///
/// # Errors
/// No thread.
pub fn start(updates: watch::Receiver<Update>) -> std::io::Result<SideThread> {
    // A name that is being resolved is not waited for.
    SideThread::start("health-checks", |stopped| follow(updates, stopped))
}

/// The tasks of one upstream. They end with it.
struct Checking {
    upstream: Arc<Upstream>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Checking {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Keeps up with what is being served: an upstream that has not changed is checked on without a break.
async fn follow(mut updates: watch::Receiver<Update>, mut stopped: Stopped) {
    let mut checking: HashMap<String, Checking> = HashMap::new();
    loop {
        let snapshot = Arc::clone(&updates.borrow_and_update().snapshot);
        let mut before = std::mem::take(&mut checking);
        for upstream in &snapshot.upstreams {
            let Some(checks) = &upstream.checks else {
                continue;
            };
            let name = upstream.name.to_string();
            let kept = before
                .remove(&name)
                .filter(|kept| Arc::ptr_eq(&kept.upstream, upstream));
            let kept = kept.unwrap_or_else(|| Checking {
                tasks: (0..upstream.targets.len())
                    .map(|index| {
                        let settings = checks.settings.clone();
                        spawn_local(check(Arc::clone(upstream), index, settings))
                    })
                    .collect(),
                upstream: Arc::clone(upstream),
            });
            checking.insert(name, kept);
        }
        drop(before);
        drop(snapshot);
        tokio::select! {
            changed = updates.changed() => if changed.is_err() { return },
            () = stopped.wait() => return,
        }
    }
}

/// Checks a target for ever. The first check comes at once, so that a gateway that starts learns soon what is down; the
/// others are spread, so that many gateways do not ask all at the same moment.
async fn check(upstream: Arc<Upstream>, index: usize, settings: HealthCheck) {
    let Some(target) = upstream.targets.get(index) else {
        return;
    };
    loop {
        let result = tokio::time::timeout(settings.timeout, probe(target, &settings.probe)).await;
        let result =
            result.unwrap_or_else(|_| Err(format!("nothing within {:?}", settings.timeout)));
        if let Some(checks) = &upstream.checks {
            let name = &*upstream.name;
            let address = target.way.to_string();
            match (checks.checked(index, result.is_ok()), &result) {
                (Some(Change::Down), Err(error)) => {
                    tracing::warn!(
                        upstream = name,
                        target_address = address,
                        "a target is down: {error}"
                    );
                }
                (Some(Change::Up), _) => {
                    upstream.warm_up(index, settings.slow_start);
                    tracing::info!(
                        upstream = name,
                        target_address = address,
                        "a target is up again"
                    );
                }
                _ => {}
            }
        }
        let jitter = rand::rng().random_range(0.9..1.1);
        tokio::time::sleep(
            settings
                .interval
                .mul_f64(jitter)
                .max(Duration::from_millis(1)),
        )
        .await;
    }
}

/// One check; the error says what was wrong.
async fn probe(target: &Target, probe: &Probe) -> Result<(), String> {
    // That a forward proxy takes connections says nothing about the target.
    let absolute = match probe {
        Probe::Http { .. } => target.way.absolute(),
        Probe::Connect => None,
    };
    let opened = match absolute {
        Some(absolute) => absolute.open().await.map_err(ConnectError::from),
        None => target.way.open().await,
    };
    let stream = opened.map_err(|error| error.to_string())?;
    let never = |_: &mut crate::timer::Timer, _: &mut std::task::Context<'_>| {
        std::task::Poll::<std::convert::Infallible>::Pending
    };
    let Probe::Http { path, status } = probe else {
        return Ok(());
    };
    if target.protocol == UpstreamProtocol::Http2 || target.way.agreed(&stream) == Some(b"h2") {
        let place = Shared::begin(stream)
            .await
            .map_err(|error| error.to_string())?;
        let place = place.take_place().ok_or("it takes no streams")?;
        let mut exchange = Stream::new(place);
        let request = Request::get(format!(
            "{}://{}{path}",
            target.scheme(),
            String::from_utf8_lossy(target.host.as_bytes())
        ));
        let request = request.header(USER_AGENT, AGENT).body(());
        exchange.begin(
            request.map_err(|error| error.to_string())?,
            RequestBody::Empty,
        );
        let Ok(sent) = exchange.send(|_, _| {}, never).await;
        return judge(status, sent.map(|head| head.status));
    }
    let mut connection = Connection::over(stream);
    let put_head = |out: &mut Outbox| {
        let origin = absolute.map_or("", |absolute| absolute.origin);
        for part in ["GET ", origin, path.as_str(), " HTTP/1.1\r\n"] {
            out.put(part.as_bytes());
        }
        out.put_field(&HOST, &target.host);
        if let Some(credentials) = absolute.and_then(Absolute::authorization) {
            out.put_field(&PROXY_AUTHORIZATION, credentials);
        }
        out.put_field(&USER_AGENT, &AGENT);
        out.put(b"connection: close\r\n\r\n");
    };
    let form = Form {
        encoder: Encoder::None,
        announced: Vec::new(),
        is_head: false,
    };
    connection.begin(put_head, RequestBody::Empty, form);
    let Ok(sent) = connection.send(|_, _| {}, never).await;
    if let (Some(absolute), Ok(head)) = (absolute, &sent)
        && head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
    {
        return Err(absolute.unauthorized().to_string());
    }
    judge(status, sent.map(|head| head.status))
}

/// Whether an answer is the one that a target in order gives.
fn judge(good: &RangeInclusive<u16>, sent: Result<StatusCode, Unanswered>) -> Result<(), String> {
    let found = sent.map_err(|unanswered| unanswered.error.to_string())?;
    if good.contains(&found.as_u16()) {
        Ok(())
    } else {
        Err(format!("it answered {}", found.as_u16()))
    }
}
