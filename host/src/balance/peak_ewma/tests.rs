//! By a simulation in which time is a number: no test waits, and each goes the same way every time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::super::testing::{self, TestPool};
use super::super::{Pool, Tried};
use super::*;

const SECOND: u64 = 1_000_000;
const MILLISECOND: u64 = 1_000;

/// What a target does with a request: how many microseconds it takes, and whether it fails.
type Behaviour = (u64, bool);

/// Clients that send at a steady rate, whatever becomes of their requests.
struct Simulation {
    balancer: PeakEwma,
    pool: TestPool,
    rng: SmallRng,
    /// Microseconds.
    now: u64,
    /// When, at which target, and how a request ends.
    running: BinaryHeap<Reverse<(u64, usize, u64, bool)>>,
}

impl Simulation {
    fn new(weights: &[u32]) -> Self {
        let mut balancer = PeakEwma::default();
        for weight in weights {
            testing::add(&mut balancer, "t", *weight);
        }
        Self {
            balancer,
            pool: TestPool::healthy(weights.len()),
            rng: SmallRng::seed_from_u64(7),
            now: 0,
            running: BinaryHeap::new(),
        }
    }

    fn at(&self, micros: u64) -> Instant {
        self.balancer.began + Duration::from_micros(micros)
    }

    fn pick(&mut self) -> usize {
        let now = self.at(self.now);
        let (pool, tried) = (&self.pool, &Tried::default());
        let request = Pick {
            key: 0,
            pool,
            tried,
        };
        self.balancer.pick_at(now, &request, &mut self.rng).unwrap()
    }

    fn finished(&self, index: usize, micros: u64, failed: bool) {
        let latency = Duration::from_micros(micros);
        let outcome = Outcome { latency, failed };
        self.balancer.finished_at(self.at(self.now), index, outcome);
    }

    fn add_in_flight(&self, index: usize, difference: i32) {
        let count = self.pool.in_flight(index).checked_add_signed(difference);
        self.pool.set_in_flight(index, count.unwrap());
    }

    /// Sends so many requests a second, and returns how many each target got.
    fn run(&mut self, seconds: u64, rate: u64, behaviours: &[Behaviour]) -> Vec<usize> {
        let mut counts = vec![0; behaviours.len()];
        for _ in 0..seconds * rate {
            self.now += SECOND / rate;
            let now = self.now;
            while let Some(Reverse((end, index, latency, failed))) = self.running.peek().copied()
                && end <= now
            {
                self.running.pop();
                self.now = end;
                self.add_in_flight(index, -1);
                self.finished(index, latency, failed);
            }
            self.now = now;
            let index = self.pick();
            counts[index] += 1;
            self.add_in_flight(index, 1);
            let (latency, failed) = behaviours[index];
            self.running
                .push(Reverse((now + latency, index, latency, failed)));
        }
        counts
    }

    fn seconds(&self, index: usize) -> f32 {
        self.balancer.measured[index].reading().seconds
    }
}

fn share(counts: &[usize], index: usize) -> f64 {
    counts[index] as f64 / counts.iter().sum::<usize>() as f64
}

const HEALTHY: Behaviour = (20 * MILLISECOND, false);
const FAILING_FAST: Behaviour = (MILLISECOND, true);

#[test]
fn a_target_that_fails_fast_gets_little() {
    for (rate, behaviours) in [
        (200, vec![FAILING_FAST, HEALTHY, HEALTHY]),
        (2_000, vec![FAILING_FAST, HEALTHY, HEALTHY]),
        (200, vec![FAILING_FAST, HEALTHY]),
        // The others are slower than the first penalty, and busy.
        (
            50,
            vec![
                FAILING_FAST,
                (1_500 * MILLISECOND, false),
                (1_500 * MILLISECOND, false),
            ],
        ),
    ] {
        let mut simulation = Simulation::new(&vec![1; behaviours.len()]);
        let counts = simulation.run(60, rate, &behaviours);
        assert!(share(&counts, 0) < 0.02, "{rate} a second: {counts:?}");
        assert!(counts[0] > 1, "it is tried again: {counts:?}");
    }
}

