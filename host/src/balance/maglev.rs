//! `maglev`: the same key to the same target, by a table.

use std::fmt;
use std::sync::OnceLock;

use twox_hash::XxHash64;

use super::bounded_load::BoundedLoad;
use super::{Balancer, Pick, Target};
use crate::config::LoadFactor;

/// The hashing of Google's Maglev (Eisenbud et al., NSDI 2016, section 3.4). Every target has a
/// permutation of a table's places, made of its name; in turns each takes the first place of its
/// permutation that is still free, until the table is full. A key belongs to the target at its place.
///
/// Compared with the ring of `consistent-hash`:
///
/// - Shares are even: targets of one weight differ by one place of the table. A target of a smaller
///   weight lets so many turns pass that its share is right; every target has a place.
/// - A pick is one look into the table and no search.
/// - When a target goes down, its keys look on in the table in steps that are the key's own. That
///   spreads them over the others by their weights, where neighbouring places would not: the places of
///   one target are a pattern. They come back with it, and no other key moves. But when a target is
///   added to the list or taken off it a few keys move between the others, too: fewer than one in a
///   hundred with up to 300 targets. The ring moves none.
///
/// The order in which targets are listed means nothing.
pub struct Maglev {
    targets: Vec<Member>,
    loads: BoundedLoad,
    /// Indices of targets. Made when all have been added.
    table: OnceLock<Box<[u32]>>,
}

struct Member {
    name: Box<str>,
    weight: u32,
}

/// The two sizes that the paper measures. They are prime, so that every step leads through all places,
/// and fixed, because with another size most keys have another target.
const SIZE: usize = 65_537;
const LARGE_SIZE: usize = 655_373;

/// From here on the larger table: the paper's advice is a hundred places and more for each target.
const MANY_TARGETS: usize = SIZE / 100;

const FREE: u32 = u32::MAX;

impl Maglev {
    /// A balancer without targets; `bounded_load` as in [`crate::config::Algorithm::Maglev`].
    pub fn new(bounded_load: Option<LoadFactor>) -> Self {
        Self {
            targets: Vec::new(),
            loads: BoundedLoad::new(bounded_load),
            table: OnceLock::new(),
        }
    }

    fn table(&self) -> &[u32] {
        self.table.get_or_init(|| fill(self.seats()))
    }

    /// What takes turns at the table, in an order that is the same for every order of the list.
    fn seats(&self) -> Vec<Seat> {
        let size = match self.targets.len() {
            0 => 0,
            1..=MANY_TARGETS => SIZE,
            _ => LARGE_SIZE,
        };
        let mut members: Vec<_> = self.targets.iter().zip(0_u32..).collect();
        members.sort_by_key(|(member, _)| (&member.name, member.weight));
        let mut seats = Vec::with_capacity(members.len());
        let mut namesakes: u64 = 0;
        let mut before: Option<&str> = None;
        for (member, target) in members {
            namesakes = match before {
                Some(name) if *name == *member.name => namesakes + 1,
                _ => 0,
            };
            before = Some(&member.name);
            seats.push(Seat::new(member, target, namesakes, size));
        }
        seats
    }
}

/// One target while the table is filled.
struct Seat {
    target: u32,
    weight: u64,
    /// The table's size.
    size: usize,
    /// The next place of its permutation.
    place: usize,
    step: usize,
    /// Weights of the heaviest target for which it has taken places already.
    paid: u64,
}

impl Seat {
    /// `namesake` counts the targets of the same name before it: theirs are different permutations.
    fn new(member: &Member, target: u32, namesake: u64, size: usize) -> Self {
        let hash = |seed| XxHash64::oneshot(seed, member.name.as_bytes());
        let within = |hash: u64, size: usize| (hash % (size.max(1) as u64)) as usize;
        Self {
            target,
            weight: member.weight.into(),
            size,
            place: within(hash(2 * namesake), size),
            step: 1 + within(hash(2 * namesake + 1), size.saturating_sub(1)),
            paid: 0,
        }
    }

    /// Takes the first place of its permutation that is free.
    fn take_place(&mut self, table: &mut [u32]) {
        for _ in 0..self.size {
            let place = self.place;
            self.place = (self.place + self.step) % self.size;
            if let Some(place) = table.get_mut(place)
                && *place == FREE
            {
                *place = self.target;
                return;
            }
        }
    }
}

