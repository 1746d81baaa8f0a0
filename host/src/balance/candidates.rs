//! The order in which a request should try targets.

use super::{Balancer, Pick, Pool, Tried};

/// An iterator over targets: each usable one at most once, best first. Every step asks the balancer
/// and the pool afresh, so a target that was ejected since the last step does not come up.
///
/// It allocates nothing for upstreams of up to 64 targets.
pub struct Candidates<'a> {
    balancer: &'a dyn Balancer,
    pool: &'a dyn Pool,
    key: u64,
    tried: Tried,
}

impl<'a> Candidates<'a> {
    /// The candidates of one request; `key` as in [`Pick::key`].
    pub fn new(balancer: &'a dyn Balancer, pool: &'a dyn Pool, key: u64) -> Self {
        Self {
            balancer,
            pool,
            key,
            tried: Tried::default(),
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let request = Pick {
            key: self.key,
            pool: self.pool,
            tried: &self.tried,
        };
        let index = self.balancer.pick(&request)?;
        // Should a balancer answer with a tried target, the sequence ends: a caller that loops over
        // it must not loop for ever.
        self.tried.insert(index).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::super::testing::{self, TestPool};
    use super::*;
    use crate::config::Algorithm;

    #[test]
    fn a_target_that_fails_meanwhile_does_not_come_up() {
        let balancer = testing::balancer(Algorithm::RoundRobin, &[1, 1, 1]);
        let pool = TestPool::healthy(3);
        let mut candidates = Candidates::new(&*balancer, &pool, 0);
        assert_eq!(candidates.next(), Some(0));
        pool.set_usable(1, false);
        assert_eq!(candidates.next(), Some(2));
        assert_eq!(candidates.next(), None);
    }

    #[derive(Debug)]
    struct Stubborn;

    impl Balancer for Stubborn {
        fn add(&mut self, _: Target<'_>) {}

        fn pick(&self, _: &Pick<'_>) -> Option<usize> {
            Some(7)
        }
    }

    #[test]
    fn a_balancer_that_repeats_itself_ends_the_sequence() {
        let pool = TestPool::healthy(8);
        let order: Vec<_> = Candidates::new(&Stubborn, &pool, 0).take(10).collect();
        assert_eq!(order, [7]);
    }
}
