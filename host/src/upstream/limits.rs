//! How many exchanges may go on with an upstream at the same time, and how many may wait for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config;

/// An exchange's place among those that may go on at the same time. Dropping it makes room.
pub type Place = OwnedSemaphorePermit;

/// The limits of an upstream, over all workers. An exchange in HTTP/1.1 has a connection to itself, so
/// counting one is counting the other; connections that are kept for later are not counted.
#[derive(Debug)]
pub struct Limits {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
}

impl Limits {
    /// `None` without a limit.
    pub fn new(config: &config::UpstreamLimits) -> Option<Self> {
        config.connections.map(|connections| Self {
            places: Arc::new(Semaphore::new(connections)),
            waiting: AtomicUsize::new(0),
            most_waiting: config.pending,
        })
    }

    /// A place, if one is free.
    pub fn enter(&self) -> Option<Place> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// A place as soon as one is free, first come, first served. `None` where too many are waiting
    /// already, and when the time is up.
    pub async fn wait(&self, until: Instant) -> Option<Place> {
        let _waiting = Waiting::begin(&self.waiting, self.most_waiting)?;
        let place = Arc::clone(&self.places).acquire_owned();
        tokio::time::timeout_at(until, place).await.ok()?.ok()
    }
}

/// Counts who waits, also those who give up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        let waiting = Self(count);
        (before < most).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use super::*;

    fn limits(connections: usize, pending: usize) -> Limits {
        let connections = Some(connections);
        Limits::new(&config::UpstreamLimits {
            connections,
            pending,
        })
        .unwrap()
    }

    #[tokio::test]
    async fn places_come_back_and_go_to_who_waits_longest() {
        let limits = limits(1, 2);
        let place = limits.enter().unwrap();
        assert!(limits.enter().is_none());
        let far = Instant::now() + Duration::from_hours(1);
        let mut cx = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (pin!(limits.wait(far)), pin!(limits.wait(far)));
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert!(limits.wait(far).await.is_none(), "two wait already");
        drop(place);
        assert!(limits.enter().is_none(), "nobody gets past who waits");
        let place = first.await.unwrap();
        assert!(second.as_mut().poll(&mut cx).is_pending());
        drop(place);
        assert!(second.await.is_some());
        assert!(limits.enter().is_some());
    }

    #[tokio::test]
    async fn who_gives_up_makes_room_for_another_one_to_wait() {
        let limits = limits(1, 1);
        let place = limits.enter();
        let soon = Instant::now() + Duration::from_millis(1);
        assert!(limits.wait(soon).await.is_none());
        let far = Instant::now() + Duration::from_hours(1);
        let mut cx = Context::from_waker(Waker::noop());
        {
            let mut cancelled = pin!(limits.wait(far));
            assert!(cancelled.as_mut().poll(&mut cx).is_pending());
        }
        let mut next = pin!(limits.wait(far));
        assert!(next.as_mut().poll(&mut cx).is_pending());
        drop(place);
        assert!(next.await.is_some());
    }
}
