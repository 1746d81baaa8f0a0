//! Instances that wait for their next use, per worker.
//!
//! Making one takes tens of microseconds with most plugins, and is done where it is needed. One whose configuration takes longer
//! than a hook may (it compiles a thousand patterns, say) has its instances made on a thread apart, one at a time,
//! while the worker goes on: who needs one waits for it.
//!
//! A hook call is synchronous, so a worker needs one instance of a layer at a time; more exist only
//! while bodies stream through the plugin, each of which keeps its instance to its end. Nothing
//! of an exchange stays in an instance that is given back, except what the guest itself keeps in
//! its memory.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use super::failure::HookFailure;
use super::instance::Instance;
use super::registry::Layer;
use crate::config::Isolation;

/// A reused instance is replaced after so many uses: what a guest leaks has an end.
const MAX_USES: u32 = 100_000;

/// The instances of one layer on one worker.
#[derive(Debug)]
pub struct LayerPool {
    /// The layer.
    pub layer: Arc<Layer>,
    idle: RefCell<Vec<Instance>>,
    /// Instances that exist or are being made.
    live: Cell<usize>,
    /// Whether one is being made on a thread apart.
    making: Cell<bool>,
    returned: Notify,
}

/// Why there is no instance at once.
enum NotNow {
    /// All are in use.
    InUse,
    /// There may be another one, which has to be made on a thread apart.
    ToBeMade,
    /// None could be made.
    Failed(HookFailure),
}

impl LayerPool {
    /// An empty pool.
    pub fn new(layer: Arc<Layer>) -> Self {
        Self {
            layer,
            idle: RefCell::default(),
            live: Cell::new(0),
            making: Cell::new(false),
            returned: Notify::new(),
        }
    }

    /// Makes the first instance, so that no request has to wait for it.
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub async fn warm(self: &Rc<Self>) -> Result<(), HookFailure> {
        if self.layer.isolation == Isolation::Request {
            return Ok(());
        }
        match self.try_lease() {
            Ok(_) => Ok(()),
            Err(NotNow::Failed(failure)) => Err(failure),
            Err(NotNow::InUse | NotNow::ToBeMade) => self.make_apart().await,
        }
    }

    /// An instance, a kept one or a new one. Waits, up to `limits.wall`, while
    /// `limits.instances` are in use.
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub async fn lease(self: &Rc<Self>) -> Result<Lease, HookFailure> {
        if !self.layer.breaker.admits(Instant::now) {
            return Err(HookFailure::Resting);
        }
        self.lease_admitted().await
    }

    async fn lease_admitted(self: &Rc<Self>) -> Result<Lease, HookFailure> {
        match self.try_lease() {
            Ok(lease) => return Ok(lease),
            Err(NotNow::Failed(failure)) => return Err(failure),
            Err(NotNow::InUse | NotNow::ToBeMade) => {}
        }
        let wait = Box::pin(async {
            loop {
                match self.try_lease() {
                    Ok(lease) => return Ok(lease),
                    Err(NotNow::Failed(failure)) => return Err(failure),
                    Err(NotNow::ToBeMade) if !self.making.get() => self.make_apart().await?,
                    Err(NotNow::InUse | NotNow::ToBeMade) => self.returned.notified().await,
                }
            }
        });
        tokio::time::timeout(self.layer.limits.wall, wait)
            .await
            .unwrap_or(Err(HookFailure::Exhausted))
    }

    fn try_lease(self: &Rc<Self>) -> Result<Lease, NotNow> {
        let idle = self.idle.borrow_mut().pop();
        if let Some(instance) = idle {
            return Ok(self.lend(instance));
        }
        if self.live.get() >= self.layer.limits.instances.get() {
            return Err(NotNow::InUse);
        }
        if self.layer.is_slow() {
            return Err(NotNow::ToBeMade);
        }
        match self.layer.make_within(self.layer.limits.time) {
            Ok(instance) => {
                self.live.set(self.live.get() + 1);
                Ok(self.lend(self.count(instance)))
            }
            // It was quick when it was loaded. It gets its time, but none of the worker's.
            Err(HookFailure::Deadline { .. }) => {
                self.layer.turns_slow();
                Err(NotNow::ToBeMade)
            }
            Err(failure) => Err(NotNow::Failed(failure)),
        }
    }

