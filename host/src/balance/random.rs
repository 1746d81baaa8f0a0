//! `random`: a draw for each request.

use rand::Rng;

use super::weighted_draw::WeightedDraw;
use super::{Balancer, Pick, Target};

/// Draws a usable target in proportion to the weights. Nothing is shared between workers: every
/// thread has a random generator of its own, seeded by the operating system.
#[derive(Debug, Default)]
pub struct Random {
    targets: WeightedDraw,
}

impl Random {
    fn pick_with(&self, request: &Pick<'_>, rng: &mut impl Rng) -> Option<usize> {
        self.targets.draw(rng, |index| request.allows(index))
    }
}

impl Balancer for Random {
    fn add(&mut self, target: Target<'_>) {
        self.targets.add(target.weight);
    }

    fn pick(&self, request: &Pick<'_>) -> Option<usize> {
        self.pick_with(request, &mut rand::rng())
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::super::Tried;
    use super::super::testing::{self, TestPool};
    use super::*;

    fn counts(weights: &[u32], dead: &[usize]) -> Vec<usize> {
        let mut random = Random::default();
        for weight in weights {
            testing::add(&mut random, "t", *weight);
        }
        let pool = TestPool::healthy(weights.len());
        for index in dead {
            pool.set_usable(*index, false);
        }
        let request = Pick {
            key: 0,
            pool: &pool,
            tried: &Tried::default(),
        };
        let mut rng = SmallRng::seed_from_u64(7);
        testing::counts(weights.len(), 20_000, || {
            random.pick_with(&request, &mut rng)
        })
    }

    #[test]
    fn weights_are_respected() {
        testing::assert_proportional(&counts(&[1, 1, 1], &[]), &[1, 1, 1]);
        testing::assert_proportional(&counts(&[5, 1, 2], &[]), &[5, 1, 2]);
    }

    #[test]
    fn a_dead_targets_share_goes_to_the_others_by_their_weights() {
        testing::assert_proportional(&counts(&[5, 1, 2], &[0]), &[0, 1, 2]);
        testing::assert_proportional(&counts(&[90, 1, 2, 1], &[0, 3]), &[0, 1, 2, 0]);
    }
}
