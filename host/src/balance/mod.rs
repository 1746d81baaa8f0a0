//! Choosing the target of a request.
//!
//! One file per algorithm, all behind [`Balancer`]; [`from_algorithm`] makes the one that the
//! configuration names. A balancer only chooses: which targets may be chosen at all, and how busy
//! they are, it learns from the caller's [`Pool`].
//!
//! # What is shared, and why a client cannot tell how many workers there are
//!
//! An upstream has **one** balancer, and all worker threads pick from it. With one per worker, three
//! workers would each begin with the first target, and what a client sees would depend on which
//! worker accepted its connection. What is shared is small and costs little:
//!
//! | algorithm | shared between workers | cost of sharing |
//! |---|---|---|
//! | `round-robin` | a counter | one relaxed atomic addition |
//! | `weighted-round-robin` | two numbers per target | a mutex held for tens of nanoseconds |
//! | `random` | nothing that changes | none: the generator is the thread's own |
//! | `least-request` | the caller's in-flight counts | relaxed atomic loads |
//! | `consistent-hash` | nothing that changes | none: the ring is immutable |
//!
//! # Going on to the next target
//!
//! [`Candidates`] turns single picks into the sequence in which a caller should try targets:
//!
//! ```ignore
//! for index in Candidates::new(&*upstream.balancer, upstream, key).take(attempts) {
//!     match connect(index) {
//!         Ok(connection) => return Ok(connection),
//!         Err(_) => upstream.balancer.failed(index),
//!     }
//! }
//! ```

mod candidates;
mod consistent_hash;
mod least_request;
mod random;
mod round_robin;
#[cfg(test)]
mod testing;
mod tried;
mod weighted_draw;
mod weighted_round_robin;

use std::fmt::Debug;
use std::num::NonZeroU32;

use twox_hash::XxHash64;

use crate::config::Algorithm;

pub use candidates::Candidates;
pub use consistent_hash::ConsistentHash;
pub use least_request::LeastRequest;
pub use random::Random;
pub use round_robin::RoundRobin;
pub use tried::Tried;
pub use weighted_round_robin::WeightedRoundRobin;

/// An algorithm that chooses targets. Targets are added while the upstream is built; after that the
/// balancer is shared by all workers and only picked from.
pub trait Balancer: Debug + Send + Sync {
    /// Adds a target. Its index is the number of targets added before it.
    fn add(&mut self, target: Target<'_>);

    /// Picks a target that is usable and has not been tried; `None` when there is none.
    fn pick(&self, request: &Pick<'_>) -> Option<usize>;

    /// Says that an attempt at this target failed, so that an algorithm can charge it for that.
    /// By default nothing happens: most algorithms leave failures to health checks.
    fn failed(&self, index: usize) {
        let _ = index;
    }
}

/// What a balancer has to know of a target when it is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// `host:port`. It decides the target's place on a hash ring, so it must be the same on every
    /// gateway that is to send the same key to the same target.
    pub name: &'a str,
    /// The share of the requests, relative to the other targets' weights.
    pub weight: NonZeroU32,
}

/// The caller's view of the targets' present state, by the index that [`Balancer::add`] gave them.
/// Both methods are asked several times for each request, from all workers: atomics, no locks.
pub trait Pool {
    /// Whether requests may go to this target now: healthy, not ejected, not draining.
    fn usable(&self, index: usize) -> bool;

    /// Requests that all workers together have at this target.
    fn in_flight(&self, index: usize) -> u32;
}

/// One question to a balancer.
#[derive(Clone, Copy)]
pub struct Pick<'a> {
    /// [`hash_key`] of what the upstream hashes on. Only hashing balancers read it. A request that
    /// has no such thing (no such cookie, say) should bring a random number: a constant would send
    /// all of them to one target.
    pub key: u64,
    /// The targets' state.
    pub pool: &'a dyn Pool,
    /// Targets that this request has been given before.
    pub tried: &'a Tried,
}

impl Pick<'_> {
    /// Whether this target may be the answer.
    pub fn allows(&self, index: usize) -> bool {
        !self.tried.contains(index) && self.pool.usable(index)
    }
}

/// Makes the balancer for an upstream's `balance = "…"`, without targets yet.
pub fn from_algorithm(algorithm: Algorithm) -> Box<dyn Balancer> {
    match algorithm {
        Algorithm::Random => Box::new(Random::default()),
        Algorithm::RoundRobin => Box::new(RoundRobin::default()),
        Algorithm::WeightedRoundRobin => Box::new(WeightedRoundRobin::default()),
        Algorithm::ConsistentHash => Box::new(ConsistentHash::default()),
        Algorithm::LeastRequest => Box::new(LeastRequest::default()),
    }
}

/// The [`Pick::key`] of a client's address, a header's value and so on. XXH64 with seed 0: the
/// same on every machine, in every version.
pub fn hash_key(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{self, TestPool};
    use super::*;

    const ALL: [Algorithm; 5] = [
        Algorithm::Random,
        Algorithm::RoundRobin,
        Algorithm::WeightedRoundRobin,
        Algorithm::ConsistentHash,
        Algorithm::LeastRequest,
    ];

    #[test]
    fn the_factory_makes_what_the_name_says() {
        let made = |algorithm| format!("{:?}", from_algorithm(algorithm));
        assert!(made(Algorithm::Random).starts_with("Random"));
        assert!(made(Algorithm::RoundRobin).starts_with("RoundRobin"));
        assert!(made(Algorithm::WeightedRoundRobin).starts_with("WeightedRoundRobin"));
        assert!(made(Algorithm::ConsistentHash).starts_with("ConsistentHash"));
        assert!(made(Algorithm::LeastRequest).starts_with("LeastRequest"));
    }

    #[test]
    fn the_key_is_xxh64_with_seed_0() {
        // The values that the xxHash project publishes for its test vectors.
        assert_eq!(hash_key(b""), 0xef46_db37_51d8_e999);
        assert_eq!(hash_key(b"abc"), 0x44bc_2cf5_ad77_0999);
    }

    #[test]
    fn without_targets_there_is_no_pick() {
        for algorithm in ALL {
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
        for algorithm in ALL {
            let balancer = testing::balancer(algorithm, &[1, 2, 3]);
            let pool = TestPool::healthy(3);
            std::thread::scope(|scope| {
                for thread in 0..4_u64 {
                    let (balancer, pool) = (&balancer, &pool);
                    scope.spawn(move || {
                        for round in 0..500 {
                            let order: Vec<_> =
                                Candidates::new(&**balancer, pool, thread * 500 + round).collect();
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
        ) {
            let weights: Vec<u32> = targets.iter().map(|target| target.0).collect();
            let pool = TestPool::new(
                targets.iter().map(|target| target.1),
                targets.iter().map(|target| target.2),
            );
            let usable: Vec<usize> =
                (0..targets.len()).filter(|index| targets[*index].1).collect();
            for algorithm in ALL {
                let balancer = testing::balancer(algorithm, &weights);
                for _ in 0..3 {
                    let order: Vec<_> = Candidates::new(&*balancer, &pool, key).collect();
                    prop_assert_eq!(testing::sorted(order), usable.clone(), "{:?}", algorithm);
                }
            }
        }
    }
}
