//! Waiting without fixed pauses.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long anything may take before the test fails. Far more than it takes: a machine under load
/// must not make a test fail.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Waits until `condition` holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Something that one thread lets happen and another waits for.
#[derive(Debug, Clone, Default)]
pub struct Signal(Arc<(Mutex<bool>, Condvar)>);

impl Signal {
    /// Not given yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everybody go who waits for it, now or later.
    pub fn give(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Whether it was given.
    pub fn is_given(&self) -> bool {
        *self.0.0.lock().unwrap()
    }

    /// Waits for it.
    #[track_caller]
    pub fn wait(&self, what: &str) {
        let given = self.0.0.lock().unwrap();
        let (given, _) = self
            .0
            .1
            .wait_timeout_while(given, LIMIT, |given| !*given)
            .unwrap();
        assert!(*given, "waited in vain until {what}");
    }
}
