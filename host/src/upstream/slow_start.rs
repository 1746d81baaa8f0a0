//! How a target that comes back warms up: its share of the requests grows from a tenth of what it would get to all of it.
//! Its caches are cold, and what took it out of service may have been the load. It is the same whether active checks or the end of
//! an ejection have brought it back.
//!
//! Only a request's first pick is held back. One that is sent again to another target takes what there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::health::{Millis, kept, millis};

/// The least share of a target that warms up: without any request it would stay cold.
const LEAST: f64 = 0.1;

/// The warm-ups of an upstream's targets.
#[derive(Debug)]
pub struct SlowStart {
    targets: Vec<Arc<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// When it is warm; 0: it is.
    until: AtomicU64,
    /// How long that takes.
    length: AtomicU64,
}

impl SlowStart {
    /// Of so many targets as `same` is long. Each entry is the index that the target has in `previous`, whose state is taken
    /// over; the others are warm.
    pub fn following(previous: Option<&Self>, same: &[Option<usize>]) -> Self {
        let targets = kept(previous.map(|previous| &*previous.targets), same);
        Self { targets }
    }

    /// A target is back, and takes so long to warm up.
    pub fn begin(&self, index: usize, length: Duration, now: Millis) {
        let Some(state) = self.targets.get(index) else {
            return;
        };
        let length = millis(length);
        // Relaxed, here and below: who sees one number and not yet the other is wrong about one request.
        state.length.store(length, Ordering::Relaxed);
        let until = if length == 0 { 0 } else { now + length };
        state.until.store(until, Ordering::Relaxed);
    }

    /// Whether a request may go to a target. `draw` is the request's own random number from 0 to 1, asked for where the target
    /// warms up.
    pub fn admits(
        &self,
        index: usize,
        now: impl FnOnce() -> Millis,
        draw: impl FnOnce() -> f64,
    ) -> bool {
        let Some(state) = self.targets.get(index) else {
            return true;
        };
        let until = state.until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let Some(left) = until.checked_sub(now()).filter(|left| *left > 0) else {
            // Where another worker was faster, or it has begun anew, that stands.
            let _ = state
                .until
                .compare_exchange(until, 0, Ordering::Relaxed, Ordering::Relaxed);
            return true;
        };
        let left = Duration::from_millis(left).as_secs_f64();
        let whole = Duration::from_millis(state.length.load(Ordering::Relaxed)).as_secs_f64();
        draw() < (1.0 - left / whole).max(LEAST)
    }

    /// Whether a target warms up.
    pub fn is_going_on(&self, index: usize, now: Millis) -> bool {
        let state = self.targets.get(index);
        state.is_some_and(|state| state.until.load(Ordering::Relaxed) > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(slow_start: &SlowStart, now: Millis, draw: f64) -> bool {
        slow_start.admits(0, || now, || draw)
    }

    #[test]
    fn the_share_grows_from_a_tenth_to_all() {
        let slow_start = SlowStart::following(None, &[None, None]);
        assert!(admits(&slow_start, 1, 1.0));
        slow_start.begin(0, Duration::from_secs(1), 100);
        assert!(slow_start.is_going_on(0, 100) && !slow_start.is_going_on(1, 100));
        assert!(admits(&slow_start, 100, 0.09) && !admits(&slow_start, 100, 0.1));
        assert!(admits(&slow_start, 600, 0.49) && !admits(&slow_start, 600, 0.51));
        assert!(slow_start.admits(1, || 600, || 1.0));
        // Back once more before it was warm.
        slow_start.begin(0, Duration::from_secs(1), 800);
        assert!(!admits(&slow_start, 1799, 1.0));
        assert!(admits(&slow_start, 1800, 1.0));
        assert!(!slow_start.is_going_on(0, 1800));
    }

    #[test]
    fn while_nobody_warms_up_neither_clock_nor_chance_is_asked() {
        let slow_start = SlowStart::following(None, &[None]);
        slow_start.begin(0, Duration::ZERO, 100);
        let (now, draw) = (|| panic!("the clock"), || panic!("chance"));
        assert!(slow_start.admits(0, now, draw));
    }
}
