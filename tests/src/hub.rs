//! A hub on sockets of its own, without the rest of a gateway.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Version};
use sluicegate::config;
use sluicegate::exchange::failure::Form;
use sluicegate::exchange::head::{RequestHead, Stage};
use sluicegate::exchange::target::Target;
use sluicegate::exchange::{Client, Exchange, Notes, Scheme, new_request_id};
use sluicegate::hub::hooks::Hooks;
use sluicegate::hub::{Hub, NotAccepted, WorkerHub, serve};
use sluicegate::plugin::hub_chain::HubChain;
use sluicegate::plugin::pool::LayerPool;
use sluicegate::route::Lookup;
use sluicegate::snapshot::Snapshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A running hub, called `h`. Each worker has an address of its own. Stopped when dropped.
#[derive(Debug)]
pub struct HubServer {
    addresses: Vec<SocketAddr>,
    hub: Arc<Hub>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    reloaded: mpsc::Receiver<()>,
    stop: watch::Sender<Option<Duration>>,
    threads: Vec<JoinHandle<()>>,
}

impl HubServer {
    /// With these lines in `[hubs.h]`, and one worker.
    #[track_caller]
    pub fn start(lines: &str) -> Self {
        Self::with_workers(1, lines)
    }

    /// With these lines in `[hubs.h]`.
    #[track_caller]
    pub fn with_workers(workers: usize, lines: &str) -> Self {
        let snapshot = load(lines, None);
        let hub = Arc::clone(&snapshot.hubs[0]);
        let (stop, stopped) = watch::channel(None);
        let (snapshots, served) = watch::channel(snapshot);
        let mut addresses = Vec::new();
        let mut threads = Vec::new();
        let (ready, is_ready) = mpsc::channel();
        for worker in 0..workers {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            listener.set_nonblocking(true).expect("a socket");
            addresses.push(listener.local_addr().expect("an address"));
            let (served, stopped) = (served.clone(), stopped.clone());
            let ready = ready.clone();
            threads.push(std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default())
                    .expect("a runtime");
                runtime.block_on(run(worker, served, listener, stopped, ready));
            }));
        }
        for _ in 0..workers {
            is_ready.recv().expect("the worker starts");
        }
        Self {
            addresses,
            hub,
            snapshots,
            reloaded: is_ready,
            stop,
            threads,
        }
    }

    /// Has these lines in `[hubs.h]` from now on, as after a reload.
    #[track_caller]
    pub fn reload(&mut self, lines: &str) {
        let snapshot = load(lines, Some(&self.snapshots.borrow()));
        self.hub = Arc::clone(&snapshot.hubs[0]);
        self.snapshots.send_replace(snapshot);
        for _ in &self.threads {
            self.reloaded.recv().expect("the worker follows");
        }
    }

    /// The first worker's address.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Each worker's address.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What operators have.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Waits for an answer of the hub.
    pub fn ask<T>(&self, question: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(question)
    }

    /// Says that it stops, and waits until all connections have ended, for at most this time.
    pub fn drain(&mut self, grace: Duration) {
        self.stop.send_replace(Some(grace));
        for thread in self.threads.drain(..) {
            thread.join().expect("the worker does not panic");
        }
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.stop.send_replace(Some(Duration::ZERO));
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[track_caller]
fn load(lines: &str, previous: Option<&Snapshot>) -> Arc<Snapshot> {
    let text = format!("[hubs.h]\n{lines}");
    let loaded = config::parse(&text, Path::new("gateway.toml"));
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}\n{text}"));
    let snapshot = sluicegate::server::load(&loaded.config, previous, &mut |_| {});
    snapshot.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The hub of a snapshot on a worker.
fn hub_of(worker: usize, snapshot: &Snapshot, previous: Option<&WorkerHub>) -> Rc<WorkerHub> {
    let layers = snapshot.registry.layers.iter();
    let pools: Vec<Rc<LayerPool>> = layers
        .map(|layer| Rc::new(LayerPool::new(Arc::clone(layer))))
        .collect();
    let hooks = HubChain::of(snapshot, 0, &pools).map(|chain| Rc::new(chain) as Rc<dyn Hooks>);
    let hub = Arc::clone(&snapshot.hubs[0]);
    Rc::new(WorkerHub::new(worker, hub, previous, hooks))
}

async fn run(
    worker: usize,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    listener: TcpListener,
    mut stopped: watch::Receiver<Option<Duration>>,
    ready: mpsc::Sender<()>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let mut snapshot = Arc::clone(&snapshots.borrow_and_update());
    let mut hub = hub_of(worker, &snapshot, None);
    let mut connections = JoinSet::new();
    let _ = ready.send(());
    let grace = loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                // Two tasks, so that the one that reads the request ends with it.
                let (hub, snapshot) = (Rc::clone(&hub), Arc::clone(&snapshot));
                let (sender, served) = tokio::sync::oneshot::channel();
                connections.spawn_local(async move {
                    let _ = sender.send(upgrade(hub, snapshot, stream, peer).await);
                });
                connections.spawn_local(async move {
                    if let Ok(Some((hub, accepted, stream, ahead))) = served.await {
                        serve(hub, accepted, stream, ahead).await;
                    }
                });
                while connections.try_join_next().is_some() {}
            }
            Ok(()) = snapshots.changed() => {
                snapshot = Arc::clone(&snapshots.borrow_and_update());
                hub = hub_of(worker, &snapshot, Some(&hub));
                let _ = ready.send(());
            }
            grace = stopped.wait_for(Option::is_some) => {
                break grace.ok().and_then(|grace| *grace).unwrap_or_default();
            }
        }
    };
    hub.local.drain(grace);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(grace, all).await;
}

