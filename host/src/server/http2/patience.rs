//! How often a client may take a request back. Taking back costs it a frame of 13 bytes and frees a place among its streams at
//! once, while the gateway may have called plugins and an upstream already (CVE-2023-44487, "rapid reset").
//!
//! Clients that mean no harm take requests back as well: a page that is left, a call of gRPC whose deadline is over, a watch that
//! nobody needs any more. What tells them apart is the pace.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// So many at once.
const MOST: u32 = 200;
/// And one more after each of these times, or when a request was answered.
const REGAINED: Duration = Duration::from_millis(50);
/// A request that is older has not been made to be taken back.
const YOUNG: Duration = Duration::from_secs(1);

/// See the module's documentation; one for each connection. Clones are one.
#[derive(Debug, Clone)]
pub struct Patience(Rc<State>);

#[derive(Debug)]
struct State {
    left: Cell<u32>,
    /// Until when what was regained has been counted.
    counted: Cell<Instant>,
    is_over: Cell<bool>,
}

impl Default for Patience {
    fn default() -> Self {
        Self(Rc::new(State {
            left: Cell::new(MOST),
            counted: Cell::new(Instant::now()),
            is_over: Cell::new(false),
        }))
    }
}

impl Patience {
    /// A request was answered to its end.
    pub fn answered(&self) {
        self.0.left.set((self.0.left.get() + 1).min(MOST));
    }

    /// A request was taken back that began then.
    pub fn taken_back(&self, began: Instant) {
        self.taken_back_at(began, Instant::now());
    }

    fn taken_back_at(&self, began: Instant, now: Instant) {
        if now.duration_since(began) >= YOUNG {
            return;
        }
        let state = &self.0;
        let since = now.duration_since(state.counted.get());
        let regained = since.as_millis() / REGAINED.as_millis();
        if regained > 0 {
            let regained = u32::try_from(regained).unwrap_or(u32::MAX).min(MOST);
            state.left.set((state.left.get() + regained).min(MOST));
            state.counted.set(now);
        }
        match state.left.get().checked_sub(1) {
            Some(left) => state.left.set(left),
            None => state.is_over.set(true),
        }
    }

    /// Whether it was too often.
    pub fn is_over(&self) -> bool {
        self.0.is_over.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_too_much_and_the_same_number_over_time_is_not() {
        let began = Instant::now();
        let (burst, slow) = (Patience::default(), Patience::default());
        for _ in 0..MOST {
            burst.taken_back_at(began, began);
        }
        assert!(!burst.is_over());
        burst.answered();
        burst.taken_back_at(began, began);
        assert!(!burst.is_over());
        burst.taken_back_at(began, began);
        assert!(burst.is_over());
        for number in 0..10 * MOST {
            let then = began + REGAINED * number;
            slow.taken_back_at(then, then);
        }
        assert!(!slow.is_over());
    }

    #[test]
    fn what_has_been_waited_for_does_not_count() {
        let patience = Patience::default();
        let began = Instant::now();
        for _ in 0..10 * MOST {
            patience.taken_back_at(began, began + YOUNG);
        }
        assert!(!patience.is_over());
    }
}
