//! Drawing targets at random, in proportion to their weights.

use std::num::NonZeroU32;

use rand::{Rng, RngExt};

/// The weights of an upstream's targets, added up so that a draw is one binary search.
#[derive(Debug, Default)]
pub(super) struct WeightedDraw {
    /// For each target the sum of the weights up to and with its own.
    ends: Vec<u64>,
}

/// Draws before the targets' state is looked at one by one. As long as few targets are down the
/// first draw fits nearly always, and drawing again leaves the proportions of the others exact.
const ATTEMPTS: usize = 3;

impl WeightedDraw {
    pub(super) fn add(&mut self, weight: NonZeroU32) {
        self.ends.push(self.total() + u64::from(weight.get()));
    }

    pub(super) fn weight(&self, index: usize) -> u64 {
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .unwrap_or(&0);
        self.ends.get(index).map_or(0, |end| end - start)
    }

    pub(super) fn mean_weight(&self) -> f64 {
        self.total() as f64 / self.ends.len() as f64
    }

    /// Two different ones of the allowed targets, or the only one.
    pub(super) fn draw_two(
        &self,
        rng: &mut impl Rng,
        allowed: impl Fn(usize) -> bool,
    ) -> Option<(usize, Option<usize>)> {
        let one = self.draw(rng, &allowed)?;
        let two = self.draw(rng, |index| index != one && allowed(index));
        Some((one, two))
    }

    /// One of the allowed targets, each with the probability of its share in their weights.
    pub(super) fn draw(
        &self,
        rng: &mut impl Rng,
        allowed: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if self.ends.is_empty() {
            return None;
        }
        for _ in 0..ATTEMPTS {
            let point = rng.random_range(0..self.total());
            let index = self.ends.partition_point(|end| *end <= point);
            if allowed(index) {
                return Some(index);
            }
        }
        self.draw_from_allowed(rng, allowed)
    }

    fn draw_from_allowed(
        &self,
        rng: &mut impl Rng,
        allowed: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let candidates = || (0..self.ends.len()).filter(|index| allowed(*index));
        let total: u64 = candidates().map(|index| self.weight(index)).sum();
        if total == 0 {
            return None;
        }
        let mut point = rng.random_range(0..total);
        let mut last = None;
        for index in candidates() {
            let weight = self.weight(index);
            if point < weight {
                return Some(index);
            }
            point -= weight;
            last = Some(index);
        }
        // Only when a target became unusable between the two rounds.
        last
    }

    fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::super::testing;
    use super::*;

    fn of(weights: &[u32]) -> WeightedDraw {
        let mut draw = WeightedDraw::default();
        for weight in weights {
            draw.add(NonZeroU32::new(*weight).unwrap());
        }
        draw
    }

    #[test]
    fn weights_are_read_back() {
        let draw = of(&[3, 1, u32::MAX]);
        let weights: Vec<_> = (0..4).map(|index| draw.weight(index)).collect();
        assert_eq!(weights, [3, 1, u64::from(u32::MAX), 0]);
    }

    #[test]
    fn nothing_allowed_nothing_drawn() {
        let mut rng = SmallRng::seed_from_u64(1);
        assert_eq!(of(&[]).draw(&mut rng, |_| true), None);
        assert_eq!(of(&[1, 2]).draw(&mut rng, |_| false), None);
    }

    proptest! {
        /// Both ways, as with many targets down only the second is taken.
        #[test]
        fn draws_are_in_proportion_to_the_allowed_weights(
            targets in prop::collection::vec((1_u32..50, any::<bool>()), 1..10),
            seed in any::<u64>(),
        ) {
            let shares: Vec<u32> =
                targets.iter().map(|(weight, allowed)| weight * u32::from(*allowed)).collect();
            prop_assume!(shares.iter().any(|share| *share > 0));
            let weights: Vec<u32> = targets.iter().map(|target| target.0).collect();
            let draw = of(&weights);
            let allowed = |index: usize| targets[index].1;
            let mut rng = SmallRng::seed_from_u64(seed);
            let counts = testing::counts(targets.len(), 2_000, || draw.draw(&mut rng, allowed));
            testing::assert_proportional(&counts, &shares);
            let counts =
                testing::counts(targets.len(), 2_000, || draw.draw_from_allowed(&mut rng, allowed));
            testing::assert_proportional(&counts, &shares);
        }
    }
}
