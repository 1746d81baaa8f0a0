//! How many messages a client may send.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// A bucket that holds the messages of one second and is filled evenly.
#[derive(Debug)]
pub struct Rate {
    per_second: u32,
    /// When the bucket would be full.
    full_at: Instant,
    refused: u32,
}

/// What the bucket says to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass.
    Pass,
    /// It is one too many.
    Refuse,
    /// It is one too many, as so many before it that the client does not listen.
    Flood,
}

impl Rate {
    /// A full bucket.
    pub fn new(per_second: NonZeroU32, now: Instant) -> Self {
        Self {
            per_second: per_second.get(),
            full_at: now,
            refused: 0,
        }
    }

    /// Takes a message out of the bucket.
    pub fn admit(&mut self, now: Instant) -> Verdict {
        let one = Duration::from_secs(1) / self.per_second;
        let full_at = self.full_at.max(now) + one;
        // A second and a little: the last message of a full bucket must not be lost to rounding.
        if full_at - now <= Duration::from_secs(1) + one / 2 {
            self.full_at = full_at;
            self.refused = 0;
            return Verdict::Pass;
        }
        self.refused = self.refused.saturating_add(1);
        if self.refused > self.per_second {
            Verdict::Flood
        } else {
            Verdict::Refuse
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_at_once_and_then_evenly() {
        let start = Instant::now();
        let mut rate = Rate::new(NonZeroU32::new(10).unwrap(), start);
        for _ in 0..10 {
            assert_eq!(rate.admit(start), Verdict::Pass);
        }
        assert_eq!(rate.admit(start), Verdict::Refuse);
        let later = start + Duration::from_millis(101);
        assert_eq!(rate.admit(later), Verdict::Pass);
        assert_eq!(rate.admit(later), Verdict::Refuse);
        let much_later = start + Duration::from_secs(100);
        let passed = (0..100).filter(|_| rate.admit(much_later) == Verdict::Pass);
        assert_eq!(passed.count(), 10);
    }

    #[test]
    fn who_goes_on_regardless_is_a_flood() {
        let now = Instant::now();
        let mut rate = Rate::new(NonZeroU32::new(3).unwrap(), now);
        let verdicts: Vec<Verdict> = (0..7).map(|_| rate.admit(now)).collect();
        let (pass, refuse) = (Verdict::Pass, Verdict::Refuse);
        assert_eq!(
            verdicts,
            [pass, pass, pass, refuse, refuse, refuse, Verdict::Flood]
        );
    }
}
