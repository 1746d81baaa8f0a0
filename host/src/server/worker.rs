//! One worker: a thread with a runtime of its own, and everything that a request needs. Nothing
//! on a request's way is shared with other workers except counters and balancers.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use slab::Slab;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection;
use crate::hub::WorkerHub;
use crate::hub::hooks::Hooks;
use crate::observe::access_log::AccessLog;
use crate::plugin::hub_chain::HubChain;
use crate::plugin::pool::LayerPool;
use crate::snapshot::Snapshot;
use crate::snapshot::listeners::Listener;
use crate::upstream::pool::Pool;

/// What a worker is made of.
#[derive(Debug)]
pub struct Seed {
    /// Its number, from 0.
    pub number: usize,
    /// What to serve, now and from each change on.
    pub snapshots: watch::Receiver<Update>,
    /// Its own sockets.
    pub listeners: Vec<TcpListener>,
    /// Becomes `true` when the gateway stops.
    pub draining: watch::Receiver<bool>,
    /// How long it then waits for what is in flight.
    pub grace: Duration,
    /// Open client connections, over all workers, and exchanges of HTTP/2 beyond the first of each.
    pub connections: Arc<AtomicUsize>,
    /// Where finished exchanges are recorded.
    pub access_log: Option<AccessLog>,
}

/// What the exchanges of one worker share.
#[derive(Debug)]
pub struct Worker {
    /// Its number, from 0.
    pub number: usize,
    /// What is being served. Replaced as a whole; an exchange keeps what it began with.
    pub generation: RefCell<Rc<Generation>>,
    /// Open client connections, over all workers, and exchanges of HTTP/2 beyond the first of each.
    pub connections: Arc<AtomicUsize>,
    /// Where finished exchanges are recorded.
    pub access_log: Option<AccessLog>,
    /// Tells connections that the gateway stops.
    pub drain: Drain,
}

impl Worker {
    /// What a listener does with connections that come now.
    pub fn listener(&self, index: usize) -> Option<Arc<Listener>> {
        let generation = self.generation.borrow();
        generation.snapshot.listeners.get(index).cloned()
    }
}

/// Tells the connections of a worker that the gateway stops. They look at a flag whenever they are
/// polled; a future for it would be polled along with every one of their reads and writes.
#[derive(Debug, Default)]
pub struct Drain {
    begun: Cell<bool>,
    wakers: RefCell<Slab<Waker>>,
}

impl Drain {
    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Has the task woken when it begins, until [`Self::forget`] is called with what this returns.
    pub fn watch(&self, waker: &Waker) -> usize {
        self.wakers.borrow_mut().insert(waker.clone())
    }

    /// The task need not be woken any more.
    pub fn forget(&self, key: usize) {
        self.wakers.borrow_mut().try_remove(key);
    }

