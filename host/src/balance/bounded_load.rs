//! Bounds on the load of a hashing balancer's targets.

use std::num::NonZeroU32;

use super::{Pick, Tried};
use crate::config::LoadFactor;

/// Follows a hashing balancer's order to the first target that may take the request: consistent
/// hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2016, arXiv 1608.01350).
///
/// Of the `m` requests in flight, the new one included, a target with the share `w` of the weights
/// may have `⌈factor × m × w⌉`. Where the key's own target has that many the request goes on to the
/// next one in the key's order that has not, which is the same one for every request of that key as
/// long as the counts are. Popular keys spread over as many targets as they need; all others stay
/// where they are.
///
/// Two departures from the paper, which can move what it has placed: a request in flight stays where
/// it is when others end and the bound falls below its target's load; and two workers that pick at
/// the same moment may both take a target's last place.
#[derive(Debug)]
pub(super) struct BoundedLoad {
    weights: Vec<u64>,
    factor: Option<LoadFactor>,
}

impl BoundedLoad {
    /// Without a factor the load is not bounded.
    pub(super) fn new(factor: Option<LoadFactor>) -> Self {
        Self {
            weights: Vec::new(),
            factor,
        }
    }

    pub(super) fn add(&mut self, weight: NonZeroU32) {
        self.weights.push(weight.get().into());
    }

    /// The first target in `order`, in which each may come up many times, that may take the request.
    pub(super) fn first(
        &self,
        request: &Pick<'_>,
        order: impl Iterator<Item = usize> + Clone,
    ) -> Option<usize> {
        let allows = |index| request.allows(index);
        let Some(factor) = self.factor else {
            return self.walk(order, allows);
        };
        let room = Room::of(self, factor, request);
        let bounded = self.walk(order.clone(), |index| {
            allows(index) && room.is_at(self, index, request)
        });
        // There is always room somewhere, unless counts have risen since they were added up.
        bounded.or_else(|| self.walk(order, allows))
    }

    fn walk(
        &self,
        order: impl Iterator<Item = usize>,
        accepts: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut refused = Tried::default();
        let mut left = self.weights.len();
        for index in order {
            if accepts(index) {
                return Some(index);
            }
            if refused.insert(index) {
                left -= 1;
                // The order is long, and one of a small weight is rare in it.
                if left <= 1 {
                    break;
                }
            }
        }
        (0..self.weights.len()).find(|index| !refused.contains(*index) && accepts(*index))
    }
}

/// What a request finds in flight. Targets that it cannot go to do not count, so there is always one
/// with room: the bounds add up to more than what is in flight.
struct Room {
    factor: LoadFactor,
    /// Requests in flight, the new one included.
    requests: u128,
    weights: u128,
}

impl Room {
    fn of(targets: &BoundedLoad, factor: LoadFactor, request: &Pick<'_>) -> Self {
        let (mut requests, mut weights) = (1, 0);
        for (index, weight) in targets.weights.iter().enumerate() {
            if request.allows(index) {
                requests += u128::from(request.pool.in_flight(index));
                weights += u128::from(*weight);
            }
        }
        Self {
            factor,
            requests,
            weights,
        }
    }