#[test]
fn a_target_that_begins_to_fail_loses_its_share_and_gets_it_back() {
    let mut simulation = Simulation::new(&[1, 1, 1]);
    let healthy = [HEALTHY; 3];
    let counts = simulation.run(20, 500, &healthy);
    assert!(share(&counts, 0) > 0.25, "{counts:?}");
    let counts = simulation.run(20, 500, &[FAILING_FAST, HEALTHY, HEALTHY]);
    assert!(share(&counts, 0) < 0.01, "{counts:?}");
    simulation.run(60, 500, &healthy);
    let counts = simulation.run(20, 500, &healthy);
    assert!(share(&counts, 0) > 0.25, "{counts:?}");
}

#[test]
fn all_that_was_on_its_way_counts_once() {
    let mut simulation = Simulation::new(&[1]);
    simulation.now = SECOND;
    for _ in 0..20 {
        simulation.finished(0, 200 * MILLISECOND, true);
        simulation.now += 5 * MILLISECOND;
    }
    assert!((simulation.seconds(0) - 1.0).abs() < 0.01);
    // The next is news.
    simulation.now += 300 * MILLISECOND;
    simulation.finished(0, 200 * MILLISECOND, true);
    assert!((simulation.seconds(0) - 2.0).abs() < 0.1);
}

#[test]
fn penalties_end_somewhere() {
    let mut simulation = Simulation::new(&[1]);
    for _ in 0..100 {
        simulation.now += 20 * MILLISECOND;
        simulation.finished(0, MILLISECOND, true);
    }
    assert!(f64::from(simulation.seconds(0)) <= MOST_PENALTY);
    // What really took longer counts in full.
    simulation.finished(0, 2_000 * SECOND, true);
    assert!(f64::from(simulation.seconds(0)) >= 2_000.0);
}

#[test]
fn when_all_fail_they_share() {
    let counts = Simulation::new(&[1, 1]).run(30, 200, &[FAILING_FAST; 2]);
    assert!(
        share(&counts, 0) > 0.3 && share(&counts, 1) > 0.3,
        "{counts:?}"
    );
}

#[test]
fn the_faster_target_gets_more() {
    let (fast, slow) = ((10 * MILLISECOND, false), (50 * MILLISECOND, false));
    let counts = Simulation::new(&[1, 1]).run(60, 200, &[fast, slow]);
    assert!(share(&counts, 0) > 0.9, "{counts:?}");
    // At a rate at which it is busy the slow one has to help: it does as much as it can.
    let counts = Simulation::new(&[1, 1]).run(30, 5_000, &[fast, slow]);
    assert!((0.7..0.98).contains(&share(&counts, 0)), "{counts:?}");
}

#[test]
fn a_slow_answer_counts_at_once_and_fades() {
    let mut simulation = Simulation::new(&[1, 1]);
    simulation.run(5, 200, &[HEALTHY; 2]);
    simulation.finished(0, 2 * SECOND, false);
    assert!((simulation.seconds(0) - 2.0).abs() < 1e-3);
    let counts = simulation.run(5, 200, &[HEALTHY; 2]);
    assert_eq!(counts[0], 0);
    simulation.now += 10 * SECOND;
    // 15 seconds are one and a half times the time in which all but 1/e is lost.
    simulation.finished(0, 20 * MILLISECOND, false);
    let expected = 0.02 + 1.98 * (-1.5_f32).exp();
    assert!(
        (simulation.seconds(0) - expected).abs() < 0.01,
        "{}",
        simulation.seconds(0)
    );
}