/// The paper's listing 1, and weights as in Envoy's `MaglevTable`: the heaviest target takes a place in
/// every round, one of a third of its weight in every third.
fn fill(mut seats: Vec<Seat>) -> Box<[u32]> {
    let size = seats.first().map_or(0, |seat| seat.size);
    let heaviest = seats.iter().map(|seat| seat.weight).max().unwrap_or(1);
    let mut table = vec![FREE; size].into_boxed_slice();
    let mut left = size;
    let mut round = 0;
    while left > 0 {
        round += 1;
        for seat in &mut seats {
            if left > 0 && round * seat.weight >= seat.paid {
                seat.paid += heaviest;
                seat.take_place(&mut table);
                left -= 1;
            }
        }
    }
    table
}

impl Balancer for Maglev {
    fn add(&mut self, target: Target<'_>) {
        self.targets.push(Member {
            name: target.name.into(),
            weight: target.weight.get(),
        });
        self.loads.add(target.weight);
        self.table.take();
    }

    fn prepare(&mut self) {
        self.table();
    }

    fn pick(&self, request: &Pick<'_>) -> Option<usize> {
        let table = self.table();
        let size = table.len() as u64;
        let place = request.key.checked_rem(size)?;
        let step = 1 + (request.key / size) % (size - 1);
        let order = (0..size)
            .filter_map(|steps| table.get(((place + steps * step) % size) as usize))
            .map(|target| *target as usize);
        self.loads.first(request, order)
    }
}

