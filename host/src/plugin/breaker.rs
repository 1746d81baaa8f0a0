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
//! A plugin in good health pays one relaxed load for each call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config;

/// Failures are forgotten when they are older than this.
const WINDOW: Duration = Duration::from_secs(10);
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
    pub fn succeeded(&self) -> Option<Change> {
        if !self.is_in_trouble.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state();
        if state.open.is_some_and(|(_, probing)| probing) {
            *state = State::default();
            self.is_in_trouble.store(false, Ordering::Relaxed);
            return Some(Change::Closed);
        }
        state.calls = state.calls.saturating_add(1);
        None
    }

    /// A call has failed.
    pub fn failed(&self, now: Instant) -> Option<Change> {
        let mut state = self.state();
        self.is_in_trouble.store(true, Ordering::Relaxed);
        if let Some((_, probing)) = state.open {
            // Calls that had begun before it opened change nothing.
            let pause = state.pause * 2;
            return probing.then(|| state.open_for(pause, now));
        }
        if state
            .since
            .is_none_or(|since| now.saturating_duration_since(since) > WINDOW)
        {
            *state = State {
                since: Some(now),
                ..State::default()
            };
        }
        state.calls = state.calls.saturating_add(1);
        state.failures = state.failures.saturating_add(1);
        let share = f64::from(state.failures) / f64::from(state.calls);
        let is_too_much =
            state.failures >= self.settings.failures.get() && share >= self.settings.rate;
        is_too_much.then(|| state.open_for(self.settings.pause, now))
    }
}

impl State {
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

    fn breaker(failures: u32, rate: f64) -> (Breaker, Instant) {
        let settings = config::Breaker {
            failures: failures.try_into().unwrap(),
            rate,
            pause: SECOND,
        };
        (Breaker::new(settings), Instant::now())
    }

    #[test]
    fn it_opens_at_a_share_of_failures_probes_and_closes() {
        let (breaker, now) = breaker(3, 0.5);
        assert!(breaker.admits(|| now));
        assert_eq!(breaker.failed(now), None);
        assert_eq!(breaker.failed(now), None);
        assert_eq!(breaker.failed(now), Some(Change::Opened(SECOND)));
        assert!(breaker.is_open() && !breaker.admits(|| now));
        // One probe, and one only.
        assert!(breaker.admits(|| now + SECOND));
        assert!(!breaker.admits(|| now + SECOND));
        assert_eq!(
            breaker.failed(now + SECOND),
            Some(Change::Opened(2 * SECOND))
        );
        assert!(!breaker.admits(|| now + 2 * SECOND));
        assert!(breaker.admits(|| now + 3 * SECOND));
        assert_eq!(breaker.succeeded(), Some(Change::Closed));
        assert!(breaker.admits(|| now) && !breaker.is_open());
        // The pause is short again.
        breaker.failed(now);
        breaker.failed(now);
        assert_eq!(breaker.failed(now), Some(Change::Opened(SECOND)));
    }

    #[test]
    fn few_failures_among_many_calls_and_old_ones_change_nothing() {
        let (share, now) = breaker(3, 0.5);
        share.failed(now);
        for _ in 0..10 {
            assert_eq!(share.succeeded(), None);
        }
        for _ in 0..5 {
            assert_eq!(share.failed(now), None);
        }
        let (old, now) = breaker(2, 0.0);
        for round in 0..5 {
            assert_eq!(old.failed(now + round * 11 * SECOND), None);
        }
    }

    #[test]
    fn the_pause_has_an_end_and_a_probe_that_came_to_nothing_is_followed_by_another() {
        let (breaker, mut now) = breaker(1, 0.0);
        breaker.failed(now);
        assert!(breaker.admits(|| now + SECOND));
        assert!(!breaker.admits(|| now + SECOND));
        assert!(breaker.admits(|| now + 2 * SECOND));
        for _ in 0..10 {
            now += 2 * LONGEST;
            assert!(breaker.admits(|| now));
            breaker.failed(now);
        }
        assert!(!breaker.admits(|| now + Duration::from_secs(59)));
        assert!(breaker.admits(|| now + LONGEST));
    }
}
