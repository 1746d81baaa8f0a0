//! What active health checks have found out about an upstream's targets, and how one that comes back warms up.
//!
//! Who checks is [`super::prober`], once for all workers. A target is up until it has failed `unhealthy` checks in a row, and
//! down until it has passed `healthy` ones in a row. One that has come up again gets a growing share of the requests that it
//! would get (slow start): its caches are cold, and what took it down may have been the load.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::health::Millis;
use crate::config::HealthCheck;

/// The least share of a target that warms up: without any request it would stay cold.
const LEAST: f64 = 0.1;

/// The state of an upstream's targets.
#[derive(Debug)]
pub struct Checks {
    /// How targets are checked.
    pub settings: HealthCheck,
    /// Targets that are down or warming up: while there are none, a request looks at nothing else.
    troubled: AtomicUsize,
    targets: Vec<State>,
}

#[derive(Debug, Default)]
struct State {
    is_down: AtomicBool,
    /// Checks in a row that say otherwise.
    against: AtomicU32,
    /// Since when it warms up; 0: it does not.
    warming: AtomicU64,
}

/// What a check has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The target is down from now on.
    Down,
    /// It is up again.
    Up,
}

impl Checks {
    /// All targets are up.
    pub fn new(settings: HealthCheck, targets: usize) -> Self {
        Self {
            settings,
            troubled: AtomicUsize::new(0),
            targets: std::iter::repeat_with(State::default)
                .take(targets)
                .collect(),
        }
    }

    /// Whether a request may go to this target. `share` is a random number from 0 to 1, asked for where the target warms up.
    pub fn admits(
        &self,
        index: usize,
        now: impl FnOnce() -> Millis,
        share: impl FnOnce() -> f64,
    ) -> bool {
        if self.troubled.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let Some(state) = self.targets.get(index) else {
            return true;
        };
        if state.is_down.load(Ordering::Relaxed) {
            return false;
        }
        let since = state.warming.load(Ordering::Relaxed);
        if since == 0 {
            return true;
        }
        let warm_up = self.settings.slow_start;
        let elapsed = Duration::from_millis(now().saturating_sub(since));
        if elapsed < warm_up {
            return share() < (elapsed.as_secs_f64() / warm_up.as_secs_f64()).max(LEAST);
        }
        if state
            .warming
            .compare_exchange(since, 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.troubled.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }

    /// Whether a target is down.
    pub fn is_down(&self, index: usize) -> bool {
        let state = self.targets.get(index);
        state.is_some_and(|state| state.is_down.load(Ordering::Relaxed))
    }

    /// A target has passed a check, or has not. To be called by one thread only.
    pub fn checked(&self, index: usize, passed: bool, now: Millis) -> Option<Change> {
        let state = self.targets.get(index)?;
        let is_down = state.is_down.load(Ordering::Relaxed);
        if passed != is_down {
            state.against.store(0, Ordering::Relaxed);
            return None;
        }
        let against = state.against.fetch_add(1, Ordering::Relaxed) + 1;
        let needed = if is_down {
            self.settings.healthy
        } else {
            self.settings.unhealthy
        };
        if against < needed {
            return None;
        }
        state.against.store(0, Ordering::Relaxed);
        if is_down {
            let warms_up = !self.settings.slow_start.is_zero();
            state
                .warming
                .store(if warms_up { now } else { 0 }, Ordering::Relaxed);
            state.is_down.store(false, Ordering::Relaxed);
            if !warms_up {
                self.troubled.fetch_sub(1, Ordering::Relaxed);
            }
            return Some(Change::Up);
        }
        // One that goes down while it warms up is counted already.
        if state.warming.swap(0, Ordering::Relaxed) == 0 {
            self.troubled.fetch_add(1, Ordering::Relaxed);
        }
        state.is_down.store(true, Ordering::Relaxed);
        Some(Change::Down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Probe;

    fn checks(slow_start: u64) -> Checks {
        let settings = HealthCheck {
            probe: Probe::Connect,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            slow_start: Duration::from_millis(slow_start),
        };
        Checks::new(settings, 2)
    }

    fn admits(checks: &Checks, now: Millis, share: f64) -> bool {
        checks.admits(0, || now, || share)
    }

    #[test]
    fn only_checks_in_a_row_change_anything() {
        let checks = checks(0);
        for passed in [false, false, true, false, false, true] {
            assert_eq!(checks.checked(0, passed, 1), None);
        }
        assert_eq!(checks.checked(0, false, 1), None);
        assert_eq!(checks.checked(0, false, 1), None);
        assert_eq!(checks.checked(0, false, 1), Some(Change::Down));
        assert!(checks.is_down(0) && !admits(&checks, 1, 0.0));
        assert!(checks.admits(1, || 1, || 1.0));
        for passed in [true, false, true] {
            assert_eq!(checks.checked(0, passed, 1), None);
        }
        assert_eq!(checks.checked(0, true, 1), Some(Change::Up));
        assert!(!checks.is_down(0) && admits(&checks, 1, 1.0));
        assert_eq!(checks.troubled.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_target_that_comes_up_gets_a_growing_share() {
        let checks = checks(1000);
        for _ in 0..3 {
            checks.checked(0, false, 1);
        }
        checks.checked(0, true, 1);
        assert_eq!(checks.checked(0, true, 100), Some(Change::Up));
        assert!(admits(&checks, 100, 0.09) && !admits(&checks, 100, 0.1));
        assert!(admits(&checks, 600, 0.49) && !admits(&checks, 600, 0.51));
        // Down while it warms up, and up again.
        for _ in 0..3 {
            checks.checked(0, false, 700);
        }
        assert!(!admits(&checks, 700, 0.0));
        checks.checked(0, true, 800);
        checks.checked(0, true, 800);
        assert!(!admits(&checks, 1799, 1.0));
        assert!(admits(&checks, 1800, 1.0));
        assert_eq!(checks.troubled.load(Ordering::Relaxed), 0);
    }
}