/// Without the table's thousands of places.
impl fmt::Debug for Maglev {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Maglev")
            .field("targets", &self.targets.len())
            .field("loads", &self.loads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::super::testing::{self, TestPool};
    use super::super::{Candidates, hash_key};
    use super::*;

    fn of<'a>(targets: impl IntoIterator<Item = (&'a str, u32)>) -> Maglev {
        let mut maglev = Maglev::new(None);
        for (name, weight) in targets {
            testing::add(&mut maglev, name, weight);
        }
        maglev
    }

    fn names(count: usize) -> Vec<String> {
        (0..count)
            .map(|index| format!("10.0.0.{index}:80"))
            .collect()
    }

    fn equal(names: &[String]) -> Maglev {
        of(names.iter().map(|name| (name.as_str(), 1)))
    }

    /// How many places of the table each target has.
    fn places(maglev: &Maglev) -> Vec<usize> {
        let mut places = vec![0; maglev.targets.len()];
        for target in maglev.table() {
            places[*target as usize] += 1;
        }
        places
    }

    fn owner(maglev: &Maglev, pool: &TestPool, key: u64) -> usize {
        Candidates::new(maglev, pool, key).next().unwrap()
    }

    #[test]
    fn the_sizes_are_prime_and_large_enough() {
        for size in [SIZE, LARGE_SIZE] {
            assert!((2..1_000).all(|divisor| size % divisor != 0));
        }
        assert_eq!(equal(&names(0)).table().len(), 0);
        assert_eq!(equal(&names(1)).table().len(), SIZE);
        assert_eq!(equal(&names(655)).table().len(), SIZE);
        assert_eq!(equal(&names(656)).table().len(), LARGE_SIZE);
    }

    #[test]
    fn equal_targets_differ_by_one_place() {
        for count in [1, 2, 3, 10, 100] {
            let places = places(&equal(&names(count)));
            let (least, most) = (places.iter().min().unwrap(), places.iter().max().unwrap());
            assert!(most - least <= 1, "{count}: {least} to {most}");
            // What is asked for: within 2 % of even.
            let even = SIZE as f64 / count as f64;
            assert!(
                places
                    .iter()
                    .all(|share| (*share as f64 / even - 1.0).abs() < 0.02)
            );
        }
    }

    #[test]
    fn shares_follow_the_weights_and_nobody_is_left_out() {
        let places = places(&of([("a:80", 5), ("b:80", 1), ("c:80", 2)]));
        for (share, weight) in places.iter().zip([5.0, 1.0, 2.0]) {
            assert!(
                (*share as f64 - SIZE as f64 * weight / 8.0).abs() <= 2.0,
                "{places:?}"
            );
        }
        let heavy = of([("a:80", u32::MAX), ("b:80", 1), ("c:80", u32::MAX)]);
        assert_eq!(self::places(&heavy), [32_768, 1, 32_768]);
    }

    #[test]
    fn keys_are_spread_as_the_places_are() {
        let (maglev, pool) = (equal(&names(5)), TestPool::healthy(5));
        let mut number = 0_u32;
        let counts = testing::counts(5, 20_000, || {
            number += 1;
            Some(owner(&maglev, &pool, hash_key(&number.to_le_bytes())))
        });
        testing::assert_proportional(&counts, &[1; 5]);
    }

    #[test]
    fn the_table_is_the_same_in_every_version() {
        // A change here moves users' sessions when they upgrade; it belongs into the release notes.
        let maglev = equal(&names(3));
        assert_eq!(
            maglev.table()[..16],
            [2, 2, 0, 0, 2, 2, 1, 1, 0, 1, 1, 0, 2, 2, 1, 1]
        );
    }

    #[test]
    fn a_dead_targets_keys_spread_over_the_others_and_come_back() {
        let maglev = of([("a:80", 2), ("b:80", 1), ("c:80", 1), ("d:80", 1)]);
        let pool = TestPool::healthy(4);
        pool.set_usable(2, false);
        let mut heirs = [0_usize; 4];
        // A key for each place, and with a step that has nothing to do with the place.
        let step = |place: u64| hash_key(&place.to_le_bytes()) % 65_536;
        let key = |place: u64| place + SIZE as u64 * step(place);
        for (place, target) in (0..).zip(maglev.table()) {
            let target = *target as usize;
            let now = owner(&maglev, &pool, key(place));
            if target == 2 {
                heirs[now] += 1;
            } else {
                assert_eq!(now, target);
            }
        }
        testing::assert_proportional(&heirs, &[2, 1, 0, 1]);
        pool.set_usable(2, true);
        for (place, target) in (0..).zip(maglev.table()) {
            assert_eq!(owner(&maglev, &pool, key(place)), *target as usize);
        }
    }

    #[test]
    fn the_last_one_up_is_found_however_rare_it_is() {
        let maglev = of([("a:80", u32::MAX), ("b:80", 1)]);
        let pool = TestPool::healthy(2);
        pool.set_usable(0, false);
        assert!((0..SIZE as u64).all(|place| owner(&maglev, &pool, place) == 1));
        pool.set_usable(1, false);
        assert_eq!(Candidates::new(&maglev, &pool, 5).next(), None);
    }

    #[test]
    fn when_the_list_changes_few_other_keys_move() {
        for (count, leaver) in [(3, 0), (10, 4), (30, 29), (100, 50), (300, 7)] {
            let all = names(count);
            let mut others = all.clone();
            others.remove(leaver);
            let (before, after) = (equal(&all), equal(&others));
            let owners = before.table().iter().zip(after.table());
            let names = owners.map(|(old, new)| (&all[*old as usize], &others[*new as usize]));
            let moved = names.filter(|(old, new)| **old != all[leaver] && old != new);
            let share = moved.count() as f64 / SIZE as f64;
            assert!(share < 0.01, "{count} targets: {share} of the keys moved");
        }
    }

    #[test]
    fn prepared_or_not_the_table_is_the_same() {
        let names = names(4);
        let (one, mut two) = (equal(&names), equal(&names));
        two.prepare();
        assert!(two.table.get().is_some());
        assert_eq!(one.table(), two.table());
        testing::add(&mut two, "z:80", 1);
        assert!(two.table.get().is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 16,
            rng_seed: RngSeed::Fixed(65_537),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_order_of_the_list_means_nothing(
            targets in prop::collection::vec((0_u8..8, 1_u32..4), 1..10),
            seed in any::<u64>(),
        ) {
            // Names come up several times, also with different weights.
            let mut targets: Vec<_> = targets
                .into_iter()
                .map(|(name, weight)| (format!("{name}.internal:80"), weight))
                .collect();
            let owners = |targets: &[(String, u32)]| -> Vec<(String, u32)> {
                let maglev = of(targets.iter().map(|(name, weight)| (name.as_str(), *weight)));
                let table = maglev.table().iter();
                table.map(|target| targets[*target as usize].clone()).collect()
            };
            let one = owners(&targets);
            targets.sort_by_key(|(name, weight)| hash_key(format!("{seed}{name}{weight}").as_bytes()));
            prop_assert!(one == owners(&targets));
        }

        #[test]
        fn shares_are_within_two_places_of_the_weights(weights in prop::collection::vec(1_u32..100, 1..12)) {
            let names = names(weights.len());
            let maglev = of(names.iter().map(String::as_str).zip(weights.iter().copied()));
            let total: u32 = weights.iter().sum();
            for (share, weight) in places(&maglev).iter().zip(&weights) {
                let expected = SIZE as f64 * f64::from(*weight) / f64::from(total);
                prop_assert!((*share as f64 - expected).abs() <= 2.0 + weights.len() as f64);
            }
        }
    }
}