    fn begin(&self) {
        self.begun.set(true);
        for (_, waker) in &*self.wakers.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// A snapshot together with this worker's connections and instances for it.
#[derive(Debug)]
pub struct Generation {
    /// What is being served.
    pub snapshot: Arc<Snapshot>,
    /// Kept upstream connections.
    pub pool: Rc<Pool>,
    /// Plugin instances, by the registry's layers.
    pub layers: Vec<Rc<LayerPool>>,
    /// Its hubs, in the snapshot's order.
    pub hubs: Vec<Rc<WorkerHub>>,
}

/// A snapshot to be served from now on.
#[derive(Debug, Clone)]
pub struct Update {
    /// What to serve.
    pub snapshot: Arc<Snapshot>,
    /// Each worker says here that it does.
    pub served: mpsc::Sender<()>,
}

impl Generation {
    /// With the pools of its layers. Kept connections to targets that `previous` has as well are taken over.
    pub fn new(
        worker: usize,
        snapshot: Arc<Snapshot>,
        layers: Vec<Rc<LayerPool>>,
        previous: Option<&Self>,
    ) -> Self {
        let pool = Rc::new(Pool::new(snapshot.slots));
        if let Some(previous) = previous {
            let common = snapshot.slots_in_common(&previous.snapshot);
            pool.take_over(&previous.pool, common);
        }
        for target in snapshot.targets() {
            target.way.prepare();
        }
        let hubs = hubs(worker, &snapshot, &layers, previous);
        Self {
            snapshot,
            pool,
            layers,
            hubs,
        }
    }

    /// As [`Self::new`], with one instance of each layer ready. Those that take long to make are made on threads apart: the worker
    /// serves on.
    async fn ready(worker: usize, snapshot: Arc<Snapshot>, previous: Option<&Self>) -> Self {
        let layers = pools(&snapshot, previous);
        for pool in &layers {
            let mut old = previous.into_iter().flat_map(|previous| &previous.layers);
            if old.any(|old| Rc::ptr_eq(old, pool)) {
                continue;
            }
            if let Err(failure) = pool.warm().await {
                tracing::error!(plugin = &*pool.layer.name, "no first instance: {failure}");
            }
        }
        Self::new(worker, snapshot, layers, previous)
    }
}

/// A pool for each layer of a snapshot: the one of `previous`, where that has the same layer.
pub fn pools(snapshot: &Snapshot, previous: Option<&Generation>) -> Vec<Rc<LayerPool>> {
    let kept = |layer| {
        let mut pools = previous?.layers.iter();
        pools.find(|pool| Arc::ptr_eq(&pool.layer, layer)).cloned()
    };
    let layers = snapshot.registry.layers.iter();
    layers
        .map(|layer| kept(layer).unwrap_or_else(|| Rc::new(LayerPool::new(Arc::clone(layer)))))
        .collect()
}

/// The hubs: those that have been there before with their clients. The clients of those that are gone are told.
fn hubs(
    worker: usize,
    snapshot: &Snapshot,
    layers: &[Rc<LayerPool>],
    previous: Option<&Generation>,
) -> Vec<Rc<WorkerHub>> {
    let before = previous.map_or(&[][..], |previous| &previous.hubs);
    let hubs: Vec<Rc<WorkerHub>> = snapshot
        .hubs
        .iter()
        .enumerate()
        .map(|(index, hub)| {
            let hooks = HubChain::of(snapshot, index, layers);
            let hooks = hooks.map(|chain| Rc::new(chain) as Rc<dyn Hooks>);
            let mut before = before.iter();
            let same = before.find(|old| Arc::ptr_eq(&old.hub.shared, &hub.shared));
            let previous = same.map(|same| &**same);
            Rc::new(WorkerHub::new(worker, Arc::clone(hub), previous, hooks))
        })
        .collect();
    for old in before {
        if !hubs.iter().any(|hub| Rc::ptr_eq(&hub.local, &old.local)) {
            old.local.replace();
        }
    }
    hubs
}

/// How often kept connections are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// Starts a worker.
///
/// # Errors
/// No thread or no runtime.
pub fn spawn(seed: Seed) -> std::io::Result<JoinHandle<()>> {
    let (started, has_started) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(format!("worker-{}", seed.number))
        .spawn(move || {
            // A runtime whose tasks never leave this thread is made on it.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    runtime.block_on(run(seed));
                    // An instance that is still being made is not waited for.
                    runtime.shutdown_background();
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
    match has_started.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(std::io::Error::other("the worker ended before it began")),
    }
}

async fn run(seed: Seed) {
    let mut snapshots = seed.snapshots;
    let first = snapshots.borrow_and_update().clone();
    let worker = Rc::new(Worker {
        number: seed.number,
        generation: RefCell::new(Rc::new(
            Generation::ready(seed.number, first.snapshot, None).await,
        )),
        connections: seed.connections,
        access_log: seed.access_log,
        drain: Drain::default(),
    });
    let _ = first.served.send(());
    let connections = Rc::new(RefCell::new(JoinSet::new()));
    let mut accepting = JoinSet::new();
    for (index, listener) in seed.listeners.into_iter().enumerate() {
        accepting.spawn_local(connection::accept(
            Rc::clone(&worker),
            listener,
            index,
            Rc::clone(&connections),
            seed.draining.clone(),
        ));
    }
    let sweeping = tokio::task::spawn_local(sweep(Rc::clone(&worker)));
    let following = tokio::task::spawn_local(follow(Rc::clone(&worker), snapshots));
    let mut draining = seed.draining;
    // An error means that the server is gone: the same as a stop.
    let _ = draining.wait_for(|draining| *draining).await;
    following.abort();
    sweeping.abort();
    while accepting.join_next().await.is_some() {}
    worker.drain.begin();
    for hub in &worker.generation.borrow().hubs {
        hub.local.drain(seed.grace);
    }
    let open = std::mem::take(&mut *connections.borrow_mut());
    drain(open, seed.grace).await;
}

/// Waits for connections to end, for at most `grace`.
async fn drain(mut open: JoinSet<()>, grace: Duration) {
    let all = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!("connections were still open after {grace:?} and have been closed");
    }
}

/// Serves each snapshot that comes. Exchanges that have begun end with the one that they began with.
async fn follow(worker: Rc<Worker>, mut snapshots: watch::Receiver<Update>) {
    while snapshots.changed().await.is_ok() {
        let update = snapshots.borrow_and_update().clone();
        let previous = Rc::clone(&worker.generation.borrow());
        let next =
            Rc::new(Generation::ready(worker.number, update.snapshot, Some(&previous)).await);
        worker.generation.replace(next);
        // Nobody waits any more: then nobody need be told.
        let _ = update.served.send(());
    }
}

async fn sweep(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let generation = Rc::clone(&worker.generation.borrow());
        generation.pool.sweep(Instant::now());
    }
}