#[test]
fn what_is_not_measured_gets_one_request_and_no_second() {
    let mut simulation = Simulation::new(&[1, 1, 1]);
    for index in [1, 2] {
        simulation.finished(index, 50 * MILLISECOND, false);
    }
    let counts = testing::counts(3, 300, || {
        let index = simulation.pick();
        // Only target 0 is slow to answer.
        if index == 0 {
            simulation.add_in_flight(0, 1);
        }
        Some(index)
    });
    assert_eq!(counts[0], 1, "{counts:?}");
    // An answer lets it in.
    simulation.add_in_flight(0, -1);
    simulation.finished(0, 50 * MILLISECOND, false);
    let counts = testing::counts(3, 300, || Some(simulation.pick()));
    testing::assert_proportional(&counts, &[1, 1, 1]);
}

#[test]
fn after_a_long_silence_too_one_request_is_the_trial() {
    let mut simulation = Simulation::new(&[1, 1]);
    simulation.finished(0, 30 * MILLISECOND, false);
    simulation.now = 300 * SECOND;
    simulation.finished(1, 20 * MILLISECOND, false);
    assert_eq!(simulation.pick(), 0);
    simulation.add_in_flight(0, 1);
    assert!((0..100).all(|_| simulation.pick() == 1));
}

#[test]
fn equally_fast_targets_are_chosen_by_weight() {
    let mut simulation = Simulation::new(&[5, 1, 2]);
    // One at a time.
    let counts = simulation.run(100, 200, &[(4 * MILLISECOND, false); 3]);
    testing::assert_proportional(&counts, &[5, 1, 2]);
}

#[test]
fn the_longest_latencies_and_the_oldest_averages_are_numbers() {
    let simulation = Simulation::new(&[1]);
    simulation.balancer.finished_at(
        simulation.at(0),
        0,
        Outcome {
            latency: Duration::MAX,
            failed: true,
        },
    );
    assert!(simulation.seconds(0).is_finite());
    let old = Reading {
        seconds: 1.0,
        tick: 0,
    };
    assert!(old.faded(i32::MAX as u32) >= 0.0);
    // Another worker's clock is ahead.
    let ahead = Reading { tick: 5, ..old };
    assert!((ahead.faded(3) - 1.0).abs() < 1e-9);
    // Ticks come round after 497 days.
    let last = Reading {
        tick: u32::MAX,
        ..old
    };
    assert!((last.weight(999) - (-1.0_f64).exp()).abs() < 1e-9);
}

proptest! {
    /// Requests that never end fill the targets in proportion to their weights.
    #[test]
    fn load_follows_the_weights(
        weights in prop::collection::vec(1_u32..6, 2..8),
        seed in any::<u64>(),
    ) {
        let mut simulation = Simulation::new(&weights);
        simulation.rng = SmallRng::seed_from_u64(seed);
        for index in 0..weights.len() {
            simulation.finished(index, 20 * MILLISECOND, false);
        }
        let total: u32 = weights.iter().sum();
        for _ in 0..total * 100 {
            let index = simulation.pick();
            simulation.add_in_flight(index, 1);
        }
        for (index, weight) in weights.iter().enumerate() {
            let per_weight = f64::from(simulation.pool.in_flight(index)) / f64::from(*weight);
            prop_assert!((85.0..=115.0).contains(&per_weight), "{index}: {per_weight}");
        }
    }

    #[test]
    fn an_average_stays_between_the_least_and_the_most(
        answers in prop::collection::vec((1_u64..5_000_000, 0_u64..20), 1..50),
    ) {
        let mut simulation = Simulation::new(&[1]);
        for (latency, pause) in &answers {
            simulation.now += pause * SECOND;
            simulation.finished(0, *latency, false);
            let seconds = f64::from(simulation.seconds(0)) * 1.000_01;
            // Never below the last answer's latency, and never above all of them.
            prop_assert!(seconds >= *latency as f64 / SECOND as f64);
        }
        let most = answers.iter().map(|answer| answer.0).max().unwrap() as f64 / SECOND as f64;
        prop_assert!(f64::from(simulation.seconds(0)) <= most * 1.000_01);
    }
}
