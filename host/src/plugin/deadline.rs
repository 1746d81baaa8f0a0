//! Computing time of a hook.
//!
//! The engine's epoch counts time on the wall. A worker that other programs keep from computing
//! would see its plugins miss deadlines that they have not used up, so when an epoch deadline is
//! reached the thread's own clock decides. Asking that clock costs a system call; it is asked only
//! then, which is never in a healthy plugin.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Store, UpdateDeadline};

use super::engine::ticks;
use super::state::State;

/// The time that a hook has, and how far it is beyond the epoch's deadline.
#[derive(Debug)]
pub struct Deadline {
    limit: Duration,
    wall: Duration,
    overdue: Option<Overdue>,
}

#[derive(Debug)]
struct Overdue {
    /// The thread's clock when the epoch's deadline was reached first.
    computing: Duration,
    since: Instant,
}

impl Deadline {
    /// `limit` of computing, and at most `wall` from the first look at it.
    pub fn new(limit: Duration, wall: Duration) -> Self {
        Self {
            limit,
            wall,
            overdue: None,
        }
    }

    /// Begins anew, with the next hook.
    pub fn restart(&mut self) {
        self.overdue = None;
    }

    /// The epoch's deadline has been reached: whether the guest may go on, to the next one.
    ///
    /// When that happens first nothing is known of how much the guest has computed. From then on
    /// it may compute for half of its limit, so that one that computes all the time is stopped
    /// after one and a half times its limit, and one that is kept from computing is not.
    fn may_continue(&mut self, computing: Duration, now: Instant) -> bool {
        let overdue = self.overdue.get_or_insert(Overdue {
            computing,
            since: now,
        });
        computing.saturating_sub(overdue.computing) < self.limit / 2
            && now.duration_since(overdue.since) < self.wall
    }
}

/// Has the store ask its [`Deadline`] whenever an epoch deadline is reached.
pub fn watch(store: &mut Store<State>) {
    store.epoch_deadline_callback(|mut context| {
        let deadline = &mut context.data_mut().deadline;
        if deadline.may_continue(thread_time(), Instant::now()) {
            let rest = ticks(deadline.limit / 2);
            Ok(UpdateDeadline::Continue(rest))
        } else {
            Ok(UpdateDeadline::Interrupt)
        }
    });
}

/// Time that this thread has computed.
pub(super) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_computing_and_at_last_the_wall() {
        let (limit, wall) = (Duration::from_millis(10), Duration::from_secs(1));
        let now = Instant::now();
        let mut deadline = Deadline::new(limit, wall);
        let at = |milliseconds| Duration::from_millis(milliseconds);
        // Kept from computing: it goes on, until it has had half of its limit more.
        assert!(deadline.may_continue(at(100), now));
        assert!(deadline.may_continue(at(101), now + at(500)));
        assert!(!deadline.may_continue(at(105), now + at(501)));
        // The next hook begins anew, and ends at the wall's limit even if it never computes.
        deadline.restart();
        assert!(deadline.may_continue(at(105), now));
        assert!(!deadline.may_continue(at(105), now + wall));
    }
}
