//! How many exchanges may go on with an upstream at the same time, and how many may wait for that.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config;

/// The limits of an upstream, over all workers. An exchange in HTTP/1.1 has a connection to itself, so
/// counting one is counting the other; connections that are kept for later are not counted.
#[derive(Debug)]
pub struct Limits {
    room: Arc<Room>,
    most_waiting: usize,
}

/// Who goes on and who waits. It outlives a change of the upstream's configuration.
#[derive(Debug)]
struct Room {
    places: Arc<Semaphore>,
    /// How many places there should be.
    size: Mutex<usize>,
    /// So many are given up when they come back: there are more than there should be.
    too_many: AtomicUsize,
    waiting: AtomicUsize,
}

/// An exchange's place among those that may go on at the same time. Dropping it makes room.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Limits {
    /// `None` without a limit. Who goes on or waits by the limits of `previous` counts in these.
    pub fn following(config: &config::UpstreamLimits, previous: Option<&Self>) -> Option<Self> {
        let places = config.connections?;
        let room = match previous {
            Some(previous) => Arc::clone(&previous.room),
            None => Arc::new(Room {
                places: Arc::new(Semaphore::new(places)),
                size: Mutex::new(places),
                too_many: AtomicUsize::new(0),
                waiting: AtomicUsize::new(0),
            }),
        };
        room.resize(places);
        Some(Self {
            room,
            most_waiting: config.pending,
        })
    }

    /// A place, if one is free.
    pub fn enter(&self) -> Option<Place> {
        let permit = Arc::clone(&self.room.places).try_acquire_owned().ok()?;
        Some(self.place(permit))
    }

    /// A place as soon as one is free, first come, first served. `None` where too many are waiting
    /// already, and when the time is up.
    pub async fn wait(&self, until: Instant) -> Option<Place> {
        let _waiting = Waiting::begin(&self.room.waiting, self.most_waiting)?;
        let permit = Arc::clone(&self.room.places).acquire_owned();
        let permit = tokio::time::timeout_at(until, permit).await.ok()?.ok()?;
        Some(self.place(permit))
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        Place {
            room: Arc::clone(&self.room),
            permit: Some(permit),
        }
    }
}

impl Room {
    /// Makes or takes away places. Those that are in use and should not be are taken away when they come back.
    fn resize(&self, places: usize) {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if places > *size {
            // What was to be taken away and is not yet may stay.
            let mut more = places - *size;
            while more > 0 && self.give_up() {
                more -= 1;
            }
            self.places.add_permits(more);
        } else {
            let fewer = *size - places;
            let taken = self.places.forget_permits(fewer);
            self.too_many.fetch_add(fewer - taken, Ordering::AcqRel);
        }
        *size = places;
    }

    /// Whether there was one place too many, which there is not any more.
    fn give_up(&self) -> bool {
        self.too_many
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                count.checked_sub(1)
            })
            .is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.room.give_up()
        {
            permit.forget();
        }
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
        following(connections, pending, None)
    }

    fn following(connections: usize, pending: usize, previous: Option<&Limits>) -> Limits {
        let config = config::UpstreamLimits {
            connections: Some(connections),
            pending,
        };
        Limits::following(&config, previous).unwrap()
    }

    /// How many places are free.
    fn free(limits: &Limits) -> usize {
        std::iter::from_fn(|| limits.enter())
            .collect::<Vec<_>>()
            .len()
    }

    #[test]
    fn who_goes_on_counts_when_the_limit_changes() {
        let old = limits(4, 0);
        let mut going_on: Vec<_> = (0..3).map(|_| old.enter().unwrap()).collect();
        let smaller = following(2, 0, Some(&old));
        assert_eq!((free(&smaller), free(&old)), (0, 0));
        going_on.pop();
        assert_eq!(free(&smaller), 0, "two go on, and two may");
        going_on.pop();
        assert_eq!(free(&smaller), 1);
        let larger = following(5, 0, Some(&smaller));
        assert_eq!(free(&larger), 4);
        going_on.pop();
        assert_eq!((free(&larger), free(&old)), (5, 5));
        // Larger again before all that should go have gone.
        let going_on: Vec<_> = (0..5).map(|_| larger.enter().unwrap()).collect();
        let smaller = following(1, 0, Some(&larger));
        let middle = following(3, 0, Some(&smaller));
        drop(going_on);
        assert_eq!(free(&middle), 3);
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
