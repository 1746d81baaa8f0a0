//! One instance of a component, and calls of its hooks.
//!
//! A hook is called synchronously on the worker's thread, under the deadline of `limits.time` and
//! the memory limit of its store. The exchange moves into the store for the time of the call: two
//! pointers change places.

mod hub_hooks;

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Resource, ResourceAny};

use super::bindings::exports::sluicegate::plugin::{
    director, hub, modifier, request_body, response_body,
};
use super::bindings::sluicegate::plugin::http::{BodyKind, Reply};
use super::bindings::{RequestHandle, ResponseHandle};
use super::deadline;
use super::engine::ticks;
use super::failure::HookFailure;
use super::hooks::Hooks;
use super::interest::Interests;
use super::registry::Layer;
use super::state::State;
use crate::exchange::Exchange;

/// Handles that a guest may hold at a time.
const MAX_HANDLES: usize = 10_000;

/// An instance that has taken its configuration.
pub struct Instance {
    store: Store<State>,
    director: Option<director::Guest>,
    request_body: Option<request_body::Guest>,
    modifier: Option<modifier::Guest>,
    response_body: Option<response_body::Guest>,
    hub: Option<hub::Guest>,
    /// Computing time of a hook, in ticks of the engine.
    ticks: u64,
    /// Hooks that it has been leased for.
    pub uses: u32,
    /// The computing time that it took to make it, and will take to make another one.
    pub cost: Duration,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("uses", &self.uses)
            .finish_non_exhaustive()
    }
}

/// What a director decided.
pub type Direction = director::Direction;
/// What a hub's plugin decided about a connection.
pub type Admission = hub::Admission;
/// What a hub's plugin wants done.
pub type Action = hub::Action;
/// What a modifier decided.
pub type Change = modifier::Change;

/// What a plugin wants of a body.
#[derive(Debug)]
pub enum Plan {
    /// Nothing.
    Pass,
    /// To transform it piece by piece; the handle is the guest's transform.
    Stream(ResourceAny),
    /// To have it whole, up to so many bytes.
    Collect(u64),
}

/// What a plugin did with a whole body.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing.
    Unchanged,
    /// This takes its place.
    Replace(Vec<u8>),
    /// The plugin answers itself.
    Reply(Reply),
}

/// Which body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Request,
    /// The upstream's.
    Response,
}

fn request() -> Resource<RequestHandle> {
    Resource::new_borrow(0)
}

fn response() -> Resource<ResponseHandle> {
    Resource::new_borrow(1)
}

fn not_exported() -> wasmtime::Error {
    wasmtime::Error::msg("the hook is not exported")
}

impl Instance {
    /// Instantiates a layer's component and configures it, for which it has so much computing time.
    ///
    /// # Errors
    /// `Guest` where it refuses its configuration.
    pub fn new(layer: &Layer, limit: Duration) -> Result<Self, HookFailure> {
        let component = &layer.component;
        let no_instance = |error: wasmtime::Error| HookFailure::NoInstance(format!("{error:#}"));
        let state = State::new(layer);
        let mut store = Store::new(component.pre.engine(), state);
        store.limiter(|state| &mut state.limits);
        // What one call hands to the host is copied there: no more than the guest's own memory, though lists may
        // name the same bytes over and over.
        store.set_hostcall_fuel(layer.limits.memory);
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(ticks(limit));
        deadline::watch(&mut store);
        let instance =
            component
                .pre
                .instantiate(&mut store)
                .map_err(|error| match HookFailure::from_call(&error) {
                    HookFailure::Trap { reason, .. } => HookFailure::NoInstance(reason),
                    failure => failure,
                })?;
        let lifecycle = component
            .lifecycle
            .load(&mut store, &instance)
            .map_err(no_instance)?;
        let guests = Self {
            director: component
                .director
                .as_ref()
                .map(|hook| hook.load(&mut store, &instance))
                .transpose()
                .map_err(no_instance)?,
            request_body: component
                .request_body
                .as_ref()
                .map(|hook| hook.load(&mut store, &instance))
                .transpose()
                .map_err(no_instance)?,
            modifier: component
                .modifier
                .as_ref()
                .map(|hook| hook.load(&mut store, &instance))
                .transpose()
                .map_err(no_instance)?,
            response_body: component
                .response_body
                .as_ref()
                .map(|hook| hook.load(&mut store, &instance))
                .transpose()
                .map_err(no_instance)?,
            hub: component
                .hub
                .as_ref()
                .map(|hook| hook.load(&mut store, &instance))
                .transpose()
                .map_err(no_instance)?,
            store,
            ticks: ticks(layer.limits.time),
            uses: 0,
            cost: Duration::ZERO,
        };
        let mut instance = guests.configured(&lifecycle, &layer.config)?;
        // Not before: a configuration that is only looked at sends nothing.
        instance.store.data_mut().hubs = layer.hubs.clone();
        Ok(instance)
    }

    fn configured(
        mut self,
        lifecycle: &super::bindings::exports::sluicegate::plugin::lifecycle::Guest,
        config: &str,
    ) -> Result<Self, HookFailure> {
        match lifecycle.call_configure(&mut self.store, config) {
            Ok(Ok(())) => Ok(self),
            Ok(Err(text)) => Err(HookFailure::from_configure(&text)),
            Err(error) => Err(HookFailure::from_call(&error)),
        }
    }

    /// Hooks that it said it does not need with its configuration.
    pub fn skipped(&self) -> Hooks {
        self.store.data().skipped
    }

    /// Bodies that it said it is for.
    pub fn take_interests(&mut self) -> Interests {
        std::mem::take(&mut self.store.data_mut().interests)
    }

