//! What active health checks have found out about an upstream's targets.
//!
//! Who checks is [`super::prober`], once for all workers. A target is up until it has failed `unhealthy` checks in a row, and
//! down until it has passed `healthy` ones in a row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::health::kept;
use crate::config::HealthCheck;

/// The state of an upstream's targets.
#[derive(Debug)]
pub struct Checks {
    /// How targets are checked.
    pub settings: HealthCheck,
    targets: Vec<Arc<State>>,
}

#[derive(Debug, Default)]
struct State {
    is_down: AtomicBool,
    /// Checks in a row that say otherwise.
    against: AtomicU32,
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
    /// Of so many targets as `same` is long. Each entry is the index that the target has in `previous`, whose state is taken
    /// over; the others are up.
    pub fn following(
        settings: HealthCheck,
        previous: Option<&Self>,
        same: &[Option<usize>],
    ) -> Self {
        let targets = kept(previous.map(|previous| &*previous.targets), same);
        Self { settings, targets }
    }

    /// Whether a target is down.
    pub fn is_down(&self, index: usize) -> bool {
        let state = self.targets.get(index);
        state.is_some_and(|state| state.is_down.load(Ordering::Relaxed))
    }

    /// A target has passed a check, or has not. To be called by one thread only.
    pub fn checked(&self, index: usize, passed: bool) -> Option<Change> {
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
        state.is_down.store(!is_down, Ordering::Relaxed);
        Some(if is_down { Change::Up } else { Change::Down })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Probe;

    #[test]
    fn only_checks_in_a_row_change_anything() {
        let settings = HealthCheck {
            probe: Probe::Connect,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            slow_start: Duration::ZERO,
        };
        let checks = Checks::following(settings.clone(), None, &[None, None]);
        for passed in [false, false, true, false, false, true] {
            assert_eq!(checks.checked(0, passed), None);
        }
        assert_eq!(checks.checked(0, false), None);
        assert_eq!(checks.checked(0, false), None);
        assert_eq!(checks.checked(0, false), Some(Change::Down));
        assert!(checks.is_down(0) && !checks.is_down(1));
        for passed in [true, false, true] {
            assert_eq!(checks.checked(0, passed), None);
        }
        assert_eq!(checks.checked(0, true), Some(Change::Up));
        assert!(!checks.is_down(0));
        // A target is down wherever it stands in another configuration.
        for _ in 0..3 {
            checks.checked(0, false);
        }
        let other = Checks::following(settings, Some(&checks), &[None, Some(0)]);
        assert!(!other.is_down(0) && other.is_down(1));
    }
}
