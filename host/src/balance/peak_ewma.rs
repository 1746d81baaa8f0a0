//! `peak-ewma`: the better of two by how long it takes to answer, and how busy it is.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use rand::Rng;

use super::weighted_draw::WeightedDraw;
use super::{Balancer, Outcome, Pick, Target};

/// Two different targets are drawn in proportion to the weights, and the request goes to the one of
/// the lower cost: average latency × (requests in flight + 1). The average is that of Finagle
/// (`com.twitter.finagle.loadbalancer.PeakEwma`) and Linkerd: exponentially weighted by time, but a
/// latency above it takes its place at once. So a target that becomes slow is left alone at once and
/// trusted again bit by bit.
///
/// - **Time heals.** An average fades by a factor of e every ten seconds without an answer, so
///   that every target is tried again some day. Only the "+ 1" fades: one request is the trial, and as
///   long as it is in flight the average counts in full.
/// - **Not measured yet** is free while idle, and dearer than anything with a request in flight: one
///   request goes there, and the next when its answer has told something.
/// - **A failure** counts as a long latency, however quickly it came. A target that answers every
///   request at once with an error would win every comparison otherwise. Penalties grow while
///   failures go on, for what a penalty is worth depends on how slow and how busy the other targets
///   are. But all that was on its way when a target broke down counts once.
/// - **Weights** decide between targets of nearly the same cost, as the first drawn wins unless the
///   second is clearly cheaper; and a request in flight costs the less the heavier its target is.
#[derive(Debug)]
pub struct PeakEwma {
    targets: WeightedDraw,
    measured: Vec<Measured>,
    /// When the ticks began.
    began: Instant,
}

/// Seconds in which an average loses all but 1/e of its weight; the default of Linkerd 2.
const DECAY: f64 = 10.0;

/// Seconds: more than any latency.
const UNKNOWN: f64 = 1e6;

/// A failure's latency in seconds is the longest of: what it took, [`PENALTY`], and the present
/// average times [`PENALTY_GROWTH`], but for this reason alone not above [`MOST_PENALTY`]. The growth
/// is for requests that were sent after the last penalty. Next to idle targets that answer in 20 ms a
/// failure is forgotten after 40 seconds, and the greatest penalty after 110.
const PENALTY: f64 = 1.0;
const PENALTY_GROWTH: f64 = 2.0;
const MOST_PENALTY: f64 = 1_000.0;

/// The second drawn wins with a cost below this share of the first's. Smaller differences are noise,
/// and the time since the last answer.
const CLEARLY: f64 = 0.9;

/// What is known of a target.
#[derive(Debug, Default)]
struct Measured {
    /// A [`Reading`] in one word, so that no lock is needed to keep average and time together: the
    /// `f32` in the upper half, the tick in the lower. Zero: no answer yet.
    reading: AtomicU64,
    /// The tick of the last penalty.
    penalised: AtomicU32,
}

/// What a target's answers took in the average, and when the last one came.
#[derive(Debug, Clone, Copy)]
struct Reading {
    seconds: f32,
    tick: u32,
}

/// A tick is a hundredth of a second, a thousandth of [`DECAY`]; 32 bits of them are 497 days.
const TICKS: f64 = 100.0;

impl Reading {
    fn of_word(word: u64) -> Self {
        Self {
            seconds: f32::from_bits((word >> 32) as u32),
            tick: word as u32,
        }
    }

    fn word(self) -> u64 {
        u64::from(self.seconds.to_bits()) << 32 | u64::from(self.tick)
    }

    /// What is left of the average's weight. A tick from before the last answer's, which another
    /// worker has read from the clock meanwhile, is none.
    fn weight(self, tick: u32) -> f64 {
        let elapsed = tick.wrapping_sub(self.tick).cast_signed().max(0);
        (-f64::from(elapsed) / (TICKS * DECAY)).exp()
    }

    fn faded(self, tick: u32) -> f64 {
        f64::from(self.seconds) * self.weight(tick)
    }

    /// The average with another answer. A latency above it is the maximum of the two.
    fn with(self, seconds: f64, tick: u32) -> Self {
        let weight = self.weight(tick);
        let average = f64::from(self.seconds) * weight + seconds * (1.0 - weight);
        Self {
            seconds: average.max(seconds) as f32,
            tick,
        }
    }
}

impl Measured {
    fn reading(&self) -> Reading {
        Reading::of_word(self.reading.load(Ordering::Relaxed))
    }

    fn finished(&self, outcome: Outcome, tick: u32) {
        // Zero would say that nothing is known.
        let seconds = outcome.latency.as_secs_f64().max(1e-6);
        let growth = outcome.failed && self.is_news(seconds, tick);
        let update = |word| {
            let reading = Reading::of_word(word);
            let grown = if growth {
                (reading.faded(tick) * PENALTY_GROWTH).min(MOST_PENALTY)
            } else {
                0.0
            };
            let least = if outcome.failed { PENALTY } else { 0.0 };
            reading.with(seconds.max(least).max(grown), tick).word()
        };
        // Relaxed: nothing else is published through the word.
        self.reading
            .update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Whether a request that failed was sent after the last penalty. If so, it is the last penalty
    /// from now on.
    fn is_news(&self, seconds: f64, tick: u32) -> bool {
        let last = self.penalised.load(Ordering::Relaxed);
        let is_news = f64::from(tick.wrapping_sub(last)) > seconds * TICKS;
        if is_news {
            self.penalised.store(tick, Ordering::Relaxed);
        }
        is_news
    }
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self {
            targets: WeightedDraw::default(),
            measured: Vec::new(),
            began: Instant::now(),
        }
    }
}

impl PeakEwma {
    fn tick(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.began).as_millis() / 10) as u32
    }

    fn pick_at(&self, now: Instant, request: &Pick<'_>, rng: &mut impl Rng) -> Option<usize> {
        let (one, two) = self.targets.draw_two(rng, |index| request.allows(index))?;
        let tick = self.tick(now);
        let cost = |index| self.cost(tick, index, request);
        match two {
            Some(two) if cost(two) < cost(one) * CLEARLY => Some(two),
            _ => Some(one),
        }
    }

    /// Average latency × (requests in flight + 1), the in-flight requests counted as on a target of
    /// average weight.
    fn cost(&self, tick: u32, index: usize, request: &Pick<'_>) -> f64 {
        let Some(reading) = self.measured.get(index).map(Measured::reading) else {
            return UNKNOWN;
        };
        let known = if reading.seconds > 0.0 {
            f64::from(reading.seconds)
        } else {
            UNKNOWN
        };
        let in_flight = f64::from(request.pool.in_flight(index));
        let relative_weight = self.targets.weight(index) as f64 / self.targets.mean_weight();
        reading.faded(tick) + known * in_flight / relative_weight
    }

    fn finished_at(&self, now: Instant, index: usize, outcome: Outcome) {
        if let Some(measured) = self.measured.get(index) {
            measured.finished(outcome, self.tick(now));
        }
    }
}

impl Balancer for PeakEwma {
    fn add(&mut self, target: Target<'_>) {
        self.targets.add(target.weight);
        self.measured.push(Measured::default());
    }

    fn pick(&self, request: &Pick<'_>) -> Option<usize> {
        self.pick_at(Instant::now(), request, &mut rand::rng())
    }

    fn finished(&self, index: usize, outcome: Outcome) {
        self.finished_at(Instant::now(), index, outcome);
    }
}

#[cfg(test)]
mod tests;
