//! A worker's connections to one target.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::shared::{Place, Shared};
use crate::upstream::connect::Way;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Spares {
    connections: RefCell<Vec<Rc<Shared>>>,
    /// Held by whoever makes a connection.
    opening: Arc<Mutex<()>>,
    /// How long one may be without exchanges.
    limit: Cell<Duration>,
    /// The target has chosen HTTP/1.1 where it could choose.
    is_http1: Cell<bool>,
    /// Another has taken its place: nobody looks here any more.
    is_replaced: Cell<bool>,
}

impl Spares {
    /// A place on one of the connections that lead to where the target is today, the fullest first: those that are not needed
    /// any more grow empty and are closed.
    pub fn take_place(&self, way: &Way) -> Option<Place> {
        let connections = self.connections.borrow();
        let with_room = connections.iter().filter(|shared| shared.has_room_to(way));
        with_room
            .max_by_key(|shared| shared.in_use())
            .map(Shared::occupy)
    }

    /// Whether the target has chosen HTTP/1.1, so that nobody need wait for another's connection.
    pub fn is_http1(&self) -> bool {
        self.is_http1.get()
    }

    /// What the target has chosen.
    pub fn chose_http1(&self, is_http1: bool) {
        self.is_http1.set(is_http1);
    }

    /// Lets nobody else make a connection for as long as what this returns is kept.
    pub async fn lock(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.opening).lock_owned().await
    }

    /// Adds a connection, and takes a place on it. It is kept for `idle` when nothing goes on.
    pub fn add(&self, shared: Rc<Shared>, idle: Duration) -> Option<Place> {
        self.limit.set(idle);
        let place = shared.take_place();
        if !self.is_replaced.get() {
            let mut connections = self.connections.borrow_mut();
            connections.retain(|shared| shared.is_usable());
            connections.push(shared);
        }
        place
    }

    /// Lets go of those that can't be used any more or were not used for long. What goes on over them goes on.
    pub fn sweep(&self, now: Instant) {
        let limit = self.limit.get();
        self.connections.borrow_mut().retain(|shared| {
            let idle = shared.idle_since(now);
            let is_old = idle.is_some_and(|since| now.saturating_duration_since(since) >= limit);
            !is_old && shared.is_usable()
        });
    }

    /// Takes over the connections of another, to which none are added any more.
    pub fn take_over(&self, other: &Self) {
        other.is_replaced.set(true);
        self.is_http1.set(other.is_http1.get());
        self.limit.set(other.limit.get());
        let mut connections = self.connections.borrow_mut();
        connections.append(&mut other.connections.borrow_mut());
    }
}