    /// Calls the guest with the exchange inside of its store.
    fn call<T>(
        &mut self,
        exchange: &mut Box<Exchange>,
        hook: impl FnOnce(&mut Self) -> wasmtime::Result<Result<T, String>>,
    ) -> Result<T, HookFailure> {
        std::mem::swap(&mut self.store.data_mut().exchange, exchange);
        let result = self.call_without_exchange(hook);
        std::mem::swap(&mut self.store.data_mut().exchange, exchange);
        result
    }

    fn call_without_exchange<T>(
        &mut self,
        hook: impl FnOnce(&mut Self) -> wasmtime::Result<Result<T, String>>,
    ) -> Result<T, HookFailure> {
        self.store.data_mut().deadline.restart();
        self.store.set_epoch_deadline(self.ticks);
        match hook(self) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(text)) => Err(HookFailure::from_guest(&text)),
            Err(error) => Err(HookFailure::from_call(&error)),
        }
    }

    /// `director.direct`
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn direct(&mut self, exchange: &mut Box<Exchange>) -> Result<Direction, HookFailure> {
        self.call(exchange, |this| match &this.director {
            Some(guest) => guest.call_direct(&mut this.store, request()),
            None => Ok(Ok(Direction::Forward)),
        })
    }

    /// `modifier.modify`
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn modify(&mut self, exchange: &mut Box<Exchange>) -> Result<Change, HookFailure> {
        self.call(exchange, |this| match &this.modifier {
            Some(guest) => guest.call_modify(&mut this.store, request(), response()),
            None => Ok(Ok(Change::Forward)),
        })
    }

    /// `open` of a body hook.
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn open(
        &mut self,
        exchange: &mut Box<Exchange>,
        side: Side,
        kind: BodyKind,
    ) -> Result<Plan, HookFailure> {
        self.call(exchange, |this| match side {
            Side::Request => {
                let Some(guest) = &this.request_body else {
                    return Ok(Ok(Plan::Pass));
                };
                let plan = guest.call_open(&mut this.store, request(), kind)?;
                Ok(plan.map(Plan::from))
            }
            Side::Response => {
                let Some(guest) = &this.response_body else {
                    return Ok(Ok(Plan::Pass));
                };
                let plan = guest.call_open(&mut this.store, request(), response(), kind)?;
                Ok(plan.map(Plan::from))
            }
        })
    }

    /// `receive` of a body hook.
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn receive(
        &mut self,
        exchange: &mut Box<Exchange>,
        side: Side,
        body: &[u8],
    ) -> Result<Verdict, HookFailure> {
        self.call(exchange, |this| match side {
            Side::Request => {
                let Some(guest) = &this.request_body else {
                    return Ok(Ok(Verdict::Unchanged));
                };
                let verdict = guest.call_receive(&mut this.store, request(), body)?;
                Ok(verdict.map(Verdict::from))
            }
            Side::Response => {
                let Some(guest) = &this.response_body else {
                    return Ok(Ok(Verdict::Unchanged));
                };
                let verdict = guest.call_receive(&mut this.store, request(), response(), body)?;
                Ok(verdict.map(Verdict::from))
            }
        })
    }

    /// `push` of a transform, or `finish` where there is no chunk.
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn transform(
        &mut self,
        side: Side,
        transform: ResourceAny,
        chunk: Option<&[u8]>,
    ) -> Result<Vec<u8>, HookFailure> {
        self.call_without_exchange(|this| match side {
            Side::Request => {
                let guest = this.request_body.as_ref();
                let guest = guest.ok_or_else(not_exported)?.transform();
                match chunk {
                    Some(chunk) => guest.call_push(&mut this.store, transform, chunk),
                    None => guest.call_finish(&mut this.store, transform),
                }
            }
            Side::Response => {
                let guest = this.response_body.as_ref();
                let guest = guest.ok_or_else(not_exported)?.transform();
                match chunk {
                    Some(chunk) => guest.call_push(&mut this.store, transform, chunk),
                    None => guest.call_finish(&mut this.store, transform),
                }
            }
        })
    }

    /// Drops a transform in the guest.
    ///
    /// # Errors
    /// See [`HookFailure`].
    pub fn drop_transform(&mut self, transform: ResourceAny) -> Result<(), HookFailure> {
        self.call_without_exchange(|this| Ok(Ok(transform.resource_drop(&mut this.store)?)))
    }
}

impl From<request_body::Plan> for Plan {
    fn from(plan: request_body::Plan) -> Self {
        match plan {
            request_body::Plan::Pass => Self::Pass,
            request_body::Plan::Stream(transform) => Self::Stream(transform),
            request_body::Plan::Collect(limit) => Self::Collect(limit),
        }
    }
}

impl From<response_body::Plan> for Plan {
    fn from(plan: response_body::Plan) -> Self {
        match plan {
            response_body::Plan::Pass => Self::Pass,
            response_body::Plan::Stream(transform) => Self::Stream(transform),
            response_body::Plan::Collect(limit) => Self::Collect(limit),
        }
    }
}

impl From<request_body::Verdict> for Verdict {
    fn from(verdict: request_body::Verdict) -> Self {
        match verdict {
            request_body::Verdict::Unchanged => Self::Unchanged,
            request_body::Verdict::Replace(body) => Self::Replace(body),
            request_body::Verdict::Reply(reply) => Self::Reply(reply),
        }
    }
}

impl From<response_body::Verdict> for Verdict {
    fn from(verdict: response_body::Verdict) -> Self {
        match verdict {
            response_body::Verdict::Unchanged => Self::Unchanged,
            response_body::Verdict::Replace(body) => Self::Replace(body),
            response_body::Verdict::Reply(reply) => Self::Reply(reply),
        }
    }
}
