//! Which targets are left out for a while because they failed again and again (outlier ejection).
//!
//! Nobody probes: what the requests themselves met is counted. So many failures in a row eject a
//! target; it gets no requests for a while, and then it is back as any other. The more often that
//! happens without a healthy stretch in between, the longer it takes. The state is one for all
//! workers. A target that is not ejected costs one relaxed load here.
//!
//! What is known of a target outlives a change of the upstream's configuration: [`Health::following`].
//!
//! What becomes of a request where all targets are ejected is not decided here: see [`super::view::LastResort`].

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Outliers;

/// An ejection is at most so many times as long as the first one.
const MOST_EJECTIONS: u32 = 10;

/// Milliseconds since the process began to look at this clock. Never 0, which stands for "not at all".
pub type Millis = u64;

/// See [`Millis`].
pub fn now() -> Millis {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    millis(BEGAN.elapsed()) + 1
}

pub(super) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 1_000)
}

/// The health of an upstream's targets, as far as its own requests tell.
#[derive(Debug)]
pub struct Health {
    failures: u32,
    ejection: Millis,
    /// So many targets may be ejected at the same time.
    most: usize,
    /// Held while a target is ejected: two workers must not eject one too many.
    ejecting: Arc<Mutex<()>>,
    targets: Vec<Arc<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures in a row.
    failures: AtomicU32,
    /// When the ejection ends; 0: not ejected.
    until: AtomicU64,
    /// Ejections in a row, at most [`MOST_EJECTIONS`].
    ejections: AtomicU32,
    /// When the last ejection ended.
    returned: AtomicU64,
    /// All ejections.
    total: AtomicU64,
}

/// What asking for a target finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may be used.
    Usable,
    /// It may be used again, since this moment.
    Returned,
    /// It is ejected.
    Ejected,
}