    /// Has an instance made on a thread apart, to wait with the others that are idle. That goes to its end even where nobody
    /// waits for it any more.
    async fn make_apart(self: &Rc<Self>) -> Result<(), HookFailure> {
        let (say, said) = oneshot::channel();
        self.making.set(true);
        self.live.set(self.live.get() + 1);
        let pool = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let layer = Arc::clone(&pool.layer);
            let making = move || layer.make_within(layer.limits.wall);
            let made = tokio::task::spawn_blocking(making).await;
            let made = made.unwrap_or_else(|error| Err(HookFailure::NoInstance(error.to_string())));
            pool.making.set(false);
            let outcome = match made {
                Ok(instance) => {
                    pool.idle.borrow_mut().push(pool.count(instance));
                    Ok(())
                }
                Err(failure) => {
                    pool.live.set(pool.live.get().saturating_sub(1));
                    Err(failure)
                }
            };
            // Who asked for it uses it, and then it is the next one's. Where it came to nothing, or he has gone, it is the next
            // one's turn at once.
            let has_failed = outcome.is_err();
            if say.send(outcome).is_err() || has_failed {
                pool.returned.notify_one();
            }
        });
        let gone = || HookFailure::NoInstance("the worker ends".to_owned());
        said.await.unwrap_or_else(|_| Err(gone()))
    }

    fn count(&self, instance: Instance) -> Instance {
        self.layer.counts.instances.fetch_add(1, Ordering::Relaxed);
        self.layer.counts.made.fetch_add(1, Ordering::Relaxed);
        instance
    }

    fn lend(self: &Rc<Self>, instance: Instance) -> Lease {
        Lease {
            instance: Some(instance),
            pool: Rc::clone(self),
        }
    }

    /// Instances that exist, idle or in use, or are being made.
    pub fn live(&self) -> usize {
        self.live.get()
    }

    fn give_back(&self, instance: Option<Instance>) {
        match instance {
            Some(instance)
                if self.layer.isolation == Isolation::Reuse && instance.uses < MAX_USES =>
            {
                self.idle.borrow_mut().push(instance);
            }
            _ => {
                self.live.set(self.live.get().saturating_sub(1));
                self.layer.counts.instances.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.returned.notify_one();
    }
}

impl Drop for LayerPool {
    fn drop(&mut self) {
        // Instances in use hold the pool, and so does one that is being made: all that are left are idle.
        let left = self.idle.borrow().len();
        self.layer
            .counts
            .instances
            .fetch_sub(left, Ordering::Relaxed);
    }
}

/// An instance in use; given back when it is dropped.
#[derive(Debug)]
pub struct Lease {
    /// `None` once the instance has been discarded.
    instance: Option<Instance>,
    pool: Rc<LayerPool>,
}

impl Lease {
    /// Uses the instance. After a failure that may have left it in any state it is discarded.
    ///
    /// # Errors
    /// The call's.
    pub fn run<T>(
        &mut self,
        call: impl FnOnce(&mut Instance) -> Result<T, HookFailure>,
    ) -> Result<T, HookFailure> {
        let instance = self
            .instance
            .as_mut()
            .ok_or_else(|| HookFailure::NoInstance("it has been discarded".to_owned()))?;
        instance.uses += 1;
        let result = call(instance);
        match &result {
            Err(failure) if failure.counts_against_plugin() => {
                let replacement = instance.cost;
                let layer = &self.pool.layer;
                layer.has_failed(failure.cost(layer.limits.time) + replacement);
            }
            _ => self.pool.layer.has_succeeded(),
        }
        if let Err(failure) = &result
            && !failure.spares_instance()
        {
            self.instance = None;
        }
        result
    }

    /// Whether the instance has been discarded.
    pub fn is_spent(&self) -> bool {
        self.instance.is_none()
    }

    /// The layer.
    pub fn layer(&self) -> &Layer {
        &self.pool.layer
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.give_back(self.instance.take());
    }
}
