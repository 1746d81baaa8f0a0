//! What the tests of all balancers start from.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::{Balancer, Candidates, Outcome, Pool, Target, from_algorithm};
use crate::config::Algorithm;

/// A pool whose state the test sets.
pub(super) struct TestPool {
    targets: Vec<(AtomicBool, AtomicU32)>,
}

impl TestPool {
    pub(super) fn healthy(count: usize) -> Self {
        Self::new(
            std::iter::repeat_n(true, count),
            std::iter::repeat_n(0, count),
        )
    }

    pub(super) fn new(
        usable: impl Iterator<Item = bool>,
        in_flight: impl Iterator<Item = u32>,
    ) -> Self {
        let targets = usable
            .zip(in_flight)
            .map(|(usable, count)| (usable.into(), count.into()));
        Self {
            targets: targets.collect(),
        }
    }

    pub(super) fn set_usable(&self, index: usize, usable: bool) {
        self.targets[index].0.store(usable, Ordering::Relaxed);
    }

    pub(super) fn set_in_flight(&self, index: usize, count: u32) {
        self.targets[index].1.store(count, Ordering::Relaxed);
    }
}

impl Pool for TestPool {
    fn usable(&self, index: usize) -> bool {
        self.targets[index].0.load(Ordering::Relaxed)
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.targets[index].1.load(Ordering::Relaxed)
    }
}

/// Targets `t0:80`, `t1:80` … with these weights.
pub(super) fn balancer(algorithm: Algorithm, weights: &[u32]) -> Box<dyn Balancer> {
    let mut balancer = from_algorithm(algorithm);
    for (index, weight) in weights.iter().enumerate() {
        add(&mut *balancer, &format!("t{index}:80"), *weight);
    }
    balancer
}

pub(super) fn add(balancer: &mut dyn Balancer, name: &str, weight: u32) {
    balancer.add(Target {
        name,
        weight: NonZeroU32::new(weight).unwrap(),
    });
}

/// Tells the balancer of a failure after a millisecond.
pub(super) fn fail(balancer: &dyn Balancer, index: usize) {
    finish(balancer, index, true);
}

/// Tells the balancer of an answer after a millisecond.
pub(super) fn answer(balancer: &dyn Balancer, index: usize) {
    finish(balancer, index, false);
}

fn finish(balancer: &dyn Balancer, index: usize, failed: bool) {
    let latency = Duration::from_millis(1);
    balancer.finished(index, Outcome { latency, failed });
}

/// The first choices of `count` requests with the keys 0, 1, 2 …, as letters: `aabaca`.
pub(super) fn letters(balancer: &dyn Balancer, pool: &TestPool, count: u64) -> String {
    let first = |key| Candidates::new(balancer, pool, key).next().unwrap();
    (0..count)
        .map(|key| char::from(b'a' + u8::try_from(first(key)).unwrap()))
        .collect()
}

pub(super) fn sorted(mut indices: Vec<usize>) -> Vec<usize> {
    indices.sort_unstable();
    indices
}

/// How often each of `targets` targets comes up in `draws` draws.
pub(super) fn counts(
    targets: usize,
    draws: usize,
    mut draw: impl FnMut() -> Option<usize>,
) -> Vec<usize> {
    let mut counts = vec![0; targets];
    for _ in 0..draws {
        counts[draw().unwrap()] += 1;
    }
    counts
}

/// Asserts that counts are in proportion to weights, within what independent draws would give but once in 500 million
/// times (Bernstein's inequality). A multiple of the standard deviation would not do: of a few expected draws there are
/// far more than that now and then, and a property test makes thousands of comparisons in each run.
pub(super) fn assert_proportional(counts: &[usize], weights: &[u32]) {
    let draws: usize = counts.iter().sum();
    let total: u32 = weights.iter().sum();
    for (index, (count, weight)) in counts.iter().zip(weights).enumerate() {
        let share = f64::from(*weight) / f64::from(total);
        let expected = share * draws as f64;
        let variance = expected * (1.0 - share);
        let odds = 500e6_f64.ln();
        let allowed = odds / 3.0 + ((odds / 3.0).powi(2) + 2.0 * odds * variance).sqrt();
        assert!(
            (*count as f64 - expected).abs() <= allowed,
            "target {index}: {count} of {draws} draws, expected {expected} ± {allowed}",
        );
    }
}