impl Health {
    /// Of so many targets as `same` is long. Each entry is the index that the target has in `previous`, whose state is taken
    /// over; of the others nothing has failed yet.
    pub fn following(outliers: &Outliers, previous: Option<&Self>, same: &[Option<usize>]) -> Self {
        Self {
            failures: outliers.failures,
            ejection: millis(outliers.ejection),
            most: most_ejected(outliers.max_ejected, same.len()),
            ejecting: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.ejecting)),
            targets: kept(previous.map(|previous| &*previous.targets), same),
        }
    }

    /// Whether a target may be used.
    pub fn standing(&self, index: usize, now: impl FnOnce() -> Millis) -> Standing {
        let Some(state) = self.targets.get(index) else {
            return Standing::Usable;
        };
        // Relaxed, here and below: each number stands for itself, and a worker that learns of a
        // change a moment later does no harm.
        match state.until.load(Ordering::Relaxed) {
            0 => Standing::Usable,
            until if until <= now() => state.give_back(until),
            _ => Standing::Ejected,
        }
    }

    /// A target answered.
    pub fn succeeded(&self, index: usize) {
        if let Some(state) = self.targets.get(index)
            && state.failures.load(Ordering::Relaxed) != 0
        {
            state.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A target failed. If that ejects it: for how long.
    pub fn failed(&self, index: usize, now: impl FnOnce() -> Millis) -> Option<Duration> {
        let state = self.targets.get(index)?;
        let failures = state.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < self.failures {
            return None;
        }
        let _ejecting = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        if state.until.load(Ordering::Relaxed) != 0 || self.count_ejected(now) >= self.most {
            return None;
        }
        let healthy = now.saturating_sub(state.returned.load(Ordering::Relaxed));
        let forgiven = u32::try_from(healthy / self.ejection.max(1)).unwrap_or(u32::MAX);
        let before = state.ejections.load(Ordering::Relaxed);
        let ejections = (before.saturating_sub(forgiven) + 1).min(MOST_EJECTIONS);
        let length = self.ejection * u64::from(ejections);
        state.ejections.store(ejections, Ordering::Relaxed);
        state.until.store(now + length, Ordering::Relaxed);
        state.total.fetch_add(1, Ordering::Relaxed);
        Some(Duration::from_millis(length))
    }

    /// Whether a target is ejected.
    pub fn is_ejected(&self, index: usize, now: Millis) -> bool {
        let state = self.targets.get(index);
        state.is_some_and(|state| state.until.load(Ordering::Relaxed) > now)
    }

    /// How often a target has been ejected.
    pub fn ejections(&self, index: usize) -> u64 {
        let state = self.targets.get(index);
        state.map_or(0, |state| state.total.load(Ordering::Relaxed))
    }

    fn count_ejected(&self, now: Millis) -> usize {
        let is_out = |state: &&Arc<State>| state.until.load(Ordering::Relaxed) > now;
        self.targets.iter().filter(is_out).count()
    }
}

impl State {
    fn give_back(&self, until: Millis) -> Standing {
        let (relaxed, returned) = (Ordering::Relaxed, 0);
        if self
            .until
            .compare_exchange(until, returned, relaxed, relaxed)
            .is_err()
        {
            // Another worker was faster.
            return Standing::Usable;
        }
        // Nobody failed while nobody was sent there: the healthy stretch begins with the end of the
        // ejection, whenever that is noticed.
        self.returned.store(until, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        Standing::Returned
    }
}

/// For each target the state that it has had, where it was there before, or a new one.
pub(super) fn kept<T: Default>(previous: Option<&[Arc<T>]>, same: &[Option<usize>]) -> Vec<Arc<T>> {
    same.iter()
        .map(|index| previous?.get((*index)?).cloned())
        .map(Option::unwrap_or_default)
        .collect()
}

/// A share of the targets, rounded down; but where anything may be ejected and there is another
/// target left to serve, at least one.
fn most_ejected(share: f64, targets: usize) -> usize {
    // A number of targets is far below what a float holds exactly.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share from 0 to 1 of a small number"
    )]
    // 0.29 * 100.0 is 28.999999999999996.
    let most = (share * targets as f64 + 1e-9) as usize;
    if share > 0.0 && targets >= 2 {
        most.max(1)
    } else {
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(failures: u32, ejection: u64, max_ejected: f64, targets: usize) -> Health {
        let outliers = Outliers {
            failures,
            ejection: Duration::from_millis(ejection),
            max_ejected,
            slow_start: Duration::ZERO,
        };
        Health::following(&outliers, None, &vec![None; targets])
    }

    /// Fails so often that the target is ejected, if it can be; for how long, in milliseconds.
    fn eject(health: &Health, index: usize, now: Millis) -> Option<u128> {
        let failures = 0..health.failures;
        let mut ejected = failures.filter_map(|_| health.failed(index, || now));
        ejected.next().map(|length| length.as_millis())
    }

    fn usable(health: &Health, index: usize, now: Millis) -> bool {
        health.standing(index, || now) != Standing::Ejected
    }

    #[test]
    fn only_failures_in_a_row_eject() {
        let health = health(3, 100, 1.0, 2);
        for _ in 0..10 {
            assert_eq!(health.failed(0, || 1), None);
            assert_eq!(health.failed(0, || 1), None);
            health.succeeded(0);
        }
        assert!(usable(&health, 0, 1));
        assert_eq!(eject(&health, 0, 1), Some(100));
        assert!(!usable(&health, 0, 1) && usable(&health, 1, 1));
    }

    #[test]
    fn the_clock_is_not_read_while_nobody_is_ejected() {
        let health = health(2, 100, 1.0, 3);
        let never = || -> Millis { panic!("the clock was read") };
        assert_eq!(health.failed(0, never), None);
        health.succeeded(0);
        assert_eq!(health.standing(0, never), Standing::Usable);
        assert_eq!(eject(&health, 0, 1), Some(100));
        assert_eq!(health.standing(1, never), Standing::Usable);
    }

    #[test]
    fn a_target_comes_back_once_with_its_failures_forgotten() {
        let health = health(2, 100, 1.0, 2);
        eject(&health, 0, 1);
        // What was on its way when it was ejected counts for nothing.
        health.failed(0, || 50);
        assert_eq!(health.standing(0, || 100), Standing::Ejected);
        assert_eq!(health.standing(0, || 101), Standing::Returned);
        assert_eq!(health.standing(0, || 101), Standing::Usable);
        assert_eq!(health.failed(0, || 102), None);
        assert!(health.failed(0, || 102).is_some());
    }

    #[test]
    fn each_ejection_in_a_row_is_longer_up_to_ten_times() {
        let health = health(1, 100, 1.0, 2);
        let mut now = 1;
        for times in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10] {
            assert_eq!(eject(&health, 0, now), Some(times * 100));
            now += u64::try_from(times).unwrap() * 100;
            assert_eq!(health.standing(0, || now), Standing::Returned);
        }
        // Three healthy stretches and a half: three are forgiven.
        now += 350;
        assert_eq!(eject(&health, 0, now), Some(800));
        now += 800 + 100_000;
        assert_eq!(health.standing(0, || now), Standing::Returned);
        assert_eq!(eject(&health, 0, now), Some(100));
    }

    #[test]
    fn no_more_than_a_share_is_ejected_at_the_same_time() {
        let health = health(2, 100, 0.5, 5);
        assert_eq!(eject(&health, 0, 1), Some(100));
        assert_eq!(eject(&health, 1, 50), Some(100));
        assert_eq!(eject(&health, 2, 60), None);
        assert!(usable(&health, 2, 60));
        // The first one's time is over, whether anybody asked for it or not.
        assert_eq!(
            health.failed(2, || 120).map(|time| time.as_millis()),
            Some(100)
        );
        assert!(!usable(&health, 2, 120));
    }

    #[test]
    fn what_is_known_of_a_target_goes_with_it_and_both_see_what_comes() {
        let old = health(2, 100, 1.0, 3);
        old.failed(0, || 1);
        eject(&old, 2, 1);
        let outliers = Outliers {
            failures: 3,
            ejection: Duration::from_millis(100),
            max_ejected: 0.5,
            slow_start: Duration::ZERO,
        };
        // The third one is the first now, one is new, and one is gone.
        let new = Health::following(&outliers, Some(&old), &[Some(2), None, Some(0)]);
        assert!(!usable(&new, 0, 50) && usable(&new, 1, 50) && usable(&new, 2, 50));
        assert_eq!((new.ejections(0), new.ejections(1)), (1, 0));
        // An exchange that began before still tells the old one.
        assert_eq!(new.failed(2, || 50), None);
        assert_eq!(old.failed(0, || 50).map(|_| ()), Some(()));
        assert!(!usable(&new, 2, 50));
        // One of three is what may be ejected from now on.
        assert_eq!(eject(&new, 1, 60), None);
        assert_eq!(new.standing(0, || 101), Standing::Returned);
        assert!(usable(&old, 2, 101));
    }

    #[test]
    fn how_many_a_share_is() {
        for (share, targets, most) in [
            (0.5, 1, 0),
            (1.0, 1, 1),
            (0.0, 10, 0),
            (0.1, 2, 1),
            (0.5, 3, 1),
            (0.5, 4, 2),
            (0.29, 100, 29),
            (1.0, 3, 3),
        ] {
            assert_eq!(most_ejected(share, targets), most, "{share} of {targets}");
        }
    }

    #[test]
    fn many_threads_eject_no_more_than_allowed() {
        let health = health(1, 1_000, 0.5, 8);
        std::thread::scope(|scope| {
            for index in 0..8 {
                let health = &health;
                scope.spawn(move || eject(health, index, 1));
            }
        });
        let out = (0..8).filter(|index| !usable(&health, *index, 1)).count();
        assert_eq!(out, 4);
    }
}
