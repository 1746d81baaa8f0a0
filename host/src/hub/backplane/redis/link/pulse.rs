//! Whether the connection lives.

use std::time::Duration;

use tokio::time::Instant;

/// Nothing has come for so long: see [`Pulse::is_lost`].
const SILENCE: Duration = Duration::from_secs(3);

/// When something has come last.
#[derive(Debug)]
pub(super) struct Pulse {
    heard: Instant,
    is_doubted: bool,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            is_doubted: false,
        }
    }

    /// Something has come.
    pub(super) fn hear(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Asked at each tick of a second: whether it has been silent for too long at this and at the one before. Once is not
    /// enough: a process that was stopped for a while sees the time that has passed before it reads what has come meanwhile.
    pub(super) fn is_lost(&mut self, now: Instant) -> bool {
        let is_silent = now.saturating_duration_since(self.heard) > SILENCE;
        std::mem::replace(&mut self.is_doubted, is_silent) && is_silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_lost_after_two_silent_ticks_and_not_after_a_pause_of_the_process() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(start);
        assert!((1..=3).all(|second| !pulse.is_lost(at(second))));
        // Stopped until now: what has come is read before the next tick.
        assert!(!pulse.is_lost(at(100)));
        pulse.hear(at(100));
        assert!((101..=104).all(|second| !pulse.is_lost(at(second))));
        assert!(pulse.is_lost(at(105)));
    }
}
