//! What holds for every algorithm.

use proptest::prelude::*;

use super::testing::{self, TestPool};
use super::*;
use crate::config::LoadFactor;

/// Both hashing algorithms without bounds, and with a tight one.
fn all() -> [Algorithm; 9] {
    let bounded_load = LoadFactor::new(1.01);
    assert!(bounded_load.is_some());
    [
        Algorithm::Random,
        Algorithm::RoundRobin,
        Algorithm::WeightedRoundRobin,
        Algorithm::ConsistentHash { bounded_load: None },
        Algorithm::ConsistentHash { bounded_load },
        Algorithm::LeastRequest,
        Algorithm::PeakEwma,
        Algorithm::Maglev { bounded_load: None },
        Algorithm::Maglev { bounded_load },
    ]
}

#[test]
fn the_factory_makes_what_the_name_says() {
    let made = |algorithm| format!("{:?}", from_algorithm(algorithm));
    assert!(made(Algorithm::Random).starts_with("Random"));
    assert!(made(Algorithm::RoundRobin).starts_with("RoundRobin"));
    assert!(made(Algorithm::WeightedRoundRobin).starts_with("WeightedRoundRobin"));
    let bounded_load = LoadFactor::new(1.25);
    let ring = made(Algorithm::ConsistentHash { bounded_load });
    assert!(
        ring.starts_with("ConsistentHash") && ring.contains("1250"),
        "{ring}"
    );
    assert!(made(Algorithm::LeastRequest).starts_with("LeastRequest"));
    assert!(made(Algorithm::PeakEwma).starts_with("PeakEwma"));
    let table = made(Algorithm::Maglev { bounded_load });
    assert!(
        table.starts_with("Maglev") && table.contains("1250"),
        "{table}"
    );
}

#[test]
fn the_key_is_xxh64_with_seed_0() {
    // The values that the xxHash project publishes for its test vectors.
    assert_eq!(hash_key(b""), 0xef46_db37_51d8_e999);
    assert_eq!(hash_key(b"abc"), 0x44bc_2cf5_ad77_0999);
}

#[test]
fn without_targets_there_is_no_pick() {
    for algorithm in all() {
        let balancer = from_algorithm(algorithm);
        let pool = TestPool::healthy(0);
        assert_eq!(
            Candidates::new(&*balancer, &pool, 1).next(),
            None,
            "{algorithm:?}"
        );
    }
}

#[test]
fn one_balancer_serves_many_threads() {
    for algorithm in all() {
        let balancer = testing::balancer(algorithm, &[1, 2, 3]);
        let pool = TestPool::healthy(3);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let (balancer, pool) = (&balancer, &pool);
                scope.spawn(move || {
                    for round in 0..500 {
                        let order: Vec<_> =
                            Candidates::new(&**balancer, pool, thread * 500 + round).collect();
                        testing::answer(&**balancer, order[0]);
                        testing::fail(&**balancer, order[1]);
                        assert_eq!(testing::sorted(order), [0, 1, 2], "{algorithm:?}");
                    }
                });
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// 80 targets at most: a set of tried targets that does not fit into one word is part of it.
    #[test]
    fn candidates_are_a_permutation_of_the_usable_targets(
        targets in prop::collection::vec((1_u32..4, any::<bool>(), 0_u32..9), 0..80),
        key in any::<u64>(),
        outcomes in prop::collection::vec((0_usize..90, any::<Duration>(), any::<bool>()), 0..20),
    ) {
        let weights: Vec<u32> = targets.iter().map(|target| target.0).collect();
        let pool = TestPool::new(
            targets.iter().map(|target| target.1),
            targets.iter().map(|target| target.2),
        );
        let usable: Vec<usize> =
            (0..targets.len()).filter(|index| targets[*index].1).collect();
        for algorithm in all() {
            let balancer = testing::balancer(algorithm, &weights);
            for _ in 0..3 {
                let order: Vec<_> = Candidates::new(&*balancer, &pool, key).collect();
                prop_assert_eq!(testing::sorted(order), usable.clone(), "{:?}", algorithm);
                // Whatever becomes of requests, also at targets that are not there.
                for (index, latency, failed) in &outcomes {
                    let (latency, failed) = (*latency, *failed);
                    balancer.finished(*index, Outcome { latency, failed });
                }
            }
        }
    }
}
