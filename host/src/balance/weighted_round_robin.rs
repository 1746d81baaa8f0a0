//! `weighted-round-robin`: turns in proportion to weights, spread evenly.

use std::sync::{Mutex, PoisonError};

use super::{Balancer, Outcome, Pick, Target};

/// nginx's smooth weighted round robin (`ngx_http_upstream_get_peer`, since nginx 1.3.1): weights
/// 5, 1, 1 give `a a b a c a a` and not `a a a a a b c`.
///
/// Every pick adds each usable target's effective weight to its current weight, takes the highest
/// (the first listed wins a tie) and subtracts the sum of what was added from the winner's.
///
/// The effective weight is the configured one until a target [fails](Outcome::failed): that takes
/// all of it away (nginx's default, `max_fails=1`), and every pick after that gives one back
/// (`ngx_http_upstream_free_round_robin_peer`). So a target that just came back, or fails now and
/// then without being unhealthy, gets its share slowly.
///
/// # Why a mutex
///
/// A pick reads and writes the numbers of all targets, and two workers that interleave would both
/// pick the same one. The lock is held for a few additions per target, tens of nanoseconds in all,
/// and never across an await; uncontended it costs about as much itself. One state per worker would
/// need no lock, but then the first requests on *every* worker would go to the heaviest target.
#[derive(Debug, Default)]
pub struct WeightedRoundRobin {
    targets: Mutex<Vec<Weights>>,
}

/// Failures that take all of a target's weight away: nginx's `max_fails`, and its default.
const MAX_FAILS: i64 = 1;

/// 64 bits, as current weights reach the sum of all 32 bit weights in both directions.
#[derive(Debug)]
struct Weights {
    configured: i64,
    effective: i64,
    current: i64,
}

impl Balancer for WeightedRoundRobin {
    fn add(&mut self, target: Target<'_>) {
        let weight = i64::from(target.weight.get());
        let targets = self
            .targets
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        targets.push(Weights {
            configured: weight,
            effective: weight,
            current: 0,
        });
    }

    fn pick(&self, request: &Pick<'_>) -> Option<usize> {
        // Any state is a valid one, so a poisoned lock is as good as another.
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = 0;
        let mut best: Option<(usize, &mut Weights)> = None;
        for (index, target) in targets.iter_mut().enumerate() {
            if !request.allows(index) {
                continue;
            }
            target.current += target.effective;
            total += target.effective;
            target.effective = target.configured.min(target.effective + 1);
            if best
                .as_ref()
                .is_none_or(|(_, best)| target.current > best.current)
            {
                best = Some((index, target));
            }
        }
        let (index, winner) = best?;
        winner.current -= total;
        Some(index)
    }

    fn finished(&self, index: usize, outcome: Outcome) {
        // No lock for what is nearly always the case.
        if !outcome.failed {
            return;
        }
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get_mut(index) {
            // No target is so light that a failure costs it nothing.
            let part = (target.configured / MAX_FAILS).max(1);
            target.effective = (target.effective - part).max(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Candidates;
    use super::super::testing::{self, TestPool};
    use crate::config::Algorithm;

    fn sequence(weights: &[u32], count: u64) -> String {
        let balancer = testing::balancer(Algorithm::WeightedRoundRobin, weights);
        testing::letters(&*balancer, &TestPool::healthy(weights.len()), count)
    }

    #[test]
    fn the_sequence_is_nginxs() {
        assert_eq!(sequence(&[5, 1, 1], 14), "aabacaaaabacaa");
        assert_eq!(sequence(&[1, 1, 1], 6), "abcabc");
        assert_eq!(sequence(&[2, 3], 10), "bababbabab");
        assert_eq!(sequence(&[4, 2, 1], 7), "abacaba");
    }

    #[test]
    fn the_heaviest_weights_do_not_overflow() {
        assert_eq!(sequence(&[u32::MAX, u32::MAX, 1], 4), "abab");
    }

    #[test]
    fn a_dead_target_gets_no_turn_and_no_credit() {
        let balancer = testing::balancer(Algorithm::WeightedRoundRobin, &[2, 1, 1]);
        let pool = TestPool::healthy(3);
        pool.set_usable(0, false);
        assert_eq!(testing::letters(&*balancer, &pool, 6), "bcbcbc");
        pool.set_usable(0, true);
        assert_eq!(testing::letters(&*balancer, &pool, 4), "abca");
    }

    #[test]
    fn a_failure_takes_the_weight_and_picks_give_it_back() {
        let balancer = testing::balancer(Algorithm::WeightedRoundRobin, &[3, 3]);
        let pool = TestPool::healthy(2);
        testing::fail(&*balancer, 0);
        // By hand. Effective weights of a: 0 1 2 3 3 3. Current weights before each choice:
        // 0,3 · 1,3 · 3,2 · 1,5 · 4,2 · 1,5
        assert_eq!(testing::letters(&*balancer, &pool, 6), "bbabab");
        // From then on half of the picks again.
        let counts = testing::counts(2, 100, || Candidates::new(&*balancer, &pool, 0).next());
        assert_eq!(counts, [50, 50]);
    }

    #[test]
    fn after_a_failure_the_share_comes_back_step_by_step() {
        let balancer = testing::balancer(Algorithm::WeightedRoundRobin, &[40, 40]);
        let pool = TestPool::healthy(2);
        let picks = || {
            let first = || Candidates::new(&*balancer, &pool, 0).next();
            testing::counts(2, 10, first)[0]
        };
        assert_eq!(picks(), 5);
        testing::fail(&*balancer, 0);
        // A second failure takes no more than there is.
        testing::fail(&*balancer, 0);
        let shares: Vec<_> = (0..8).map(|_| picks()).collect();
        assert_eq!(shares, [1, 3, 3, 5, 5, 5, 5, 5]);
    }

    #[test]
    fn an_answer_changes_nothing() {
        let balancer = testing::balancer(Algorithm::WeightedRoundRobin, &[5, 1, 1]);
        let pool = TestPool::healthy(3);
        let order: String = (0..7)
            .map(|_| {
                let letter = testing::letters(&*balancer, &pool, 1);
                (0..3).for_each(|index| testing::answer(&*balancer, index));
                letter
            })
            .collect();
        assert_eq!(order, "aabacaa");
    }

    #[test]
    fn when_all_have_failed_one_is_picked_all_the_same() {
        let balancer = testing::balancer(Algorithm::WeightedRoundRobin, &[1, 1]);
        (0..3).for_each(|index| testing::fail(&*balancer, index));
        assert_eq!(
            testing::letters(&*balancer, &TestPool::healthy(2), 3),
            "aab"
        );
    }

    proptest! {
        #[test]
        fn every_cycle_gives_exactly_the_weights(
            weights in prop::collection::vec(1_u32..30, 1..12),
            cycles in 1_usize..4,
        ) {
            let balancer = testing::balancer(Algorithm::WeightedRoundRobin, &weights);
            let pool = TestPool::healthy(weights.len());
            let total = weights.iter().sum::<u32>() as usize;
            let counts = testing::counts(weights.len(), total * cycles, || {
                Candidates::new(&*balancer, &pool, 0).next()
            });
            let expected: Vec<_> =
                weights.iter().map(|weight| *weight as usize * cycles).collect();
            prop_assert_eq!(counts, expected);
        }
    }
}
