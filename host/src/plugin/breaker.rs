//! A plugin that keeps failing is left alone for a while: its failure policy is applied without a call.
//!
//! ```text
//! closed ── too many failures ──▶ open ── pause over ──▶ one call as a probe ── it succeeds ──▶ closed
//!                                  ▲                                  │
//!                                  └────── twice the pause ───────────┴─ it fails
//! ```
//!
//! What counts is what the plugin can't have meant: traps, missed deadlines, instances that can't be made. An error that a
//! hook returns does not, and neither does a lack of free instances: a client could bring about either. And failures have to
//! be a share of all calls, so that a client who has found a request that traps takes the plugin from nobody
//! else until half of the traffic is his.
//!
//! # Number and cost
//!
//! Failures are too many by their number, or by what they have cost a worker: the computing time of missed deadlines, and that of
//! making an instance in place of one that had to be discarded. A trap costs next to nothing, so twenty of them hurt nobody; a loop
//! without end keeps a worker from everybody else until its deadline, so that two of them in a row are as many as a client
//! on another route should meet. One failure alone opens nothing, whatever it has cost: a good plugin may be
//! unlucky once. And where failures have cost a tenth of a worker's time ([`DEAREST`]) no good calls in between make up for
//! that: a client who has found a request that loops could keep the worker from all others with them.
//!
//! A plugin in good health pays one relaxed load for each call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config;

/// Failures are forgotten when they are older than this.
const WINDOW: Duration = Duration::from_secs(10);
/// What failures within [`WINDOW`] may cost at most, whatever share of the calls they are.
pub const DEAREST: Duration = Duration::from_secs(1);
/// Fewer failures than this cost what they like.
const LEAST: u32 = 2;
/// The longest pause.
const LONGEST: Duration = Duration::from_mins(1);

/// The breaker of one layer, shared by all workers.
#[derive(Debug)]
pub struct Breaker {
    settings: config::Breaker,
    /// Whether there is anything to look at below.
    is_in_trouble: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since when calls are counted: the window's first failure.
    since: Option<Instant>,
    calls: u32,
    failures: u32,
    /// Computing time that the failures have cost.
    lost: Duration,
    /// Until when the plugin is not called, and whether a probe is under way.
    open: Option<(Instant, bool)>,
    /// The last pause.
    pause: Duration,
}

/// What a call did to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has opened, for so long.
    Opened(Duration),
    /// It has closed.
    Closed,
}

