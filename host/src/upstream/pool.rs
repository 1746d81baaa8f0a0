//! Connections that wait for their next exchange: one pool per worker, a stack per target.
//!
//! Last in, first out: the connection that was used last is the warmest, and those that are not
//! needed any more grow old at the bottom and are closed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::connect::Way;
use super::connection::Connection;
use super::http2::spares::Spares;

/// Kept connections per target and worker.
const MAX_IDLE: usize = 256;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Pool {
    slots: RefCell<Vec<VecDeque<Idle>>>,
    /// Those that carry many exchanges, by slot.
    shared: Vec<Spares>,
    /// Another has taken its place: nobody looks here any more.
    is_replaced: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    /// How long it may wait.
    limit: Duration,
    /// When [`Pool::sweep`] saw it first. A connection that is used again at once, as most are, needs
    /// no look at the clock.
    seen: Option<Instant>,
    /// Whether [`Pool::sweep`] has found it alive more than once.
    is_proven: bool,
}

impl Pool {
    /// A pool for so many targets.
    pub fn new(targets: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(targets, VecDeque::new);
        Self {
            slots: RefCell::new(slots),
            shared: (0..targets).map(|_| Spares::default()).collect(),
            is_replaced: Cell::new(false),
        }
    }

    /// Takes over the connections that wait in `old` for these targets.
    pub fn take_over(&self, old: &Self, slots: impl Iterator<Item = usize>) {
        old.is_replaced.set(true);
        let old_shared = &old.shared;
        let mut old = old.slots.borrow_mut();
        let mut new = self.slots.borrow_mut();
        for slot in slots {
            if let (Some(from), Some(to)) = (old.get_mut(slot), new.get_mut(slot)) {
                to.append(from);
            }
            if let (Some(from), Some(to)) = (old_shared.get(slot), self.shared.get(slot)) {
                to.take_over(from);
            }
        }
    }

    /// The connection to a target that was used last, is still open, and leads to where the target is today.
    pub fn take(&self, slot: usize, way: &Way) -> Option<Box<Connection>> {
        let mut slots = self.slots.borrow_mut();
        let stack = slots.get_mut(slot)?;
        while let Some(idle) = stack.pop_back() {
            if idle.connection.was_alive() && idle.connection.destination().is_still(way) {
                return Some(idle.connection);
            }
        }
        None
    }

    /// As [`Self::take`], for a request that can't be sent a second time over a connection to a forward proxy. Some proxies
    /// (tinyproxy) close each connection after its first exchange and do not say so: what such a request was sent over, just
    /// before it closes, would be lost. So it gets a connection that has carried two exchanges, or has been open for a while since
    /// its first one.
    pub fn take_proven(&self, slot: usize, way: &Way) -> Option<Box<Connection>> {
        let mut slots = self.slots.borrow_mut();
        let stack = slots.get_mut(slot)?;
        while let Some(position) = stack
            .iter()
            .rposition(|idle| idle.connection.served > 1 || idle.is_proven)
        {
            let idle = stack.remove(position)?;
            if idle.connection.was_alive() && idle.connection.destination().is_still(way) {
                return Some(idle.connection);
            }
        }
        None
    }

    /// A target's connections that carry many exchanges.
    pub fn shared(&self, slot: usize) -> Option<&Spares> {
        self.shared.get(slot)
    }

    /// Keeps a connection for about `idle` (and up to the time between two sweeps longer), if it can
    /// carry another exchange.
    pub fn give_back(&self, slot: usize, mut connection: Box<Connection>, idle: Duration) {
        if !connection.end_exchange() || self.is_replaced.get() {
            return;
        }
        connection.rest();
        let mut slots = self.slots.borrow_mut();
        if let Some(stack) = slots.get_mut(slot) {
            if stack.len() >= MAX_IDLE {
                stack.pop_front();
            }
            stack.push_back(Idle {
                connection,
                limit: idle,
                seen: None,
                is_proven: false,
            });
        }
    }

    /// Closes what is too old or has been closed by the target. To be called now and then.
    pub fn sweep(&self, now: Instant) {
        for shared in &self.shared {
            shared.sweep(now);
        }
        for stack in self.slots.borrow_mut().iter_mut() {
            stack.retain_mut(|idle| {
                idle.is_proven = idle.seen.is_some();
                let since = now.saturating_duration_since(*idle.seen.get_or_insert(now));
                since < idle.limit && idle.connection.is_alive()
            });
        }
    }
}
