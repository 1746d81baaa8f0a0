//! Instances that wait for their next use, per worker.
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

use tokio::sync::Notify;

use super::deadline::thread_time;
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
    live: Cell<usize>,
    returned: Notify,
}

impl LayerPool {
    /// An empty pool.
    pub fn new(layer: Arc<Layer>) -> Self {
        Self {
            layer,
            idle: RefCell::default(),
            live: Cell::new(0),
            returned: Notify::new(),
        }
    }

    /// Makes the first instance, so that no request has to wait for it.
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn warm(self: &Rc<Self>) -> Result<(), HookFailure> {
        if self.layer.isolation == Isolation::Reuse {
            drop(self.try_lease()?);
        }
        Ok(())
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
            Err(HookFailure::Exhausted) => {}
            result => return result,
        }
        let wait = Box::pin(async {
            loop {
                self.returned.notified().await;
                match self.try_lease() {
                    Err(HookFailure::Exhausted) => {}
                    result => return result,
                }
            }
        });
        tokio::time::timeout(self.layer.limits.wall, wait)
            .await
            .unwrap_or(Err(HookFailure::Exhausted))
    }

    fn try_lease(self: &Rc<Self>) -> Result<Lease, HookFailure> {
        let idle = self.idle.borrow_mut().pop();
        let instance = match idle {
            Some(instance) => instance,
            None if self.live.get() >= self.layer.limits.instances.get() => {
                return Err(HookFailure::Exhausted);
            }
            None => {
                let began = thread_time();
                let made = Instance::new(&self.layer);
                let cost = thread_time().saturating_sub(began);
                let mut instance = made.inspect_err(|_| self.layer.has_failed(cost))?;
                instance.cost = cost;
                self.live.set(self.live.get() + 1);
                self.layer.counts.instances.fetch_add(1, Ordering::Relaxed);
                self.layer.counts.made.fetch_add(1, Ordering::Relaxed);
                instance
            }
        };
        Ok(Lease {
            instance: Some(instance),
            pool: Rc::clone(self),
        })
    }

    /// Instances that exist, idle or in use.
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
        // Instances in use hold the pool: all that are left are idle.
        let left = self.live.get();
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
