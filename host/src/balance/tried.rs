//! Which targets a request has been given already.

/// A set of target indices. One word holds the first 64, so that upstreams of usual size cost no
/// heap allocation; larger ones work too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried {
    first: u64,
    /// The words for 64 and up; no longer than the highest index asks for.
    further: Vec<u64>,
}

const WORD: usize = u64::BITS as usize;

impl Tried {
    /// Adds an index; false when it was there before.
    pub fn insert(&mut self, index: usize) -> bool {
        let bit = 1 << (index % WORD);
        let word = match (index / WORD).checked_sub(1) {
            None => &mut self.first,
            Some(word) => {
                if word >= self.further.len() {
                    self.further.resize(word + 1, 0);
                }
                match self.further.get_mut(word) {
                    Some(word) => word,
                    None => return false,
                }
            }
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether the index is in the set.
    pub fn contains(&self, index: usize) -> bool {
        let word = match (index / WORD).checked_sub(1) {
            None => self.first,
            Some(word) => self.further.get(word).copied().unwrap_or(0),
        };
        word & (1 << (index % WORD)) != 0
    }

    /// Whether nothing has been tried: this is the request's first pick.
    pub fn is_empty(&self) -> bool {
        self.first == 0 && self.further.iter().all(|word| *word == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn up_to_64_targets_nothing_is_allocated() {
        let mut tried = Tried::default();
        (0..64).for_each(|index| assert!(tried.insert(index)));
        assert_eq!(tried.further.capacity(), 0);
        tried.insert(64);
        assert_ne!(tried.further.capacity(), 0);
    }

    proptest! {
        #[test]
        fn it_is_a_set(indices in prop::collection::vec(0_usize..300, 0..100)) {
            let mut tried = Tried::default();
            let mut model = HashSet::new();
            prop_assert!(tried.is_empty());
            for index in indices {
                prop_assert_eq!(tried.insert(index), model.insert(index));
                prop_assert!(!tried.is_empty());
            }
            for index in 0..300 {
                prop_assert_eq!(tried.contains(index), model.contains(&index));
            }
        }
    }
}