    /// Whether one more keeps the target within its bound. A whole number is below `⌈x⌉` exactly when
    /// it is below `x`: so nothing is divided, and nothing rounded.
    fn is_at(&self, targets: &BoundedLoad, index: usize, request: &Pick<'_>) -> bool {
        let weight = targets.weights.get(index).map_or(0, |w| u128::from(*w));
        let load = u128::from(request.pool.in_flight(index));
        load * self.weights * u128::from(LoadFactor::UNIT)
            < u128::from(self.factor.thousandths()) * self.requests * weight
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::super::testing::{self, TestPool};
    use super::super::{Balancer, Candidates, Pool, hash_key};
    use super::*;
    use crate::config::Algorithm;

    fn both(factor: f64) -> [Algorithm; 2] {
        let bounded_load = LoadFactor::new(factor);
        assert!(bounded_load.is_some());
        [
            Algorithm::ConsistentHash { bounded_load },
            Algorithm::Maglev { bounded_load },
        ]
    }

    /// Most requests are for a handful of keys.
    fn key(rng: &mut SmallRng) -> u64 {
        let powers = rng.random_range(0..=6);
        hash_key(&rng.random_range(1..=10_u32).pow(powers).to_le_bytes())
    }

    fn pick(balancer: &dyn Balancer, pool: &TestPool, key: u64) -> usize {
        Candidates::new(balancer, pool, key).next().unwrap()
    }

    fn load(pool: &TestPool, index: usize) -> f64 {
        pool.in_flight(index).into()
    }

    fn start(pool: &TestPool, index: usize) {
        pool.set_in_flight(index, pool.in_flight(index) + 1);
    }

    fn end(pool: &TestPool, index: usize) {
        pool.set_in_flight(index, pool.in_flight(index) - 1);
    }

    /// The paper's bound of each target, with all of them usable.
    fn bounds(pool: &TestPool, weights: &[u32], factor: f64) -> Vec<f64> {
        let requests: u32 = (0..weights.len()).map(|index| pool.in_flight(index)).sum();
        let total: u32 = weights.iter().sum();
        let share = |weight: &u32| f64::from(requests * weight) / f64::from(total);
        let bounds = weights.iter().map(|weight| (factor * share(weight)).ceil());
        bounds.collect()
    }

    #[test]
    fn no_target_is_ever_above_its_bound_while_requests_come() {
        // Factors that a float has exactly, so that the test's own bound is the right one.
        for (factor, weights) in [
            (1.25, vec![1; 10]),
            (1.5, vec![5, 1, 2, 1]),
            (2.0, vec![1, 1, 1]),
        ] {
            for algorithm in both(factor) {
                let balancer = testing::balancer(algorithm, &weights);
                let pool = TestPool::healthy(weights.len());
                let mut rng = SmallRng::seed_from_u64(2016);
                for _ in 0..2_000 {
                    start(&pool, pick(&*balancer, &pool, key(&mut rng)));
                    for (index, bound) in bounds(&pool, &weights, factor).into_iter().enumerate() {
                        assert!(load(&pool, index) <= bound, "{algorithm:?}: {index}");
                    }
                }
            }
        }
    }

    #[test]
    fn nobody_is_given_more_than_the_bound_while_requests_come_and_go() {
        let weights = [1; 8];
        for algorithm in both(1.25) {
            let balancer = testing::balancer(algorithm, &weights);
            let pool = TestPool::healthy(weights.len());
            let mut rng = SmallRng::seed_from_u64(2016);
            let mut running = VecDeque::new();
            for _ in 0..5_000 {
                // Between 0 and 100 at a time, in waves.
                while running.len() > rng.random_range(0..100) {
                    end(&pool, running.pop_front().unwrap());
                }
                let index = pick(&*balancer, &pool, key(&mut rng));
                start(&pool, index);
                running.push_back(index);
                let bound = bounds(&pool, &weights, 1.25)[index];
                assert!(load(&pool, index) <= bound, "{algorithm:?}: {index}");
            }
        }
    }

    #[test]
    fn one_key_alone_fills_targets_in_its_order() {
        for algorithm in both(2.0) {
            let balancer = testing::balancer(algorithm, &[1; 4]);
            let pool = TestPool::healthy(4);
            let order: Vec<_> = Candidates::new(&*balancer, &pool, 7).collect();
            let picks: Vec<_> = (0..12)
                .map(|_| {
                    let index = pick(&*balancer, &pool, 7);
                    start(&pool, index);
                    order.iter().position(|other| *other == index).unwrap()
                })
                .collect();
            // The bounds of the 12 requests are 1 1 2 2 3 3 4 4 5 5 6 6.
            assert_eq!(picks, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1], "{algorithm:?}");
        }
    }