impl Breaker {
    /// A closed one.
    pub fn new(settings: config::Breaker) -> Self {
        Self {
            settings,
            is_in_trouble: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the plugin may be called now. After a pause the first who asks is the probe.
    pub fn admits(&self, now: impl FnOnce() -> Instant) -> bool {
        if !self.is_in_trouble.load(Ordering::Relaxed) {
            return true;
        }
        let mut state = self.state();
        let pause = state.pause;
        match &mut state.open {
            None => true,
            Some((until, probing)) => {
                let now = now();
                let may = now >= *until;
                if may {
                    // One that comes to nothing, because its exchange is gone, is followed by another.
                    *probing = true;
                    *until = now + pause;
                }
                may
            }
        }
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.is_in_trouble.load(Ordering::Relaxed) && self.state().open.is_some()
    }

    /// A call has succeeded.
    pub fn succeeded(&self, now: impl FnOnce() -> Instant) -> Option<Change> {
        if !self.is_in_trouble.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state();
        let is_over = match state.open {
            Some((_, probing)) => probing,
            // Long since the last failures: in good health again.
            None => state.is_past(now()),
        };
        if is_over {
            let has_closed = state.open.is_some();
            *state = State::default();
            self.is_in_trouble.store(false, Ordering::Relaxed);
            return has_closed.then_some(Change::Closed);
        }
        state.calls = state.calls.saturating_add(1);
        None
    }

    /// A call has failed, which has cost so much computing time.
    pub fn failed(&self, now: Instant, cost: Duration) -> Option<Change> {
        let mut state = self.state();
        self.is_in_trouble.store(true, Ordering::Relaxed);
        if let Some((_, probing)) = state.open {
            // Calls that had begun before it opened change nothing.
            let pause = state.pause * 2;
            return probing.then(|| state.open_for(pause, now));
        }
        if state.is_past(now) {
            *state = State {
                since: Some(now),
                ..State::default()
            };
        }
        state.calls = state.calls.saturating_add(1);
        state.failures = state.failures.saturating_add(1);
        state.lost = state.lost.saturating_add(cost);
        state
            .are_too_many(&self.settings)
            .then(|| state.open_for(self.settings.pause, now))
    }
}

impl State {
    /// Whether the window that calls are counted in is over, or has never begun.
    fn is_past(&self, now: Instant) -> bool {
        let passed = |since| now.saturating_duration_since(since) > WINDOW;
        self.since.is_none_or(passed)
    }

    fn are_too_many(&self, settings: &config::Breaker) -> bool {
        let share = f64::from(self.failures) / f64::from(self.calls.max(1));
        let is_dear = |most| self.failures >= LEAST && self.lost >= most;
        let is_much = self.failures >= settings.failures.get() || is_dear(settings.lost);
        is_dear(DEAREST) || (is_much && share >= settings.rate)
    }

    fn open_for(&mut self, pause: Duration, now: Instant) -> Change {
        let pause = pause.min(LONGEST);
        self.pause = pause;
        self.open = Some((now + pause, false));
        Change::Opened(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LOST: Duration = Duration::from_millis(25);
    const NOTHING: Duration = Duration::ZERO;

    fn breaker(failures: u32, rate: f64) -> (Breaker, Instant) {
        let settings = config::Breaker {
            failures: failures.try_into().unwrap(),
            rate,
            lost: LOST,
            pause: SECOND,
        };
        (Breaker::new(settings), Instant::now())
    }

    #[test]
    fn it_opens_at_a_share_of_failures_probes_and_closes() {
        let (breaker, now) = breaker(3, 0.5);
        assert!(breaker.admits(|| now));
        assert_eq!(breaker.failed(now, NOTHING), None);
        assert_eq!(breaker.failed(now, NOTHING), None);
        assert_eq!(breaker.failed(now, NOTHING), Some(Change::Opened(SECOND)));
        assert!(breaker.is_open() && !breaker.admits(|| now));
        // One probe, and one only.
        assert!(breaker.admits(|| now + SECOND));
        assert!(!breaker.admits(|| now + SECOND));
        assert_eq!(
            breaker.failed(now + SECOND, NOTHING),
            Some(Change::Opened(2 * SECOND))
        );
        assert!(!breaker.admits(|| now + 2 * SECOND));
        assert!(breaker.admits(|| now + 3 * SECOND));
        assert_eq!(breaker.succeeded(|| now), Some(Change::Closed));
        assert!(breaker.admits(|| now) && !breaker.is_open());
        // The pause is short again.
        breaker.failed(now, NOTHING);
        breaker.failed(now, NOTHING);
        assert_eq!(breaker.failed(now, NOTHING), Some(Change::Opened(SECOND)));
    }

    #[test]
    fn few_failures_among_many_calls_and_old_ones_change_nothing() {
        let (share, now) = breaker(3, 0.5);
        share.failed(now, NOTHING);
        for _ in 0..10 {
            assert_eq!(share.succeeded(|| now), None);
        }
        for _ in 0..5 {
            assert_eq!(share.failed(now, NOTHING), None);
        }
        let (old, now) = breaker(2, 0.0);
        for round in 0..5 {
            assert_eq!(old.failed(now + round * 11 * SECOND, NOTHING), None);
        }
    }

    #[test]
    fn the_pause_has_an_end_and_a_probe_that_came_to_nothing_is_followed_by_another() {
        let (breaker, mut now) = breaker(1, 0.0);
        breaker.failed(now, NOTHING);
        assert!(breaker.admits(|| now + SECOND));
        assert!(!breaker.admits(|| now + SECOND));
        assert!(breaker.admits(|| now + 2 * SECOND));
        for _ in 0..10 {
            now += 2 * LONGEST;
            assert!(breaker.admits(|| now));
            breaker.failed(now, NOTHING);
        }
        assert!(!breaker.admits(|| now + Duration::from_secs(59)));
        assert!(breaker.admits(|| now + LONGEST));
    }

    #[test]
    fn what_failures_cost_makes_them_too_many() {
        let (breaker, now) = breaker(20, 0.5);
        let miss = Duration::from_millis(15);
        assert_eq!(breaker.failed(now, miss), None);
        assert_eq!(breaker.failed(now, miss), Some(Change::Opened(SECOND)));
    }

    #[test]
    fn one_failure_alone_opens_nothing_whatever_it_has_cost() {
        let (breaker, now) = breaker(20, 0.5);
        assert_eq!(breaker.failed(now, 100 * DEAREST), None);
        // The next one is in a window of its own.
        assert_eq!(breaker.failed(now + 11 * SECOND, 100 * DEAREST), None);
        assert_eq!(
            breaker.failed(now + 12 * SECOND, NOTHING),
            Some(Change::Opened(SECOND))
        );
    }

    #[test]
    fn among_many_calls_they_may_cost_a_tenth_of_a_workers_time() {
        let (breaker, now) = breaker(1000, 0.5);
        let miss = Duration::from_millis(15);
        let mut misses = 0;
        let change = loop {
            for _ in 0..100 {
                assert_eq!(breaker.succeeded(|| now), None);
            }
            misses += 1;
            if let Some(change) = breaker.failed(now, miss) {
                break change;
            }
        };
        assert_eq!(change, Change::Opened(SECOND));
        assert_eq!(miss * misses, Duration::from_millis(1005));
    }

    #[test]
    fn after_a_window_without_failures_it_is_in_good_health() {
        let (breaker, now) = breaker(3, 0.5);
        breaker.failed(now, NOTHING);
        assert_eq!(breaker.succeeded(|| now + SECOND), None);
        assert!(breaker.is_in_trouble.load(Ordering::Relaxed));
        assert_eq!(breaker.succeeded(|| now + 11 * SECOND), None);
        assert!(!breaker.is_in_trouble.load(Ordering::Relaxed));
    }
}
