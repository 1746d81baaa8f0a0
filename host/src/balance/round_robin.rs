//! `round-robin`: each target in its turn.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Balancer, Pick, Target};

/// Gives the usable targets their turns in the order in which they are listed. Weights mean nothing
/// to it: `weighted-round-robin` is the one that reads them.
///
/// The turns are counted over the targets that are usable now. The simpler way, to step over a dead
/// target, would give all of its turns to the neighbour behind it.
#[derive(Debug, Default)]
pub struct RoundRobin {
    targets: usize,
    first_picks: AtomicUsize,
    /// Counted apart: if going on to a next target took a turn from the others, a target that fails
    /// its requests could fall into step with the turns and push all that it loses onto one target.
    further_picks: AtomicUsize,
}

impl Balancer for RoundRobin {
    fn add(&mut self, _: Target<'_>) {
        self.targets += 1;
    }

    fn pick(&self, request: &Pick<'_>) -> Option<usize> {
        let turns = if request.tried.is_empty() {
            &self.first_picks
        } else {
            &self.further_picks
        };
        let allowed = || (0..self.targets).filter(|index| request.allows(*index));
        // Zero if there is none: no pick, and no turn is used up.
        let usable = allowed().count();
        if usable == 0 {
            return None;
        }
        // Relaxed: nothing else is published through the counter.
        let turn = turns.fetch_add(1, Ordering::Relaxed) % usable;
        // A target may have become unusable since it was counted; then the first one has to do.
        allowed().nth(turn).or_else(|| allowed().next())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Candidates;
    use super::super::testing::{self, TestPool};
    use crate::config::Algorithm;

    #[test]
    fn turns_follow_the_list_and_ignore_weights() {
        let balancer = testing::balancer(Algorithm::RoundRobin, &[5, 1, 1]);
        assert_eq!(
            testing::letters(&*balancer, &TestPool::healthy(3), 7),
            "abcabca"
        );
    }

    #[test]
    fn a_dead_targets_turns_are_shared_by_all_others() {
        let balancer = testing::balancer(Algorithm::RoundRobin, &[1, 1, 1, 1]);
        let pool = TestPool::healthy(4);
        pool.set_usable(1, false);
        assert_eq!(testing::letters(&*balancer, &pool, 6), "acdacd");
        pool.set_usable(1, true);
        assert_eq!(testing::letters(&*balancer, &pool, 4), "cdab");
    }

    #[test]
    fn the_requests_of_a_failing_target_are_shared_by_all_others() {
        let balancer = testing::balancer(Algorithm::RoundRobin, &[1, 1, 1]);
        let pool = TestPool::healthy(3);
        let answered_by = || {
            let mut candidates = Candidates::new(&*balancer, &pool, 0);
            candidates.find(|index| *index != 0)
        };
        assert_eq!(testing::counts(3, 60, answered_by), [0, 30, 30]);
    }

    #[test]
    fn many_threads_together_give_every_target_the_same() {
        let balancer = testing::balancer(Algorithm::RoundRobin, &[1, 1, 1, 1, 1]);
        let pool = TestPool::healthy(5);
        let picks = || testing::counts(5, 1_001, || Candidates::new(&*balancer, &pool, 0).next());
        let counts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..5).map(|_| scope.spawn(picks)).collect();
            let counts = threads.into_iter().map(|thread| thread.join().unwrap());
            counts.reduce(|one, two| one.iter().zip(two).map(|(one, two)| one + two).collect())
        });
        assert_eq!(counts.unwrap(), [1_001; 5]);
    }

    proptest! {
        #[test]
        fn whichever_targets_are_usable_get_the_same(
            usable in prop::collection::vec(any::<bool>(), 1..20),
            rounds in 1_usize..5,
        ) {
            let living = usable.iter().filter(|usable| **usable).count();
            prop_assume!(living > 0);
            let balancer = testing::balancer(Algorithm::RoundRobin, &vec![1; usable.len()]);
            let pool = TestPool::new(usable.iter().copied(), std::iter::repeat(0));
            let counts = testing::counts(usable.len(), living * rounds, || {
                Candidates::new(&*balancer, &pool, 0).next()
            });
            let expected: Vec<_> =
                usable.iter().map(|usable| if *usable { rounds } else { 0 }).collect();
            prop_assert_eq!(counts, expected);
        }
    }
}
