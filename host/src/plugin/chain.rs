//! The layers of a route around an exchange: on the way in in the listed order, on the way out in
//! reverse, like the layers of an onion.
//!
//! A plugin that fails is treated by its `on_failure`: `reject` ends the exchange with 500 and nothing is
//! forwarded, `skip` goes on as if the plugin were not listed. A body that is already streaming through a
//! failing plugin can't be taken back; it is broken off.

mod bodies;

use std::rc::Rc;

use super::bindings::sluicegate::plugin::http::Reply;
use super::failure::{Hook, HookFailure, report};
use super::instance::{Change, Direction, Instance};
use super::pool::{LayerPool, Lease};
use super::reply::{self, is_event_stream, is_switch};
use super::undo::Before;
use crate::config::Isolation;
use crate::exchange::body::{RequestBody, ResponseBody};
use crate::exchange::{Exchange, Failure};

/// The layers of one exchange.
#[derive(Debug)]
pub struct Chain<'a> {
    /// The worker's pools.
    pools: &'a [Rc<LayerPool>],
    /// The route's layers, outermost first: indices into `pools`.
    layers: &'a [usize],
    /// Instances that belong to this exchange alone (`isolation = "request"`), by place in `layers`.
    own: Vec<(usize, Lease)>,
    /// Layers that have failed and are skipped for the rest of the exchange, by place in `layers`.
    skipped: Vec<usize>,
}

/// How the way in ended.
#[derive(Debug)]
pub enum Inbound {
    /// The request goes to the upstream with this body.
    Forward(RequestBody),
    /// A plugin answers. The answer is in the exchange; it passes back out through the first
    /// `passed` layers.
    Reply {
        /// Layers that the request had passed.
        passed: usize,
        /// The answer's body.
        body: ResponseBody,
    },
}

/// What a step of a layer came to.
enum Step<B> {
    Continue(B),
    Reply(Reply),
}

/// Why a step of a layer did not come to anything.
enum StepFailure<B> {
    /// The plugin failed; the body is as it was, unless it is lost.
    Plugin(HookFailure, Option<B>),
    /// Something else failed.
    Other(Failure),
}

