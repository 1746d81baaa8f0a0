//! What is sent again to another target, and how often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;

use super::health::Millis;
use crate::config;

/// The time over which retries are held against requests.
const WINDOW: Millis = 10_000;

/// So many retries in each [`WINDOW`] are always allowed: a share of next to nothing would be nothing.
const LEAST: f64 = 10.0;

/// An upstream's rules for trying again.
#[derive(Debug)]
pub struct Retries {
    /// Further targets that one request may be sent to.
    pub attempts: usize,
    /// Whether that happens when a connection could not be made.
    pub on_connect_failure: bool,
    on: Vec<StatusCode>,
    budget: Budget,
}

impl Retries {
    /// What `previous` has counted counts on.
    pub fn following(config: &config::Retries, previous: Option<&Self>) -> Self {
        Self {
            attempts: config.attempts,
            on_connect_failure: config.on_connect_failure,
            on: if config.attempts == 0 {
                Vec::new()
            } else {
                config.on.clone()
            },
            budget: Budget {
                share: config.budget,
                spent: previous
                    .map_or_else(Arc::default, |previous| Arc::clone(&previous.budget.spent)),
            },
        }
    }

    /// A request begins.
    pub fn count_request(&self) {
        if !self.on.is_empty() {
            self.budget.count_request();
        }
    }

    /// Whether a request with this end is worth another attempt.
    pub fn are_for(&self, status: StatusCode) -> bool {
        self.on.contains(&status)
    }

    /// Takes a retry out of the budget, if there is one left. Not asked for what failed before
    /// anything was sent: no target has had any work from that.
    pub fn take(&self, now: Millis) -> bool {
        self.budget.take(now)
    }
}

/// Bounds the retries of an upstream, over all workers, to a share of its requests. Without it an
/// upstream that is slow for having too much to do would get its requests several times.
///
/// Requests are counted, without a clock. The clock is read when somebody wants to retry; what was
/// counted before the present window is taken to have come evenly, and slides out of it.
#[derive(Debug)]
struct Budget {
    share: f64,
    spent: Arc<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    /// In the present window.
    requests: AtomicU64,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Millis,
    retries: f64,
    requests_before: f64,
    retries_before: f64,
}

impl Budget {
    fn count_request(&self) {
        self.spent.requests.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self, now: Millis) -> bool {
        if self.share <= 0.0 {
            return false;
        }
        let Spent { requests, window } = &*self.spent;
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut elapsed = now.saturating_sub(window.began);
        if elapsed >= WINDOW {
            let part = float(WINDOW) / float(elapsed);
            *window = Window {
                began: now,
                retries: 0.0,
                requests_before: float(requests.swap(0, Ordering::Relaxed)) * part,
                retries_before: window.retries * part,
            };
            elapsed = 0;
        }
        let rest = 1.0 - float(elapsed) / float(WINDOW);
        let requests = float(requests.load(Ordering::Relaxed)) + window.requests_before * rest;
        let retries = window.retries + window.retries_before * rest;
        let allowed = retries + 1.0 <= LEAST + self.share * requests;
        if allowed {
            window.retries += 1.0;
        }
        allowed
    }
}

/// Counts and times of one window are far below what a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(share: f64) -> Budget {
        let spent = Arc::default();
        Budget { share, spent }
    }

    fn requests(budget: &Budget, count: usize) {
        (0..count).for_each(|_| budget.count_request());
    }

    /// How many of so many retries are allowed.
    fn taken(budget: &Budget, asked: usize, now: Millis) -> usize {
        (0..asked).filter(|_| budget.take(now)).count()
    }

    #[test]
    fn retries_are_a_share_of_the_requests_and_a_few() {
        for (share, count, allowed) in [(0.2, 0, 10), (0.2, 100, 30), (1.0, 50, 60), (0.0, 100, 0)]
        {
            let budget = budget(share);
            requests(&budget, count);
            assert_eq!(taken(&budget, 1_000, 5), allowed, "{share} of {count}");
        }
    }

    #[test]
    fn what_was_spent_comes_back_little_by_little() {
        let budget = budget(0.5);
        requests(&budget, 100);
        // A window of its own begins with the first look behind the end of the one before.
        assert_eq!(taken(&budget, 100, WINDOW), 60);
        assert_eq!(taken(&budget, 100, WINDOW + WINDOW / 2), 0);
        // The sixty are as old as a window now, and leave it one after the other.
        assert_eq!(taken(&budget, 100, 2 * WINDOW), 0);
        assert_eq!(taken(&budget, 100, 2 * WINDOW + WINDOW * 9 / 10), 4);
        assert_eq!(taken(&budget, 100, 5 * WINDOW), 8);
        assert_eq!(taken(&budget, 100, 9 * WINDOW), 8);
    }

    #[test]
    fn an_hour_of_requests_is_no_budget_for_a_moment() {
        let budget = budget(0.5);
        requests(&budget, 360_000);
        let hour = 3_600_000;
        assert_eq!(taken(&budget, 10_000, hour), 510);
    }

    #[test]
    fn at_a_steady_rate_the_share_is_kept() {
        let budget = budget(0.1);
        let mut retries = 0;
        // 100 requests a second, all of which fail, for 100 seconds.
        for second in 1..=100 {
            requests(&budget, 100);
            retries += taken(&budget, 100, second * 1_000);
        }
        // A tenth of ten thousand, and between ten at all and ten for each window.
        assert!((1_000..=1_110).contains(&retries), "{retries}");
    }

    #[test]
    fn what_was_spent_is_spent_under_another_configuration_too() {
        let config = |budget| config::Retries {
            attempts: 1,
            on_connect_failure: true,
            on: vec![StatusCode::BAD_GATEWAY],
            budget,
        };
        let old = Retries::following(&config(0.2), None);
        (0..100).for_each(|_| old.count_request());
        assert_eq!((0..100).filter(|_| old.take(5)).count(), 30);
        let new = Retries::following(&config(0.5), Some(&old));
        assert_eq!((0..100).filter(|_| new.take(5)).count(), 30);
        assert!(!old.take(5));
    }

    #[test]
    fn many_threads_together_get_no_more() {
        let budget = budget(0.2);
        requests(&budget, 1_000);
        let counts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| taken(&budget, 500, 1)))
                .collect();
            let counts = threads.into_iter().map(|thread| thread.join().unwrap());
            counts.sum::<usize>()
        });
        assert_eq!(counts, 210);
    }
}
