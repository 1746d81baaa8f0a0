//! `least-request`: the less busy of two.

use rand::Rng;

use super::weighted_draw::WeightedDraw;
use super::{Balancer, Pick, Target};

/// The power of two choices (Mitzenmacher, 2001): two different targets are drawn in proportion to
/// the weights, and the request goes to the one with fewer requests in flight per weight. At a tie
/// it goes to the first drawn, so idle targets are chosen by their weights.
///
/// To take the least busy of all instead would send every worker's next requests to the same
/// target, from the moment when it answers one until its count has caught up.
#[derive(Debug, Default)]
pub struct LeastRequest {
    targets: WeightedDraw,
}

impl LeastRequest {
    fn pick_with(&self, request: &Pick<'_>, rng: &mut impl Rng) -> Option<usize> {
        let (one, two) = self.targets.draw_two(rng, |index| request.allows(index))?;
        match two {
            Some(two) if self.is_less_busy(two, one, request) => Some(two),
            _ => Some(one),
        }
    }

    /// Compares in-flight counts divided by weights, multiplied out. Counts and weights have 32
    /// bits each, so nothing overflows.
    fn is_less_busy(&self, index: usize, than: usize, request: &Pick<'_>) -> bool {
        let count = |index| u64::from(request.pool.in_flight(index));
        count(index) * self.targets.weight(than) < count(than) * self.targets.weight(index)
    }
}

impl Balancer for LeastRequest {
    fn add(&mut self, target: Target<'_>) {
        self.targets.add(target.weight);
    }

    fn pick(&self, request: &Pick<'_>) -> Option<usize> {
        self.pick_with(request, &mut rand::rng())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::super::testing::{self, TestPool};
    use super::super::{Pool, Tried};
    use super::*;

    fn of(weights: &[u32]) -> LeastRequest {
        let mut balancer = LeastRequest::default();
        for weight in weights {
            testing::add(&mut balancer, "t", *weight);
        }
        balancer
    }

    fn pick(balancer: &LeastRequest, pool: &TestPool, rng: &mut SmallRng) -> Option<usize> {
        balancer.pick_with(
            &Pick {
                key: 0,
                pool,
                tried: &Tried::default(),
            },
            rng,
        )
    }

    #[test]
    fn idle_targets_are_chosen_by_weight() {
        let (balancer, pool) = (of(&[5, 1, 2]), TestPool::healthy(3));
        let mut rng = SmallRng::seed_from_u64(7);
        let counts = testing::counts(3, 20_000, || pick(&balancer, &pool, &mut rng));
        testing::assert_proportional(&counts, &[5, 1, 2]);
    }

    #[test]
    fn the_busiest_of_all_is_chosen_only_when_it_is_alone() {
        let (balancer, pool) = (of(&[1, 1, 1]), TestPool::healthy(3));
        pool.set_in_flight(1, 9);
        let mut rng = SmallRng::seed_from_u64(7);
        let counts = testing::counts(3, 1_000, || pick(&balancer, &pool, &mut rng));
        assert_eq!(counts[1], 0);
        pool.set_usable(0, false);
        pool.set_usable(2, false);
        assert_eq!(pick(&balancer, &pool, &mut rng), Some(1));
    }

    #[test]
    fn a_count_weighs_less_on_a_heavier_target() {
        let (balancer, pool) = (of(&[4, 1]), TestPool::healthy(2));
        let mut rng = SmallRng::seed_from_u64(7);
        let mut picks = |in_flight: [u32; 2]| {
            pool.set_in_flight(0, in_flight[0]);
            pool.set_in_flight(1, in_flight[1]);
            testing::counts(2, 100, || pick(&balancer, &pool, &mut rng))
        };
        assert_eq!(picks([7, 2]), [100, 0]);
        assert_eq!(picks([9, 2]), [0, 100]);
        assert_eq!(picks([u32::MAX, u32::MAX]), [100, 0]);
    }

    proptest! {
        /// Requests that never end fill the targets in proportion to their weights.
        #[test]
        fn load_follows_the_weights(
            weights in prop::collection::vec(1_u32..6, 2..8),
            seed in any::<u64>(),
        ) {
            let (balancer, pool) = (of(&weights), TestPool::healthy(weights.len()));
            let mut rng = SmallRng::seed_from_u64(seed);
            let total: u32 = weights.iter().sum();
            for _ in 0..total * 100 {
                let index = pick(&balancer, &pool, &mut rng).unwrap();
                pool.set_in_flight(index, pool.in_flight(index) + 1);
            }
            for (index, weight) in weights.iter().enumerate() {
                let per_weight = f64::from(pool.in_flight(index)) / f64::from(*weight);
                prop_assert!((90.0..=110.0).contains(&per_weight), "{index}: {per_weight}");
            }
        }
    }
}