impl<'a> Chain<'a> {
    /// The chain of a route on this worker.
    pub fn new(pools: &'a [Rc<LayerPool>], layers: &'a [usize]) -> Self {
        Self {
            pools,
            layers,
            own: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// How many layers there are.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    fn pool(&self, place: usize) -> Option<Rc<LayerPool>> {
        self.pools.get(*self.layers.get(place)?).cloned()
    }

    /// An instance for a hook: the exchange's own, or one from the pool.
    async fn lease(&mut self, place: usize, pool: &Rc<LayerPool>) -> Result<Lease, HookFailure> {
        if let Some(position) = self.own.iter().position(|(owner, _)| *owner == place) {
            return Ok(self.own.swap_remove(position).1);
        }
        pool.lease().await
    }

    /// Ends the use of an instance by one hook.
    fn release(&mut self, place: usize, lease: impl Into<Option<Lease>>) {
        if let Some(lease) = lease.into()
            && lease.layer().isolation == Isolation::Request
        {
            self.own.push((place, lease));
        }
    }

    async fn run<T>(
        &mut self,
        place: usize,
        pool: &Rc<LayerPool>,
        call: impl FnOnce(&mut Instance) -> Result<T, HookFailure>,
    ) -> Result<T, HookFailure> {
        let mut lease = self.lease(place, pool).await?;
        let result = lease.run(call);
        self.release(place, lease);
        result
    }

    /// A failed hook: an error where the plugin's policy is to reject; otherwise a line in the log,
    /// and the exchange goes on as if the plugin were not listed.
    fn skip(
        &mut self,
        place: usize,
        exchange: &mut Exchange,
        before: Option<Before>,
        hook: Hook,
        failure: &HookFailure,
    ) -> Result<(), Failure> {
        let Some(pool) = self.pool(place) else {
            return Ok(());
        };
        let failed = failed(exchange, &pool, hook, failure);
        before.ok_or(failed)?.restore(exchange);
        self.skipped.push(place);
        Ok(())
    }

    /// The director chain, in order, each plugin's `request-body` right after its `direct`.
    ///
    /// # Errors
    /// A plugin that failed and is not to be skipped, or a client's body that could not be read.
    pub async fn inbound(
        &mut self,
        exchange: &mut Box<Exchange>,
        mut body: RequestBody,
    ) -> Result<Inbound, Failure> {
        for place in 0..self.layers.len() {
            let Some(pool) = self.pool(place) else {
                continue;
            };
            let hooks = pool.layer.hooks;
            let before = Before::keep(exchange, pool.layer.on_failure);
            if hooks.director {
                match self
                    .run(place, &pool, |instance| instance.direct(exchange))
                    .await
                {
                    Ok(Direction::Forward) => {}
                    Ok(Direction::Reply(reply)) => match reply::accept(exchange, reply) {
                        Ok(body) => {
                            return Ok(Inbound::Reply {
                                passed: place,
                                body,
                            });
                        }
                        Err(failure) => {
                            self.skip(place, exchange, before, Hook::Direct, &failure)?;
                            continue;
                        }
                    },
                    Err(failure) => {
                        self.skip(place, exchange, before, Hook::Direct, &failure)?;
                        continue;
                    }
                }
            }
            if hooks.request_body && exchange.request.upgrade.is_none() {
                match Box::pin(self.request_body(place, &pool, exchange, body)).await {
                    Ok(Step::Continue(next)) => body = next,
                    Ok(Step::Reply(reply)) => match reply::accept(exchange, reply) {
                        Ok(body) => {
                            return Ok(Inbound::Reply {
                                passed: place,
                                body,
                            });
                        }
                        Err(failure) => {
                            return Err(failed(exchange, &pool, Hook::RequestBody, &failure));
                        }
                    },
                    Err(StepFailure::Plugin(failure, Some(kept))) => {
                        self.skip(place, exchange, before, Hook::RequestBody, &failure)?;
                        body = kept;
                    }
                    Err(StepFailure::Plugin(failure, None)) => {
                        return Err(failed(exchange, &pool, Hook::RequestBody, &failure));
                    }
                    Err(StepFailure::Other(failure)) => return Err(failure),
                }
            }
        }
        Ok(Inbound::Forward(body))
    }

    /// The modify-response chain over the first `layers` layers, in reverse, each plugin's
    /// `response-body` right after its `modify`.
    ///
    /// # Errors
    /// A plugin that failed and is not to be skipped. The upstream's body is closed then.
    pub async fn outbound(
        &mut self,
        exchange: &mut Box<Exchange>,
        mut body: ResponseBody,
        layers: usize,
    ) -> Result<ResponseBody, Failure> {
        for place in (0..layers.min(self.layers.len())).rev() {
            if self.skipped.contains(&place) {
                continue;
            }
            let Some(pool) = self.pool(place) else {
                continue;
            };
            let hooks = pool.layer.hooks;
            let mut before = Before::keep(exchange, pool.layer.on_failure);
            if hooks.modifier {
                match self
                    .run(place, &pool, |instance| instance.modify(exchange))
                    .await
                {
                    Ok(Change::Forward) => {}
                    Ok(Change::Reply(reply)) => match reply::accept(exchange, reply) {
                        Ok(own) => {
                            body = own;
                            // The upstream's body is gone: there is no way back behind this.
                            before = Before::keep(exchange, pool.layer.on_failure);
                        }
                        Err(failure) => {
                            self.skip(place, exchange, before, Hook::Modify, &failure)?;
                            continue;
                        }
                    },
                    Err(failure) => {
                        self.skip(place, exchange, before, Hook::Modify, &failure)?;
                        continue;
                    }
                }
            }
            if hooks.response_body && !is_event_stream(exchange) && !is_switch(exchange) {
                match Box::pin(self.response_body(place, &pool, exchange, body)).await {
                    Ok(Step::Continue(next)) => body = next,
                    Ok(Step::Reply(reply)) => match reply::accept(exchange, reply) {
                        Ok(own) => body = own,
                        Err(failure) => {
                            return Err(failed(exchange, &pool, Hook::ResponseBody, &failure));
                        }
                    },
                    Err(StepFailure::Plugin(failure, Some(kept))) => {
                        self.skip(place, exchange, before, Hook::ResponseBody, &failure)?;
                        body = kept;
                    }
                    Err(StepFailure::Plugin(failure, None)) => {
                        return Err(failed(exchange, &pool, Hook::ResponseBody, &failure));
                    }
                    Err(StepFailure::Other(failure)) => return Err(failure),
                }
            }
        }
        Ok(body)
    }
}

fn failed(exchange: &Exchange, pool: &LayerPool, hook: Hook, failure: &HookFailure) -> Failure {
    report(&pool.layer, hook, &exchange.request_id, failure);
    Failure::Plugin(format!("{}, {}: {failure}", pool.layer.name, hook.name()))
}