type Upgraded = (Rc<WorkerHub>, sluicegate::hub::Accepted, TcpStream, Bytes);

async fn upgrade(
    hub: Rc<WorkerHub>,
    snapshot: Arc<Snapshot>,
    mut stream: TcpStream,
    peer: SocketAddr,
) -> Option<Upgraded> {
    let mut buffer = BytesMut::new();
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = buffer.split_to(end);
    let request_id = new_request_id();
    let refused = match read_request(&head, &snapshot, peer, request_id.clone()) {
        None => return None,
        Some((method, headers, exchange)) => match hub.check(&method, Version::HTTP_11, &headers) {
            Err(refusal) => NotAccepted::from(refusal),
            Ok(handshake) => match hub.admit(handshake, exchange).await {
                Ok((response, accepted)) => {
                    let head = write_head(&response);
                    stream.write_all(&head).await.ok()?;
                    return Some((hub, accepted, stream, buffer.freeze()));
                }
                Err(refused) => refused,
            },
        },
    };
    let response = match refused {
        NotAccepted::Failure(failure) => failure.respond(&request_id, Form::Text),
        NotAccepted::Reply(reply) => reply,
    };
    let mut bytes = write_head(&response);
    bytes.extend_from_slice(response.body());
    stream.write_all(&bytes).await.ok()?;
    stream.shutdown().await.ok()?;
    None
}

fn read_request(
    head: &[u8],
    snapshot: &Arc<Snapshot>,
    peer: SocketAddr,
    request_id: HeaderValue,
) -> Option<(Method, HeaderMap, Box<Exchange>)> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.parse().ok()?, words.next()?);
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let name: HeaderName = name.parse().ok()?;
        headers.append(name, value.trim().parse().ok()?);
    }
    let target = Target::from_client(target.parse().ok()?).ok()?;
    let Lookup::Found { route, params } = snapshot.table.find("", target.path(), &method) else {
        return None;
    };
    let exchange = Exchange {
        snapshot: Arc::clone(snapshot),
        route,
        client: Client {
            address: peer.ip(),
            peer: peer.ip(),
            trusted: false,
            scheme: Scheme::Http,
        },
        client_subject: None,
        request_id,
        request: RequestHead {
            method: Clone::clone(&method),
            received_method: Clone::clone(&method),
            matched_path: target.path().into(),
            target,
            headers: headers.clone(),
            params,
            stage: Stage::Inbound,
            ..RequestHead::vacant()
        },
        response: None,
        notes: Notes::default(),
    };
    Some((method, headers, Box::new(exchange)))
}

fn write_head<T>(response: &Response<T>) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
