//! How many lines a plugin may have in the log: a bucket of tokens, one for each line.
//!
//! Whoever writes a line asks first. What is refused is counted, and the number told with one of the next
//! lines that are not, at most once a second.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often it is told how many lines were left out.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Lets so many lines pass at once, and so many a second.
#[derive(Debug)]
pub struct Throttle {
    burst: f64,
    per_second: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Lines that have been written and not been earned back.
    spent: f64,
    /// When `spent` was right.
    at: Option<Instant>,
    left_out: u64,
    told: Option<Instant>,
}

impl Throttle {
    /// Full.
    pub fn new(burst: u32, per_second: u32) -> Self {
        Self {
            burst: burst.into(),
            per_second: per_second.into(),
            bucket: Mutex::default(),
        }
    }

    /// Whether a line may be written now. `Some` says how many were left out before it, where it is time to
    /// tell; otherwise 0.
    pub fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = bucket
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        bucket.spent = (bucket.spent - passed.as_secs_f64() * self.per_second).max(0.0);
        // Another thread may have asked with a later time.
        bucket.at = bucket.at.max(Some(now));
        if bucket.spent + 1.0 > self.burst {
            bucket.left_out = bucket.left_out.saturating_add(1);
            return None;
        }
        bucket.spent += 1.0;
        let is_time = bucket
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
        if bucket.left_out == 0 || !is_time {
            return Some(0);
        }
        bucket.told = Some(now);
        Some(std::mem::take(&mut bucket.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_so_many_a_second_and_what_was_left_out_is_told_once_a_second() {
        let throttle = Throttle::new(3, 2);
        let begin = Instant::now();
        let at = |milliseconds| throttle.admit_at(begin + Duration::from_millis(milliseconds));
        assert_eq!([at(0), at(0), at(0)], [Some(0); 3]);
        assert_eq!([at(0), at(100)], [None; 2]);
        // Earned back one by one; the first tells.
        assert_eq!([at(501), at(502)], [Some(2), None]);
        assert_eq!(at(1002), Some(0));
        assert_eq!(at(1502), Some(1));
        // Never more than the burst, however long it was quiet.
        let later = 100_000;
        assert_eq!(
            [at(later), at(later), at(later), at(later)],
            [Some(0), Some(0), Some(0), None]
        );
    }
}