    #[test]
    fn a_key_stays_at_its_target_while_there_is_room_and_comes_back() {
        for (bounded, unbounded) in both(1.5).into_iter().zip([
            Algorithm::ConsistentHash { bounded_load: None },
            Algorithm::Maglev { bounded_load: None },
        ]) {
            let balancer = testing::balancer(bounded, &[1; 5]);
            let plain = testing::balancer(unbounded, &[1; 5]);
            let pool = TestPool::healthy(5);
            for key in 0..500 {
                let key = hash_key(&u32::to_le_bytes(key));
                (0..5).for_each(|index| pool.set_in_flight(index, 10));
                let home = pick(&*plain, &pool, key);
                assert_eq!(pick(&*balancer, &pool, key), home);
                // ⌈1.5 × (40 + 16 + 1) / 5⌉ = 18, so there is room for two more.
                pool.set_in_flight(home, 16);
                assert_eq!(pick(&*balancer, &pool, key), home);
                // ⌈1.5 × (40 + 19 + 1) / 5⌉ = 18.
                pool.set_in_flight(home, 19);
                let second = Candidates::new(&*plain, &pool, key).nth(1).unwrap();
                assert_eq!(pick(&*balancer, &pool, key), second);
            }
        }
    }

    #[test]
    fn a_heavier_target_has_room_for_more() {
        for algorithm in both(1.25) {
            let balancer = testing::balancer(algorithm, &[3, 1]);
            let pool = TestPool::healthy(2);
            let picks = |in_flight: [u32; 2]| {
                (0..2).for_each(|index| pool.set_in_flight(index, in_flight[index]));
                testing::counts(2, 100, || Some(pick(&*balancer, &pool, rand::random())))
            };
            // Bounds of 47 and 16 for 50 requests.
            assert_eq!(picks([47, 2]), [0, 100]);
            assert_eq!(picks([33, 16]), [100, 0]);
            assert!(picks([36, 13]).iter().all(|count| *count > 0));
        }
    }

    #[test]
    fn targets_that_are_down_have_no_part_in_the_average() {
        for algorithm in both(1.25) {
            let balancer = testing::balancer(algorithm, &[1; 3]);
            let pool = TestPool::healthy(3);
            pool.set_in_flight(0, 1_000);
            pool.set_usable(0, false);
            // ⌈1.25 × (5 + 2 + 1) / 2⌉ = 5: with the 1000 it would be far more.
            pool.set_in_flight(1, 5);
            pool.set_in_flight(2, 2);
            assert!((0..50).all(|key| pick(&*balancer, &pool, hash_key(&[key])) == 2));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn no_pick_goes_above_the_bound(
            targets in prop::collection::vec((1_u32..10, any::<bool>(), 0_u32..50), 1..12),
            thousandths in 1_001_u32..3_000,
            keys in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            let weights: Vec<u32> = targets.iter().map(|target| target.0).collect();
            let usable = || targets.iter().enumerate().filter(|(_, target)| target.1);
            prop_assume!(usable().count() > 0);
            for algorithm in both(f64::from(thousandths) / 1_000.0) {
                let balancer = testing::balancer(algorithm, &weights);
                let pool = TestPool::new(
                    targets.iter().map(|target| target.1),
                    targets.iter().map(|target| target.2),
                );
                for key in &keys {
                    let index = pick(&*balancer, &pool, *key);
                    prop_assert_eq!(index, pick(&*balancer, &pool, *key));
                    start(&pool, index);
                    let requests: u64 =
                        usable().map(|(index, _)| u64::from(pool.in_flight(index))).sum();
                    let total: u64 = usable().map(|(_, target)| u64::from(target.0)).sum();
                    let bound = (u64::from(thousandths) * requests * u64::from(weights[index]))
                        .div_ceil(1_000 * total);
                    prop_assert!(u64::from(pool.in_flight(index)) <= bound);
                }
            }
        }
    }
}
